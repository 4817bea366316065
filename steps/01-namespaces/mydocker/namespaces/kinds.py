"""The eight kinds of namespace (namespaces(7))."""

import os

from mydocker.kernel import syscalls
from mydocker.kernel.records import record


@record
class Kind:
    """``name`` as in ``/proc/PID/ns``; ``option`` of the command line; ``flag`` for clone3(2)."""

    name: str
    option: str
    flag: int
    isolates: str

    def known(self) -> bool:
        """True if this kernel has this kind."""
        return os.path.exists(f"/proc/self/ns/{self.name}")


KINDS = (
    Kind("uts", "uts", syscalls.CLONE_NEWUTS, "host name and NIS domain name"),
    Kind("pid", "pid", syscalls.CLONE_NEWPID, "process ids: the command becomes PID 1"),
    Kind("mnt", "mount", syscalls.CLONE_NEWNS, "mounts: the tree of files"),
    Kind("ipc", "ipc", syscalls.CLONE_NEWIPC, "System V IPC and POSIX message queues"),
    Kind("net", "net", syscalls.CLONE_NEWNET, "links, addresses, routes, firewall, ports"),
    Kind("user", "user", syscalls.CLONE_NEWUSER, "user and group ids, and capabilities"),
    Kind("cgroup", "cgroup", syscalls.CLONE_NEWCGROUP, "the root of the cgroup tree"),
    Kind("time", "time", syscalls.CLONE_NEWTIME, "the boot-time and monotonic clocks"),
)

# These two are not for clone3: a cgroup namespace has as its root the group that its maker is in,
# so the process must be in its own group first; and the offsets of a time namespace can be set
# only while no process is in it.
LATER = syscalls.CLONE_NEWCGROUP | syscalls.CLONE_NEWTIME


def flags_of(options: set[str]) -> int:
    """The CLONE_NEW* flags of kinds named by their options."""
    flags = 0
    for kind in KINDS:
        if kind.option in options:
            flags |= kind.flag
    return flags
