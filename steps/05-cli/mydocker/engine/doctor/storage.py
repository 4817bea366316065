"""Where images and layers are: an overlay really mounted there, room, and what lies around."""

import ctypes
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from mydocker.engine.cleaning import leftovers
from mydocker.engine.cleaning.leftover import Place
from mydocker.engine.doctor.check import (
    Check,
    failure,
    in_child,
    not_applicable,
    ok,
    tried,
    warning,
)
from mydocker.engine.doctor.store import verify
from mydocker.kernel import files, signals, syscalls
from mydocker.kernel.errors import Failure, KernelError
from mydocker.overlay2 import workspace
from mydocker.overlay2.image_list import size
from mydocker.overlay2.mounting import OverlayMount, filesystem_of, mount_overlay

_LITTLE, _ALMOST_NOTHING = 1 << 30, 64 << 20  # bytes
_FEW_INODES = 10_000  # a Debian has some 9,000 files
_OTHER_ROOT = "keep the data elsewhere: --root DIRECTORY, or MYDOCKER_ROOT"
_MODULE = "modprobe overlay (and for every boot: echo overlay > /etc/modules-load.d/overlay.conf)"
_PRUNE = "mydocker system prune"


def storage(place: Place, full: bool) -> Iterator[Check]:
    """The checks of this module. ``full`` reads every blob of every image again."""
    above = _existing(place.root)
    kind, mountpoint = filesystem_of(above)
    missing = "" if above == place.root else " (made at first use)"
    yield ok("data root", f"{place.root}{missing}, on {kind} at {mountpoint}")
    yield _overlay(place.root)
    yield from _room(above)
    yield _leftovers(place)
    yield _store(place.root, full)


def _existing(path: str) -> str:
    path = os.path.abspath(path)
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


# ---------------------------------------------------------------- overlay


def _overlay(root: str) -> Check:
    def attempt() -> str:
        with _scratch(root) as path:
            return in_child(lambda: _mount(path), syscalls.CLONE_NEWNS, "mounts nobody else sees")

    return tried("overlay", attempt, {errno.ENODEV: _MODULE, errno.EROFS: _OTHER_ROOT})


@contextmanager
def _scratch(root: str) -> Iterator[str]:
    """A directory on the data root's filesystem for the length of the block."""
    if os.path.isdir(f"{root}/tmp"):
        with workspace.workspace(root) as path:  # where `system prune` looks, should we be killed
            yield path
        return
    path = f"{_existing(root)}/.mydocker-doctor-{os.urandom(8).hex()}"
    files.mkdir(path, 0o700, why="a place to try an overlay in")
    try:
        yield path
    finally:
        files.remove_tree(path, why="it was tried")


def _mount(path: str) -> str:
    for name in ("lower", "upper", "work", "merged"):
        files.mkdir(f"{path}/{name}", 0o755, why="one of an overlay's four directories")
    files.create(f"{path}/lower/script", "#!/bin/sh\nexit 0\n", 0o755)
    files.create(f"{path}/lower/removed", "")
    if not _tells_types(f"{path}/lower"):
        raise Failure("the filesystem's directories do not say what their entries are", _D_TYPE)
    # as in a real one: relative to a directory, with an upper that will be thrown away
    mount_overlay(OverlayMount(path, ("lower",), "upper", "work", "merged", volatile=True))
    merged = f"{path}/merged"
    if not os.path.exists(f"{merged}/script"):
        raise Failure("a mounted overlay does not show the file below it")
    files.create(f"{merged}/written", "")
    files.unlink(f"{merged}/removed")
    if not os.path.exists(f"{path}/upper/written") or not os.path.lexists(f"{path}/upper/removed"):
        raise Failure("what is written to an overlay does not reach its upper directory")
    _execute(f"{merged}/script")
    return "mounted there, read, written, removed from, executed from"


_D_TYPE = "xfs made with ftype=0 cannot carry layers: mkfs.xfs -n ftype=1, or " + _OTHER_ROOT


def _execute(script: str) -> None:
    # noexec and nosuid of the mount below do not reach an overlay; what a filesystem forbids does.
    try:
        pid = os.posix_spawn(script, [script], {})
    except OSError as error:
        hint = f"Its filesystem forbids to execute: {_OTHER_ROOT}"
        raise KernelError("execve", (script,), error.errno or 0, hint) from None
    signals.reap(pid)


class dirent(ctypes.Structure):
    """struct dirent of readdir(3), up to the type."""

    _fields_ = [
        ("d_ino", ctypes.c_uint64),
        ("d_off", ctypes.c_int64),
        ("d_reclen", ctypes.c_uint16),
        ("d_type", ctypes.c_uint8),
    ]


def _tells_types(directory: str) -> bool:
    """Does readdir(3) tell the type of each entry? Overlayfs needs it to see whiteouts."""
    libc = ctypes.CDLL(None)
    libc.opendir.restype = libc.readdir.restype = ctypes.c_void_p
    opened = ctypes.c_void_p(libc.opendir(os.fsencode(directory)))
    if not opened:
        return True  # it cannot be read, which others will tell
    types = []
    while entry := libc.readdir(opened):
        types.append(dirent.from_address(entry).d_type)
    libc.closedir(opened)
    return all(types)


# ---------------------------------------------------------------- room


def _room(above: str) -> Iterator[Check]:
    found = os.statvfs(above)
    free = found.f_bavail * found.f_frsize
    observed = f"{size(free)} free of {size(found.f_blocks * found.f_frsize)}"
    fix = f"Free some: {_PRUNE}, mydocker rmi, apt-get clean; or {_OTHER_ROOT}"
    if found.f_flag & os.ST_RDONLY:
        yield failure("disk", "the data root's filesystem is read-only", _OTHER_ROOT)
    elif free < _ALMOST_NOTHING:
        yield failure("disk", observed, fix)
    elif free < _LITTLE:
        yield warning("disk", observed, fix)
    else:
        yield ok("disk", observed)
    if found.f_files == 0:  # btrfs makes inodes as it needs them
        yield not_applicable("inodes", "this filesystem has no fixed number of them")
    elif found.f_favail < _FEW_INODES:
        yield warning("inodes", f"{found.f_favail} free of {found.f_files}", fix)
    else:
        yield ok("inodes", f"{found.f_favail} free of {found.f_files}")


# ---------------------------------------------------------------- what lies around


def _leftovers(place: Place) -> Check:
    name = "leftovers"
    try:
        found = leftovers.find(place)
    except (Failure, PermissionError) as error:
        if os.geteuid() != 0:
            return not_applicable(name, "only root can look")
        return warning(name, str(error))
    if not found:
        return ok(name, "no killed command left anything behind")
    shown = ", ".join(str(leftover) for leftover in found[:3])
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return warning(name, f"{shown}{more}", _PRUNE)


def _store(root: str, full: bool) -> Check:
    name = "images"
    if os.geteuid() != 0 and os.path.isdir(root) and not os.access(root, os.R_OK):
        return not_applicable(name, "only root can look")
    try:
        count = verify(root, full)
    except PermissionError as error:
        return not_applicable(name, str(error))
    except Failure as error:
        fix, error.hint = error.hint, ""
        return failure(name, str(error), fix)
    looked = "every blob read again" if full else "their layers and archives are there"
    return ok(name, f"{count}: {looked}" if count else "none yet")
