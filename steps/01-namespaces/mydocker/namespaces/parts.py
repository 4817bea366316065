"""The parts that namespaces need: what has to be done inside a new one before it is of use."""

import errno
import os

from mydocker.container.parts import Part
from mydocker.kernel import files, loopback, syscalls
from mydocker.kernel.errors import Invalid, hints
from mydocker.kernel.records import record

_HOST_NAME_MAX = 64  # bytes, sethostname(2)


@record
class PrivateMounts(Part):
    """First of all in a mount namespace: what is mounted inside stays inside.

    A new mount namespace is a copy, and on most machines its mounts are *shared* with the original
    (mount_namespaces(7)): without this, mounting /proc here would mount it over the reader's own.
    """

    stage = "mounts"

    def enter(self) -> None:
        # lab 1.1: mounts of its own
        flags = syscalls.MS_REC | syscalls.MS_PRIVATE
        syscalls.mount("none", "/", None, flags, why="mounts made here must not reach the host")
        # end lab


@record
class HostName(Part):
    """Host name, and NIS domain name if there is one, of a UTS namespace (uts_namespaces(7))."""

    stage = "names"

    name: str
    domain: str = ""

    def __post_init__(self) -> None:
        for name in (self.name, self.domain):
            if len(os.fsencode(name)) > _HOST_NAME_MAX or "\0" in name:
                hint = f"The kernel takes at most {_HOST_NAME_MAX} bytes"
                raise Invalid(f"host name {name!r}: too long", hint)

    def enter(self) -> None:
        syscalls.sethostname(self.name, why="the machine's name, as the container shall see it")
        if self.domain:
            syscalls.setdomainname(self.domain, why="and the domain's")


@record
class FreshProc(Part):
    """A /proc for a new PID namespace: one made outside goes on showing the host's processes."""

    stage = "proc"

    def enter(self) -> None:
        # lab 1.1: mounts of its own
        flags = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
        hint = (
            "A user namespace may mount /proc only where nothing covers parts of the host's /proc"
        )
        with hints({errno.EPERM: hint}):
            why = "/proc shows the processes of the PID namespace that it was mounted in"
            syscalls.mount("proc", "/proc", "proc", flags, why=why)
        # end lab


@record
class Loopback(Part):
    """A new network namespace has one link, lo, and it is down: even 127.0.0.1 does not answer."""

    stage = "links"

    def enter(self) -> None:
        loopback.set_up("lo", why="127.0.0.1 answers only when lo is up")


@record
class CgroupView(Part):
    """A cgroup namespace: the group that the process is in now becomes its ``/``."""

    stage = "cgroup view"

    def enter(self) -> None:
        why = "the group that we are in now looks like the root of the tree"
        with hints({errno.EINVAL: "Cgroup namespaces came with Linux 4.6"}):
            syscalls.unshare(syscalls.CLONE_NEWCGROUP, why=why)


@record
class Clocks(Part):
    """A time namespace: the boot-time and monotonic clocks, moved by whole seconds.

    The offsets can be written only before a process is in the namespace, and unshare(2) leaves its
    caller outside: so make it, write, and then join it (time_namespaces(7)).
    """

    stage = "clocks"

    boottime: int = 0
    monotonic: int = 0

    def enter(self) -> None:
        # lab 1.6: move the clocks
        with hints({errno.EINVAL: "Time namespaces came with Linux 5.6; this kernel has none"}):
            syscalls.unshare(syscalls.CLONE_NEWTIME, why="new clocks, for our next child")
        for clock, offset in (("monotonic", self.monotonic), ("boottime", self.boottime)):
            if offset:
                with hints(_CLOCK_HINTS):
                    text = f"{clock} {offset} 0"
                    files.write(
                        "/proc/self/timens_offsets", text, why=f"move {clock} by {offset} s"
                    )
        path = "/proc/self/ns/time_for_children"
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            why = "and not only for our next child: join them"
            syscalls.setns(fd, syscalls.CLONE_NEWTIME, shown=path, why=why)
        finally:
            os.close(fd)
        # end lab


_CLOCK_HINTS = {
    errno.ERANGE: "A clock starts at zero (see /proc/uptime), and ends after 146 years",
    errno.EINVAL: "A clock ends after 146 years",
}
