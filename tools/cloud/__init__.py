"""The reference cloud: what chargers talk to through any MQTT 3.1.1 broker, for one small operator.

`python -m tools.cloud serve` keeps the records of a fleet in one SQLite file; the other commands
look into that file or talk to a charger. The parts: `messages` checks every message of the
contract, `store` is the file, `cloud` decides what is answered, `pace` how fast chargers may come
and send, `serve` ties them to a broker through `link`, `send` sends a command, `report` tells what
is complete and what is missing. docs/mqtt.md is the contract.
"""
