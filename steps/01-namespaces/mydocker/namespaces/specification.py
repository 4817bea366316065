"""What is asked of a container's namespaces, as data; and the parts that make it so."""

from mydocker.container.parts import Part
from mydocker.kernel import syscalls
from mydocker.kernel.records import record
from mydocker.namespaces.kinds import KINDS, LATER, flags_of
from mydocker.namespaces.parts import (
    CgroupView,
    Clocks,
    FreshProc,
    HostName,
    Loopback,
    PrivateMounts,
)
from mydocker.namespaces.users import Mapping, UserMaps

OWN, HOST, SHARED = "", "host", "container:"
ALL = tuple(kind.option for kind in KINDS)
WITHOUT_USERS = tuple(name for name in ALL if name != "user")  # what Docker gives by default


@record
class Namespaces:
    """``new`` are the kinds (options of ``kinds.KINDS``) that the container gets of its own.

    ``hostname``: "" for the beginning of its id. ``uid_mappings`` and ``gid_mappings`` are those of
    a new user namespace, in which nobody can drop a group with ``deny_setgroups``. ``boottime`` and
    ``monotonic``: seconds by which the clocks of a new time namespace are moved. ``pid``, ``ipc``
    and ``uts`` say whose namespace a kind is that is not new: "host", or "container:NAME".
    """

    new: tuple[str, ...] = WITHOUT_USERS
    hostname: str = ""
    domainname: str = ""
    uid_mappings: tuple[Mapping, ...] = ()
    gid_mappings: tuple[Mapping, ...] = ()
    deny_setgroups: bool = False
    boottime: int = 0
    monotonic: int = 0
    pid: str = OWN
    ipc: str = OWN
    uts: str = OWN

    @property
    def flags(self) -> int:
        """The CLONE_NEW* flags of the new ones."""
        return flags_of(set(self.new))

    @property
    def clone_flags(self) -> int:
        """What of them clone3(2) makes; the rest is made by parts, inside."""
        return self.flags & ~LATER

    def name(self, identifier: str) -> str:
        """The host name of the container with this id."""
        return self.hostname or identifier[:12]


def namespace_parts(asked: Namespaces, identifier: str) -> list[Part]:
    """The parts that new namespaces need inside. Raises Failure for what cannot be."""
    flags = asked.flags
    made: list[Part] = []
    if flags & syscalls.CLONE_NEWUSER:
        made.append(UserMaps(asked.uid_mappings, asked.gid_mappings, asked.deny_setgroups))
    if flags & syscalls.CLONE_NEWNS:
        made.append(PrivateMounts())
    if flags & syscalls.CLONE_NEWCGROUP:
        made.append(CgroupView())
    if flags & syscalls.CLONE_NEWUTS:
        made.append(HostName(asked.name(identifier), asked.domainname))
    if flags & syscalls.CLONE_NEWNET:
        made.append(Loopback())
    if flags & syscalls.CLONE_NEWTIME:
        made.append(Clocks(asked.boottime, asked.monotonic))
    return made


def proc_parts(asked: Namespaces) -> list[Part]:
    """A fresh /proc if there are both a PID and a mount namespace: without the latter it would be
    mounted over the reader's own. For a container that keeps the host's files."""
    both = syscalls.CLONE_NEWPID | syscalls.CLONE_NEWNS
    return [FreshProc()] if asked.flags & both == both else []
