"""Short names for what is private: attributes, functions and variables with one underscore.

Such an attribute is spoken of through `self`, so that it belongs to an object of a class of that
module, or of one that is related to it by inheritance: those modules get names of their own, all
others share theirs. Values of objects, which no traceback names, are shared between classes of one
module as well, as long as inheritance does not join them; what is spoken of most comes first. A
name stays as it is if it is also one of a class or import, if it stands in a string, if it is an
attribute of anything but `self`, or passed by keyword. Modules with a class whose base is not known
stay as they are. `python -m tools.shrink` turns a traceback's names back.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator
from string import ascii_lowercase

from tools.shrink.program import Module, Program, Thing, identifiers

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_NAMED = (ast.Name, ast.Global, *_FUNCTIONS)  # what may give a private name its meaning
_LONG = 3  # characters; what has less is short enough


def shorten(program: Program) -> None:
    """Change the names in the trees of all modules."""
    taken = set(program.elsewhere)
    for module in program.modules.values():
        taken |= identifiers(module.nodes)
    families, strangers = _families(program)
    stays = _staying(program)
    for module in strangers:
        stays |= set(_variables(module))
    for family in families:
        kin = _kin(program, family)
        counts = _values(family, kin, stays)
        values: dict[tuple[ast.ClassDef, str], str] = {}
        for owner, own in counts.items():
            order = sorted(own, key=lambda name: (-own[name], name))
            for name, new in zip(order, _short_names(taken), strict=False):
                values[owner, name] = new
        names = {name for module in family for name in _variables(module) if name not in stays}
        names -= {name for _, name in values}
        short = dict(zip(sorted(names), _short_names(taken | set(values.values())), strict=False))
        for module in family:
            _rename_values(module, kin, values)
            _rename(module, short)


def _staying(program: Program) -> set[str]:
    names = set(program.elsewhere)
    for module in program.modules.values():
        for node in module.nodes:
            if isinstance(node, ast.Attribute) and not module.class_of_self(node.value):
                names.add(node.attr)
            elif isinstance(node, ast.alias):
                names.add(node.name)
        for scope in module.scopes:
            if scope is module.top or scope.is_class:
                for name, nodes in scope.bound.items():
                    if not all(isinstance(node, _NAMED) for node in nodes):
                        names.add(name)
    return names


def _families(program: Program) -> tuple[list[list[Module]], list[Module]]:
    """The modules whose classes are related, together; and those with relatives nobody knows."""
    root = {name: name for name in program.modules}

    def first(name: str) -> str:
        while root[name] != name:
            name = root[name]
        return name

    strangers = set()
    for module in program.modules.values():
        for node in module.nodes:
            for base in node.bases if isinstance(node, ast.ClassDef) else ():
                meaning = program.meaning(module, base)
                if meaning and _class(program, meaning):
                    root[first(module.name)] = first(meaning[0])
                elif not isinstance(base, ast.Name) or module.scope_of[base].binder(base.id):
                    strangers.add(module.name)
    families: dict[str, list[Module]] = {}
    for name, module in program.modules.items():
        families.setdefault(first(name), []).append(module)
    apart = [families.pop(name) for name in sorted({first(name) for name in strangers})]
    return list(families.values()), [module for family in apart for module in family]


def _class(program: Program, thing: Thing) -> ast.ClassDef | None:
    for node in program.modules[thing[0]].top.bound.get(thing[1], ()):
        if isinstance(node, ast.ClassDef):
            return node
    return None


def _kin(program: Program, family: list[Module]) -> dict[ast.ClassDef, ast.ClassDef]:
    """The classes of a family, and for each the one that stands for all of its relatives."""
    several = [node for module in family for node in module.nodes if isinstance(node, ast.ClassDef)]
    kin = {node: node for node in several}
    for module in family:
        for node in module.nodes:
            for base in node.bases if isinstance(node, ast.ClassDef) else ():
                meaning = program.meaning(module, base)
                other = _class(program, meaning) if meaning else None
                if other and isinstance(node, ast.ClassDef):
                    one, gone = kin[other], kin[node]
                    kin = {key: one if value is gone else value for key, value in kin.items()}
    return kin


def _values(
    family: list[Module], kin: dict[ast.ClassDef, ast.ClassDef], stays: set[str]
) -> dict[ast.ClassDef, dict[str, int]]:
    """How often the methods of relatives speak of each private value that only objects have."""
    bound = set()
    for module in family:
        for scope in module.scopes:
            if scope is module.top or scope.is_class:
                bound |= scope.bound.keys()
    counts: dict[ast.ClassDef, dict[str, int]] = {}
    for module in family:
        for node in module.nodes:
            if isinstance(node, ast.Attribute) and _is_private(node.attr):
                owner = module.class_of_self(node.value)
                if owner and node.attr not in bound and node.attr not in stays:
                    own = counts.setdefault(kin[owner], {})
                    own[node.attr] = own.get(node.attr, 0) + 1
    return counts


def _variables(module: Module) -> Iterator[str]:
    """The private names of its variables and attributes."""
    names = {node.attr for node in module.nodes if isinstance(node, ast.Attribute)}
    for scope in module.scopes:
        if scope is module.top or scope.is_class:
            names |= scope.bound.keys()
    for name in names:
        if _is_private(name):
            yield name


def _is_private(name: str) -> bool:
    return len(name) >= _LONG and name[0] == "_" and name[1] != "_"


def _short_names(taken: set[str]) -> Iterator[str]:
    for size in (1, 2):
        for letters in itertools.product(ascii_lowercase, repeat=size):
            name = "_" + "".join(letters)
            if name not in taken:
                yield name


def _is_shared(module: Module, function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Is it one of the module or of a class, and not one within a function?"""
    return any(
        node is function
        for scope in module.scopes
        if scope is module.top or scope.is_class
        for node in scope.bound.get(function.name, ())
    )


def _rename_values(
    module: Module,
    kin: dict[ast.ClassDef, ast.ClassDef],
    short: dict[tuple[ast.ClassDef, str], str],
) -> None:
    for node in module.nodes:
        if not isinstance(node, ast.Attribute):
            continue
        owner = module.class_of_self(node.value)
        new = short.get((kin[owner], node.attr)) if owner else None
        if owner and new:
            module.renamed[f"{owner.name}.{node.attr}"] = new
            node.attr = new


def _rename(module: Module, short: dict[str, str]) -> None:
    for node in module.nodes:
        if isinstance(node, ast.Attribute) and node.attr in short:
            module.renamed[node.attr] = short[node.attr]
            node.attr = short[node.attr]
        elif isinstance(node, ast.Name) and node.id in short:
            binder = module.scope_of[node].binder(node.id)
            if binder is module.top or (binder and binder.is_class):
                module.renamed[node.id] = short[node.id]
                node.id = short[node.id]
        elif isinstance(node, _FUNCTIONS) and node.name in short and _is_shared(module, node):
            module.renamed[node.name] = short[node.name]
            node.name = short[node.name]
        elif isinstance(node, ast.Global):
            node.names = [short.get(name, name) for name in node.names]
