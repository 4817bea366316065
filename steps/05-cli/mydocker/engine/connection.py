"""Speak with the monitor of a running container, in the words of ``supervisor``."""

import _socket
import os
import sys

from mydocker.container.processes import Identity, identify
from mydocker.engine.records.store import Store
from mydocker.kernel import signals
from mydocker.kernel.records import record

_PACKET = 64 << 10
_LOOK, _HELD = 1.0, 5  # seconds between looks at a silent monitor, and how many of them
_PATIENCE = 5.0  # seconds in which a monitor that does its work answers


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
        socket.settimeout(_PATIENCE)  # who does not accept lets others wait, once many do
        try:
            # A path of a socket has at most 107 bytes (unix(7)); by a descriptor it is short.
            socket.connect(f"/proc/self/fd/{directory}/{identifier}")
        finally:
            os.close(directory)
    except OSError:
        socket.close()
        return None
    socket.settimeout(None)
    return socket


def peer(socket: _socket.socket) -> Identity:
    """The process at the other end: who listened there (SO_PEERCRED, unix(7))."""
    # struct ucred: pid, uid, gid
    data = socket.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
    return identify(int.from_bytes(data[:4], sys.byteorder))


def wait_end(socket: _socket.socket, seconds: float | None = None) -> End | None:
    """Wait for the monitor's last word. None if ``seconds`` passed, or it ended without one.

    One that somebody has stopped is woken. None, too, if that does not help: a debugger has it.
    """
    import time

    until, held = None if seconds is None else time.monotonic() + seconds, 0
    while True:
        left = _LOOK if until is None else min(_LOOK, max(0.0, until - time.monotonic()))
        if not signals.ready(socket.fileno(), left):
            if until is not None and time.monotonic() >= until:
                return None
            held = 0 if peer(socket).awake() else held + 1
            if held > _HELD:
                return None
            continue
        try:
            data = socket.recv(_PACKET)
        except OSError:
            return None
        if data[:1] == b"x":
            return parse_end(data[1:])
        if not data:
            return None
