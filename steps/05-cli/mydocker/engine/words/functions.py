"""The functions of templates: Go's own, and those that Docker adds: ``json join split title lower
upper pad truncate``. See pkg.go.dev/text/template#hdr-Functions and pkg.go.dev/fmt.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote_plus

from mydocker.engine.words.govalues import (
    MISSING,
    Duration,
    Form,
    Map,
    Missing,
    Nil,
    Struct,
    Wrong,
    compact,
    float_text,
    inner,
    true,
    type_name,
)

_WIDEST = 10_000  # columns that a value is filled up to
_VERB = re.compile(r"%([-+# 0]*)(\*|\d{0,9})(?:\.(\*|\d{0,9}))?(.?)", re.DOTALL)


def _string(value: Any) -> str:
    if isinstance(value, str):
        return str(value)
    if value is None or isinstance(value, Missing):
        raise Wrong("invalid value; expected string")
    raise Wrong(f"wrong type for value; expected string; got {type_name(value)}")


def _int(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise Wrong(f"wrong type for value; expected int; got {type_name(value)}")
    return int(value)


def _list(value: Any) -> Sequence[Any]:
    if isinstance(value, Nil) and value.kind == "list":
        return ()
    if isinstance(value, list | tuple):
        return value
    raise Wrong(f"wrong type for value; expected []string; got {type_name(value)}")


def _narrow(width: int) -> int:
    if width > _WIDEST:
        raise Wrong(f"too wide: {width}")
    if width < 0:
        raise Wrong("strings: negative Repeat count")
    return width


def _join(values: Any, between: Any) -> str:
    return _string(between).join(_string(value) for value in _list(values))


def _split(text: Any, between: Any) -> list[str]:
    said, mark = _string(text), _string(between)
    return said.split(mark) if mark else list(said)


def _title(text: Any) -> str:
    """Every word with a capital; what stands behind it is left as it is."""
    return re.sub(r"(?<![^\W])[^\W\d_]", lambda match: match[0].upper(), _string(text))


def _pad(text: Any, before: Any, after: Any) -> str:
    said = _string(text)
    left, right = _narrow(_int(before)), _narrow(_int(after))
    return " " * left + said + " " * right if said else said


def _truncate(text: Any, length: Any) -> str:
    data, length = _string(text).encode(errors="surrogateescape"), _int(length)
    if len(data) < length:
        return str(text)
    if length < 0:
        raise Wrong(f"runtime error: slice bounds out of range [:{length}]")
    return data[:length].decode(errors="replace")


def _len(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode(errors="surrogateescape"))
    if isinstance(value, Nil) and value.kind != "pointer":
        return 0
    if isinstance(value, list | tuple) or (
        isinstance(value, Mapping) and not isinstance(value, Struct)
    ):
        return len(value)
    if value is None or isinstance(value, Missing | Nil):
        raise Wrong("len of nil pointer")
    raise Wrong(f"len of type {type_name(value)}")


def _index(value: Any, *keys: Any) -> Any:
    if value is None or isinstance(value, Missing):
        raise Wrong("index of untyped nil")
    for key in keys:
        value = _item(value, key)
    return value


def _item(value: Any, key: Any) -> Any:
    if isinstance(value, Mapping) and not isinstance(value, Struct):
        if isinstance(value, Map) and value.key != "string":
            raise Wrong(f"value has type string; should be {value.key}")
        if not isinstance(key, str):
            raise Wrong(f"value has type {type_name(key)}; should be string")
        return value[key] if key in value else value.zero if isinstance(value, Map) else MISSING
    if isinstance(value, Nil) and value.kind == "map":
        return ""
    if isinstance(value, Nil) and value.kind == "list":
        value = ()
    if isinstance(value, list | tuple | str):
        if isinstance(key, bool) or not isinstance(key, int):
            raise Wrong(f"cannot index slice/array with type {type_name(key)}")
        items = value.encode(errors="surrogateescape") if isinstance(value, str) else value
        if not 0 <= key < len(items):
            raise Wrong(f"index out of range: {key}")
        return items[key]
    if value is None or isinstance(value, Missing | Nil):
        raise Wrong("index of nil pointer")
    raise Wrong(f"can't index item of type {type_name(value)}")


def _slice(value: Any, *bounds: Any) -> Any:
    if len(bounds) > (2 if isinstance(value, str) else 3):
        raise Wrong(f"too many slice indexes: {len(bounds)}")
    if isinstance(value, Nil) and value.kind == "list":
        value = ()
    if not isinstance(value, str | list | tuple):
        raise Wrong(f"can't slice item of type {type_name(value)}")
    data = value.encode(errors="surrogateescape") if isinstance(value, str) else value
    limits = [_int(bound) for bound in bounds]
    for limit in limits:
        if not 0 <= limit <= len(data):
            raise Wrong(f"index out of range: {limit}")
    begin, end = (limits[0] if limits else 0), (limits[1] if len(limits) > 1 else len(data))
    if begin > end:
        raise Wrong(f"invalid slice index: {begin} > {end}")
    part = data[begin:end]
    return part.decode(errors="replace") if isinstance(part, bytes) else part


# ---------------------------------------------------------------- printing


def sprint(*values: Any) -> str:
    """As Go's ``Sprint``: a space where neither neighbour is a text."""
    said = ""
    for number, value in enumerate(values):
        if number and not isinstance(value, str) and not isinstance(values[number - 1], str):
            said += " "
        said += inner(value)
    return said


def sprintf(form: Any, *values: Any) -> str:
    """As Go's ``Sprintf``: ``%[flags][width][.precision]verb``."""
    rest, used = list(values), 0

    def star(text: str | None) -> int | None:
        nonlocal used
        if text != "*":
            return int(text) if text else None
        used += 1
        return _int(rest[used - 1]) if used <= len(rest) else None

    def one(match: re.Match[str]) -> str:
        nonlocal used
        flags, verb = match[1], match[4]
        width = star(match[2])
        precision = star(match[3]) if match[3] is not None else None
        if max(width or 0, precision or 0) > _WIDEST:
            raise Wrong(f"too wide: {match[0]}")
        if verb == "":
            return "%!(NOVERB)"
        if verb == "%":
            return "%"
        if used >= len(rest):
            return f"%!{verb}(MISSING)"
        value = rest[used]
        used += 1
        said = _verb(verb, flags, precision if match[3] is None else precision or 0, value)
        return _filled(said, flags, width or 0, value)

    said = _VERB.sub(one, _string(form))
    if used < len(rest):
        extra = ", ".join(f"{type_name(value)}={inner(value)}" for value in rest[used:])
        said += f"%!(EXTRA {extra})"
    return said


def _filled(said: str, flags: str, width: int, value: Any) -> str:
    if len(said) >= width:
        return said
    if "-" in flags:
        return said.ljust(width)
    if "0" in flags and not isinstance(value, str):
        sign = said[:1] if said[:1] in "+-" else ""
        return sign + said[len(sign) :].rjust(width - len(sign), "0")
    return said.rjust(width, "0" if "0" in flags else " ")


_BASES = {"d": "d", "x": "x", "X": "X", "o": "o", "O": "o", "b": "b"}


def _verb(verb: str, flags: str, precision: int | None, value: Any) -> str:
    if verb == "T":
        return type_name(value)
    if verb == "v":
        return _cut(inner(value), precision) if isinstance(value, str) else _signed(value, flags)
    if isinstance(value, list | tuple):
        return f"[{' '.join(_verb(verb, flags, precision, one) for one in value)}]"
    if verb in "sq" and isinstance(value, str | Duration | Form):
        said = _cut(inner(value), precision)
        return quoted(said, "#" in flags) if verb == "q" else said
    if verb in "xX" and isinstance(value, str):
        digits = value.encode(errors="surrogateescape").hex()
        return digits.upper() if verb == "X" else digits
    if verb == "t" and isinstance(value, bool):
        return inner(value)
    if isinstance(value, int) and not isinstance(value, bool):
        if verb in _BASES:
            return _integer(verb, flags, int(value))
        if verb in "cqU" and 0 <= value <= 0x10FFFF:
            form = {"c": chr(value), "q": f"'{chr(value)}'"}
            return form.get(verb) or f"U+{value:04X}"
    if verb in "eEfFgG" and isinstance(value, float):
        return _float(verb, flags, precision, value)
    if value is None or isinstance(value, Missing):
        return f"%!{verb}(<nil>)"
    return f"%!{verb}({type_name(value)}={inner(value)})"


def _signed(value: Any, flags: str) -> str:
    said = inner(value)
    number = isinstance(value, int | float) and not isinstance(value, bool | Duration)
    return f"+{said}" if number and "+" in flags and value >= 0 else said


def _cut(text: str, precision: int | None) -> str:
    return text if precision is None else text[:precision]


def _integer(verb: str, flags: str, value: int) -> str:
    said = format(abs(value), _BASES[verb])
    if verb == "O":
        said = f"0o{said}"
    elif "#" in flags:
        said = {"x": "0x", "X": "0X", "o": "0", "b": "0b"}.get(verb, "") + said
    sign = "-" if value < 0 else "+" if "+" in flags else " " if " " in flags else ""
    return sign + said


def _float(verb: str, flags: str, precision: int | None, value: float) -> str:
    if verb in "gG" and precision is None:
        said = float_text(value)
    else:
        said = (
            f"{value:{'+' if '+' in flags else ''}.{6 if precision is None else precision}{verb}}"
        )
    return f"+{said}" if "+" in flags and said[0] not in "+-" else said


_NAMED = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\a": "\\a", "\b": "\\b", "\f": "\\f",
          "\v": "\\v", "\\": "\\\\", '"': '\\"'}  # fmt: skip


def quoted(text: str, plain: bool = False) -> str:
    """A text as Go writes it in a program; ``plain``: between backquotes, if it can be."""
    if plain and "`" not in text and text.isprintable():
        return f"`{text}`"
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(char: str) -> str:
    if char in _NAMED:
        return _NAMED[char]
    if char.isprintable():
        return char
    code = ord(char)
    return (
        f"\\x{code:02x}"
        if code < 0x80
        else f"\\u{code:04x}"
        if code < 1 << 16
        else f"\\U{code:08x}"
    )


# ---------------------------------------------------------------- comparing

_KINDS = ((bool, "bool"), (int, "int"), (float, "float"), (str, "string"))


def _kind(value: Any) -> str:
    return next((name for type_, name in _KINDS if isinstance(value, type_)), "")


def _equal(one: Any, *others: Any) -> bool:
    if not others:
        raise Wrong("missing argument for comparison")
    for other in others:
        first, second = _kind(one), _kind(other)
        if first != second:
            if one is None or other is None or isinstance(one, Nil) or isinstance(other, Nil):
                continue
            if not first or not second:
                raise Wrong("non-comparable type " + type_name(one if not first else other))
            raise Wrong("incompatible types for comparison")
        if not first and isinstance(one, Mapping | list | tuple) and not isinstance(one, Struct):
            raise Wrong(f"non-comparable type {type_name(one)}")
        if one == other or (isinstance(one, Nil) and isinstance(other, Nil)):
            return True
    return False


def _ordered(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compare(one: Any, other: Any) -> bool:
        first, second = _kind(one), _kind(other)
        if first in ("", "bool") or second in ("", "bool"):
            raise Wrong("invalid type for comparison")
        if first != second:
            raise Wrong("incompatible types for comparison")
        return test(one, other)

    return compare


_less = _ordered(lambda one, other: one < other)
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;", "\0": "\ufffd"}
_JS = {"\\": "\\\\", "'": "\\'", '"': '\\"', "<": "\\u003C", ">": "\\u003E", "&": "\\u0026",
       "=": "\\u003D"}  # fmt: skip


def _js(*values: Any) -> str:
    return "".join(
        _JS.get(char) or (char if char.isprintable() else f"\\u{ord(char):04X}")
        for char in sprint(*values)
    )


def _call(function: Any, *values: Any) -> Any:
    if not callable(function):
        raise Wrong(f"call of non-function of type {type_name(function)}")
    return function(*values)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    # and and or are not called: they look at no more than they need
    "and": lambda *values: next((value for value in values if not true(value)), values[-1]),
    "or": lambda *values: next((value for value in values if true(value)), values[-1]),
    "call": _call,
    "eq": _equal,
    "ge": _ordered(lambda one, other: one >= other),
    "gt": _ordered(lambda one, other: one > other),
    "html": lambda *values: "".join(_HTML.get(char, char) for char in sprint(*values)),
    "index": _index,
    "join": _join,
    "js": _js,
    "json": compact,
    "le": _ordered(lambda one, other: one <= other),
    "len": _len,
    "lower": lambda text: _string(text).lower(),
    "lt": _less,
    "ne": lambda one, other: not _equal(one, other),
    "not": lambda value: not true(value),
    "pad": _pad,
    "print": sprint,
    "printf": sprintf,
    "println": lambda *values: " ".join(map(inner, values)) + "\n",
    "slice": _slice,
    "split": _split,
    "title": _title,
    "truncate": _truncate,
    "upper": lambda text: _string(text).upper(),
    "urlquery": lambda *values: quote_plus(sprint(*values), safe="-_.~"),
}
# In the line of titles above a table, a column's title stays as it is.
TITLES: dict[str, Callable[..., Any]] = {
    **FUNCTIONS,
    **dict.fromkeys(
        ("json", "title", "lower", "upper", "truncate", "split", "join"), lambda title, *rest: title
    ),
}
