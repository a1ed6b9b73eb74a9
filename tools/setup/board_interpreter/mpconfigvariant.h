// The board interpreter: MicroPython's unix port with the language level, the word size (see the
// .mk file) and the float width of the ESP32 port, so that tests meet the device's arithmetic.
#define MICROPY_CONFIG_ROM_LEVEL (MICROPY_CONFIG_ROM_LEVEL_EXTRA_FEATURES)
#define MICROPY_FLOAT_IMPL (MICROPY_FLOAT_IMPL_FLOAT)

// Found from ports/unix, which the port's Makefile puts on the include path.
#include "variants/mpconfigvariant_common.h"
