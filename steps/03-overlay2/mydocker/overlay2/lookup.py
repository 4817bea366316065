"""What overlayfs does when it looks for a name, done by reading the layers.

overlayfs keeps its notes about a layer in the layer itself:

- a **whiteout**, a character device 0/0: the name is gone, whatever lies below;
- an **opaque** directory, ``trusted.overlay.opaque`` = y: nothing below shows through;
- a **redirect**, ``trusted.overlay.redirect``: a directory that was renamed, and what merges into
  it lies below under the old name;
- **metacopy**, ``trusted.overlay.metacopy``: owner and mode are here, the data is still below.

An overlay mounted with the option userxattr has them as ``user.overlay.``; ours are not, and what a
container's programs write under that name means nothing. Kernel documentation:
filesystems/overlayfs. To see ``trusted`` attributes takes CAP_SYS_ADMIN.

The top layer may be a running container's: its directories are reached through no link (see
``kernel.beneath``), for a name that was a directory in one moment may be a link in the next.
"""

import errno
import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from mydocker.kernel import beneath
from mydocker.kernel.errors import Invalid, by_errno
from mydocker.overlay2 import notes

DIRECTORY = "directory"
FILE = "file"
LINK = "link"
SPECIAL = "special"  # a device, FIFO or socket
WHITEOUT = "whiteout"

_MAX_LINKS = 40  # as many symbolic links as the kernel follows in one path


@dataclass(frozen=True, slots=True)
class Sighting:
    """One name in one layer: ``layer`` counts from 0, the top. ``hidden``: something above it
    covers it, so the container does not see it. For the layer's root too: the path is ``root``."""

    layer: int
    path: str
    kind: str
    size: int
    hidden: bool = False
    opaque: bool = False
    metacopy: bool = False
    redirect: str = ""
    links: int = 1
    access: tuple[int, int, int] = (0, 0, 0)  # mode, owner, group
    inode: int = 0


def roots(directories: Sequence[str]) -> list[Sighting]:
    """The root directories of all layers, top first, to look from."""
    paths = map(os.path.realpath, directories)  # the way to the store may well have links in it
    return [Sighting(layer, path, DIRECTORY, 0) for layer, path in enumerate(paths)]


def look(path: str, layer: int) -> Sighting | None:
    """What ``path``, a name in the layer number ``layer``, is to overlayfs; None if not there."""
    try:
        fd = beneath.straight(path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return None
        raise by_errno(error.errno)(f"{path}: {error.strerror}") from None
    try:
        status = os.fstat(fd)
        kind = _kind(fd, status)
        redirect = _attribute(fd, "redirect") if kind == DIRECTORY else None
        return Sighting(
            layer,
            path,
            kind,
            status.st_size if kind in (FILE, LINK) else 0,
            opaque=kind == DIRECTORY and _attribute(fd, "opaque") in (b"y", b"x"),
            metacopy=kind == FILE and _attribute(fd, "metacopy") is not None,
            redirect=os.fsdecode(redirect or b""),
            links=status.st_nlink,
            access=(status.st_mode, status.st_uid, status.st_gid),
            inode=status.st_ino,
        )
    finally:
        os.close(fd)


def _kind(fd: int, status: os.stat_result) -> str:
    mode = status.st_mode
    if stat.S_ISDIR(mode):
        return DIRECTORY
    if stat.S_ISLNK(mode):
        return LINK
    if stat.S_ISCHR(mode) and status.st_rdev == 0:
        return WHITEOUT
    if stat.S_ISREG(mode):
        # Where no devices can be made, since Linux 6.7, an empty file with an attribute.
        empty = status.st_size == 0
        return WHITEOUT if empty and _attribute(fd, "whiteout") is not None else FILE
    return SPECIAL


def _attribute(fd: int, name: str) -> bytes | None:
    try:
        return os.getxattr(beneath.path(fd), f"{notes.prefix()}{name}")
    except OSError:
        return None  # no such attribute, or not for us to see


def step(above: Iterable[Sighting], name: str, tops: Sequence[Sighting]) -> list[Sighting]:
    """All sightings of ``name`` in the directories ``above``, top first.

    ``tops`` are the layers' roots: where a renamed directory's old path begins.
    """
    seen: list[Sighting] = []
    closed = False  # nothing of the layers below shows any more
    found = False
    for place in above:
        if place.kind != DIRECTORY:
            continue
        sighting = look(f"{place.path}/{name}", place.layer)
        if sighting is None:
            continue
        # A file below a directory is covered by it, and covers in turn what is below itself.
        covered = closed or place.hidden or (found and sighting.kind != DIRECTORY)
        seen.append(replace(sighting, hidden=covered))
        if place.hidden:
            continue
        if sighting.redirect and not covered:
            seen += _redirected(sighting, above, tops)
        closed = closed or sighting.kind != DIRECTORY or sighting.opaque or sighting.redirect != ""
        found = True
    return seen


def _redirected(
    sighting: Sighting, above: Iterable[Sighting], tops: Sequence[Sighting]
) -> list[Sighting]:
    """What merges from below into a renamed directory, found under its old name."""
    if sighting.redirect.startswith("/"):
        old = walk([top for top in tops if top.layer > sighting.layer], sighting.redirect, tops)
    else:
        below = [place for place in above if place.layer > sighting.layer]
        old = step(below, sighting.redirect, tops)
    return merged(old)


def walk(start: Sequence[Sighting], path: str, tops: Sequence[Sighting]) -> list[Sighting]:
    """All sightings of ``path`` seen from ``start``; symbolic links are not followed."""
    places = list(start)
    for name in path.split("/"):
        if name not in ("", "."):
            places = step(places, name, tops)
    return places


def visible(sightings: Iterable[Sighting]) -> Sighting | None:
    """The one that the container sees, of a merged directory the topmost; None if there is none."""
    first = next((sighting for sighting in sightings if not sighting.hidden), None)
    return None if first is None or first.kind == WHITEOUT else first


def merged(sightings: Iterable[Sighting]) -> list[Sighting]:
    """The directories whose names show together as one; empty if the name is no directory."""
    listed = list(sightings)
    top = visible(listed)
    if top is None or top.kind != DIRECTORY:
        return []
    return [one for one in listed if not one.hidden and one.kind == DIRECTORY]


def names(directories: Sequence[Sighting]) -> list[str]:
    """The names that a merged directory shows, sorted."""
    gone: set[str] = set()
    shown: set[str] = set()
    for directory in directories:
        for name in listed(directory):
            if name in shown or name in gone:
                continue
            sighting = look(f"{directory.path}/{name}", directory.layer)
            (gone if sighting and sighting.kind == WHITEOUT else shown).add(name)
    return sorted(shown)


def listed(directory: Sighting) -> list[str]:
    """The names in one directory of one layer; none if it is not there any more."""
    try:
        return beneath.names(directory.path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return []
        raise by_errno(error.errno)(f"{directory.path}: {error.strerror}") from None


def link(sighting: Sighting) -> str:
    """What a symbolic link says; nothing if it is none any more."""
    try:
        fd = beneath.straight(sighting.path)
        try:
            return os.readlink("", dir_fd=fd)
        finally:
            os.close(fd)
    except OSError:
        return ""


def follow(path: str, tops: Sequence[Sighting]) -> tuple[str, list[Sighting], list[str]]:
    """``path`` as the container resolves it: the final path, its sightings, the links followed.

    Links are followed inside the layers, never on the host. Raises Failure for a circle.
    """
    rest = [name for name in reversed(path.split("/")) if name not in ("", ".")]
    reached: list[str] = []
    trail: list[list[Sighting]] = [list(tops)]  # the sightings of each directory on the way
    links: list[str] = []
    while rest:
        name = rest.pop()
        if name == "..":
            del reached[-1:]
            if len(trail) > 1:
                trail.pop()
            continue
        found = step(trail[-1], name, tops)
        seen = visible(found)
        if seen is None or seen.kind != LINK:
            reached.append(name)
            trail.append(found)
            continue
        if len(links) == _MAX_LINKS:
            raise Invalid(f"{path}: too many levels of symbolic links")
        target = link(seen)
        links.append(f"/{'/'.join([*reached, name])} -> {target}")
        rest += [part for part in reversed(target.split("/")) if part not in ("", ".")]
        if target.startswith("/"):
            reached, trail = [], trail[:1]
    return "/" + "/".join(reached), trail[-1], links
