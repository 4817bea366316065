"""Where a process that was created waits for whoever starts it: two FIFOs in its run directory.

The two sides need not be parent and child, nor live at the same time as who made the process: each
knows the directory. ``go`` leads to the process: one line of JSON, as ``{"go": 7}`` (so many
passages were counted before) or just ``{}``, and it becomes the command. With ``"observed": true``
its events are told, too, and ``fault`` is one to arm (``kernel.trace``).
``told`` leads back: lines of JSON as in ``container.channel``, first ``{"going": true}``, then
events, and an error if there is no such command. Both are closed by execve(2), and the end of
``told`` says that it succeeded.

The process opens neither, but has them from its birth: their path leads nowhere once it has another
root, and behind a seccomp filter it may be allowed little more than to read and write.

Man pages: fifo(7), mkfifo(3).
"""

import json
import os
import select
import signal
import stat
from types import FrameType
from typing import Any, NoReturn

from mydocker.container.channel import Channel, encoded
from mydocker.kernel import files
from mydocker.kernel.descriptors import close_all_but

GO, TOLD = "go", "told"
_LINE = select.PIPE_BUF  # bytes that are written whole, or not at all (pipe(7))

# What ends a process that has no handler for it. If it is PID 1, the kernel spares it those
# (pid_namespaces(7)), and nobody could ask it to end as long as it waits.
_ENDING = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    os._exit(128 + number)


class Gate:
    """The waiting side. It is opened by whoever creates the process, which has a copy of it."""

    def __init__(self, directory: str) -> None:
        """Make the FIFOs, in the container's run directory, and open them. Raises KernelError.

        To open one end waits for the other (fifo(7)), but not to open both at once.
        """
        why = {GO: "the process will wait here until it is told to go", TOLD: "and answer here"}
        for name in (GO, TOLD):
            files.mknod(f"{directory}/{name}", stat.S_IFIFO | 0o600, why=why[name])
        both = os.O_RDWR | os.O_CLOEXEC
        self._go = os.open(f"{directory}/{GO}", both)
        self._open = os.open(f"{directory}/{TOLD}", both)
        self._told = os.open(f"{directory}/{TOLD}", os.O_WRONLY | os.O_CLOEXEC)

    def wait(self) -> tuple[dict[str, Any], Channel]:
        """In the process: wait to be told to go. What was told, and the way to answer.

        Everything else that was open is closed: the wait may be long, and who made the process has
        files and pipes that others wait for the end of. A signal meanwhile ends the process.
        """
        close_all_but(self._go, self._open, self._told)
        for number in _ENDING:
            signal.signal(number, _end)
        line = os.read(self._go, _LINE)
        for number in _ENDING:
            signal.signal(number, signal.SIG_DFL)
        os.close(self._go)
        os.close(self._open)  # from now on only the other side reads
        message, answers = json.loads(line), Lines(self._told)
        answers.send({"going": True})
        return message, answers

    def close(self) -> None:
        """On the host: the process has its own copy."""
        for descriptor in (self._go, self._open, self._told):
            os.close(descriptor)


class Lines(Channel):
    """The process's end of ``told``: messages go out, a line each, and none comes in."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def send(self, message: dict[str, Any], descriptor: int | None = None) -> None:
        """Write one message; if nobody reads any more, nothing is said, and it goes on."""
        before = signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        data = memoryview(encoded(message) + b"\n")
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except BrokenPipeError:
            return
        finally:
            signal.signal(signal.SIGPIPE, before)

    def receive(self) -> tuple[dict[str, Any] | None, int | None]:
        """Nothing: who listens does not answer."""
        return None, None

    def broken(self) -> bool:
        """Whether anybody listens does not matter."""
        return False

    def fileno(self) -> int:
        """Its descriptor."""
        return self._descriptor

    def close(self) -> None:
        """Close it."""
        os.close(self._descriptor)
