"""Modules that are needed now and then, without their memory in between."""

import asyncio
import sys

# Held by who needs much memory for several turns of the loop. Who needs some for one turn waits
# until it is free: `if turn.locked(): await its_end()`, which costs nothing most of the time.
turn = asyncio.Lock()
_kept = tuple(sys.modules)  # those that stay; made anew when others have come or gone


async def its_end():
    """Wait for `turn`, behind those who have waited for longer; it is free until the next await."""
    await turn.acquire()
    turn.release()


def briefly(name):
    """Import the module `name` ("package.module") and forget it: it lasts as long as the caller.

    So do the modules that it imports at its top, if they were not there before. Only for modules
    without state; each caller gets copies of its own, also of their classes. MemoryError: nothing
    of it is left.
    """
    global _kept
    modules = sys.modules
    kept = _kept  # its own: a module that is loaded so may load others so, at its top
    for loaded in modules:
        # The number alone does not tell: one may have come, and another gone.
        if loaded not in kept or len(kept) != len(modules):
            _kept = kept = tuple(modules)
            break
    try:
        return __import__(name, None, None, ("*",))
    finally:
        while len(modules) > len(kept):
            for loaded in modules:
                if loaded not in kept:
                    break
            package, leaf = loaded.rsplit(".", 1) if "." in loaded else ("", loaded)
            del modules[loaded]
            if package in kept:
                delattr(modules[package], leaf)
