"""The pieces of the source that are exercises: found, emptied, compared, put into another text.

A region begins with ``# lab 3.2: stack the layers`` and ends with ``# end lab``, both on lines of
their own; the marks stay in the student's copy, so that everything outside of them can be compared.
"""

import ast
import os
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping

from mydocker.kernel.errors import Failure
from mydocker.kernel.records import record

_BEGIN = re.compile(r"( *)# lab (\d+\.\d+): (.+)")
_END = re.compile(r" *# end lab")


@record
class Region:
    """Lines ``first`` to ``last`` (from 0, ``last`` not included) between two marks of a file."""

    exercise: str
    title: str
    indent: str
    first: int
    last: int
    body: str

    @property
    def stub(self) -> str:
        """What stands there in a copy that is still to be done."""
        return f'{self.indent}raise NotImplementedError("exercise {self.exercise}: {self.title}")\n'

    @property
    def unwritten(self) -> bool:
        """Nothing was done yet."""
        return is_unwritten(self.body)


def is_unwritten(body: str) -> bool:
    """True for the stub, or nothing at all, with or without comments."""
    lines = [line.strip() for line in body.splitlines()]
    return not any(
        line and not line.startswith(("#", "raise NotImplementedError(")) for line in lines
    )


def find(text: str, name: str = "the file") -> list[Region]:
    """All regions of a text. Raises Failure for a mark without its partner."""
    found: list[Region] = []
    lines = text.splitlines(keepends=True)
    begun: tuple[re.Match[str], int] | None = None
    for number, line in enumerate(lines):
        if mark := _BEGIN.fullmatch(line.rstrip()):
            if begun is not None:
                raise _lost(name, begun[0][2], "begins, and does not end")
            begun = mark, number + 1
        elif _END.fullmatch(line.rstrip()):
            if begun is None:
                raise _lost(name, f"(line {number + 1})", "ends without a beginning")
            mark, first = begun
            body = "".join(lines[first:number])
            found.append(Region(mark[2], mark[3], mark[1], first, number, body))
            begun = None
    if begun is not None:
        raise _lost(name, begun[0][2], "begins, and does not end")
    return found


def _lost(name: str, exercise: str, what: str) -> Failure:
    hint = "The lines '# lab ...' and '# end lab' have to stay: put them back, or see lab reset"
    return Failure(f"{name}: exercise {exercise} {what}", hint)


def replaced(text: str, body: Callable[[Region], str]) -> str:
    """``text`` with another body in every region."""
    lines = text.splitlines(keepends=True)
    for region in reversed(find(text)):
        lines[region.first : region.last] = [body(region)]
    return "".join(lines)


def emptied(text: str, exercises: Iterable[str]) -> str:
    """``text`` with the stub in the regions of ``exercises``."""
    wanted = set(exercises)
    return replaced(text, lambda r: r.stub if r.exercise in wanted else r.body)


def skeleton(text: str) -> str:
    """What a student must leave as it is: everything but the regions."""
    return replaced(text, lambda region: "")


Bodies = Mapping[tuple[str, str], tuple[str, ...]]


def bodies(files: Mapping[str, str]) -> dict[tuple[str, str], tuple[str, ...]]:
    """What stands in the regions of ``files``, by exercise and file, in their order."""
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for path, text in files.items():
        for region in find(text, path):
            key = region.exercise, path
            found[key] = (*found.get(key, ()), region.body)
    return found


def grafted(path: str, text: str, theirs: Bodies) -> str:
    """The text of the file ``path`` with the bodies of ``theirs`` in those regions that they have.

    Raises Failure if an exercise has not as many regions there as here.
    """
    waiting = {exercise: list(found) for (exercise, file), found in theirs.items() if file == path}
    wanted = [region.exercise for region in find(text, path)]
    for exercise, found in waiting.items():
        if len(found) != wanted.count(exercise):
            raise _lost(path, exercise, "has lost one of its places")

    def body(region: Region) -> str:
        found = waiting.get(region.exercise)
        return found.pop() if found else region.body  # from the last one on, as replaced goes

    return replaced(text, body)


# Some programs take these for the end of a line, and Python does not
_ODD = re.compile("[\v\f\x1c\x1d\x1e\x85\u2028\u2029]")


def escaped(ours: str, theirs: str) -> str:
    """What ``theirs``, our text with other bodies in its regions, changes outside of them, in
    words, or "" for nothing. Both are Python.

    A body may end the function that it stands in, by its indentation, and go on with another; open
    a string that swallows what follows; or take what follows into a statement of its own.
    """
    if set(_ODD.findall(theirs)) - set(_ODD.findall(ours)):
        return "it has a character in it that ends a line for some programs, and not for others"
    own, other = _Outline(ours), _Outline(theirs)
    if other.wrong:
        return other.wrong
    if own.text != other.text or not other.places <= own.places:
        return "it changes what stands outside of the exercise: is its indentation right?"
    return ""


class _Outline:
    """A text without what stands in its regions: ``text``; ``places``: where that was."""

    def __init__(self, source: str) -> None:
        self.spans = [(region.first + 1, region.last) for region in find(source)]
        self.places: set[str] = set()
        self.wrong = ""
        tree = ast.parse(source)
        self._strip(tree, "")
        self.text = ast.dump(tree)

    def _strip(self, node: ast.AST, place: str) -> None:
        for name, value in ast.iter_fields(node):
            if isinstance(value, ast.AST):
                self._strip(value, f"{place}.{name}")
            elif isinstance(value, list):
                kept: list[object] = []
                for child in value:
                    where = f"{place}.{name}[{len(kept)}]"
                    if isinstance(child, ast.stmt) and (number := self._inside(child)) is not None:
                        # Which of the statements beside it come first is in the outline.
                        self.places.add(f"{number} {where}")
                        continue
                    kept.append(child)
                    if isinstance(child, ast.AST):
                        self._strip(child, where)
                value[:] = kept

    def _inside(self, statement: ast.stmt) -> int | None:
        """Which region it stands in."""
        decorators = getattr(statement, "decorator_list", [])
        first = min([statement.lineno, *(one.lineno for one in decorators)])
        for number, (begin, end) in enumerate(self.spans):
            if begin <= first <= end:
                if (statement.end_lineno or first) > end:
                    self.wrong = "its last statement goes on behind the end of the exercise"
                self.wrong = self.wrong or _reaching(statement)
                return number
        return None


def _reaching(statement: ast.stmt) -> str:
    """What an exercise has no need of, and a false answer has; or ""."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Global):
            return "`global` reaches out of the function that it stands in"
        named = (getattr(node, key, None) for key in ("id", "attr", "name", "value", "module"))
        if _EQUALITY & {one for one in named if isinstance(one, str)}:
            return "it decides what is equal to what: an answer does not"
    return ""


_EQUALITY = {"__eq__", "__ne__", "unittest.mock"}


def shown(region: Region) -> str:
    """A region's body for reading."""
    return textwrap.dedent(region.body).rstrip("\n")


def sources(top: str) -> Iterator[str]:
    """The Python files below ``top``, as paths from there."""
    for directory, below, names in os.walk(top):
        below[:] = sorted(name for name in below if name != "__pycache__")
        for name in sorted(names):
            path = os.path.join(directory, name)
            if name.endswith(".py") and os.path.isfile(path) and not os.path.islink(path):
                yield os.path.relpath(path, top)


def marked(top: str) -> dict[str, str]:
    """The files below ``top`` that have regions, with their texts."""
    texts = ((path, _text(os.path.join(top, path))) for path in sources(top))
    return {path: text for path, text in texts if "# lab " in text and find(text, path)}


def _text(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
        return file.read()
