"""The names that a module speaks most often come first in its table of names.

The compiler numbers a module's names as it meets them, those of attributes and functions before
others, and its code speaks of a name by that number: one byte for the first 128, two for the rest.
So a large module gets a first statement that names the most frequent ones as attributes, in an
expression that is never reached; its code goes when the module is loaded. Where the compiler
should number otherwise, nothing changes but the size.
"""

from __future__ import annotations

import ast
import collections
import keyword

from tools.shrink.program import Module

_SHORT = 128  # numbers that fit one byte
_FIRST = 3  # of them the compiler uses for the module itself
_INTERNED = 10  # characters; a string in code that has more is no name


def put_first(module: Module) -> None:
    """Add the statement to the tree, if the module has more names than short numbers."""
    counts = _counts(module)
    if len(counts) <= _SHORT:
        return
    order = sorted(counts, key=lambda name: (-counts[name], name))
    chain: ast.expr = ast.Name("__name__", ast.Load())
    for name in order[: _SHORT - _FIRST]:
        chain = ast.Attribute(chain, name, ast.Load())
    never = ast.Compare(ast.Name("__name__", ast.Load()), [ast.Eq()], [ast.Constant(0)])
    module.tree.body.insert(0, ast.Expr(ast.BoolOp(ast.And(), [never, chain])))


def _counts(module: Module) -> collections.Counter[str]:
    """How often the module's code speaks of each name by its number, about."""
    counts: collections.Counter[str] = collections.Counter()
    for node in module.nodes:
        if isinstance(node, ast.Attribute):
            counts[node.attr] += 1
        elif isinstance(node, ast.Name):
            binder = module.scope_of[node].binder(node.id)
            if binder is None or binder is module.top or binder.is_class:
                counts[node.id] += 1
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            counts[node.name] += 2  # where it is bound, and in its own code for tracebacks
        elif isinstance(node, (ast.ClassDef, ast.alias)):
            counts[node.name] += 2
        elif isinstance(node, (ast.arg, ast.keyword)) and node.arg:
            counts[node.arg] += 1
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            counts[node.value] += len(node.value) <= _INTERNED
    for name in list(counts):
        if not counts[name] or not name.isidentifier() or keyword.iskeyword(name):
            del counts[name]
    return counts
