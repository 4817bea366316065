"""Wait, and lose no signal meanwhile (signal(7), signal-safety(7), poll(2), pidfd_open(2)).

The kernel calls a handler that is written in C, at once. Python's own only notes the number; the
handler in Python runs between two steps of the program. So a signal that comes after the last step
and before the system call that waits is noted, and forgotten until something else ends that call:
waitpid(2) of a container that runs for a year.

Hence nobody here waits for one thing alone. The handler in C also writes a byte into a pipe
(``signal.set_wakeup_fd``), and poll(2) watches that pipe beside what it waits for: the byte is
there, whether the signal came during the call or before it. Whatever cannot be polled becomes
something that can: a process is a pidfd, and for a lock a child waits.

Nothing is left behind: the pipe lasts as long as the wait, and what a caller had set, an event loop
for example, is set again and told what came. Signals are for the main thread; in others these
functions just wait.
"""

import _signal  # type: ignore[import-not-found]  # signal makes an enumeration of each number
import fcntl
import os
import select
import time
from types import TracebackType

_AT_ONCE = 4096  # PIPE_BUF: so much a pipe takes without waiting once it takes anything (pipe(7))
_IGNORED = (_signal.SIGPIPE, _signal.SIGXFSZ)  # by Python, from its start


class Poll:
    """poll(2), which a signal ends too, also one that came just before. Use it by ``with``."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self.register = self._poll.register
        self.unregister = self._poll.unregister
        self._pipe = (-1, -1)
        self._before = -1
        self._heard = b""

    def __enter__(self) -> "Poll":
        self._pipe = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            self._before = _signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)
        except ValueError:  # not the main thread: no handler runs here
            self._close()
        else:
            self._poll.register(self._pipe[0], select.POLLIN)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._pipe[0] < 0:
            return
        _signal.set_wakeup_fd(self._before, warn_on_full_buffer=False)
        self._listen()
        self._close()
        if self._before >= 0 and self._heard:
            try:
                os.write(self._before, self._heard)
            except OSError:
                return  # it is full, or closed: as a signal itself would find it

    def _close(self) -> None:
        for descriptor in self._pipe:
            os.close(descriptor)
        self._pipe = (-1, -1)

    def _listen(self) -> None:
        """Empty the pipe."""
        try:
            while data := os.read(self._pipe[0], 4096):
                self._heard = (self._heard + data)[-4096:]
        except BlockingIOError:
            return

    def wait(self, seconds: float | None = None) -> dict[int, int]:
        """The events of each descriptor that is ready; none after ``seconds``, or for a signal.

        The signal's handler has run, or runs before the caller's next step.
        """
        limit = None if seconds is None else max(0.0, seconds) * 1000
        ready = dict(self._poll.poll(limit))
        if ready.pop(self._pipe[0], 0):
            self._listen()
        return ready


def ready(descriptor: int, seconds: float | None = None, events: int = select.POLLIN) -> bool:
    """Wait until ``descriptor`` can be read from (or ``events``); False after ``seconds``."""
    until = None if seconds is None else time.monotonic() + seconds
    with Poll() as poll:
        poll.register(descriptor, events)
        while True:
            left = None if until is None else until - time.monotonic()
            if poll.wait(left):
                return True
            if left is not None and left <= 0:
                return False


def pause(seconds: float) -> None:
    """Let time pass, as time.sleep does."""
    until = time.monotonic() + seconds
    with Poll() as poll:
        while (left := until - time.monotonic()) > 0:
            poll.wait(left)


def reap(pid: int, pidfd: int = -1) -> int:
    """Wait for the end of our child ``pid``: its wait status, as of waitpid(2)."""
    opened = os.pidfd_open(pid) if pidfd < 0 else pidfd
    try:
        ready(opened)
    finally:
        if pidfd < 0:
            os.close(opened)
    return os.waitpid(pid, 0)[1]


_outliving: list[int] = []


def outlives(child: int) -> None:
    """Our child goes on when the call that made it has returned: :func:`collect` waits for it."""
    _outliving.append(child)


def collect() -> None:
    """Take away those of the children that :func:`outlives` was told of who have ended.

    For a program that lives long: each of them would stay a zombie. No call waits for them.
    """
    for child in tuple(_outliving):
        try:
            ended = os.waitpid(child, os.WNOHANG)[0]
        except ChildProcessError:  # another's: we are its copy, or somebody has waited for it
            ended = child
        if ended and child in _outliving:
            _outliving.remove(child)


def lock(descriptor: int) -> None:
    """Hold flock(2) on an open file: exclusive, after all those who asked for it before us.

    Nothing tells poll(2) that a lock is free. So a child waits for it in our place: the lock is not
    a process's but that of the open file, which is the same for both.
    """
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not _heard():
                return fcntl.flock(descriptor, fcntl.LOCK_EX)
        if _lock_by_a_child(descriptor):
            return None


def for_us() -> bool:
    """Is this the main thread, in which handlers run and, alone, may be set?"""
    try:
        _signal.set_wakeup_fd(_signal.set_wakeup_fd(-1))
    except ValueError:
        return False
    return True


def _heard() -> bool:
    """True if a handler in Python may have to run, in this thread."""
    return for_us() and any(
        callable(_signal.getsignal(number)) for number in _signal.valid_signals()
    )


def _lock_by_a_child(descriptor: int) -> bool:
    """False if the child was killed before it had the lock."""
    child = os.fork()
    if child == 0:
        try:
            as_in_a_new_program()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            os._exit(0)
        finally:
            os._exit(1)
    pidfd = os.pidfd_open(child)
    try:
        ready(pidfd)
    except BaseException:
        _signal.pidfd_send_signal(pidfd, _signal.SIGKILL)
        raise
    finally:
        os.close(pidfd)
        status = os.waitpid(child, 0)[1]
    return status == 0


def read(descriptor: int, size: int) -> bytes:
    """Read at most ``size`` bytes, as soon as there are any; none at the end."""
    ready(descriptor)
    return os.read(descriptor, size)


def write(descriptor: int, data: bytes) -> None:
    """Write all of ``data``; waits for a reader who is slow."""
    with Poll() as poll:
        poll.register(descriptor, select.POLLOUT)
        while data:
            if not poll.wait():
                continue
            try:
                data = data[os.write(descriptor, data[:_AT_ONCE]) :]
            except BlockingIOError:  # a descriptor that our caller made non-blocking
                continue


def as_in_a_new_program() -> None:
    """Every signal as it is for a new program, whatever Python, we and our caller did to it.

    For a child, before it goes its own way: a handler or a pipe of its parent is none of its own.
    What is ignored or blocked stays so through execve(2): a shell would not die of SIGPIPE, which
    Python ignores, nor of a SIGINT that a script ignores for its background jobs. Unblocked last:
    what came while the child was made must not meet a handler of its parent.
    """
    _settle(_signal.valid_signals() - {_signal.SIGKILL, _signal.SIGSTOP})


def as_in_a_new_python() -> None:
    """The same for a child that goes on in Python, which takes an error in place of SIGPIPE."""
    for number in _IGNORED:
        _signal.signal(number, _signal.SIG_IGN)
    _settle(_signal.valid_signals() - {_signal.SIGKILL, _signal.SIGSTOP, *_IGNORED})


def _settle(numbers: set[int]) -> None:
    _signal.set_wakeup_fd(-1)
    for number in numbers:
        if _signal.getsignal(number) != _signal.SIG_DFL:
            _signal.signal(number, _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
