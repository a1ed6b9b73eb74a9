"""The modules of a program as trees, and what their names mean across them."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from tools.shrink.scopes import Scope, Scopes

# With these a program can speak of any name, and nobody could see which.
_BLINDING = ("eval", "exec", "globals", "locals")

_NAMING = {"id", "attr", "arg", "name", "asname"}  # of a node

Thing = tuple[str, str]  # a module and a name in it; the name is "" for the module itself


class RefusedError(Exception):
    """A source that is no Python, or one whose names cannot be followed; says where."""


class Module:
    """One file: `nodes` of its tree, `scopes` with the module's own (`top`) first.

    `scope_of` has the scope of each ast.Name, `sources` the (module, name) that each ast.alias of a
    "from" import takes, `renamed` what became of its private names; those of values that only the
    objects of a class have stand there as "Class._name".
    """

    def __init__(self, path: str, text: str):
        self.path = path
        self.name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        self.renamed: dict[str, str] = {}
        try:
            self.tree = ast.parse(text, path)
        except SyntaxError as error:
            where = f"{path}, line {error.lineno}"
            raise RefusedError(f"{where}: {error.msg}: {(error.text or '').strip()}") from None
        self.read()
        for node in self.nodes:
            if isinstance(node, ast.ImportFrom) and (node.level or node.names[0].name == "*"):
                self._refuse(node, "an import must name its module and what it takes")
            if isinstance(node, ast.Name) and node.id in _BLINDING:
                self._refuse(node, f"{node.id} could speak of names that the build takes away")

    def _refuse(self, node: ast.stmt | ast.expr, why: str) -> None:
        raise RefusedError(f"{self.path}, line {node.lineno}: {why}")

    def read(self) -> None:
        """Look at the tree, at first and whenever it was changed."""
        self.nodes = list(ast.walk(self.tree))
        found = Scopes(self.tree, self.nodes)
        self.scopes, self.scope_of = found.all, found.of
        self.top = self.scopes[0]
        self.sources: dict[ast.AST, Thing] = {
            alias: (node.module or "", alias.name)
            for node in self.nodes
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }

    def source(self) -> str:
        """Its text as it now is."""
        return _Text().visit(self.tree) + "\n"

    def class_of_self(self, node: ast.expr) -> ast.ClassDef | None:
        """The class in whose method the node is the name of the method's own object, if it is."""
        if not isinstance(node, ast.Name):
            return None
        binder = self.scope_of[node].binder(node.id)
        if binder is None or binder.parent is None:
            return None
        method, owner = binder.node, binder.parent.node
        if (
            isinstance(method, (ast.FunctionDef, ast.AsyncFunctionDef))
            and not method.decorator_list
            and isinstance(owner, ast.ClassDef)
            and binder.bound[node.id] == method.args.args[:1]
        ):
            return owner
        return None


class _Text(ast._Unparser):  # type: ignore[name-defined]
    """As ast.unparse, but for `a, b = x, y`: with brackets MicroPython would allocate a tuple."""

    def visit_Assign(self, node: ast.Assign) -> None:
        self.fill()
        for target in node.targets:
            self._without_brackets(target)
            self.write(" = ")
        self._without_brackets(node.value)

    def _without_brackets(self, node: ast.expr) -> None:
        if isinstance(node, ast.Tuple) and len(node.elts) > 1:
            self.items_view(self.traverse, node.elts)
        else:
            self.traverse(node)


class Program:
    """All `modules` by their dotted names.

    `elsewhere` are the names that may be spoken in other ways than as names: whole strings (for
    getattr and its like), and whatever the `speakers`, sources of other programs, contain.
    """

    def __init__(self, sources: dict[str, str], speakers: Iterable[str] = ()):
        several = [Module(path, sources[path]) for path in sorted(sources)]
        self.modules = {module.name: module for module in several}
        self.elsewhere = set()
        for module in several:
            self.elsewhere |= _strings(module.nodes)
        for text in speakers:
            nodes = list(ast.walk(ast.parse(text)))
            self.elsewhere |= _strings(nodes) | identifiers(nodes)

    def meaning(self, module: Module, node: ast.AST) -> Thing | None:
        """What of the program a name, or an attribute of a module's name, stands for, if any."""
        if isinstance(node, ast.Name):
            return self.meaning_of(module, module.scope_of[node], node.id)
        if isinstance(node, ast.Attribute):
            base = self.meaning(module, node.value)
            if base and not base[1]:
                other = self.modules[base[0]]
                return self.meaning_of(other, other.top, node.attr)
        return None

    def meaning_of(self, module: Module, scope: Scope, name: str) -> Thing | None:
        """What of the program a name spoken in `scope` stands for; None if it is something else.

        A name that is bound more than once stands for nothing that is known.
        """
        passed = set()
        while True:
            binder = scope.binder(name)
            if binder is None or len(binder.bound[name]) != 1:
                return None
            source = module.sources.get(binder.bound[name][0])
            if source is None:
                return (module.name, name) if binder is module.top else None
            if ".".join(source) in self.modules:
                return ".".join(source), ""
            if source in passed or source[0] not in self.modules:
                return None
            passed.add(source)
            module, name = self.modules[source[0]], source[1]
            scope = module.top


def identifiers(nodes: Iterable[ast.AST]) -> set[str]:
    """Every name that is spoken in the nodes, whatever it names."""
    found = set()
    for node in nodes:
        for part in _NAMING & node.__dict__.keys():
            if isinstance(getattr(node, part), str):
                found.add(getattr(node, part))
        if isinstance(node, (ast.Global, ast.Nonlocal)):
            found.update(node.names)
    return found


def _strings(nodes: Iterable[ast.AST]) -> set[str]:
    return {
        node.value
        for node in nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
