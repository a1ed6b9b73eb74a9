"""Modules that are needed now and then, without their memory in between."""

import sys


def briefly(name):
    """Import the module `name` ("package.module") and forget it: it lasts as long as the caller.

    So do the modules that it imports at its top, if they were not there before. Only for modules
    without state; each caller gets copies of its own, also of their classes.
    """
    there = set(sys.modules)
    module = __import__(name, None, None, ("*",))
    for loaded in set(sys.modules) - there:
        package, leaf = loaded.rsplit(".", 1) if "." in loaded else ("", loaded)
        del sys.modules[loaded]
        if package in there:
            delattr(sys.modules[package], leaf)
    return module
