"""Modules that come and go: what was there stays, what was needed briefly is gone.

Argument: an empty folder, for modules.
"""

import sys

from firmware.briefly import briefly

folder = sys.argv[1]
sys.path.append(folder)
for name in ("old", "new", "brief"):
    with open(folder + "/" + name + ".py", "w") as file:
        file.write("x = 1\n")

briefly("brief")
import old  # noqa: E402, F401

briefly("brief")
del sys.modules["old"]
import new  # noqa: E402, F401 -- as many as before, but another one

assert briefly("brief").x == 1
assert "new" in sys.modules and "brief" not in sys.modules, sorted(sys.modules)
