"""Go's text/template, as much of it as ``--format`` is used with.

Fields ``{{.State.Status}}``, ``{{json .}}``, ``{{range .Mounts}}…{{else}}…{{end}}``, ``{{range $k,
$v := .X}}``, ``{{if eq .A "b"}}…{{else if …}}…{{else}}…{{end}}``, ``{{with .X}}…{{end}}``,
variables, pipes, and the functions of Docker: ``json join split index len lower upper title
println printf print truncate pad eq ne lt le gt ge and or not``; ``{{-`` and ``-}}`` eat white
space. See pkg.go.dev/text/template.

A template is read into a list of nodes once, and may then be filled in for many values.
"""

import json as _json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mydocker.kernel.errors import Invalid

_ACTION = re.compile(r"\{\{(-\s)?(.*?)(\s-)?\}\}", re.DOTALL)
_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:[^"\\]|\\.)*"|`[^`]*`)|(?P<number>-?\d+(?:\.\d+)?)
    |(?P<field>(?:\$\w*)?(?:\.\w+)+)|(?P<variable>\$\w*)|(?P<word>\w+)|(?P<dot>\.)
    |(?P<mark>:=|[=|(),]))""",
    re.VERBOSE,
)
_MISSING = object()
_LONGEST = 30  # digits of a number
_WIDEST = 10_000  # columns that a value is filled up to


class _Wrong(Exception):
    """What is wrong with a template; becomes an Invalid that quotes it."""


Scope = dict[str, Any]


@dataclass
class _Text:
    text: str

    def fill(self, dot: Any, scope: Scope) -> Iterator[str]:
        yield self.text


@dataclass
class _Value:
    """``{{pipeline}}`` or ``{{$x := pipeline}}``, which prints nothing."""

    pipeline: "_Pipeline"
    variable: str = ""

    def fill(self, dot: Any, scope: Scope) -> Iterator[str]:
        value = self.pipeline.value(dot, scope)
        if self.variable:
            scope[self.variable] = value
        else:
            yield shown(value)


@dataclass
class _Block:
    """``if``, ``with`` and ``range``: a condition, what follows it, and what follows ``else``."""

    kind: str
    pipeline: "_Pipeline"
    variables: tuple[str, ...]
    body: "list[_Node]" = field(default_factory=list)
    otherwise: "list[_Node]" = field(default_factory=list)

    def fill(self, dot: Any, scope: Scope) -> Iterator[str]:
        value = self.pipeline.value(dot, scope)
        inner = dict(scope)
        if not _true(value):
            yield from _fill(self.otherwise, dot, inner)
        elif self.kind == "range":
            yield from self._each(value, inner)
        else:
            for variable in self.variables:
                inner[variable] = value
            yield from _fill(self.body, value if self.kind == "with" else dot, inner)

    def _each(self, value: Any, scope: Scope) -> Iterator[str]:
        if isinstance(value, Mapping):
            pairs = sorted(value.items())
        elif isinstance(value, Sequence) and not isinstance(value, str):
            pairs = list(enumerate(value))
        else:
            raise _Wrong(f"range can't iterate over {shown(value)}")
        for key, one in pairs:
            if len(self.variables) == 2:
                scope[self.variables[0]] = key
            if self.variables:
                scope[self.variables[-1]] = one
            yield from _fill(self.body, one, scope)


_Node = _Text | _Value | _Block


def _fill(nodes: "list[_Node]", dot: Any, scope: Scope) -> Iterator[str]:
    for node in nodes:
        yield from node.fill(dot, scope)


# ---------------------------------------------------------------- expressions


@dataclass
class _Constant:
    constant: Any

    def value(self, dot: Any, scope: Scope) -> Any:
        return self.constant


@dataclass
class _Path:
    """``.A.B``, ``$x.A``, ``.`` and ``$``."""

    variable: str
    names: tuple[str, ...]

    def value(self, dot: Any, scope: Scope) -> Any:
        if self.variable and self.variable not in scope:
            raise _Wrong(f"undefined variable {self.variable}")
        value = scope[self.variable] if self.variable else dot
        for name in self.names:
            value = _field(value, name)
        return value


@dataclass
class _Call:
    name: str
    arguments: "list[_Expression]"

    def value(self, dot: Any, scope: Scope, last: Any = _MISSING) -> Any:
        if self.name in ("and", "or") and last is _MISSING:
            return self._short(dot, scope)
        values = [argument.value(dot, scope) for argument in self.arguments]
        values += [] if last is _MISSING else [last]
        try:
            return FUNCTIONS[self.name](*values)
        except (TypeError, ValueError, LookupError, AttributeError, OverflowError) as error:
            raise _Wrong(f"error calling {self.name}: {error}") from None

    def _short(self, dot: Any, scope: Scope) -> Any:
        value: Any = None
        for argument in self.arguments:
            value = argument.value(dot, scope)
            if _true(value) == (self.name == "or"):
                break
        return value


@dataclass
class _Method:
    """``.Label "key"``: a field that is a function, called."""

    path: _Path
    arguments: "list[_Expression]"

    def value(self, dot: Any, scope: Scope) -> Any:
        function = self.path.value(dot, scope)
        if not callable(function):
            raise _Wrong(f"{'.'.join(self.path.names)} has arguments but cannot be invoked")
        values = [argument.value(dot, scope) for argument in self.arguments]
        try:
            return function(*values)
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            raise _Wrong(f"error calling {self.path.names[-1]}: {error}") from None


@dataclass
class _Pipeline:
    stages: "list[_Expression]"

    def value(self, dot: Any, scope: Scope) -> Any:
        value = self.stages[0].value(dot, scope)
        for stage in self.stages[1:]:
            if not isinstance(stage, _Call):
                raise _Wrong("non executable command in pipeline")
            value = stage.value(dot, scope, value)
        return value


_Expression = _Constant | _Path | _Call | _Method | _Pipeline


def _field(value: Any, name: str) -> Any:
    if isinstance(value, Mapping):
        if name in value:
            return value[name]
        raise _Wrong(f'map has no entry for key "{name}"')
    if value is None:
        raise _Wrong(f"nil pointer evaluating interface {{}}.{name}")
    raise _Wrong(f"can't evaluate field {name} in {shown(value)}")


def _true(value: Any) -> bool:
    return bool(value)


def shown(value: Any) -> str:
    """A value as Go prints it: ``true``, ``[a b]``, ``map[a:1 b:2]``, ``<no value>``."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "<no value>"
    if isinstance(value, Mapping):
        return f"map[{' '.join(f'{k}:{_inner(v)}' for k, v in sorted(value.items()))}]"
    if isinstance(value, list | tuple):
        return f"[{' '.join(map(_inner, value))}]"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _inner(value: Any) -> str:
    return "<nil>" if value is None else shown(value)


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, Mapping):
            value = value.get(key, "")
        elif isinstance(value, list | tuple | str):
            if not isinstance(key, int) or not 0 <= key < len(value):
                raise ValueError(f"index out of range: {key}")
            value = value[key]
        else:
            raise ValueError("index of untyped nil" if value is None else "can't index item")
    return value


def _printf(form: str, *values: Any) -> str:
    rest = list(values)

    def one(match: re.Match[str]) -> str:
        flags, verb = match[1], match[2]
        if any(int(number) > _WIDEST for number in re.findall("[0-9]{1,9}", flags)):
            raise ValueError(f"too wide: %{flags}{verb}")
        if verb == "%":
            return "%"
        value = rest.pop(0) if rest else None
        if verb == "v":
            return ("%" + flags + "s") % shown(value)
        if verb == "q":
            return _json.dumps(shown(value), ensure_ascii=False)
        if verb == "s":
            return ("%" + flags + "s") % shown(value)
        return str(("%" + flags + verb) % value)

    return re.sub(r"%([-+ #0-9.]*)([a-zA-Z%])", one, form)


def compact(value: Any) -> str:
    """JSON as Go's encoder writes it."""
    text = _json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    for char in "<>&":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def _narrow(width: int) -> int:
    if width > _WIDEST:
        raise ValueError(f"too wide: {width}")
    return width


def _compare(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    return lambda one, other: test(one, other)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "json": compact,
    "join": lambda values, between: between.join(map(str, values)),
    "split": lambda text, between: text.split(between),
    "index": _index,
    "len": len,
    "lower": str.lower,
    "upper": str.upper,
    "title": str.title,
    "print": lambda *values: " ".join(map(shown, values)),
    "println": lambda *values: " ".join(map(shown, values)) + "\n",
    "printf": _printf,
    "truncate": lambda text, length: text[:length],
    "pad": lambda text, before, after: (
        " " * _narrow(before) + text + " " * _narrow(after) if text else text
    ),
    "slice": lambda value, start=0, end=None: value[start:end],
    "eq": lambda one, *others: any(one == other for other in others),
    "ne": lambda one, other: one != other,
    "lt": _compare(lambda one, other: one < other),
    "le": _compare(lambda one, other: one <= other),
    "gt": _compare(lambda one, other: one > other),
    "ge": _compare(lambda one, other: one >= other),
    "not": lambda value: not _true(value),
    "and": lambda *values: next((value for value in values if not _true(value)), values[-1]),
    "or": lambda *values: next((value for value in values if _true(value)), values[-1]),
}


# ---------------------------------------------------------------- reading


def _unquoted(word: str) -> str:
    try:
        return str(_json.loads(word))
    except ValueError:
        raise _Wrong(f"unterminated or invalid quoted string {word}") from None


class _Tokens:
    """The words of one action."""

    def __init__(self, text: str) -> None:
        self.all: list[tuple[str, str]] = []
        position, text = 0, text.strip()
        while position < len(text):
            match = _TOKEN.match(text, position)
            if not match or match.end() == position:
                raise _Wrong(f"unexpected {text[position:]!r} in command")
            assert match.lastgroup
            self.all.append((match.lastgroup, match[match.lastgroup]))
            position = match.end()

    def peek(self) -> tuple[str, str]:
        return self.all[0] if self.all else ("end", "")

    def take(self) -> tuple[str, str]:
        return self.all.pop(0) if self.all else ("end", "")

    def variables(self) -> tuple[str, ...]:
        """``$x :=`` or ``$k, $v :=`` at the beginning."""
        kinds = [token[1] for token in self.all[:4]]
        if len(kinds) > 1 and kinds[0].startswith("$") and kinds[1] in (":=", "="):
            self.all = self.all[2:]
            return (kinds[0],)
        if len(kinds) > 3 and kinds[1] == "," and kinds[3] == ":=":
            self.all = self.all[4:]
            return (kinds[0], kinds[2])
        return ()

    def pipeline(self, end: str = "end") -> _Pipeline:
        stages = [self.command()]
        while self.peek()[1] == "|" and self.peek()[0] == "mark":
            self.take()
            stages.append(self.command())
        kind, word = self.take()
        if (word if end == ")" else kind) != end:
            raise _Wrong(f"unexpected {word or 'end'} in operand")
        return _Pipeline(stages)

    def command(self) -> _Expression:
        kind, word = self.peek()
        if kind == "word" and word not in ("true", "false", "nil"):
            self.take()
            if word not in FUNCTIONS:
                raise _Wrong(f'function "{word}" not defined')
            arguments = []
            while self.peek()[0] != "end" and self.peek()[1] not in ("|", ")"):
                arguments.append(self.operand())
            return _Call(word, arguments)
        first = self.operand()
        if isinstance(first, _Path) and self.peek()[0] != "end" and self.peek()[1] not in "|)":
            arguments = []
            while self.peek()[0] != "end" and self.peek()[1] not in ("|", ")"):
                arguments.append(self.operand())
            return _Method(first, arguments)
        return first

    def operand(self) -> _Expression:
        kind, word = self.take()
        if kind == "string":
            return _Constant(word[1:-1] if word[0] == "`" else _unquoted(word))
        if kind == "number":
            if len(word) > _LONGEST:
                raise _Wrong(f"bad number syntax: {word[:_LONGEST]}…")
            return _Constant(float(word) if "." in word else int(word))
        if kind == "field":
            variable, _, names = word.partition(".")
            return _Path(variable, tuple(names.split(".")))
        if kind == "variable":
            return _Path(word, ())
        if kind == "dot":
            return _Path("", ())
        if kind == "word" and word in ("true", "false", "nil"):
            return _Constant({"true": True, "false": False, "nil": None}[word])
        if kind == "word" and word in FUNCTIONS:
            return _Call(word, [])
        if word == "(":
            return self.pipeline(")")
        if kind == "word":
            raise _Wrong(f'function "{word}" not defined')
        raise _Wrong(
            f"unexpected {word or 'end'} in operand" if word else "missing value for command"
        )


class Template:
    """A template that was read. Raises Invalid for one that is wrong."""

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            self._nodes = self._read(text)
        except _Wrong as wrong:
            raise Invalid(f"template parsing error: template: :1: {wrong}") from None
        except RecursionError:
            raise Invalid("template parsing error: template: :1: nested too deeply") from None

    def __call__(self, value: Any) -> str:
        """The template filled in. Raises Invalid for a field that is not there."""
        try:
            return "".join(_fill(self._nodes, value, {"$": value}))
        except _Wrong as wrong:
            raise Invalid(f"template: :1: executing {self.text!r}: {wrong}") from None
        except RecursionError:
            raise Invalid("template: :1: executing: nested too deeply") from None

    def _read(self, text: str) -> list[_Node]:
        root: list[_Node] = []
        current, above = root, []  # type: ignore[var-annotated]
        position, eat = 0, False
        for match in _ACTION.finditer(text):
            before = text[position : match.start()]
            before = before.lstrip() if eat else before
            before = before.rstrip() if match[1] else before
            if before:
                current.append(_Text(before))
            position, eat = match.end(), bool(match[3])
            current = self._action(match[2], current, above)
        rest = text[position:].lstrip() if eat else text[position:]
        if "{{" in rest:
            raise _Wrong("unclosed action")
        if rest:
            current.append(_Text(rest))
        if above:
            raise _Wrong("unexpected EOF")
        return root

    def _action(self, text: str, current: list[_Node], above: list[Any]) -> list[_Node]:
        """Add one action; the list that the next nodes go into."""
        tokens = _Tokens(text)
        kind, word = tokens.peek()
        if text.startswith("/*"):
            return current
        if kind == "word" and word in ("if", "with", "range"):
            return self._open(tokens, current, above)
        if kind == "word" and word == "else":
            return self._else(tokens, above)
        if kind == "word" and word == "end":
            if not above:
                raise _Wrong("unexpected {{end}}")
            back, _ = above.pop()
            return back  # type: ignore[no-any-return]
        variables = tokens.variables()
        current.append(_Value(tokens.pipeline(), variables[0] if variables else ""))
        return current

    def _open(self, tokens: _Tokens, current: list[_Node], above: list[Any]) -> list[_Node]:
        _, kind = tokens.take()
        variables = tokens.variables()
        block = _Block(kind, tokens.pipeline(), variables)
        current.append(block)
        above.append((current, block))
        return block.body

    def _else(self, tokens: _Tokens, above: list[Any]) -> list[_Node]:
        if not above:
            raise _Wrong("unexpected {{else}}")
        tokens.take()
        back, block = above[-1]
        if tokens.peek()[0] == "end":
            return block.otherwise  # type: ignore[no-any-return]
        # "else if" is an if in the else, which ends where the outer one ends.
        _, kind = tokens.take()
        variables = tokens.variables()
        inner = _Block(kind, tokens.pipeline(), variables)
        block.otherwise.append(inner)
        above[-1] = (back, inner)
        return inner.body
