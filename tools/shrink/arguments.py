"""Short names for arguments that nobody passes by name.

An argument's name is interned like any other, so that it can be passed by keyword. Where no keyword
of that name is written anywhere in the program, or in what speaks of it, it becomes one of a few
letters that all functions share.
"""

from __future__ import annotations

import ast

from tools.shrink.program import Module, Program, identifiers
from tools.shrink.scopes import Scope

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def shorten(program: Program) -> None:
    """Change the trees of all modules; each is read again afterwards."""
    spoken = set(program.elsewhere)
    for module in program.modules.values():
        spoken |= {node.arg for node in module.nodes if isinstance(node, ast.keyword) and node.arg}
    for module in program.modules.values():
        for scope in module.scopes:
            if isinstance(scope.node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                _rename(module, scope, spoken)
        module.read()


def _rename(module: Module, scope: Scope, spoken: set[str]) -> None:
    names = identifiers(ast.walk(scope.node))  # also of what stands within it
    free = iter(letter for letter in _LETTERS if letter not in names)
    for argument in _positional(module, scope):
        name = argument.arg
        if len(name) < 2 or name in spoken or not _is_plain(scope, name):
            continue
        letter = next(free, "")
        if not letter:
            return
        for node in module.nodes:
            if not isinstance(node, ast.Name) or node.id != name:
                continue
            if module.scope_of[node].binder(name) is scope:
                node.id = letter
        argument.arg = letter


def _positional(module: Module, scope: Scope) -> list[ast.arg]:
    assert isinstance(scope.node, (ast.FunctionDef, ast.AsyncFunctionDef))
    its = scope.node.args
    if its.kwarg:
        return []
    several = [*its.posonlyargs, *its.args]
    return several[1:] if scope.parent and scope.parent.is_class else several


def _is_plain(scope: Scope, name: str) -> bool:
    """Is the argument bound by nothing but itself and assignments, also in what stands within?"""
    for node in ast.walk(scope.node):
        if isinstance(node, (ast.Nonlocal, ast.Global)) and name in node.names:
            return False
    return all(isinstance(node, (ast.arg, ast.Name)) for node in scope.bound[name])
