"""The twin of a test: the same, but what it compares with is never what it should be.

Where the test says ``assert answer == right``, the twin compares with something else. Who makes
every failure a success is found out by it, and so is an answer that is equal to everything.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

_NAME = "equals_what_it_should_not"


def failing(test: Callable[..., Any]) -> Callable[..., None]:
    """The twin of ``test``, with its arguments: it fails, in a comparison or at the end."""
    compared: list[bool] = []

    def equals(left: object, right: object) -> bool:
        compared.append(True)
        return bool(left == spoilt(right) or spoilt(left) == right)

    changed = _changed(test, equals) or test

    def twin(**arguments: Any) -> None:
        compared.clear()
        changed(**arguments)
        assert compared, "nothing was compared"

    return twin


def spoilt(value: object) -> object:
    """Something of the same shape that nothing else is equal to."""
    if isinstance(value, dict):
        return {key: spoilt(inner) for key, inner in value.items()} or {object(): 0}
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        return type(value)([spoilt(inner) for inner in value] or [object()])
    return object()


def _changed(
    test: Callable[..., Any], equals: Callable[[object, object], bool]
) -> Callable[..., Any] | None:
    """``test`` with other comparisons; None for one that cannot be had as text."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(test)))
    except (OSError, SyntaxError, TypeError):
        return None
    (function,) = tree.body
    if not isinstance(function, ast.FunctionDef) or inspect.ismethod(test):
        return None
    # What it is called with is pytest's affair, and its types are not asked for here.
    function.decorator_list, function.returns = [], None
    for argument in (*function.args.args, *function.args.kwonlyargs):
        argument.annotation = None
    tree = ast.fix_missing_locations(_Other().visit(tree))
    names = {**getattr(test, "__globals__", {}), _NAME: equals}
    exec(compile(tree, inspect.getfile(test), "exec"), names)
    made: Callable[..., Any] = names[function.name]
    return made


class _Other(ast.NodeTransformer):
    """``assert a == b``, and one among several with ``and``, becomes ``assert equals(a, b)``."""

    def visit_Assert(self, node: ast.Assert) -> ast.Assert:
        if isinstance(node.test, ast.BoolOp) and isinstance(node.test.op, ast.And):
            node.test.values = [_other(value) for value in node.test.values]
        node.test = _other(node.test)
        return node


def _other(test: ast.expr) -> ast.expr:
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq):
        return ast.Call(ast.Name(_NAME, ast.Load()), [test.left, test.comparators[0]], [])
    return test
