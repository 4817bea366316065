"""The protocol between the host and the agent in the VM: frames over one virtio-serial port.

One stream carries everything, so that what the command wrote last always arrives before its
exit code. A frame is one byte of kind, four bytes of length (big endian) and the payload.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

# from the VM to the host
HELLO = b"H"  # the agent is ready; no payload
STDOUT = b"O"
STDERR = b"E"
EXIT = b"X"  # the exit code, in decimal

# from the host to the VM
JOB = b"J"  # JSON: argv, environment, terminal, rows, columns
STDIN = b"I"  # an empty payload is the end of input
SIZE = b"W"  # "ROWS COLUMNS"
SIGNAL = b"S"  # a signal number, in decimal

PORT_NAME = "mydocker"
CHUNK = 32768  # bytes read at once; a frame is never much larger

_HEADER = struct.Struct(">cI")


def frame(kind: bytes, payload: bytes = b"") -> bytes:
    """One frame, ready to be written."""
    return _HEADER.pack(kind, len(payload)) + payload


class Frames:
    """Puts frames together again from a stream that arrives in pieces of any size."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Add what was read; yield (kind, payload) of each frame that is now complete."""
        self._bytes += data
        while len(self._bytes) >= _HEADER.size:
            kind, length = _HEADER.unpack_from(self._bytes)
            end = _HEADER.size + length
            if len(self._bytes) < end:
                return
            payload = bytes(self._bytes[_HEADER.size : end])
            del self._bytes[:end]
            yield kind, payload
