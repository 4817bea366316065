"""``--net container:NAME``: a container in the network namespace of another one."""

import errno
import os
from dataclasses import dataclass

from mydocker.container.parts import Part
from mydocker.container.processes import Identity
from mydocker.kernel import syscalls
from mydocker.kernel.errors import Failure, hints

_FOREIGN = "Its network belongs to another user namespace: leave --userns out, or share that too"


@dataclass
class SharedNetwork(Part):
    """Joins the network namespace of the process ``pid``, which started at ``start`` (setns(2))."""

    name: str
    pid: int
    start: int

    def prepare(self) -> None:
        """Open the namespace: what is open stays, even if the other container ends now."""
        gone = f"--net container:{self.name}: container {self.name} is not running"
        if not Identity(self.pid, self.start).alive():
            raise Failure(gone, "Start it first")
        try:
            self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            raise Failure(gone, "Start it first") from None

    @property
    def _path(self) -> str:
        return f"/proc/{self.pid}/ns/net"

    def enter(self) -> None:
        why = f"the same links, addresses and ports as {self.name}"
        with hints({errno.EPERM: _FOREIGN}):
            syscalls.setns(self._fd, syscalls.CLONE_NEWNET, why=why, shown=self._path)
        os.close(self._fd)

    def attach(self, pid: int) -> None:
        os.close(self._fd)  # ours; the child has its own copy
