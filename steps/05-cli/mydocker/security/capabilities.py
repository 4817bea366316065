"""Capabilities: root's power in 41 pieces, of which a container gets fourteen (capabilities(7)).

A process has five sets. *Permitted* is what it may use and *effective* what it uses now.
*Inheritable* and *ambient* pass powers on through an exec for users other than root; both are
empty in a container. *Bounding* is the ceiling: what is missing there, no exec can give back, not
even one of a set-user-ID program of root's. So the ceiling is the one that has to be lowered;
without that, ``su`` in the container would have all powers again.

Numbers: <linux/capability.h>. Both system calls that change the sets can only take away.
"""

import os
from collections.abc import Iterable

from mydocker.container.parts import Part
from mydocker.kernel import syscalls
from mydocker.kernel.errors import Invalid

# In the order of their numbers
_IN_ORDER = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP "
    "LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER "
    "SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE "
    "SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP "
    "MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF "
    "CHECKPOINT_RESTORE"
)
NAMES = tuple(f"CAP_{name}" for name in _IN_ORDER.split())
# Docker's: enough to install packages and run servers as root, and nothing that reaches the kernel
# itself, its devices, other processes' memory, or the configuration of the network.
_DOCKERS = (
    "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP "
    "NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE"
)
DEFAULT = frozenset(f"CAP_{name}" for name in _DOCKERS.split())
ALL = "ALL"


def parse(option: str, text: str) -> str:
    """The full name of a capability, ``CAP_NET_ADMIN`` for ``net_admin``, or ``ALL``.

    Raises Failure, with the ``option`` that it came from, for a name that is none.
    """
    name = text.upper().removeprefix("CAP_")
    if name == ALL:
        return ALL
    if f"CAP_{name}" not in NAMES:
        hint = "Names are those of capabilities(7), with or without CAP_, or ALL"
        raise Invalid(f"{option} {text}: unknown capability", hint)
    return f"CAP_{name}"


def chosen(add: Iterable[str], drop: Iterable[str]) -> frozenset[str]:
    """The container's capabilities: the default ones, and ``add``, without ``drop``.

    As Docker: what is named wins over ALL, so that ``add`` ALL and ``drop`` X is all but X, and
    ``drop`` ALL and ``add`` X is X alone. Raises Failure for an unknown name.
    """
    # lab 5.5: root's power in pieces
    adding = {parse("--cap-add", text) for text in add}
    dropping = {parse("--cap-drop", text) for text in drop}
    if ALL in adding:
        return frozenset(NAMES) - dropping
    if ALL in dropping:
        return frozenset(adding)
    return (DEFAULT - dropping) | adding
    # end lab


def mask(names: Iterable[str]) -> int:
    """The set as the kernel writes it: one bit for each number."""
    return sum(1 << NAMES.index(name) for name in set(names))


def named(bits: int) -> tuple[str, ...]:
    """The names in a set of the kernel; a capability that is younger than this book is a number."""
    numbers = [number for number in range(64) if bits >> number & 1]
    return tuple(NAMES[n] if n < len(NAMES) else f"CAP_{n}" for n in numbers)


class KeepCapabilities(Part):
    """Inside, before the user changes: root's permitted set survives the change (prctl(2)).

    Otherwise nothing would be left to install the seccomp filter and lower the ceiling with, and
    both come after it: the filter may well forbid what a change of user needs.
    """

    stage = "keys"

    def enter(self) -> None:
        why = "the change of user would take away what we need for the last steps"
        syscalls.prctl(syscalls.PR_SET_KEEPCAPS, 1, why=why)


class Ceiling(Part):
    """Inside, after the user changed: nothing above ``names`` can ever be had again.

    First the powers that we have become effective again (the change of user left them in the
    permitted set only); :class:`Capabilities` then leaves the command its own.
    """

    stage = "powers"

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names

    def enter(self) -> None:
        _, permitted, _ = syscalls.capget()
        why = "effective again after the change of user, for the last steps"
        syscalls.capset(permitted, permitted, 0, why=why)
        every = named((2 << syscalls.last_capability()) - 1)
        dropped = [number for number, name in enumerate(every) if name not in self.names]
        why = "no program started from here can get these back"
        syscalls.capbset_drop(dropped, names=[every[number] for number in dropped], why=why)


class Capabilities(Part):
    """Inside, as the very last: keep ``names`` of what we have; another user than root, nothing.

    What we do not have ourselves cannot be given, as on a machine that is a container already.
    """

    stage = "powers"

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names

    def enter(self) -> None:
        _, permitted, _ = syscalls.capget()
        left = permitted & mask(self.names) if os.geteuid() == 0 else 0
        why = "the command's powers, and none to inherit"
        syscalls.capset(left, left, 0, why=why)
