"""``--sysctl NAME=VALUE``: switches of the kernel that each namespace has for itself (sysctl(8)).

Most of ``/proc/sys`` is the whole machine's and stays read-only. The switches of a network or IPC
namespace are the container's own, and whose a file there is, the kernel decides by who writes: the
process is in its namespaces already, and still sees the host's writable ``/proc``.
"""

import errno
import os
from collections.abc import Iterable

from mydocker.container.parts import Part
from mydocker.kernel import files
from mydocker.kernel.errors import Invalid, KernelError, hints

# ipc_namespaces(7)
_IPC = frozenset(
    f"kernel.{name}"
    for name in ("msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni",
                 "shm_rmid_forced")
)  # fmt: skip
_OF_UTS = ("kernel.domainname", "kernel.hostname")
_QUEUES = "fs.mqueue."
_NETWORK = "net."

# Docker's own: root of the container could have both anyway, and nobody else gets at another's
# ports or packets by it, for they are the container's own.
DEFAULT = (
    ("net.ipv4.ip_unprivileged_port_start", "0"),
    ("net.ipv4.ping_group_range", "0 2147483647"),
)

_HINTS = {
    errno.ENOENT: "This kernel has no such switch, or not one for each namespace",
    errno.EINVAL: "The switch does not take this value",
    errno.EACCES: "It belongs to the whole machine",
    errno.EPERM: "It belongs to the whole machine",
    errno.EROFS: "Nobody may write to /proc/sys here: is this a container already?",
}


def parse(texts: Iterable[str]) -> dict[str, str]:
    """Name and value of each text. Raises Failure for what belongs to the whole machine."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name or "\0" in text or "\n" in text:
            raise Invalid(f"--sysctl {text}: not a setting", "Write NAME=VALUE")
        if not _is_of_namespace(name):
            hint = (
                "Only what a namespace has of its own: net.*, fs.mqueue.*, kernel.shm*, msg*, sem"
            )
            raise Invalid(f"--sysctl {text}: sysctl '{name}' is not allowed", hint)
        found[name] = value
    return found


def _is_of_namespace(name: str) -> bool:
    """False too for a name with ``..`` in its path, written as ``//``: it would lead elsewhere."""
    known = name in _IPC or name.startswith((_QUEUES, _NETWORK))
    return known and os.path.normpath(path(name)) == path(name)


def namespace_of(name: str) -> str:
    """The kind of namespace (its name in ``namespaces.kinds``) that has the switch for itself; ""
    for one of the whole machine."""
    if name in _OF_UTS:
        return "uts"
    if not _is_of_namespace(name):
        return ""
    return "net" if name.startswith(_NETWORK) else "ipc"


def of_network(settings: Iterable[str]) -> tuple[str, ...]:
    """Those of the names ``settings`` that belong to a network namespace."""
    return tuple(name for name in settings if name.startswith(_NETWORK))


def path(name: str) -> str:
    """``net.ipv4.conf.eth0/1.forwarding`` → ``/proc/sys/net/ipv4/conf/eth0.1/forwarding``."""
    return "/proc/sys/" + name.translate(str.maketrans("./", "/."))


class Sysctls(Part):
    """Inside the new namespaces, before the container's root, where /proc/sys is read-only."""

    stage = "sysctls"

    def __init__(self, settings: tuple[tuple[str, str], ...]) -> None:
        self.settings = settings

    def enter(self) -> None:
        with hints(_HINTS):
            for name, value in self.settings:
                try:
                    files.write(path(name), value, why="a switch of its own namespace")
                except KernelError as error:
                    # Where we are in a container ourselves; nobody asked for the defaults
                    if error.errno != errno.EROFS or (name, value) not in DEFAULT:
                        raise
