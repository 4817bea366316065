"""Directories that are root's alone: the data, under ``--root``, and the run directory's records.

What a container wrote lies there with its owners and its set-user-ID bits: a user of this machine
who could walk in could execute a program of root's that a container made (CVE-2021-41091), and read
the variables that containers were given, passwords among them. So the data's top directory is 0710,
as Docker's; what lies below has no bit for others either, except where a container's own users read
it: the files of a layer or a volume, and the three of ``/etc``.

A root that an earlier version made is closed by the next command: its mode tells that it is open.
A directory with other things in it is not ours to close; then only what is in it is closed.
Man pages: chmod(2), path_resolution(7).
"""

import os
import stat

TOP = 0o710
DIRECTORY = 0o700
FILE = 0o600

# What stands under the data's top directory. Of _OUTER, what lies below is not ours to close: the
# files of layers and volumes have the modes that their containers gave them.
_WHOLE = {"containers", "image", "network"}
_OUTER = {"overlay2", "volumes", "tmp"}
_FILES = {"events.json", "events.json.1"}
_RUN = {"monitors", "network"}
_ELSE = {"lost+found"}  # of a filesystem of its own
_FOR_CONTAINERS = {"hosts", "hostname", "resolv.conf"}  # read there, by whoever runs there


def make(top: str, *names: str, mode: int = TOP) -> None:
    """Make ``top`` with ``mode``, and in it the directories ``names``, one below the other."""
    found(top, mode)
    path = top
    for name in names:
        path = f"{path}/{name}"
        if not os.path.isdir(path):
            _make(path, DIRECTORY)


def found(top: str, mode: int = TOP) -> None:
    """Make the directory ``top`` with ``mode``, and what is missing above it; or close it."""
    if not os.path.isdir(top):
        os.makedirs(os.path.dirname(os.path.abspath(top)), exist_ok=True)
        _make(top, mode)
    status = os.stat(top)
    if stat.S_IMODE(status.st_mode) != mode and _is_ours(status, os.listdir(top)):
        os.chmod(top, mode)


def _make(path: str, mode: int) -> None:
    try:
        os.mkdir(path, mode)
    except FileExistsError:  # another process was faster
        return


def close(root: str) -> str:
    """Close the data under ``root`` if an earlier version left them open; ``root``. One stat(2).

    The top directory's mode is the last to get its value: a mend that was killed is begun again.
    """
    try:
        status = os.stat(root)
        if stat.S_IMODE(status.st_mode) != TOP:
            _close(root, status, os.listdir(root))
    except OSError:  # not there, not ours, on a disk that cannot be written
        pass
    return root


def _close(root: str, status: os.stat_result, names: list[str]) -> None:
    if not (_WHOLE | _OUTER).intersection(names):
        return  # nothing of a container is there yet
    ours = _is_ours(status, names)
    if ours:
        os.chmod(root, DIRECTORY)
    for name in _WHOLE.intersection(names):
        _close_tree(f"{root}/{name}")
    for name in _OUTER.intersection(names):
        os.chmod(f"{root}/{name}", DIRECTORY)
    for path in (f"{root}/overlay2/l", *_entries(f"{root}/volumes")):
        if os.path.isdir(path):
            os.chmod(path, DIRECTORY)
    for name in _FILES.intersection(names):
        os.chmod(f"{root}/{name}", FILE)
    if ours:
        os.chmod(root, TOP)


def _is_ours(status: os.stat_result, names: list[str]) -> bool:
    """True for a directory that holds only what we made: MYDOCKER_ROOT may name any."""
    known = _WHOLE | _OUTER | _FILES | _RUN | _ELSE
    strange = [name for name in names if name not in known and not _is_record(name)]
    return status.st_uid == os.geteuid() and not strange


def _is_record(name: str) -> bool:
    """A container's directory below the run directory, whole or not yet (``state``)."""
    return name.endswith(".new") or not name.strip("0123456789abcdef")


def _entries(directory: str) -> list[str]:
    found = os.path.isdir(directory)
    return [f"{directory}/{name}" for name in os.listdir(directory)] if found else []


def _close_tree(top: str) -> None:
    for directory, _, names in os.walk(top):
        os.chmod(directory, DIRECTORY)
        for name in names:
            path = f"{directory}/{name}"
            if name not in _FOR_CONTAINERS and not os.path.islink(path):
                os.chmod(path, FILE)
