"""Modules that are needed now and then, without their memory in between."""

import sys


def briefly(name):
    """Import the module `name` ("package.module") and forget it: it lasts as long as the caller.

    Only for modules without state, which nobody else imports for good.
    """
    kept = name in sys.modules
    module = __import__(name, None, None, ("*",))
    if not kept:
        package, leaf = name.rsplit(".", 1)
        del sys.modules[name]
        delattr(sys.modules[package], leaf)
    return module
