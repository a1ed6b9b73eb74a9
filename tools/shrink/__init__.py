"""Takes out of the firmware what only its source needs: between firmware/ and mpy-cross.

On the device a name is memory: interned once and for ever, an entry in the dict of its module, and
more in every module that imports it. `shrink` reads all modules of the firmware together and hands
back the same program with less to carry:

- numbers (numbers.py): what a module names once as an integer is that integer wherever it is read,
  also where it was imported; the name and its imports are gone;
- modules that are loaded together anyway come in one file (rooms.py);
- private names (private.py): `_withdrawn_ms` becomes `_c`, with the same few short names in all
  classes and modules;
- arguments (arguments.py) that nobody passes by name share a few letters;
- classes lose `__module__` and `__qualname__`, which nothing asks for;
- a large module's most frequent names get the short numbers (frequent.py).

Everything public stays: the console, tests and other programs speak of it, and tracebacks show it.
A name is left alone wherever it might be spoken in a way that cannot be seen from here. What can
never be seen is a name that is put together at run time: the firmware may do that with names of
modules, functions and settings only.

`python -m tools.shrink` shows which private name became which, `python -m tools.shrink FILE` what
became of a file. Nothing of the firmware is run, and no file written.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence

from tools.shrink import arguments, frequent, numbers, private, rooms
from tools.shrink.program import Module, Program, RefusedError

__all__ = ["RefusedError", "shrink"]


Rooms = Mapping[str, Sequence[str]]


def shrink(
    sources: dict[str, str], speakers: Iterable[str] = (), joined: Rooms | None = None
) -> dict[str, str]:
    """The sources of a program {path: source}, each made smaller.

    `speakers` are the sources of other programs: what they speak of stays. `joined` has the modules
    that become one, {the one that stays: the others, in the order of their definitions}.
    RefusedError, with path and line, for a source that is no Python or that speaks of names in a
    way that nobody can see.
    """
    modules, _ = _shrunk(sources, speakers, joined)
    return {path: module.source() for path, module in modules.items()}


def short_names(
    sources: dict[str, str], speakers: Iterable[str] = (), joined: Rooms | None = None
) -> dict[str, dict[str, str]]:
    """{path: {what it was: its short name}} of what `shrink` does; see Module.renamed."""
    modules, _ = _shrunk(sources, speakers, joined)
    return {path: module.renamed for path, module in modules.items()}


def moved_names(
    sources: dict[str, str], speakers: Iterable[str] = (), joined: Rooms | None = None
) -> rooms.Moved:
    """Where the public names of joined modules went: see rooms.join."""
    _, moved = _shrunk(sources, speakers, joined)
    return {
        gone: (stays, {old: new for old, new in names.items() if old[0] != "_"})
        for gone, (stays, names) in moved.items()
    }


def _shrunk(
    sources: dict[str, str], speakers: Iterable[str], joined: Rooms | None
) -> tuple[dict[str, Module], rooms.Moved]:
    program = Program(sources, speakers)
    numbers.put_in_place(program)
    moved = rooms.join(program, joined or {})
    private.shorten(program)
    arguments.shorten(program)
    for module in program.modules.values():
        for node in module.nodes:
            if isinstance(node, ast.ClassDef):
                _leave_out_class_names(node)
        module.read()
        frequent.put_first(module)
    return {module.path: module for module in program.modules.values()}, moved


def _leave_out_class_names(node: ast.ClassDef) -> None:
    # mpy-cross stores both in every class. Deleted at once, they leave their places in its dict.
    behind = 1 if ast.get_docstring(node) is not None else 0
    names: list[ast.expr] = [ast.Name(name, ast.Del()) for name in ("__module__", "__qualname__")]
    node.body.insert(behind, ast.Delete(names))
