"""Where a file comes from: in which layers it lies, what is hidden, what a write would copy up."""

from collections.abc import Sequence

from mydocker.kernel.errors import Invalid, NotFound
from mydocker.kernel.records import record
from mydocker.overlay2 import lookup
from mydocker.overlay2.lookup import DIRECTORY, FILE, Sighting


@record
class CopyUp:
    """What the first write to a file costs: overlayfs copies it whole into the writable layer.

    ``size``, in bytes, however little is written; ``directories`` on the way that it makes in the
    upper layer; ``breaks_links``: the file has other names, and they keep the old contents.
    """

    size: int
    directories: tuple[str, ...]
    breaks_links: bool


@record
class Trace:
    """A path in the container and all that the layers know of it.

    ``path`` is the one asked for after ``links``, the symbolic links on the way. ``way`` are the
    sightings of the directories that lead there, ``sightings`` of the path itself; both top first.
    ``copy_up`` is None if the writable layer has it already, or there is no such file.
    """

    path: str
    links: tuple[str, ...]
    way: tuple[tuple[str, tuple[Sighting, ...]], ...]
    sightings: tuple[Sighting, ...]
    copy_up: CopyUp | None

    @property
    def visible(self) -> Sighting | None:
        """What the container sees; None if nothing."""
        return lookup.visible(self.sightings)


def trace(path: str, directories: Sequence[str], writable: bool) -> Trace:
    """Look for ``path``, absolute, in the layers ``directories`` (``diff``), top first.

    ``writable``: the first of them is the container's own; else a container would get one above
    them. Raises Failure for a path that is not absolute or that no layer has heard of.
    """
    if not path.startswith("/"):
        raise Invalid(f"{path}: not an absolute path", f"Try /{path}")
    tops = lookup.roots(directories)
    final, sightings, links = lookup.follow(path, tops)
    if not sightings:
        raise NotFound(f"{path}: in none of the {len(directories)} layers", "Is it spelt right?")
    parts = final.strip("/").split("/")[:-1]
    parents = ["/" + "/".join(parts[: depth + 1]) for depth in range(len(parts))]
    way = tuple((parent, tuple(lookup.walk(tops, parent, tops))) for parent in parents)
    return Trace(final, tuple(links), way, tuple(sightings), _copy_up(sightings, way, writable))


def _copy_up(
    sightings: Sequence[Sighting], way: Sequence[tuple[str, Sequence[Sighting]]], writable: bool
) -> CopyUp | None:
    seen = lookup.visible(sightings)
    if seen is None or (_is_up(seen, writable) and not seen.metacopy):
        return None
    directories = [
        parent
        for parent, places in way
        if not any(_is_up(place, writable) and place.kind == DIRECTORY for place in places)
    ]
    return CopyUp(seen.size, tuple(directories), seen.kind == FILE and seen.links > 1)


def _is_up(place: Sighting, writable: bool) -> bool:
    return writable and place.layer == 0 and not place.hidden
