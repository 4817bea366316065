"""The words between a program and its warm process.

On their socket pair (SOCK_SEQPACKET) goes one word only, ``c`` and with it a descriptor
(SCM_RIGHTS, unix(7)): the worker's end of a connection that the program keeps the other end of. So
there is one connection (SOCK_STREAM) for each call, and calls run side by side::

    → r + up to three descriptors: standard input, output, error of the worker
    → {"operation": "stop", "arguments": ["web"], "named": {"timeout": 3},
       "root": "/var/lib/mydocker", "run": "/run/mydocker", "settings": {"cgroup_parent": ""}}
      and no more will come: shutdown(2)
    ← t    it is taken: from here on something may have happened
    ← {"result": …}, and with it perhaps a socket, or {"error": {…}}; and the end

Who finds the end before the ``t`` can ask again: nothing has happened.
"""

import json
import socket
from importlib import import_module
from typing import Any

from mydocker.container import channel
from mydocker.kernel import signals
from mydocker.kernel.errors import OF_KIND, Failure, KernelError, kind_of, place

HAND_OVER, REQUEST, TAKEN = b"c", b"r", b"t"
STREAMS = 3  # descriptors of a request at most
_BLOCK = 1 << 16


def receive_all(connection: socket.socket, descriptors: list[int], begun: bytes = b"") -> bytes:
    """All until the other side says that it is all; the descriptors that came along are added."""
    received, flags = bytearray(begun), socket.MSG_CMSG_CLOEXEC
    while True:
        signals.ready(connection.fileno())
        data, came, _, _ = socket.recv_fds(connection, _BLOCK, STREAMS, flags)
        descriptors += came
        if not data:
            return bytes(received)
        received += data


def error_told(error: BaseException) -> dict[str, Any]:
    """An error of a worker as JSON, so that it arrives as the error it is."""
    if isinstance(error, KernelError):
        return channel.error_message(error)
    if not isinstance(error, Failure):
        error = OF_KIND[kind_of(error)](f"{type(error).__name__}: {error} ({place(error)})")
    one = type(error)
    simple = {k: v for k, v in vars(error).items() if isinstance(v, str | int | bool | None)}
    return {"class": f"{one.__module__}:{one.__qualname__}", "told": simple}


def error_of(told: dict[str, Any]) -> Failure:
    """The error that :func:`error_told` made of it."""
    if "error" in told:
        return channel.error_of(told)
    module, _, name = told["class"].partition(":")
    one = getattr(import_module(module), name)
    error: Failure = one.__new__(one)
    fields = told["told"]
    Failure.__init__(error, fields["message"], fields["hint"], fields["exit_code"])
    vars(error).update(fields)
    return error


def packed(message: dict[str, Any]) -> bytes:
    """As it goes through the connection."""
    return json.dumps(message, default=str).encode(errors="surrogateescape")
