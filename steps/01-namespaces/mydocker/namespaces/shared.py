"""A container in a namespace of another one: ``--net container:NAME``, ``--pid``, ``--ipc``."""

import errno
import os

from mydocker.container.parts import Part
from mydocker.container.processes import Identity
from mydocker.kernel import syscalls
from mydocker.kernel.errors import Conflict, hints
from mydocker.kernel.records import mutable_record
from mydocker.namespaces.kinds import KINDS

_FOREIGN = "It belongs to another user namespace: leave --userns out, or share that too"


@mutable_record
class SharedNamespace(Part):
    """Joins a namespace of the process ``pid``, which started at ``start`` (setns(2)).

    ``kind`` as the kernel names it in ``/proc/PID/ns``; ``name`` is the other container's.
    """

    stage = "shared"

    name: str
    pid: int
    start: int
    kind: str = "net"

    def prepare(self) -> None:
        """Open the namespace: what is open stays, even if the other container ends now."""
        self._fd = self._open(f"ns/{self.kind}", os.O_RDONLY)

    def _open(self, name: str, flags: int) -> int:
        gone = f"--{self.kind} container:{self.name}: container {self.name} is not running"
        if not Identity(self.pid, self.start).alive():
            raise Conflict(gone, "Start it first")
        try:
            return os.open(f"/proc/{self.pid}/{name}", flags | os.O_CLOEXEC)
        except OSError:
            raise Conflict(gone, "Start it first") from None

    def enter(self) -> None:
        flag = next(kind.flag for kind in KINDS if kind.name == self.kind)
        with hints({errno.EPERM: _FOREIGN}):
            shown = f"/proc/{self.pid}/ns/{self.kind}"
            syscalls.setns(self._fd, flag, why=f"the same {self.kind} as {self.name}", shown=shown)
        os.close(self._fd)

    def attach(self, pid: int) -> None:
        os.close(self._fd)  # ours; the child has its own copy


@mutable_record
class SharedPids(SharedNamespace):
    """The PID namespace of another container: the process is born into it."""

    kind: str = "pid"

    def pid_namespace(self) -> tuple[int, str]:
        return self._fd, f"/proc/{self.pid}/ns/pid"

    def enter(self) -> None:
        os.close(self._fd)


@mutable_record
class SharedMemory(SharedNamespace):
    """The IPC namespace of another container, and its /dev/shm, where POSIX shared memory lies.

    That is a mount, and mounts of another mount namespace cannot be bound: so a copy is picked up
    in there (open_tree(2)), and carried home. It is put in its place by :class:`SharedShm`.
    """

    kind: str = "ipc"

    def prepare(self) -> None:
        super().prepare()
        self._mounts = self._open("ns/mnt", os.O_RDONLY)
        self.tree = -1

    def attach(self, pid: int) -> None:
        super().attach(pid)
        os.close(self._mounts)

    def enter(self) -> None:
        super().enter()
        own = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        here = os.open(".", os.O_PATH | os.O_CLOEXEC)
        shown = f"/proc/{self.pid}/ns/mnt"
        why = f"into {self.name}, to fetch its /dev/shm"
        syscalls.setns(self._mounts, syscalls.CLONE_NEWNS, shown=shown, why=why)
        try:
            why = "a copy of the mount, which belongs nowhere yet"
            self.tree = syscalls.open_tree("/dev/shm", syscalls.OPEN_TREE_CLONE, why=why)
        finally:
            why = "and home again"
            syscalls.setns(own, syscalls.CLONE_NEWNS, shown="/proc/self/ns/mnt", why=why)
            os.fchdir(here)
            for fd in (own, here, self._mounts):
                os.close(fd)


@mutable_record
class HostMemory(Part):
    """``--ipc host``: the host's /dev/shm, picked up before the root changes."""

    stage = "shared"

    name: str = "the host"

    def enter(self) -> None:
        why = "a copy of the mount, which belongs nowhere yet"
        self.tree = syscalls.open_tree("/dev/shm", syscalls.OPEN_TREE_CLONE, why=why)


@mutable_record
class SharedShm(Part):
    """Enters after the root: the memory that ``source`` fetched comes to lie on /dev/shm."""

    stage = "memory"

    source: SharedMemory | HostMemory

    def enter(self) -> None:
        why = f"the same /dev/shm as {self.source.name}"
        syscalls.move_mount(self.source.tree, "/dev/shm", why=why)
        os.close(self.source.tree)
