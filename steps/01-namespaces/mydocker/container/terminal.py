"""A terminal for the container, and the reader's terminal joined to it (pty(7), tty_ioctl(4)).

The container gets a terminal of its own, from its own devpts, and a session of its own, so that
its shell can do job control. On the host the reader's terminal is switched to raw mode: every key,
Ctrl-C and Ctrl-Z too, is a byte for the container, and its terminal makes the signal out of it.
"""

import errno
import fcntl
import os
import select
import signal
from types import FrameType

from mydocker.kernel import signals, trace
from mydocker.kernel.errors import by_errno

# Here, as inside there may be no termios to import from, and most containers have no terminal
_TIOCSCTTY, _TIOCGWINSZ, _TIOCSWINSZ = 0x540E, 0x5413, 0x5414
_TIOCSPTLCK = 0x40045431  # unlock the slave (ioctl_tty(2))
_TIOCGPTPEER = 0x5441  # open the slave without its path: right whichever devpts it is on
_CHUNK = 65536


def open_pair() -> tuple[int, int]:
    """``(master, slave)`` of a new terminal of the devpts mounted here; else raises Failure."""
    try:
        master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        fcntl.ioctl(master, _TIOCSPTLCK, b"\0\0\0\0")
        slave = fcntl.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY)
    except OSError as error:
        hint = "The container's /dev needs a devpts with its ptmx; without one, leave -t out"
        raise by_errno(error.errno)(f'open("/dev/ptmx"): {error.strerror}', hint) from None
    return master, slave


def become_controlling(slave: int) -> None:
    """Make ``slave`` the controlling terminal of this new session, and its standard streams."""
    why = "the session's terminal: Ctrl-C typed there becomes SIGINT here"
    trace.request("ioctl", ("TIOCSCTTY",), why, fcntl.ioctl, slave, _TIOCSCTTY, 0)
    for stream in (0, 1, 2):
        os.dup2(slave, stream)


def copy_size(source: int, target: int) -> None:
    """Give the window size of one terminal to another; its foreground group gets SIGWINCH."""
    try:
        size = fcntl.ioctl(source, _TIOCGWINSZ, b"\0" * 8)
        fcntl.ioctl(target, _TIOCSWINSZ, size)
    except OSError:
        return  # not a terminal: there is no size to copy


def set_size(target: int, rows: int, columns: int) -> None:
    """Give a terminal this window size, in characters (TIOCSWINSZ(2const)); 65535 is the most."""
    size = b"".join(min(number, 0xFFFF).to_bytes(2, "little") for number in (rows, columns, 0, 0))
    fcntl.ioctl(target, _TIOCSWINSZ, size)


def copy_size_of_reader(target: int) -> None:
    """Give ``target`` the size of the reader's window, which any standard stream may lead to."""
    for stream in (0, 1, 2):
        if os.isatty(stream):
            copy_size(stream, target)
            return


def relay(master: int, pidfd: int, keyboard: bool) -> None:
    """Carry bytes between the reader's terminal and ``master`` until ``pidfd``'s process ends.

    ``keyboard``: hand on standard input too (Docker's ``-i``). The reader's terminal is in raw mode
    meanwhile, and is put back whatever happens.
    """
    import termios
    import tty

    raw = keyboard and os.isatty(0)
    before = termios.tcgetattr(0) if raw else None

    def resize(number: int, frame: FrameType | None) -> None:
        copy_size_of_reader(master)

    heard = signals.for_us()
    previous = signal.signal(signal.SIGWINCH, resize) if heard else None
    copy_size_of_reader(master)  # it may have changed since the container's side copied it
    try:
        if raw:
            tty.setraw(0, termios.TCSANOW)
        with signals.Poll() as poll:
            _carry(poll, master, pidfd, keyboard)
    finally:
        if before is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, before)
        if heard:
            signal.signal(signal.SIGWINCH, previous)


def _carry(poll: signals.Poll, master: int, pidfd: int, keyboard: bool) -> None:
    """The loop of :func:`relay`. What the container does not read yet waits here, so that it never
    blocks us: a container that reads nothing can still write."""
    os.set_blocking(master, False)
    waiting = b""
    poll.register(pidfd, select.POLLIN)
    if keyboard:
        poll.register(0, select.POLLIN)
    while True:
        poll.register(master, select.POLLIN | (select.POLLOUT if waiting else 0))
        ready = poll.wait()
        if ready.get(master, 0) & (select.POLLIN | select.POLLHUP) and not _show(master):
            poll.unregister(master)  # the last process with the slave closed it
            signals.ready(pidfd)
            return
        if ready.get(master, 0) & select.POLLOUT:
            waiting = waiting[_hand_over(master, waiting) :]
        if 0 in ready:
            typed = _typed()
            if not typed:
                poll.unregister(0)
            waiting += typed or b"\x04"  # the end of a file is Ctrl-D on a terminal
        if pidfd in ready:
            while _show(master):
                continue
            return


def _typed() -> bytes:
    """What the reader typed; nothing if there will be no more."""
    try:
        return os.read(0, _CHUNK)
    except OSError:  # EIO: the reader's window was closed
        return b""


def _hand_over(master: int, data: bytes) -> int:
    """Write what the container's terminal takes now; how much that was."""
    try:
        return os.write(master, data)
    except BlockingIOError:
        return 0
    except OSError:  # EIO: no process has the slave open any more, so nobody will read it
        return len(data)


def _show(master: int) -> bool:
    """Print what the container wrote; False if there is nothing more."""
    try:
        data = os.read(master, _CHUNK)
    except BlockingIOError:
        return False
    except OSError:  # EIO: no process has the slave open any more
        return False
    _print(data)
    return True


def _print(data: bytes) -> None:
    """Write all of ``data`` to standard output. Raises BrokenPipeError if nobody reads it."""
    try:
        signals.write(1, data)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        raise BrokenPipeError from None  # the reader's window was closed
