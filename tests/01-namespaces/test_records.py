"""Records behave as the dataclasses of the standard library, which are asked beside them."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest

from mydocker.kernel import records


def families(decorate: Callable[[type], type], field: Callable[..., Any]) -> list[type]:
    """The same classes, by either decorator."""

    class Base:
        first: int
        second: str = "two"

        @property
        def both(self) -> str:
            return f"{self.first}{self.second}"

    base: Any = decorate(Base)

    class Derived(base):  # type: ignore[misc]
        second: str = "changed"
        third: list[int] = field(default_factory=list)

        def __post_init__(self) -> None:
            self.third.append(self.first)

    class Empty:
        pass

    return [base, decorate(Derived), decorate(Empty)]


OURS = families(records.record, records.field)
THEIRS = families(dataclasses.dataclass(frozen=True), dataclasses.field)
PAIRS = list(zip(OURS, THEIRS, strict=True))


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
@pytest.mark.parametrize(
    ("values", "named"),
    [
        ((), {}),
        ((1,), {}),
        ((1, "b"), {}),
        ((1, "b", [3]), {}),
        ((1, "b", [3], 4), {}),
        ((), {"first": 1}),
        ((), {"second": "b"}),
        ((), {"third": [1], "first": 2}),
        ((1,), {"first": 2}),
        ((1,), {"second": "b"}),
        ((1,), {"unknown": 2}),
        ((), {"unknown": 2}),
    ],
)
def test_the_same_arguments_are_taken_and_refused(
    ours: Any, theirs: Any, values: tuple[Any, ...], named: dict[str, Any]
) -> None:
    given = json.dumps([values, named])

    def made(kind: Any) -> Any:
        fresh, by_name = json.loads(given)
        try:
            return kind(*fresh, **by_name)
        except TypeError:
            return None

    one, other = made(ours), made(theirs)
    assert (one is None) == (other is None)
    if one is None:
        return
    assert records.asdict(one) == dataclasses.asdict(other)
    assert list(records.asdict(one)) == list(dataclasses.asdict(other))
    assert repr(one) == repr(other)
    assert one == made(ours) and one != made(theirs)
    assert hasattr(one, "both") == hasattr(other, "both")


def test_a_record_does_not_change_and_replace_makes_another() -> None:
    base, derived, _ = OURS
    one = base(1)
    with pytest.raises(AttributeError, match="does not change"):
        one.first = 2
    with pytest.raises(AttributeError, match="does not change"):
        del one.second
    with pytest.raises(AttributeError, match="does not change"):
        one.unknown = 2
    assert records.replace(one, first=2) == base(2)
    assert one == base(1) and hash(one) == hash(base(1)) and {one: 1}[base(1)]
    assert one != derived(1)
    with pytest.raises(TypeError, match="unknown"):
        records.replace(one, unknown=2)
    assert derived(1).third is not derived(1).third, "two records share one list"


def test_a_mutable_record_changes_and_is_no_key() -> None:
    @records.mutable_record
    class Counter:
        number: int = 0

    one = Counter()
    one.number += 1
    assert (one.number, Counter().number) == (1, 0)
    assert one == Counter(1)
    with pytest.raises(TypeError):
        hash(one)


def test_records_in_records_become_plain() -> None:
    @records.record
    class Inner:
        name: str

    @records.record
    class Outer:
        one: Inner
        many: tuple[Inner, ...]
        named: dict[str, Inner]

    outer = Outer(Inner("a"), (Inner("b"), Inner("c")), {"d": Inner("d")})
    plain = {"one": {"name": "a"}, "many": [{"name": "b"}, {"name": "c"}]}
    assert records.asdict(outer) == {**plain, "named": {"d": {"name": "d"}}}
    assert records.fields(Outer) == records.fields(outer) == ("one", "many", "named")
