"""``images --filter KEY=VALUE``: several references are "or", all else is "and".

See "Filtering" in docker-image-ls(1).
"""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from mydocker.kernel.errors import Invalid
from mydocker.overlay2.image import Image
from mydocker.overlay2.images import ImageStore

KNOWN = ("before", "dangling", "label", "reference", "since")
_TRUTH = {"true": True, "1": True, "false": False, "0": False}

# An image with those of its names that are to be shown
Listed = tuple[Image, tuple[str, ...]]


def chosen(store: ImageStore, written: Sequence[str]) -> list[Listed]:
    """All images that pass, the youngest first. Raises Failure for what is no filter."""
    filters: dict[str, list[str]] = {}
    for text in written:
        key, equals, value = text.partition("=")
        if not equals:
            raise Invalid(f"bad format of filter (expected name=value): {text}")
        if key not in KNOWN:
            raise Invalid(f"invalid filter '{key}'", f"Known are {', '.join(KNOWN)}")
        filters.setdefault(key, []).append(value)
    images, damaged = store.listed()
    images += [image for image, _ in damaged]
    found: list[Listed] = [(image, image.names) for image in images]
    for value in filters.get("dangling", ()):
        if value not in _TRUTH:
            raise Invalid(f"invalid filter 'dangling={value}'", "Write dangling=true or =false")
        found = [one for one in found if (not one[0].names) == _TRUTH[value]]
    for value in filters.get("before", ()):
        border = store.resolve(value)
        found = [one for one in found if one[0].created < border.created]
    for value in filters.get("since", ()):
        border = store.resolve(value)
        found = [one for one in found if one[0].created > border.created]
    found = [one for one in found if _labelled(one[0], filters.get("label", ()))]
    if "reference" in filters:
        found = [(image, _named(names, filters["reference"])) for image, names in found]
        found = [one for one in found if one[1]]
    return found


def _labelled(image: Image, wanted: Iterable[str]) -> bool:
    labels = dict(image.config.labels)
    for text in wanted:
        key, equals, value = text.partition("=")
        if key not in labels or (equals and labels[key] != value):
            return False
    return True


def _named(names: Sequence[str], patterns: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in names if any(matches(pattern, name) for pattern in patterns))


def matches(pattern: str, name: str) -> bool:
    """``busybox`` stands for all its tags, ``busybox:1`` for itself, ``*`` for all but a slash."""
    repository, _, tag = name.rpartition(":")
    head, colon, wanted = pattern.rpartition(":")
    if not colon or "/" in wanted:
        head, wanted = pattern, "*"
    same_depth = head.count("/") == repository.count("/")
    return same_depth and fnmatchcase(repository, head) and fnmatchcase(tag, wanted)
