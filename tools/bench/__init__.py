"""The bench: the world around the virtual board, for people (a page) and for programs (JSON).

`python -m tools.bench` is what `make run` starts. The parts: `ports` picks the ports, `flash`
makes or keeps the charger's flash, `broker` runs Mosquitto, `surroundings` turns an action into
changes of the virtual board's world, `server` offers the actions over HTTP, `page/` is what a
person sees. How a car, a lock or a contactor behaves is not decided here but in `tools/virtual`.
"""
