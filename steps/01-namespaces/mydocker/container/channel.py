"""How the two sides of a container speak: one socket pair, one JSON message in each packet.

host to container
    ``{"go": N}``: all parts are attached; N passages were counted so far.
container to host
    ``{"event": …}`` a request that was made inside, ``{"error": …}`` what went wrong there,
    ``{"terminal": true}`` with the container's terminal as a descriptor beside it, ``{"kill":
    true}`` an injected fault. When execve(2) succeeds the socket closes itself, and the silence
    says so.

The container's end is the only thing of ours that an untrusted command could ever reach, so what
comes out of it is read as data (JSON) and never as objects (pickle).
"""

import _socket  # the C half of socket: the other half costs 3 ms of every start
import json
from typing import Any

from mydocker.kernel.errors import (
    MORE_OPEN,
    OF_KIND,
    TOO_MANY_OPEN,
    Failure,
    KernelError,
    kind_of,
    place,
)
from mydocker.kernel.trace import Event

_MAXIMUM = 1 << 17  # bytes of one message; a socket's buffer takes 208 KiB
_KEYS = 16  # so many things are always told: a message of ours has no more parts


class Channel:
    """One end. ``close`` it, or leave it to execve(2): both ends are close-on-exec."""

    def __init__(self, socket: _socket.socket) -> None:
        self._socket = socket

    def send(self, message: dict[str, Any], descriptor: int | None = None) -> None:
        """Send one message, and a descriptor beside it (unix(7), SCM_RIGHTS)."""
        data = encoded(message)
        beside = []
        if descriptor is not None:
            number = descriptor.to_bytes(4, "little")
            beside = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, number)]
        self._socket.sendmsg([data], beside)

    def receive(self) -> tuple[dict[str, Any] | None, int | None]:
        """The next message and its descriptor; ``(None, None)`` if the other side is gone."""
        data, beside, _, _ = self._socket.recvmsg(_MAXIMUM, _socket.CMSG_LEN(4))
        if not data:
            return None, None
        descriptor = int.from_bytes(beside[0][2], "little") if beside else None
        return json.loads(data), descriptor

    def broken(self) -> bool:
        """True if the other side is gone; does not wait."""
        try:
            return not self._socket.recv(1, _socket.MSG_PEEK | _socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False

    def fileno(self) -> int:
        """Its descriptor."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close this end; may be called twice."""
        self._socket.close()


def encoded(message: dict[str, Any], maximum: int = _MAXIMUM) -> bytes:
    """One message as it goes through the socket: whole JSON, whatever it tells of.

    A command's arguments and environment may have megabytes (execve(2)). Of what does not fit, the
    longest texts and lists are told to their begin; an ellipsis says so.
    """
    data, most = json.dumps(message).encode(), 1 << 14
    while len(data) > maximum and most:
        data, most = json.dumps(_shortened(message, most)).encode(), most // 2
    return data


def _shortened(value: Any, most: int) -> Any:
    """``value`` with no text of more than ``most`` characters, no list of more things."""
    if isinstance(value, str):
        return value if len(value) <= most else f"{value[:most]}…"
    if isinstance(value, dict):
        pairs = list(value.items())[: max(most, _KEYS)]
        return {_shortened(key, most): _shortened(one, most) for key, one in pairs}
    if isinstance(value, list | tuple):
        kept = [_shortened(one, most) for one in value[: max(most, _KEYS)]]
        return kept if len(kept) == len(value) else [*kept, "…"]
    return value


def pair() -> tuple[Channel, Channel]:
    """Two ends. SOCK_SEQPACKET keeps messages whole and tells when the other side is gone."""
    kind = _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC
    host, container = _socket.socketpair(_socket.AF_UNIX, kind)
    return Channel(host), Channel(container)


def event_message(event: Event) -> dict[str, Any]:
    """An event of the container's side as a message."""
    result = event.result if isinstance(event.result, int | str) else None
    told = [event.number, event.side, event.call, event.arguments, event.why, result, event.error]
    return {"event": told}


def event_of(message: dict[str, Any]) -> Event:
    """The event that :func:`event_message` packed."""
    number, side, call, arguments, why, result, error = message["event"]
    return Event(number, side, call, tuple(arguments), why, result, error)


def error_message(error: BaseException) -> dict[str, Any]:
    """An error of the container's side as a message, so that it arrives as the error it is."""
    told: dict[str, Any]
    if isinstance(error, Failure):
        told = {"kind": error.kind, "hint": error.hint, "exit_code": error.exit_code}
        if isinstance(error, KernelError):
            told |= {"call": error.call, "arguments": error.arguments, "number": error.errno}
        else:
            told["message"] = error.message
        return {"error": told}
    text = f"in the container: {type(error).__name__}: {error} ({place(error)})"
    hint = ""
    if isinstance(error, OSError) and error.errno in TOO_MANY_OPEN:
        text, hint = f"in the container: {error.filename}: {error.strerror}", MORE_OPEN
    return {"error": {"kind": kind_of(error), "message": text, "hint": hint}}


def error_of(message: dict[str, Any]) -> Failure:
    """The error that :func:`error_message` packed."""
    told = dict(message["error"])
    kind = told.pop("kind")
    if "call" not in told:
        return OF_KIND[kind](**told)
    told["arguments"] = tuple(told["arguments"])
    error = KernelError(**told)
    error.kind = kind
    return error
