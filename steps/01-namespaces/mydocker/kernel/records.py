"""Records: classes whose annotations say it all, as those of :mod:`dataclasses`, at a tenth of it.

``@dataclass`` writes ``__init__`` and its friends as source text for each class, and compiles that
at every start: half a millisecond a class, and a run needs seventy. Here all records share one set
of methods, which look up the names of the fields when they are called. A record is a little slower
to make (microseconds) and far cheaper to define (5 of them); type checkers see a dataclass.

    @record                                    # cannot be changed: see replace()
    class Identity:
        pid: int
        start_time: int = 0
        names: list[str] = field(default_factory=list)
"""

from collections.abc import Callable
from types import GenericAlias, UnionType
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")


class _Factory:
    """In place of a default that is made anew for each record."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make


def field(*, default_factory: Callable[[], Any]) -> Any:
    """A field whose default is made by a call (``list``, ``dict``): each record gets its own."""
    return _Factory(default_factory)


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: type[T]) -> type[T]:
    """A class of records that never change."""
    kind: Any = _fitted(cls)
    kind.__setattr__ = kind.__delattr__ = _refuse
    kind.__hash__ = _hash
    return cls


@dataclass_transform(field_specifiers=(field,))
def mutable_record(cls: type[T]) -> type[T]:
    """A class of records whose fields may be set; they cannot be in a set."""
    kind: Any = _fitted(cls)
    kind.__hash__ = None
    return cls


def _fitted(cls: type) -> Any:
    kind: Any = cls
    inherited = getattr(kind, "_fields", ())
    kind._types = {**getattr(kind, "_types", {}), **kind.__annotations__}
    own = [name for name in kind.__annotations__ if name not in inherited]
    kind._fields = (*inherited, *own)
    kind._names = frozenset(kind._fields)
    found = {name: getattr(kind, name) for name in kind._fields if hasattr(kind, name)}
    kind._makers = {name: one.make for name, one in found.items() if isinstance(one, _Factory)}
    kind._defaults = {name: one for name, one in found.items() if name not in kind._makers}
    kind.__init__, kind.__eq__ = _init, _equal
    if kind.__repr__ is object.__repr__:
        kind.__repr__ = _repr
    return kind


def _init(self: Any, *values: Any, **named: Any) -> None:
    names, state = self._fields, self.__dict__  # past __setattr__, which may refuse
    state.update(self._defaults)
    for name, make in self._makers.items():
        state[name] = make()
    state.update(zip(names, values, strict=False))
    twice = named.keys() & names[: len(values)] if named and values else ()
    state.update(named)
    if state.keys() != self._names or len(values) > len(names) or twice:
        given = [*map(repr, values), *(f"{name}={value!r}" for name, value in named.items())]
        raise TypeError(f"{type(self).__qualname__} has {', '.join(names)}; given: {given}")
    if hasattr(self, "__post_init__"):
        self.__post_init__()


def _values(one: Any) -> tuple[Any, ...]:
    return tuple(map(one.__dict__.__getitem__, one._fields))


def _equal(self: Any, other: object) -> bool:
    return type(self) is type(other) and _values(self) == _values(other)


def _hash(self: Any) -> int:
    return hash(_values(self))


def _repr(self: Any) -> str:
    inner = ", ".join(f"{name}={self.__dict__[name]!r}" for name in self._fields)
    return f"{type(self).__qualname__}({inner})"


def _refuse(self: Any, name: str, *value: Any) -> None:
    raise AttributeError(f"{type(self).__qualname__}.{name}: a record does not change")


def fields(one: object) -> tuple[str, ...]:
    """The names of the fields of a record, or of a class of records."""
    names: tuple[str, ...] = one._fields  # type: ignore[attr-defined]
    return names


def replace(one: T, **changes: Any) -> T:
    """A record like ``one``, but for the fields that are named."""
    old: Any = one
    return type(one)(**{**{name: old.__dict__[name] for name in old._fields}, **changes})


def alike(one: object, usual: object) -> bool:
    """Do two records have the same kinds of values? For one that was read from a file."""
    values, others = one.__dict__, usual.__dict__
    return all(type(values[name]) is type(others[name]) for name in fields(usual))


def asdict(one: object) -> dict[str, Any]:
    """A record as a dictionary, and so the records in it: what can be written as JSON."""
    held: Any = one
    return {name: _plain(held.__dict__[name]) for name in held._fields}


def _plain(value: Any) -> Any:
    if hasattr(value, "_makers"):
        return asdict(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def fromdict(kind: type[T], told: Any) -> T:
    """The record that :func:`asdict` gave ``told``, with the records in it: what JSON holds.

    A field that is not there has its default. Raises TypeError for what is no such record: a field
    that it does not have, or a value of another type than the field's.
    """
    types = kind._types  # type: ignore[attr-defined]
    if not isinstance(told, dict) or not told.keys() <= types.keys():
        raise TypeError(f"{kind.__qualname__}: not what was written of one: {told!r:.80}")
    return kind(**{name: _typed(types[name], value) for name, value in told.items()})


def _typed(expected: Any, value: Any) -> Any:
    """``value``, of JSON, as the type that a field was declared with."""
    if hasattr(expected, "_types"):
        return fromdict(expected, value)
    if isinstance(expected, UnionType):  # X | None
        kinds = [one for one in expected.__args__ if one is not type(None)]
        return None if value is None and len(kinds) < 2 else _typed(kinds[0], value)
    if isinstance(expected, GenericAlias):
        return _collected(expected, value)
    if expected is Any or isinstance(value, expected) or (expected is float and type(value) is int):
        return value
    raise TypeError(f"{value!r:.80} is not {expected.__name__}")


def _collected(expected: GenericAlias, value: Any) -> Any:
    origin, inner = expected.__origin__, expected.__args__
    if origin is dict and isinstance(value, dict):
        return {_typed(inner[0], key): _typed(inner[1], one) for key, one in value.items()}
    if origin not in (tuple, list) or not isinstance(value, list | tuple):
        raise TypeError(f"{value!r:.80} is not {expected}")
    if origin is tuple and inner[-1] is not Ellipsis:  # so many, each with a type of its own
        if len(inner) != len(value):
            raise TypeError(f"{value!r:.80} is not {expected}")
        return tuple(map(_typed, inner, value))
    return origin(_typed(inner[0], one) for one in value)
