"""Between *created* and *started*: the process is all that it shall be, and waits.

``create`` makes the process and ends; ``start``, another process, maybe days later, says go. The
two meet at a FIFO (fifo(7)). The process opens it at both ends, so that opening does not wait, and
reads; ``start`` opens it to write, which the kernel refuses if nobody reads: then it has ended.
"""

import errno
import os
import signal
import stat
from types import FrameType
from typing import NoReturn

from mydocker.container.parts import Part
from mydocker.kernel import files, signals, trace
from mydocker.kernel.errors import Failure, KernelError
from mydocker.kernel.records import mutable_record

# What ends a process that has no handler. One that is PID 1 would not even notice: the kernel
# spares it the signals that it has no handler for (pid_namespaces(7)).
_ENDING = (
    signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2,
)  # fmt: skip


@mutable_record
class Gate(Part):
    """The FIFO ``path``, made on the host, opened by the process while it sees the host's files."""

    stage = "guard"

    path: str
    descriptor: int = -1

    def prepare(self) -> None:
        why = "where the process waits until somebody starts it"
        files.mknod(self.path, stat.S_IFIFO | 0o600, why=why)

    def reach(self) -> None:
        self.descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)

    def wait(self) -> None:
        """Return when somebody has said go. A signal meanwhile ends the process."""
        for number in _ENDING:
            signal.signal(number, _end)
        os.read(self.descriptor, 1)
        os.close(self.descriptor)
        signals.as_in_a_new_program()


def _end(number: int, frame: FrameType | None) -> NoReturn:
    os._exit(128 + number)


def open_gate(path: str) -> None:
    """Say go. Raises Failure if nobody waits there."""
    try:
        trace.request(
            "write", (path, "0"), "the process goes on, and becomes its command", _go, path
        )
    except KernelError as error:
        if error.errno in (errno.ENXIO, errno.ENOENT):
            raise Failure("cannot start a container that has stopped") from None
        raise


def _go(path: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.unlink(path)  # first: who sees it gone knows that it was started
        os.write(fd, b"0")
    finally:
        os.close(fd)
