"""Faults made at random: one place of the syntax tree is changed, as a slip of the hand would.

Each kind of slip is a function that gives, for one node, the piece of source that changes and what
stands there instead. What is text for people (docstrings, reasons, messages) is left alone, and so
are annotations: a change there changes nothing that runs.
"""

import ast
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mutations.faults import Fault

# How often each step is chosen: 05 is as large as all others, and its edges are what was unguarded.
WEIGHTS = {"01": 2, "02": 2, "03": 3, "04": 3, "05": 5}

_COMPARED: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
}


@dataclass(frozen=True)
class Change:
    """``start`` to ``end`` of a file's text becomes ``text``."""

    kind: str
    start: int
    end: int
    text: str


class Source:
    """A file with its syntax tree."""

    def __init__(self, path: Path) -> None:
        self.text = path.read_text()
        self.tree = ast.parse(self.text)
        self._lines = [0]
        for line in self.text.splitlines(keepends=True):
            self._lines.append(self._lines[-1] + len(line))
        self._raw = self.text.splitlines(keepends=True)

    def place(self, line: int, column: int) -> int:
        """Where in the text; the tree counts columns in bytes of UTF-8."""
        raw = self._raw[line - 1].encode()[:column]
        return self._lines[line - 1] + len(raw.decode())

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None and node.end_col_offset is not None
        start = self.place(node.lineno, node.col_offset)
        return start, self.place(node.end_lineno, node.end_col_offset)

    def of(self, node: ast.expr | ast.stmt) -> str:
        start, end = self.span(node)
        return self.text[start:end]

    def nodes(self) -> Iterator[ast.AST]:
        """All that runs: no annotations, no text for people."""
        waiting: list[ast.AST] = [self.tree]
        while waiting:
            node = waiting.pop()
            yield node
            for name, value in ast.iter_fields(node):
                if name in ("annotation", "returns", "decorator_list"):
                    continue
                found = value if isinstance(value, list) else [value]
                waiting += [n for n in found if isinstance(n, ast.AST) and not _for_people(n)]


def _for_people(node: ast.AST) -> bool:
    if isinstance(node, ast.keyword):
        return node.arg in ("why", "help", "hint")
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    return isinstance(node, ast.Import | ast.ImportFrom | ast.JoinedStr)


def changes(source: Source) -> Iterator[Change]:
    """Every slip that is possible in a file."""
    for node in source.nodes():
        for kind in KINDS:
            for start, end, text in kind(source, node):
                yield Change(kind.__name__.strip("_"), start, end, text)


Found = Iterator[tuple[int, int, str]]


def _comparison(source: Source, node: ast.AST) -> Found:
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _COMPARED:
        old, new = _COMPARED[type(node.ops[0])]
        start, end = source.span(node.left)[1], source.span(node.comparators[0])[0]
        between = source.text[start:end]
        if between.count(old) == 1:
            yield start, end, between.replace(old, new)


def _and_or(source: Source, node: ast.AST) -> Found:
    if isinstance(node, ast.BoolOp):
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            start, end = source.span(left)[1], source.span(right)[0]
            between = source.text[start:end]
            if between.count(old) == 1 and len(node.values) == 2:
                yield start, end, between.replace(old, new)


def _negation(source: Source, node: ast.AST) -> Found:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield (*source.span(node), f"({source.of(node.operand)})")


def _constant(source: Source, node: ast.AST) -> Found:
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield (*source.span(node), str(not node.value))
    elif isinstance(node, ast.Constant) and isinstance(node.value, int):
        yield (*source.span(node), str(node.value + 1))


def _call_left_out(source: Source, node: ast.AST) -> Found:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield (*source.span(node), "pass")


def _check_left_out(source: Source, node: ast.AST) -> Found:
    """``if …: return`` (or raise, continue, break) never does."""
    leaves = ast.Return | ast.Raise | ast.Continue | ast.Break
    if isinstance(node, ast.If) and not node.orelse and isinstance(node.body[-1], leaves):
        yield (*source.span(node.test), "False")


def _swapped(source: Source, node: ast.AST) -> Found:
    if isinstance(node, ast.Call) and len(node.args) >= 2:
        one, two = node.args[:2]
        text = ast.Starred | ast.Constant | ast.JoinedStr
        plain = not isinstance(one, text) and not isinstance(two, text)
        if plain and source.of(one) != source.of(two):
            start, middle = source.span(one)
            behind, end = source.span(two)
            yield start, end, f"{source.of(two)}{source.text[middle:behind]}{source.of(one)}"


def _flag_left_out(source: Source, node: ast.AST) -> Found:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        flag = node.right
        name = flag.attr if isinstance(flag, ast.Attribute) else getattr(flag, "id", "")
        if name.isupper() and not name.endswith("CLOEXEC"):  # which Python sets by itself (PEP 446)
            yield (*source.span(node), source.of(node.left))


def _early_return(source: Source, node: ast.AST) -> Found:
    """The last statement of a procedure is not reached."""
    if not isinstance(node, ast.FunctionDef) or len(node.body) < 2:
        return
    gives = any(getattr(n, "value", None) for n in ast.walk(node)
                if isinstance(n, ast.Return | ast.Yield | ast.YieldFrom))  # fmt: skip
    if not gives and not isinstance(node.body[-1], ast.Pass | ast.Raise):
        start, _ = source.span(node.body[-1])
        indent = " " * node.body[-1].col_offset
        yield start, start, f"return\n{indent}"


def _swallowed(source: Source, node: ast.AST) -> Found:
    """What was raised in a handler is not raised any more."""
    if isinstance(node, ast.ExceptHandler):
        for statement in node.body:
            if isinstance(statement, ast.Raise):
                yield (*source.span(statement), "pass")


def _lock_left_out(source: Source, node: ast.AST) -> Found:
    if isinstance(node, ast.With) and len(node.items) == 1 and node.items[0].optional_vars is None:
        item = node.items[0].context_expr
        if "lock" in source.of(item):
            start, _ = source.span(node)
            yield start, source.span(item)[1], "if True"


def _off_by_one(source: Source, node: ast.AST) -> Found:
    """``x + 1`` and ``x - 1`` without it."""
    if (
        isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Add | ast.Sub)
        and isinstance(node.right, ast.Constant)
        and node.right.value == 1
    ):
        yield (*source.span(node), source.of(node.left))


KINDS: tuple[Callable[[Source, ast.AST], Found], ...] = (
    _comparison,
    _and_or,
    _negation,
    _constant,
    _call_left_out,
    _check_left_out,
    _swapped,
    _flag_left_out,
    _early_return,
    _swallowed,
    _lock_left_out,
    _off_by_one,
)


def as_fault(source: Source, change: Change, file: str, name: str) -> Fault | None:
    """A change as whole lines, with as many before and after it as make them the only such."""
    first = source.text.rfind("\n", 0, change.start) + 1
    last = source.text.find("\n", change.end) + 1 or len(source.text)
    text = source.text[first : change.start] + change.text + source.text[change.end : last]
    before, after = first, last
    while source.text.count(source.text[before:after]) > 1:
        if after >= len(source.text):
            return None
        before = source.text.rfind("\n", 0, max(before - 1, 0)) + 1
        after = source.text.find("\n", after) + 1 or len(source.text)
    old = source.text[before:after]
    new = source.text[before:first] + text + source.text[last:after]
    line = source.text.count("\n", 0, change.start) + 1
    if "'''" in old or old == new:
        return None
    return Fault(name, file, old, new, why=f"{change.kind.replace('_', ' ')}, line {line}")


@cache
def _possible(steps: Path, number: str) -> dict[str, list[tuple[Source, str, Change]]]:
    """All changes of a step by their kind, each with its file."""
    by_kind: dict[str, list[tuple[Source, str, Change]]] = {}
    for path in sorted(steps.glob(f"{number}-*/mydocker/**/*.py")):
        source, file = Source(path), str(path.relative_to(steps))
        for change in changes(source):
            by_kind.setdefault(change.kind, []).append((source, file, change))
    return by_kind


def at_random(steps: Path, count: int, seed: int) -> Iterator[Fault]:
    """So many faults: a step by its weight, a kind of slip, one of the places where it can be."""
    dice = random.Random(seed)
    numbers, weights = list(WEIGHTS), list(WEIGHTS.values())
    taken: set[tuple[str, Change]] = set()
    while len(taken) < count:
        (number,) = dice.choices(numbers, weights)
        by_kind = _possible(steps, number)
        source, file, change = dice.choice(by_kind[dice.choice(sorted(by_kind))])
        fault = as_fault(source, change, file, f"{seed}-{len(taken) + 1}")
        if (file, change) not in taken and fault is not None:
            taken.add((file, change))
            yield fault
