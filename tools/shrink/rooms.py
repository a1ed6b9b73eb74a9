"""Several modules as one file: those that are loaded together anyway.

On the device each module costs some 230 bytes besides what it does: an object with a dict, its name
and its path as strings for ever, and a second entry for each thing that another module imports from
it. A room of ten modules loses most of that when it comes in one file. The source stays as it is.

`join` puts the definitions of the members before those of the module that keeps its name. What has
the same name in two of them gets the name of its module behind its own. Imports between them go,
and everybody else imports from the module that is left. Refused is what could not be followed: a
member spoken of in a string, handed on as an object, imported under two names at once, or changed
from another member. What a member asks another one for too early is a NameError instead of an
AttributeError.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

from tools.shrink.program import Module, Program, RefusedError, Thing
from tools.shrink.scopes import Scope

Moved = dict[str, tuple[str, dict[str, str]]]


def join(program: Program, rooms: Mapping[str, Sequence[str]]) -> Moved:
    """Change the program: of each room's modules {the one that stays: the others} one is left.

    The others come in the order in which one's top level needs the next. Returned is where their
    names went: {module that is gone: (the one that stayed, {name: its name there})}.
    """
    moved: Moved = {}
    for stays, others in rooms.items():
        room = _Room(program, stays, others)
        room.join()
        for gone in others:
            moved[gone] = stays, {name: new for (of, name), new in room.new.items() if of == gone}
    return moved


class _Room:
    def __init__(self, program: Program, stays: str, others: Sequence[str]):
        for name in (stays, *others):
            if name not in program.modules:
                raise RefusedError(f"{name}: there is no such module to be joined with others")
        self.program = program
        self.target = program.modules[stays]
        self.parts = [*(program.modules[name] for name in others), self.target]
        self.inside = {part.name for part in self.parts}
        self.new: dict[Thing, str] = {}
        for module in program.modules.values():
            for node in module.nodes:
                if isinstance(node, ast.Constant) and node.value in others:
                    self._refuse(module, node, f"a string speaks of {node.value!s}")

    def join(self) -> None:
        self._check_imports()
        modules = list(self.program.modules.values())
        # What names mean is asked for before the first of them changes.
        spoken = {module.name: self._spoken(module) for module in modules}
        self._choose_names(spoken)
        imports = {
            module.name: [
                self._rest_of(module, node)
                for node in module.nodes
                if isinstance(node, (ast.Import, ast.ImportFrom))
            ]
            for module in modules
        }
        for part in self.parts:
            self._rename_own(part)
        for module in modules:
            self._rename_spoken(module, spoken[module.name])
            change = _Replace({old: new for old, new in imports[module.name] if new != [old]})
            change.visit(module.tree)
        body: list[ast.stmt] = []
        had = set()
        for part in self.parts:
            for statement in part.tree.body:
                if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                    continue  # a docstring
                if isinstance(statement, (ast.Import, ast.ImportFrom)):
                    text = ast.dump(statement)
                    if text in had:
                        continue
                    had.add(text)
                body.append(statement)
        self.target.tree.body = body
        for part in self.parts[:-1]:
            del self.program.modules[part.name]
        for module in self.program.modules.values():
            module.read()

    def _is_import_from_inside(self, source: Thing | None) -> bool:
        return source is not None and (source[0] in self.inside or ".".join(source) in self.inside)

    def _spoken(self, module: Module) -> list[tuple[ast.Name | ast.Attribute, Thing]]:
        """Where the module speaks of something of the room through an import, and of what."""
        bases = {node.value for node in module.nodes if isinstance(node, ast.Attribute)}
        found: list[tuple[ast.Name | ast.Attribute, Thing]] = []
        for node in module.nodes:
            if not isinstance(node, (ast.Name, ast.Attribute)):
                continue
            meaning = self.program.meaning(module, node)
            if meaning is None and isinstance(node, ast.Name):
                meaning = self._taken(module, node)
            if isinstance(node, ast.Attribute):
                base = self.program.meaning(module, node.value)
                if base is None or base[1] or (meaning and not meaning[1]):
                    continue  # an object's, or a module's own module
                if base[0] not in self.inside:
                    if module in self.parts and meaning and meaning[0] in self.inside:
                        self._refuse(module, node, f"it asks {base[0]} for {node.attr}")
                    continue
                if meaning is None:
                    meaning = base[0], node.attr
                    if not self._is_own(meaning):
                        self._refuse(module, node, f"{base[0]} binds no {node.attr} for certain")
            if meaning is None or meaning[0] not in self.inside:
                continue
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute):
                through = self.program.meaning(module, node.value.value)
                if through and through[0] in self.inside:
                    self._refuse(module, node, f"it asks {through[0]} for {meaning[0]}")
            if not meaning[1]:
                if node not in bases and meaning[0] != self.target.name:
                    self._refuse(module, node, f"{meaning[0]} is handed on as an object")
                continue
            if isinstance(node, ast.Name) and meaning[0] == module.name:
                continue  # its own
            if not isinstance(node.ctx, ast.Load) and module in self.parts:
                self._refuse(module, node, f"it changes what {meaning[0]} binds")
            found.append((node, meaning))
        return found

    def _taken(self, module: Module, node: ast.Name) -> Thing | None:
        """What of the room a name was imported from that its own module binds several times."""
        binder = module.scope_of[node].binder(node.id)
        nodes = binder.bound[node.id] if binder else []
        source = module.sources.get(nodes[0]) if len(nodes) == 1 else None
        if source and source[0] in self.inside and self._is_own(source):
            return source
        return None

    def _is_own(self, thing: Thing) -> bool:
        """Does the module itself bind the name, if more than once, and never by an import?"""
        part = self.program.modules[thing[0]]
        nodes = part.top.bound.get(thing[1], [])
        return bool(nodes) and not any(node in part.sources for node in nodes)

    def _refuse(self, module: Module, node: ast.AST, why: str) -> None:
        raise RefusedError(f"{module.path}, line {node.lineno}: {why}")  # type: ignore[attr-defined]

    def _check_imports(self) -> None:
        """What a part imports from another one must have that one meaning."""
        for part in self.parts:
            for scope in part.scopes:
                for name, nodes in scope.bound.items():
                    sources = [part.sources.get(node) for node in nodes]
                    if len(nodes) > 1 and any(map(self._is_import_from_inside, sources)):
                        self._refuse(part, nodes[0], f"{name} is bound several times")

    def _choose_names(self, spoken: Mapping[str, list]) -> None:
        owners: dict[str, object] = {}
        # The one that stays chooses first: what it binds keeps its name.
        for part in (self.target, *self.parts[:-1]):
            leaf = part.name.rpartition(".")[2]
            for name, nodes in part.top.bound.items():
                sources = {part.sources.get(node) for node in nodes}
                if any(self._is_import_from_inside(source) for source in sources):
                    continue
                thing = (part.name, name)
                owner: object = thing
                if None not in sources or all(isinstance(node, ast.alias) for node in nodes):
                    owner = sorted(ast.dump(node) + str(part.sources.get(node)) for node in nodes)
                chosen = name
                while owners.get(chosen, owner) != owner or self._is_caught(thing, chosen, spoken):
                    chosen = f"{chosen}_{leaf}"
                    owner = thing
                owners[chosen] = owner
                self.new[thing] = chosen

    def _is_caught(self, thing: Thing, chosen: str, spoken: Mapping[str, list]) -> bool:
        """Would the name mean something else somewhere, or take a built-in's place?"""
        for part in self.parts:
            if part.name == thing[0] and chosen == thing[1]:
                continue
            for node, scope in part.scope_of.items():
                if node.id != chosen:
                    continue
                # In a class body a name that is not bound there yet is the module's.
                binder = scope.binder(chosen)
                if binder is None or (binder.is_class and isinstance(node.ctx, ast.Load)):
                    return True
            for node, meaning in spoken[part.name]:
                if meaning == thing and _binds_between(_scope(part, node), part.top, chosen):
                    return True
        return False

    def _rename_own(self, part: Module) -> None:
        changed = {
            thing[1]: name
            for thing, name in self.new.items()
            if thing[0] == part.name and name != thing[1]
        }
        for node in part.nodes:
            if isinstance(node, ast.Name) and node.id in changed:
                binder = part.scope_of[node].binder(node.id)
                if binder is part.top:
                    node.id = changed[node.id]
                elif binder and binder.is_class and isinstance(node.ctx, ast.Load):
                    self._refuse(part, node, f"{node.id} is the module's or the class's")
            elif isinstance(node, ast.Global):
                node.names = [changed.get(name, name) for name in node.names]
        for name, chosen in changed.items():
            for node in part.top.bound[name]:
                if isinstance(node, ast.alias):
                    node.asname = chosen
                elif not isinstance(node, (ast.Name, ast.NamedExpr, ast.Global)):
                    setattr(node, "name", chosen)  # noqa: B010 -- a definition, or an except

    def _rename_spoken(self, module: Module, spoken: list) -> None:
        if module not in self.parts:
            for node, meaning in spoken:
                if isinstance(node, ast.Attribute):
                    node.attr = self.new[meaning]
            return
        names: dict[ast.AST, list] = {}
        for node, meaning in spoken:
            if isinstance(node, ast.Attribute):
                names[node] = [ast.Name(self.new[meaning], ast.Load())]
            else:
                node.id = self.new[meaning]
        _Replace(names).visit(module.tree)

    def _rest_of(
        self, module: Module, node: ast.Import | ast.ImportFrom
    ) -> tuple[ast.AST, list[ast.AST]]:
        """An import statement, and what comes in its place."""
        others = self.inside - {self.target.name}
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name in others:
                    self._refuse(module, node, f"import {alias.name} cannot be followed")
            return node, [node]
        package, _, leaf = self.target.name.rpartition(".")
        kept = []
        moved: list[ast.AST] = []
        for alias in node.names:
            source = module.sources[alias]
            called = alias.asname or alias.name
            if not self._is_import_from_inside(source):
                kept.append(alias)
            elif ".".join(source) in self.inside:
                if module not in self.parts:
                    moved.append(_import(package, leaf, called))
            else:
                name = self._name_of(module, node, source)
                if module not in self.parts:
                    moved.append(_import(self.target.name, name, called))
        if len(kept) == len(node.names):
            return node, [node]
        if kept:
            moved.insert(0, ast.ImportFrom(node.module, kept, 0))
        return node, moved

    def _name_of(self, module: Module, node: ast.AST, source: Thing) -> str:
        if source in self.new:
            return self.new[source]
        # What a member has from another one.
        other = self.program.modules[source[0]]
        meaning = self.program.meaning_of(other, other.top, source[1])
        if meaning not in self.new:
            self._refuse(module, node, f"{source[0]} binds no {source[1]} for certain")
        return self.new[meaning]


def _scope(module: Module, node: ast.AST) -> Scope:
    """The scope in which a name, or an attribute of one, is spoken."""
    while isinstance(node, ast.Attribute):
        node = node.value
    assert isinstance(node, ast.Name)
    return module.scope_of[node]


def _binds_between(scope: Scope | None, top: Scope, name: str) -> bool:
    binder = scope.binder(name) if scope else None
    return binder is not None and binder is not top


def _import(module: str, name: str, called: str) -> ast.ImportFrom:
    return ast.ImportFrom(module, [ast.alias(name, None if called == name else called)], 0)


class _Replace(ast.NodeTransformer):
    """Puts others in the place of nodes; a block that loses all of its statements passes."""

    def __init__(self, others: Mapping[ast.AST, list]):
        self._others = others

    def visit(self, node):
        if node in self._others:
            others = self._others[node]
            return others[0] if len(others) == 1 else others or None
        node = super().visit(node)
        if getattr(node, "body", True) == [] and not isinstance(node, ast.Module):
            node.body = [ast.Pass()]
        return node
