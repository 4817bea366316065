"""Who the process of a bundle is, and its powers: by numbers and by five sets, as they are written.

The command line of the earlier steps looks names up and gives one set of capabilities; a bundle
says everything itself, and what it does not say is nothing.
"""

import errno
import os
import stat
from contextlib import suppress

from mydocker.container.parts import Part
from mydocker.kernel import files, syscalls
from mydocker.kernel.errors import hints
from mydocker.kernel.records import record
from mydocker.overlay2 import user as names
from mydocker.runtime.specification import CapabilitySets, User
from mydocker.security.capabilities import NAMES, mask

_UNMAPPED = {
    errno.EINVAL: "The user namespace has no such id: see linux.uidMappings and gidMappings",
    errno.EPERM: "Only root may change users; in a user namespace, only if setgroups is allowed",
}
_NULL = os.makedev(1, 3)


@record
class Numbers(Part):
    """Inside, late: become the user of these numbers, with exactly these groups."""

    stage = "user"

    user: User

    def enter(self) -> None:
        user = self.user
        if user.umask is not None:
            os.umask(user.umask)
        if "HOME" not in os.environ:
            os.environ["HOME"] = names.home_of(user.uid)
        _give_streams(user.uid)
        with hints(_UNMAPPED):
            if user.additional_gids or files.read("/proc/self/setgroups") == "allow":
                syscalls.setgroups(user.additional_gids, why="its groups, none of ours")
            syscalls.setresgid(user.gid, user.gid, user.gid, why="its group")
            syscalls.setresuid(user.uid, user.uid, user.uid, why="its user")


def _give_streams(uid: int) -> None:
    """Its standard streams are its own: else it could not open its ``/dev/stdout`` again."""
    for stream in (0, 1, 2):
        status = os.fstat(stream)
        null = stat.S_ISCHR(status.st_mode) and status.st_rdev == _NULL
        if status.st_uid != uid and not null:
            with suppress(OSError):  # a file of another user namespace, or of a disk to read only
                os.fchown(stream, uid, -1)


@record
class Powers(Part):
    """Inside, as the very last: the sets of capabilities, as far as we have them ourselves."""

    stage = "powers"

    sets: CapabilitySets

    def enter(self) -> None:
        _, permitted, _ = syscalls.capget()
        asked = self.sets
        may = permitted & _mask(asked.permitted)
        inherits = permitted & _mask(asked.inheritable)
        why = "what the command may use, uses, and hands on to programs that know of it"
        syscalls.capset(may & _mask(asked.effective), may, inherits, why=why)
        syscalls.prctl(syscalls.PR_CAP_AMBIENT, syscalls.AMBIENT_CLEAR_ALL, why="none yet")
        for name in known(asked.ambient):
            if mask([name]) & may & inherits:
                number = NAMES.index(name)
                why = f"{name}: handed on to any program, of any user"
                raised = syscalls.AMBIENT_RAISE
                syscalls.prctl(syscalls.PR_CAP_AMBIENT, raised, number, why=why)


def known(capabilities: tuple[str, ...]) -> tuple[str, ...]:
    """Those that there are: of others, a bundle of a newer kernel, runc only warns."""
    return tuple(name for name in capabilities if name in NAMES)


def unknown(sets: CapabilitySets) -> list[str]:
    """The names in any of the sets that no kernel of ours has."""
    every = (sets.bounding, sets.effective, sets.inheritable, sets.permitted, sets.ambient)
    return sorted({name for names in every for name in names if name not in NAMES})


def _mask(capabilities: tuple[str, ...]) -> int:
    return mask(known(capabilities))
