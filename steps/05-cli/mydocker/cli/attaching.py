"""Join the reader's terminal, or streams, to a container: ``attach``, ``run``, ``start -a``."""

import _socket
import fcntl
import json
import os
import select
import signal
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from mydocker.container.channel import event_of
from mydocker.container.exit_codes import NotATerminal
from mydocker.container.running import FORWARDED
from mydocker.engine.connection import End, parse_end
from mydocker.engine.monitor.supervisor import READS, TYPES
from mydocker.kernel import signals, trace
from mydocker.kernel.errors import Invalid
from mydocker.kernel.records import record

_CHUNK = 32 << 10
_SILENCE = 2.0  # seconds


@record
class Manner:
    """``input`` hand on what is typed, ``terminal`` it has one of its own, ``keys`` to leave it,
    ``signals`` hand on the signals that we get."""

    input: bool
    terminal: bool
    keys: bytes = b"\x10\x11"
    signals: bool = True


def parse_keys(written: str) -> bytes:
    """``ctrl-p,ctrl-q`` or ``a,b`` as the bytes that these keys send. Raises Invalid."""
    found = bytearray()
    for word in written.split(",") if written else []:
        key = word[5:] if word.startswith("ctrl-") else word
        if len(key) != 1 or not key.isascii():
            raise Invalid(f"invalid detach keys ({written}) provided", "As ctrl-p,ctrl-q or a,b")
        if word == key:
            found += key.encode()
        elif key.isalpha() or key in "@[\\]^_":
            found.append(ord(key.upper()) & 0x1F)
        else:
            raise Invalid(f"invalid detach keys ({written}) provided", "ctrl- and a to z, @[\\]^_")
    return bytes(found)


def greet(socket: _socket.socket, manner: Manner) -> None:
    """Tell the monitor, on a fresh connection, what we came for."""
    socket.send(b"a" + bytes([READS | (TYPES if manner.input else 0)]))


def check_input(input_: bool, terminal: bool) -> None:
    """Raise NotATerminal if a terminal is to be joined to an input that is none."""
    if input_ and terminal and not os.isatty(0):
        raise NotATerminal("Leave -t out when input comes from a pipe")


class Attachment:
    """One reader at one container."""

    def __init__(
        self, socket: _socket.socket, manner: Manner, alive: Callable[[], bool] = lambda: True
    ) -> None:
        """``alive``: is there somebody who would speak? Asked when the other end is silent."""
        self.socket = socket
        self.manner = manner
        self.alive = alive
        self._typed = b""  # the beginning of the detach keys
        self._waiting: list[bytes] = []  # what was typed, and the monitor does not take yet
        self._urgent: list[bytes] = []  # signals, and the window's sizes, likewise
        self._input = manner.input

    def run(self) -> End | None:
        """Carry bytes until the container ends; None if the reader left it before that."""
        with signals.Poll() as poll, _proxied(self), _raw(self.manner):
            if self.manner.terminal:
                self._resize()
            while True:
                self._watch(poll)
                ready = poll.wait(_SILENCE)
                if not ready and not self.alive():
                    return End(137, ("the monitor of the container does not answer",))
                if ready.get(self.socket.fileno(), 0) & select.POLLOUT:
                    self._flush()
                if ready.get(self.socket.fileno(), 0) & ~select.POLLOUT:
                    data = self.socket.recv(_CHUNK + 1)
                    if not data:
                        return End(137, ("the monitor of the container was killed",))
                    if data[:1] == b"x":
                        return parse_end(data[1:])
                    _show(data[:1], data[1:])
                if 0 in ready and not self._hand_on():
                    return None

    def _watch(self, poll: signals.Poll) -> None:
        """More is read from the reader when the monitor has taken what there was."""
        more = select.POLLOUT if self._waiting or self._urgent else 0
        poll.register(self.socket.fileno(), select.POLLIN | more)
        if self._input and not self._waiting:
            poll.register(0, select.POLLIN)
        elif self.manner.input:
            with suppress(KeyError):
                poll.unregister(0)

    def _hand_on(self) -> bool:
        """Hand on what was typed; False if it was the detach keys."""
        try:
            data = os.read(0, _CHUNK)
        except OSError:  # EIO: the reader's window was closed
            data = b""
        if not data:
            self._input = False
            self._send(b"c")
            return True
        if not self.manner.terminal or not self.manner.keys:
            self._send(b"i" + data)
            return True
        text = self._typed + data
        if self.manner.keys in text:
            return False
        # The beginning of the keys waits until it is known whether the rest follows.
        held = next(n for n in range(len(self.manner.keys) - 1, -1, -1)
                    if not n or text.endswith(self.manner.keys[:n]))  # fmt: skip
        self._typed = text[len(text) - held :]
        if ready := text[: len(text) - held]:
            self._send(b"i" + ready)
        return True

    def _send(self, packet: bytes) -> None:
        """Send a packet, or keep it: a container that reads nothing must not keep us waiting."""
        self._waiting.append(packet)
        self._flush()

    def _flush(self) -> None:
        for packets in (self._urgent, self._waiting):
            while packets and self._sent(packets[0]):
                del packets[0]

    def _sent(self, packet: bytes) -> bool:
        try:
            self.socket.send(packet, _socket.MSG_NOSIGNAL | _socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True  # the end is on its way to us
        return True

    def _send_at_once(self, packet: bytes) -> None:
        """From a handler of signals, which may run in the middle of all that is above."""
        if not self._sent(packet):
            self._urgent.append(packet)

    def signal(self, number: int) -> None:
        """Hand a signal on to the container."""
        self._send_at_once(b"k" + bytes([number]))

    def _resize(self) -> None:
        import termios

        for fd in (0, 1, 2):
            try:
                size = fcntl.ioctl(fd, termios.TIOCGWINSZ, b"\0" * 8)
            except OSError:
                continue
            if struct.unpack("HHHH", size)[0]:
                self._send_at_once(b"r" + size[:4])
            return


def _show(kind: bytes, data: bytes) -> None:
    if kind == b"t":
        trace.relay(event_of(json.loads(data)))
        return
    fd = 2 if kind == b"e" else 1
    try:
        signals.write(fd, data)
    except BrokenPipeError:
        raise BrokenPipeError from None  # without a number: it is nobody's file that broke


@contextmanager
def _raw(manner: Manner) -> Iterator[None]:
    """The reader's terminal in raw mode meanwhile: every key is a byte for the container."""
    if not (manner.input and manner.terminal and os.isatty(0)):
        yield
        return
    import termios
    import tty

    before = termios.tcgetattr(0)
    tty.setraw(0, termios.TCSANOW)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


@contextmanager
def _proxied(attachment: Attachment) -> Iterator[None]:
    """Signals for us are signals for the container; those that our caller ignores stay ignored."""

    def hand_on(number: int, frame: FrameType | None) -> None:
        attachment.signal(number)

    def resize(number: int, frame: FrameType | None) -> None:
        attachment._resize()

    before = {}
    if attachment.manner.signals:
        taken = [number for number in FORWARDED if signal.getsignal(number) != signal.SIG_IGN]
        before = {number: signal.signal(number, hand_on) for number in taken}
    if attachment.manner.terminal:
        before[signal.SIGWINCH] = signal.signal(signal.SIGWINCH, resize)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
