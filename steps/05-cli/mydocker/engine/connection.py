"""Speak with the monitor of a running container, in the words of ``supervisor``."""

import _socket
import os

from mydocker.engine.store import Store
from mydocker.kernel import signals
from mydocker.kernel.records import record

_PACKET = 64 << 10


@record
class End:
    """What the monitor says of the end: the exit code, and remarks as of the OOM killer."""

    exit_code: int
    remarks: tuple[str, ...] = ()


def parse_end(data: bytes) -> End:
    """The packet ``x`` without its first byte."""
    code, *remarks = data.decode().split("\n")
    return End(int(code), tuple(remarks))


def connect(store: Store, identifier: str) -> _socket.socket | None:
    """A connection to the container's monitor; None if there is none."""
    socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
    try:
        directory = os.open(store.monitors, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # A path of a socket has at most 107 bytes (unix(7)); by a descriptor it is short.
            socket.connect(f"/proc/self/fd/{directory}/{identifier}")
        finally:
            os.close(directory)
    except OSError:
        socket.close()
        return None
    return socket


def wait_end(socket: _socket.socket, seconds: float | None = None) -> End | None:
    """Wait for the monitor's last word. None if ``seconds`` passed, or it ended without one."""
    import time

    until = None if seconds is None else time.monotonic() + seconds
    while True:
        left = None if until is None else max(0.0, until - time.monotonic())
        if not signals.ready(socket.fileno(), left):
            return None
        try:
            data = socket.recv(_PACKET)
        except OSError:
            return None
        if data[:1] == b"x":
            return parse_end(data[1:])
        if not data:
            return None
