"""What a container changed: the writable layer compared with those below, as ``docker diff``.

``A`` added, ``C`` changed, ``D`` deleted. A directory in which something changed is changed
itself. Nothing is mounted for it: all is in the layer's directory, in overlayfs's notation (see
``lookup``).
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from mydocker.overlay2 import lookup
from mydocker.overlay2.lookup import DIRECTORY, WHITEOUT, Sighting

ADDED = "A"
CHANGED = "C"
DELETED = "D"


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """One line: the path in the container, and what happened to it."""

    path: str
    kind: str

    def __str__(self) -> str:
        return f"{self.kind} {self.path}"


@dataclass(frozen=True, slots=True)
class _Visit:
    """A directory still to be compared.

    ``now`` are the directories that make it, ``before`` those that would without the upper layer.
    ``moved``: it was renamed, and so all that it brought along is new here. ``covers``: what was
    before and is not now is deleted.
    """

    path: str
    now: list[Sighting]
    before: list[Sighting]
    moved: bool = False
    covers: bool = False


def changes(upper: str, lower: Sequence[str]) -> list[Change]:
    """The changes that the layer at ``upper`` makes to the layers ``lower``, nearest first.

    All are directories of layers (``diff``). Sorted by path. Raises Failure if one cannot be read.
    """
    tops = lookup.roots([upper, *lower])
    found: dict[str, str] = {}
    visits = [_Visit("", tops, tops[1:])]
    while visits:
        visit = visits.pop()
        names = _names(visit)
        for name in names:
            visits += _compare(visit, name, tops, found)
        if visit.covers:
            for name in set(lookup.names(visit.before)) - names:
                found[f"{visit.path}/{name}"] = DELETED
    _change_parents(found)
    return sorted(Change(path, kind) for path, kind in found.items())


def _names(visit: _Visit) -> set[str]:
    """The names that may have changed: those of the upper layer; after a renaming all."""
    names = set(lookup.names(visit.now)) if visit.moved else set()
    if visit.now and visit.now[0].layer == 0:
        names.update(lookup.listed(visit.now[0]))
    return names


def _compare(
    visit: _Visit, name: str, tops: Sequence[Sighting], found: dict[str, str]
) -> list[_Visit]:
    """Compare one name, note what changed in ``found``; what is to be visited below it."""
    path = f"{visit.path}/{name}"
    now = lookup.step(visit.now, name, tops)
    before = lookup.step(visit.before, name, tops)
    current, previous = lookup.visible(now), lookup.visible(before)
    # lab 3.6: added, changed, deleted
    if current is None:
        if previous is not None:
            found[path] = DELETED
        return []
    if previous is None:
        found[path] = ADDED
    elif current.kind != DIRECTORY or previous.kind != DIRECTORY or _differ(current, previous):
        found[path] = CHANGED
    # end lab
    if current.kind != DIRECTORY:
        return []
    moved = visit.moved or current.redirect != ""
    covers = visit.covers or moved or current.opaque
    return [_Visit(path, lookup.merged(now), lookup.merged(before), moved, covers)]


def _differ(one: Sighting, other: Sighting) -> bool:
    """True if a directory's own properties changed: it may be there for what is in it only."""
    return one.access != other.access


def _change_parents(found: dict[str, str]) -> None:
    for path in list(found):
        parent = os.path.dirname(path)
        while parent != "/" and parent not in found:
            found[parent] = CHANGED
            parent = os.path.dirname(parent)


@dataclass(frozen=True, slots=True)
class Contents:
    """What a layer holds: files (links and devices too; a file of several names counts once) and
    their bytes, whiteouts, opaque directories."""

    files: int = 0
    size: int = 0
    whiteouts: int = 0
    opaque: int = 0


def contents(directory: str) -> Contents:
    """Count what is in the layer at ``directory`` (its ``diff``)."""
    files, size, whiteouts, opaque = 0, 0, 0, 0
    seen: set[int] = set()
    pending = lookup.roots([directory])
    while pending:
        place = pending.pop()
        for name in lookup.listed(place):
            sighting = lookup.look(f"{place.path}/{name}", 0)
            if sighting is None:
                continue
            if sighting.kind == DIRECTORY:
                pending.append(sighting)
                opaque += sighting.opaque
            elif sighting.kind == WHITEOUT:
                whiteouts += 1
            elif sighting.inode not in seen:
                seen.add(sighting.inode)
                files, size = files + 1, size + sighting.size
    return Contents(files, size, whiteouts, opaque)
