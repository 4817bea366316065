"""User namespaces: which ids inside are which ids outside (user_namespaces(7))."""

import errno
import os

from mydocker.container.parts import Part
from mydocker.kernel import files, syscalls
from mydocker.kernel.errors import Invalid, hints
from mydocker.kernel.numbers import decimal
from mydocker.kernel.records import record

_EVERY_ID = 4294967295


@record
class Mapping:
    """``count`` ids from ``inside`` on are those from ``outside`` on."""

    inside: int
    outside: int
    count: int


def parse(text: str) -> Mapping:
    """``INSIDE:OUTSIDE[:COUNT]`` as a Mapping. Raises Failure for anything else."""
    numbers = [decimal(number, (1 << 32) - 1) for number in text.split(":")]
    if len(numbers) not in (2, 3) or None in numbers:
        hint = "Write INSIDE:OUTSIDE[:COUNT] in decimal, as 0:1000 or 0:100000:65536"
        raise Invalid(f"id map {text!r}: not a map", hint)
    return Mapping(*(number or 0 for number in [*numbers, 1][:3]))


def default_mapping(own: int) -> Mapping:
    """For root every id is itself; for another user, root inside is that user."""
    return Mapping(0, 0, _own_ids()) if own == 0 else Mapping(0, own, 1)


def of_the_machine() -> bool:
    """True in the machine's own user namespace, where alone root has power over the machine."""
    return _own_ids() == _EVERY_ID


def _own_ids() -> int:
    """How many ids there are, from root's on, in the user namespace that we are in."""
    maps = parse_map(files.read("/proc/self/uid_map"))
    return next((one.count for one in maps if one.inside == 0), 1)


@record
class UserMaps(Part):
    """The maps of the container's user namespace. Without them everybody inside is ``nobody``.

    The host writes them (a process may map only its own id itself), each in one write, each once.
    """

    stage = "users"

    uids: tuple[Mapping, ...]
    gids: tuple[Mapping, ...]
    deny_setgroups: bool

    def attach(self, pid: int) -> None:
        # lab 1.2: who is root inside
        text = {"uid_map": _lines(self.uids), "gid_map": _lines(self.gids)}
        with hints(_HINTS):
            if self.deny_setgroups:
                why = "an unprivileged map is accepted only if nobody inside can drop a group"
                files.write(f"/proc/{pid}/setgroups", "deny", why=why)
            files.write(f"/proc/{pid}/uid_map", text["uid_map"], why="who root inside is outside")
            files.write(f"/proc/{pid}/gid_map", text["gid_map"], why="the same for groups")
        # end lab

    def enter(self) -> None:
        if become(_first(self.uids), _first(self.gids)):
            # Nobody else is in here yet, so nobody is kept out by it.
            why = "a change of user closed our files in /proc; open them again (proc(5))"
            syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1, why=why)


def _first(mappings: tuple[Mapping, ...]) -> int:
    """Root, if the map has a root; else the first id that it has."""
    return min(mapping.inside for mapping in mappings)


def become(uid: int, gid: int) -> bool:
    """Take ids that the user namespace we are in knows: ids without a map are nobody's.

    True if the user id changed.
    """
    why = "be somebody of this user namespace: an id without a map has no name inside"
    if os.getgid() != gid:
        syscalls.setresgid(gid, gid, gid, why=why)
    if os.getuid() == uid:
        return False
    syscalls.setresuid(uid, uid, uid, why=why)
    return True


def parse_map(text: str) -> tuple[Mapping, ...]:
    """What ``/proc/PID/uid_map`` or ``gid_map`` says, one map in each line::

        0       1000          1

    Ids outside are told as the reader's own user namespace knows them.
    """
    return tuple(Mapping(*map(int, line.split())) for line in text.splitlines())


_HINTS = {
    errno.EPERM: "Without root you may map only your own id: 0:UID, and not another user's",
    errno.EINVAL: "Maps may not overlap, COUNT must be at least 1, an id at most 4294967294",
}


def _lines(mappings: tuple[Mapping, ...]) -> str:
    return "\n".join(f"{m.inside} {m.outside} {m.count}" for m in mappings)
