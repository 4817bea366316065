"""Who is just making a group holds a lock, shared with all others who do: flock(2).

Between mkdir(2) and the first process in it, a new group looks like one that a killed command left:
empty, and below our parent. Whose it is would be told by a record, but that lies in the maker's run
directory, and there may be several (MYDOCKER_RUN) with one parent for their groups. The lock is on
the mount point of a hierarchy, which all have in common; it goes with its holder.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock

from mydocker.cgroups.hierarchy import Machine
from mydocker.kernel.errors import Conflict

_ATTEMPTS, _STEP = 100, 0.02  # two seconds: to make a group and begin in it takes a tenth of one


def begin(machine: Machine) -> int:
    """From now on nobody takes away an empty group; until the descriptor is closed."""
    fd = _open(machine)
    _locked(fd, LOCK_SH)  # if not: who cleans up for so long is stuck, and takes nothing any more
    return fd


@contextmanager
def by_nobody(machine: Machine) -> Iterator[None]:
    """For the length of the block nobody is making a group. Raises Failure if somebody goes on."""
    fd = _open(machine)
    try:
        if not _locked(fd, LOCK_EX):
            raise Conflict(
                "somebody is just making groups, so an empty one may be his", "Try again"
            )
        yield
    finally:
        os.close(fd)


def _open(machine: Machine) -> int:
    place = machine.usable[0].mountpoint
    return os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _locked(fd: int, kind: int) -> bool:
    for _ in range(_ATTEMPTS):
        try:
            flock(fd, kind | LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(_STEP)
    return False
