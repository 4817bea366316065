"""The smallest server of names that works: ``python3 small_dns.py ADDRESS NAME=ADDRESS …``.

For the ladder's sixth rung. It answers questions for IPv4 addresses over UDP (RFC 1035) and knows
nothing else; the engine's own server is ``dns_server``.
"""

import socket
import struct
import sys


def answer(message: bytes, known: dict[str, str]) -> bytes:
    """The answer to one question: an address, or that there is no such name (code 3)."""
    labels, at = [], 12  # a header of twelve bytes, then the name: each label after its length
    while message[at]:
        labels.append(message[at + 1 : at + 1 + message[at]].decode())
        at += 1 + message[at]
    question = message[12 : at + 5]  # the final 0, two bytes of type, two of class
    address = known.get(".".join(labels).lower())
    flags = 0x8180 if address else 0x8183
    header = message[:2] + struct.pack("!5H", flags, 1, 1 if address else 0, 0, 0)
    if not address:
        return header + question
    # "the name that is at byte 12", type A, class IN, good for 5 seconds, 4 bytes
    return header + question + struct.pack("!HHHIH", 0xC00C, 1, 1, 5, 4) + socket.inet_aton(address)


def serve(server: socket.socket, known: dict[str, str]) -> None:
    """Answer for ever."""
    while True:
        message, client = server.recvfrom(512)
        try:
            server.sendto(answer(message, known), client)
        except (IndexError, ValueError, OSError):  # no question: the next one may be
            continue


def main() -> None:
    """Be the server at an address."""
    address, *pairs = sys.argv[1:]
    known = dict(pair.split("=") for pair in pairs)
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, 53))
    serve(server, known)


if __name__ == "__main__":
    main()
