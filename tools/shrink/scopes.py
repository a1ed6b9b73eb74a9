"""Where the names of a module are bound: in the module, a class, a function, a comprehension."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(eq=False)
class Scope:
    """A module, a class, or a function, a lambda or a comprehension.

    `bound` has the nodes that bind each name (ast.Name, arg, alias, a definition, ...; in an inner
    scope the declaration that allows it as well), `declared` the names that are declared, as
    ast.Global or ast.Nonlocal.
    """

    node: ast.AST
    parent: Scope | None
    bound: dict[str, list[ast.AST]] = field(default_factory=dict)
    declared: dict[str, type] = field(default_factory=dict)

    @property
    def is_class(self) -> bool:
        return isinstance(self.node, ast.ClassDef)

    def binder(self, name: str) -> Scope | None:
        """The scope to which `name` belongs when it is spoken in this one; None: a built-in."""
        scope: Scope | None = self
        if self.declared.get(name) is ast.Global:
            while scope.parent:
                scope = scope.parent
        while scope and (name not in scope.bound or (scope.is_class and scope is not self)):
            scope = scope.parent
        return scope


class Scopes(ast.NodeVisitor):
    """`all` scopes of a module, itself first, and the one in which each ast.Name is spoken.

    `nodes` are all nodes of its `tree`.
    """

    def __init__(self, tree: ast.Module, nodes: list[ast.AST]):
        self._declares = any(isinstance(node, (ast.Global, ast.Nonlocal)) for node in nodes)
        self.all: list[Scope] = []
        self.of: dict[ast.Name, Scope] = {}
        self._now: Scope | None = None
        self._inner: list[tuple[Scope, list]] = []
        self._open(tree, tree.body)
        self._enter(*self._inner.pop())

    def _open(self, node: ast.AST, parts: list) -> None:
        scope = Scope(node, self._now)
        self.all.append(scope)
        if isinstance(node, _COMPREHENSIONS):
            self._enter(scope, parts)
        else:
            # Later: what it declares nonlocal may be bound behind it.
            self._inner.append((scope, parts))

    def _enter(self, scope: Scope, parts: list) -> None:
        outside = self._now, self._inner
        self._now, self._inner = scope, []
        if isinstance(scope.node, FUNCTIONS):
            its = scope.node.args
            several = [*its.posonlyargs, *its.args, *its.kwonlyargs, its.vararg, its.kwarg]
            for argument in filter(None, several):
                self._bind(argument.arg, argument)
        # A declaration counts for the whole scope, also for what stands before it.
        for part in parts if self._declares else ():
            for node in _within(part):
                if isinstance(node, (ast.Global, ast.Nonlocal)):
                    scope.declared.update(dict.fromkeys(node.names, type(node)))
                    for name in node.names:
                        self._bind(name, node)
        for part in parts:
            self.visit(part)
        for inner in self._inner:
            self._enter(*inner)
        self._now, self._inner = outside

    def _bind(self, name: str, node: ast.AST, scope: Scope | None = None) -> None:
        scope = scope or self._now
        kind = scope.declared.get(name)
        if kind is ast.Global:
            scope = self.all[0]
        elif kind is ast.Nonlocal:
            scope = scope.parent.binder(name) or scope
        scope.bound.setdefault(name, []).append(node)

    def _function(self, node):
        if not isinstance(node, ast.Lambda):
            self._bind(node.name, node)
            for decorator in node.decorator_list:
                self.visit(decorator)
        for default in filter(None, [*node.args.defaults, *node.args.kw_defaults]):
            self.visit(default)
        self._open(node, [node.body] if isinstance(node, ast.Lambda) else node.body)

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = _function

    def visit_ClassDef(self, node):
        self._bind(node.name, node)
        for part in [*node.decorator_list, *node.bases, *node.keywords]:
            self.visit(part)
        self._open(node, node.body)

    def _comprehension(self, node):
        self.visit(node.generators[0].iter)
        parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        for number, one in enumerate(node.generators):
            parts += [one.target, *one.ifs] + ([one.iter] if number else [])
        self._open(node, parts)

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension

    def visit_NamedExpr(self, node):
        scope = self._now
        while isinstance(scope.node, _COMPREHENSIONS):
            scope = scope.parent
        self.of[node.target] = scope
        self._bind(node.target.id, node, scope)
        self.visit(node.value)

    def visit_Name(self, node):
        self.of[node] = self._now
        if not isinstance(node.ctx, ast.Load):
            self._bind(node.id, node)

    def visit_ExceptHandler(self, node):
        if node.name:
            self._bind(node.name, node)
        self.generic_visit(node)

    def visit_Import(self, node):
        for alias in node.names:
            self._bind(alias.asname or alias.name.partition(".")[0], alias)

    def visit_ImportFrom(self, node):
        for alias in node.names:
            self._bind(alias.asname or alias.name, alias)


def _within(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a statement that belong to the scope in which it stands."""
    yield node
    if not isinstance(node, (*FUNCTIONS, ast.ClassDef)):
        for child in ast.iter_child_nodes(node):
            yield from _within(child)
