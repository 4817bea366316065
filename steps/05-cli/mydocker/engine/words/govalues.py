"""Values as Go has them: what a template prints of them, compares and encodes.

Docker's templates are filled in with records of Go, and what is printed shows the type: a struct is
``{on-failure 50}``, a map ``map[a:b]``, a list ``[a b]``, a list that is not there ``[]``, a
pointer to nothing ``<nil>``, a value that is not there at all ``<no value>``. In JSON the last are
all ``null``. So what is printed is not plain JSON but values with their types: :class:`Struct`,
:class:`Map`, :class:`Nil`, and texts and numbers that have a form of their own. They are what JSON
has, too, and can be encoded as they are. See pkg.go.dev/fmt.
"""

import json as _json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar


class Wrong(Exception):
    """What is wrong with a template, or with a value in it."""


class Nil:
    """Nothing, of a type: a ``list``, a ``map`` or a ``pointer``."""

    def __init__(self, kind: str, text: str) -> None:
        self.kind = kind
        self.text = text

    def __bool__(self) -> bool:
        return False


NO_LIST, NO_MAP, NO_POINTER = Nil("list", "[]"), Nil("map", "map[]"), Nil("pointer", "<nil>")


class Missing:
    """No value at all: what a template prints as ``<no value>``."""

    def __bool__(self) -> bool:
        return False


MISSING = Missing()


class Struct(dict[str, Any]):
    """A Go struct: fields in their order, by the names that they have in JSON.

    ``fields`` are all of them, with what a field is when JSON has null for it or leaves it out;
    ``aliases`` are the names of fields in Go, where they are others; ``left_out`` are those that
    JSON leaves out when they are empty. ``form`` prints one that has a form of its own.
    :func:`mydocker.engine.words.gotypes.typed` makes them.
    """

    name: ClassVar[str] = "struct"
    fields: ClassVar[Mapping[str, Any]] = {}
    aliases: ClassVar[Mapping[str, str]] = {}
    left_out: ClassVar[frozenset[str]] = frozenset()
    layout: ClassVar[tuple[str, ...]] = ()  # the fields, and what is embedded in ( and )
    form: ClassVar[Callable[[Mapping[str, Any]], str] | None] = None

    def field(self, name: str) -> Any:
        """The field that Go calls ``name``. Raises Wrong."""
        if name in self.aliases.values():
            raise Wrong(f"can't evaluate field {name} in type {self.name}")
        key = self.aliases.get(name, name)
        if key not in self.fields:
            raise Wrong(f"can't evaluate field {name} in type {self.name}")
        return self.typed(key)

    def typed(self, key: str) -> Any:
        value = self.get(key)
        return self.fields[key] if value is None else value

    def all(self) -> list[Any]:
        return self._group(iter(self.layout))

    def _group(self, keys: Iterator[str]) -> list[Any]:
        """Up to the ``)``: a struct that Go has embedded in this one is a group of its own."""
        found: list[Any] = []
        for key in keys:
            if key == ")":
                break
            found.append(Embedded(self._group(keys)) if key == "(" else self.typed(key))
        return found


class Embedded(list[Any]):
    """The fields of a struct inside of another."""


class Row(dict[str, Any]):
    """One line of a list: texts by names, and ``methods``, which are called and not encoded."""

    def __init__(
        self, name: str, columns: Mapping[str, Any], **methods: Callable[..., Any]
    ) -> None:
        super().__init__(columns)
        self.name = name
        self.methods = methods

    def field(self, name: str) -> Any:
        if name in self.methods:
            return self.methods[name]
        if name not in self:
            raise Wrong(f"can't evaluate field {name} in type {self.name}")
        return self[name]


class Map(dict[str, Any]):
    """A Go map from strings; ``zero`` is what a key that is not in it has; ``key`` its type."""

    zero: Any = MISSING
    key = "string"


class Form(str):
    """A text that a template prints in another form: a time, say."""

    go: str

    def __new__(cls, text: str, go: str) -> "Form":
        made = super().__new__(cls, text)
        made.go = go
        return made


class Duration(int):
    """Nanoseconds, printed as ``1m30s``."""

    @property
    def go(self) -> str:
        return duration_text(int(self))


def duration_text(nanoseconds: int) -> str:
    """As Go's time.Duration writes itself: ``1h30m0s``, ``1.5s``, ``100ms``, ``0s``."""
    if nanoseconds == 0:
        return "0s"
    sign, rest = ("-" if nanoseconds < 0 else ""), abs(nanoseconds)
    for unit, size in (("ns", 1), ("µs", 1000), ("ms", 10**6)):
        if rest < size * 1000:
            return f"{sign}{_fraction(rest, size)}{unit}"
    hours, rest = divmod(rest, 3600 * 10**9)
    minutes, rest = divmod(rest, 60 * 10**9)
    seconds = f"{_fraction(rest, 10**9)}s"
    head = f"{hours}h" if hours else ""
    return f"{sign}{head}{minutes}m{seconds}" if hours or minutes else f"{sign}{seconds}"


def _fraction(value: int, size: int) -> str:
    whole, part = divmod(value, size)
    digits = str(part).rjust(len(str(size)) - 1, "0").rstrip("0") if part else ""
    return f"{whole}.{digits}" if digits else str(whole)


def raw(value: Any) -> Any:
    """A value as JSON has it, without types: maps, lists, texts, numbers; None for nothing."""
    if isinstance(value, Nil | Missing):
        return None
    if isinstance(value, Mapping):
        return {str(key): raw(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [raw(one) for one in value]
    return str(value) if isinstance(value, Form) else value


def compact(value: Any) -> str:
    """JSON as Go's encoder writes it."""
    text = _json.dumps(_sorted(value), separators=(",", ":"), ensure_ascii=False)
    for char in "<>&\u2028\u2029" if isinstance(value, Row) else "\u2028\u2029":
        if char in text:
            text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def _sorted(value: Any) -> Any:
    """Keys of a map come in their order in Go, fields of a struct in that of its type."""
    if isinstance(value, Nil | Missing):
        return None
    if isinstance(value, Struct):
        told = {key: value.typed(key) for key in value.fields}
        return {key: _sorted(one) for key, one in told.items() if one or key not in value.left_out}
    if isinstance(value, Map | Row):
        return {key: _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, Mapping):
        return {key: _sorted(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_sorted(one) for one in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return int(value)
    return value


def true(value: Any) -> bool:
    """What ``if`` takes for true: what is there and not empty. A struct always is."""
    return True if isinstance(value, Struct) else bool(value)


def shown(value: Any) -> str:
    """A value as a template prints it."""
    if value is None or isinstance(value, Missing):
        return "<no value>"
    return inner(value)


def inner(value: Any) -> str:
    """A value as Go's ``%v``: the form inside of lists, too."""
    if isinstance(value, Form | Duration):
        return value.go
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return str(value)
    if value is None or isinstance(value, Missing):
        return "<nil>"
    if isinstance(value, Nil):
        return value.text
    if isinstance(value, Struct):
        form = type(value).form
        return form(value) if form else f"{{{' '.join(map(inner, value.all()))}}}"
    if isinstance(value, Embedded):
        return f"{{{' '.join(map(inner, value))}}}"
    if isinstance(value, Mapping):
        return f"map[{' '.join(f'{key}:{inner(value[key])}' for key in sorted(value))}]"
    if isinstance(value, list | tuple):
        return f"[{' '.join(map(inner, value))}]"
    if isinstance(value, float):
        return float_text(value)
    return str(value)


def float_text(value: float) -> str:
    """As Go's ``%v``: the shortest that is the same number; an exponent from 1e+21 on."""
    if value != value or value in (float("inf"), float("-inf")):
        return {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}[str(value)]
    mantissa, _, exponent = _shortest(value)
    if value == 0 or -4 <= int(exponent) < 6:
        return str(int(value)) if value.is_integer() else f"{value:.{_digits(value)}f}"
    return f"{mantissa}e{int(exponent):+03d}"


def _shortest(value: float) -> tuple[str, str, str]:
    """Mantissa and exponent of the shortest text that is the same number."""
    for digits in range(17):
        text = f"{value:.{digits}e}"
        if float(text) == value:
            break
    return text.partition("e")


def _digits(value: float) -> int:
    return next(digits for digits in range(25) if float(f"{value:.{digits}f}") == value)


def type_name(value: Any) -> str:
    """The type's name in complaints."""
    match value:
        case Struct():
            return value.name
        case bool():
            return "bool"
        case Duration():
            return "time.Duration"
        case int():
            return "int"
        case float():
            return "float64"
        case str():
            return "string"
        case Map():
            return (
                f"map[{value.key}]string" if value.zero == "" else f"map[{value.key}]interface {{}}"
            )
        case Mapping():
            return "map[string]interface {}"
        case list() | tuple():
            texts = bool(value) and all(isinstance(one, str) for one in value)
            return "[]string" if texts else "[]interface {}"
        case Nil(kind="list"):
            return "[]string"
        case Nil(kind="map"):
            return "map[string]string"
    return "<nil>"
