"""Puts the firmware onto a real or a virtual board, through mpremote.

`python -m tools.flash PORT` compiles, copies what changed and waits until the charger says that it
runs. Promises: nothing is touched before it is known that the device can take the firmware; from
the first changed byte to the last the board starts with its outputs safe and says what it lacks;
flashing again mends whatever a cut left behind; settings, journal and files of other origin stay.
It does not install MicroPython itself.
"""
