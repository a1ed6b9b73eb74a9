# Resets the chip, but only once the host had time to listen to what comes.
# mypy: ignore-errors
import time

import machine

time.sleep_ms(400)
machine.reset()
