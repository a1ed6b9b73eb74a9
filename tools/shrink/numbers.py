"""Integers in the place of the names that stand for them.

A number is a name that its module binds once, in a statement of its own, to an integer: `A = 3`,
`A = const(1 << 4)`, `A = B * 2` where B is one, of this module or of another. It must fit the small
integers of a 32-bit board. What is declared with const() is one by its author's word (mpy-cross
itself takes it for one within its module); any other must not be spoken of in a string, and nobody
may set an attribute of that name, on whatever object.

Its definition goes if nothing is left that could ask for it at run time: no string, no attribute of
an object that cannot be told from its module, no import that had to stay. A module of which others
took numbers only is not loaded for that any more.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

from tools.shrink.program import Module, Program, Thing

LEAST, MOST = -(1 << 30), (1 << 30) - 1  # larger ones are objects: best made once

_OPERATORS: dict[Any, Callable[..., int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Invert: operator.invert,
}


def put_in_place(program: Program) -> None:
    """Change the trees of all modules; each is read again afterwards."""
    definitions = _definitions(program)
    numbers: dict[Thing, int] = {}
    found = True
    while found:  # one may be made of others, which come later
        found = False
        for thing in definitions.keys() - numbers.keys():
            module = program.modules[thing[0]]
            value = _value(program, module, definitions[thing].value, numbers)
            if value is not None and LEAST <= value <= MOST:
                numbers[thing] = value
                found = True

    # What the names stand for has to be known everywhere before the first of them goes.
    changes = []
    asked_for = _asked_for(program, numbers)
    for module in program.modules.values():
        change = _Change()
        for node in module.nodes:
            if isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Load):
                meaning = program.meaning(module, node)
                if meaning in numbers:
                    change.values[node] = numbers[meaning]
        for thing in numbers.keys() - asked_for:
            if thing[0] == module.name:
                change.gone.add(definitions[thing])
        for scope in module.scopes:
            for name, nodes in scope.bound.items():
                if (
                    nodes[0] in module.sources
                    and program.meaning_of(module, scope, name) in numbers
                    and _is_plain(module, name)
                    and not (scope is module.top and (module.name, name) in asked_for)
                ):
                    change.gone.add(nodes[0])
        changes.append((module, change))
    for module, change in changes:
        change.visit(module.tree)
        module.read()
    taken = set(program.elsewhere)
    for module in program.modules.values():
        taken |= {node.attr for node in module.nodes if isinstance(node, ast.Attribute)}
    for module, change in changes:
        _drop_idle_imports(program, module, change.freed - taken)


def _definitions(program: Program) -> dict[Thing, ast.Assign]:
    """The statements that may define a number."""
    written = {
        node.attr
        for module in program.modules.values()
        for node in module.nodes
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load)
    }
    found = {}
    for module in program.modules.values():
        for statement in module.tree.body:
            if not isinstance(statement, ast.Assign) or len(statement.targets) > 1:
                continue
            target = statement.targets[0]
            if not isinstance(target, ast.Name) or len(module.top.bound[target.id]) > 1:
                continue
            promised = isinstance(statement.value, ast.Call)
            if not promised and (target.id in program.elsewhere or target.id in written):
                continue
            if _is_plain(module, target.id):
                found[module.name, target.id] = statement
    return found


def _is_plain(module: Module, name: str) -> bool:
    """No class of the module has such a name too."""
    return not any(scope.is_class and name in scope.bound for scope in module.scopes)


def _value(program: Program, module: Module, node: ast.expr, numbers: dict[Thing, int]) -> Any:
    """The integer that an expression is for certain, or None."""
    if isinstance(node, ast.Constant):
        return node.value if type(node.value) is int else None
    if isinstance(node, (ast.Name, ast.Attribute)):
        return numbers.get(program.meaning(module, node))
    if isinstance(node, ast.Call):
        known = _is_const(module, node) and len(node.args) == 1
        return _value(program, module, node.args[0], numbers) if known else None
    operation: Any
    if isinstance(node, ast.BinOp):
        operation, operands = type(node.op), [node.left, node.right]
    elif isinstance(node, ast.UnaryOp):
        operation, operands = type(node.op), [node.operand]
    else:
        return None
    values = [_value(program, module, operand, numbers) for operand in operands]
    if None in values or operation not in _OPERATORS:
        return None
    try:
        return _OPERATORS[operation](*values)
    except (ArithmeticError, ValueError):
        return None


def _is_const(module: Module, call: ast.Call) -> bool:
    """MicroPython's const(), perhaps with another for CPython."""
    if not isinstance(call.func, ast.Name):
        return False
    binder = module.scope_of[call.func].binder(call.func.id)
    sources = [module.sources.get(node) for node in binder.bound[call.func.id]] if binder else []
    return ("micropython", "const") in sources


def _asked_for(program: Program, numbers: dict[Thing, int]) -> set[Thing]:
    """What of the modules might be asked for at run time: the names that have to stay in them."""
    names = set(program.elsewhere)
    wanted = []
    for module in program.modules.values():
        for node in module.nodes:
            if isinstance(node, ast.Attribute) and (
                not isinstance(node.ctx, ast.Load) or program.meaning(module, node) is None
            ):
                names.add(node.attr)
        for scope in module.scopes:
            for name, nodes in scope.bound.items():
                meaning = program.meaning_of(module, scope, name)
                if meaning not in numbers or not _is_plain(module, name):
                    wanted += [module.sources[node] for node in nodes if node in module.sources]
    for module in program.modules.values():
        wanted += [(module.name, name) for name in names & module.top.bound.keys()]
    found = set()
    while wanted:
        thing = wanted.pop()
        if thing in found or thing[0] not in program.modules:
            continue
        found.add(thing)
        module = program.modules[thing[0]]
        for node in module.top.bound.get(thing[1], ()):
            if node in module.sources:
                wanted.append(module.sources[node])
    return found


class _Change(ast.NodeTransformer):
    """Puts `values` in the place of nodes and takes away what is `gone`.

    `freed` are the names of modules, and const, that were spoken there and perhaps nowhere else.
    """

    def __init__(self):
        self.values: dict[ast.AST, int] = {}
        self.gone: set[ast.AST] = set()
        self.freed: set[str] = set()

    def visit(self, node):
        if node in self.values:
            return self._literal(node)
        node = super().visit(node)
        if node and getattr(node, "body", True) == []:
            node.body = [ast.Pass()]
        if isinstance(node, ast.Try) and not (node.handlers or node.finalbody):
            node.finalbody = [ast.Pass()]
        return node

    def _literal(self, node):
        value = self.values[node]
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            self.freed.add(node.value.id)
        if value < 0:
            return ast.UnaryOp(ast.USub(), ast.Constant(-value))
        return ast.Constant(value)

    def visit_Assign(self, node):
        if node not in self.gone:
            return self.generic_visit(node)
        self.freed |= {part.id for part in ast.walk(node.value) if isinstance(part, ast.Name)}
        return None

    def visit_ImportFrom(self, node):
        node.names = [alias for alias in node.names if alias not in self.gone]
        return node if node.names else None


def _drop_idle_imports(program: Program, module: Module, names: set[str]) -> None:
    """Take away the imports of `names` that nothing in the module speaks of any more."""
    spoken = {(scope.binder(node.id), node.id) for node, scope in module.scope_of.items()}
    for other in program.modules.values():
        names -= {name for where, name in other.sources.values() if where == module.name}
    change = _Change()
    for scope in module.scopes:
        for name in names & scope.bound.keys():
            nodes = scope.bound[name]
            if len(nodes) == 1 and nodes[0] in module.sources and (scope, name) not in spoken:
                change.gone.add(nodes[0])
    if change.gone:
        change.visit(module.tree)
        module.read()
