"""The uplink room: the way to the cloud and back to it. Only this room knows MQTT."""
