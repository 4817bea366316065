"""``--filter KEY=VALUE``: several values of one key are "or", several keys are "and"."""

from collections.abc import Callable, Iterable, Mapping

from mydocker.kernel.errors import Invalid

Filters = dict[str, list[str]]
PRUNING = ("until", "label", "label!")  # what goes, in the words of all commands called prune


def parse(written: Iterable[str], known: Iterable[str]) -> Filters:
    """The values by key. Raises Invalid for a key that is not ``known``."""
    found: Filters = {}
    for text in written:
        key, equals, value = text.partition("=")
        key = key.strip().lower()
        if not equals:
            raise Invalid(f"bad format of filter (expected name=value): {text}")
        if key not in known:
            raise Invalid(f"Invalid filter '{key}'", f"Known are {', '.join(sorted(known))}")
        found.setdefault(key, []).append(value.strip())
    return found


def matches_name(pattern: str, name: str) -> bool:
    """Docker's way: a regular expression that is found anywhere, or the plain text."""
    if pattern in name:
        return True
    import re

    try:
        return bool(re.search(pattern, name) or re.search(pattern, f"/{name}"))
    except re.error:
        return False


def has_labels(wanted: Iterable[str], labels: Mapping[str, str]) -> bool:
    """All of ``KEY`` or ``KEY=VALUE``: for labels, several are "and"."""
    for text in wanted:
        key, equals, value = text.partition("=")
        if key not in labels or (equals and labels[key] != value):
            return False
    return True


def any_of(values: list[str] | None, test: Callable[[str], bool]) -> bool:
    """True without values, or if one of them passes."""
    return values is None or any(test(value) for value in values)


def passes(chosen: Mapping[str, list[str]], created: str, labels: Mapping[str, str]) -> bool:
    """True if what was made at the time ``created`` (RFC 3339) and has the ``labels`` is meant by
    the filters of PRUNING. Raises Invalid for a time that is none.

    Without ``created`` its file could not be read: nobody knows whether it is meant, so it is not.
    """
    from mydocker.engine.words.times import moment, number

    if not created and any(key in chosen for key in PRUNING):
        return False
    return (
        all(number(created) < moment(text) for text in chosen.get("until", ()))
        and has_labels(chosen.get("label", ()), labels)
        and not any(has_labels([text], labels) for text in chosen.get("label!", ()))
    )
