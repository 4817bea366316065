"""Questions and answers of DNS as bytes (RFC 1035). Pure.

A message is a header of twelve bytes, a question, and answers. A name is written as labels, each
with its length in front: ``\\x03web\\x04blue\\x00``; an answer names the question's name by
pointing at it, byte 12 of the message.
"""

import re
import struct
from collections.abc import Sequence

from mydocker.kernel.errors import Failure
from mydocker.kernel.records import record
from mydocker.network import addresses

A, PTR, AAAA, ANY = 1, 12, 28, 255
IN = 1
NO_ERROR, SERVER_FAILURE, NO_SUCH_NAME = 0, 2, 3
TTL = 5  # seconds: a container may be gone the next moment, and its address another's
LABEL, NAME = 63, 255  # bytes of a label, and of a whole name with its lengths
PLAIN_UDP = 512  # bytes of an answer over UDP; a longer one is asked for again over TCP

_HEX = re.compile("[0-9a-f]{32}")


@record
class Question:
    """What a client asks: its message's id and flags, the name in lower case, and the type."""

    id: int
    flags: int
    name: str
    type: int
    kind: int
    raw: bytes  # the question's part of the message, to be sent back as it came


def parse(message: bytes) -> Question | None:
    """The one question of a query; None for anything that is no query."""
    if len(message) < 17:
        return None
    number, flags, questions = struct.unpack_from("!HHH", message)
    if flags & 0x8000 or questions != 1:
        return None
    labels, at = [], 12
    while at < len(message) and (length := message[at]):
        # a pointer, 0xC0, makes no sense in a question
        if length > LABEL or at + 1 + length >= len(message):
            return None
        labels.append(message[at + 1 : at + 1 + length].decode("latin-1").lower())
        at += 1 + length
    if at + 5 > len(message) or at + 1 - 12 > NAME:
        return None
    wanted, kind = struct.unpack_from("!HH", message, at + 1)
    return Question(number, flags, ".".join(labels), wanted, kind, message[12 : at + 5])


def _encoded(name: str) -> bytes:
    """A name as labels; nothing for one that DNS cannot tell: a container's may be longer."""
    labels = [label.encode(errors="replace") for label in name.split(".") if label]
    if any(len(label) > LABEL for label in labels):
        return b""
    whole = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    return whole if len(whole) <= NAME else b""


def _message(
    question: Question, code: int, answers: Sequence[bytes] = (), cut: bool = False
) -> bytes:
    # QR: an answer; the opcode and RD as they came; RA: we do ask others
    flags = 0x8080 | question.flags & 0x7900 | (0x0200 if cut else 0) | code
    header = struct.pack("!6H", question.id, flags, 1, len(answers), 0, 0)
    return header + question.raw + b"".join(answers)


def answer(question: Question, found: Sequence[str], *, tcp: bool = False) -> bytes:
    """The addresses ``found``, those of the type asked for. None of them: the name has no such."""
    # lab 4.6: an answer as bytes
    wanted = {A: (4,), AAAA: (6,), ANY: (4, 6)}.get(question.type, ())
    records = []
    for address in found:
        version, value = addresses.number(address)
        if version in wanted:
            kind, size = (A, 4) if version == 4 else (AAAA, 16)
            records.append(
                struct.pack("!HHHIH", 0xC00C, kind, IN, TTL, size) + value.to_bytes(size, "big")
            )
    # end lab
    return _fitting(question, records, tcp)


def answer_names(question: Question, found: Sequence[str], *, tcp: bool = False) -> bytes:
    """The names ``found`` of an address (PTR)."""
    records = []
    for data in filter(None, map(_encoded, found)):
        records.append(struct.pack("!HHHIH", 0xC00C, PTR, IN, TTL, len(data)) + data)
    return _fitting(question, records, tcp)


def _fitting(question: Question, records: list[bytes], tcp: bool) -> bytes:
    whole = _message(question, NO_ERROR, records)
    if tcp or len(whole) <= PLAIN_UDP:
        return whole
    return _message(question, NO_ERROR, cut=True)


def refusal(question: Question, code: int) -> bytes:
    """An answer without records: ``NO_SUCH_NAME`` or why there is none."""
    return _message(question, code)


def asked_address(name: str) -> str:
    """The address that a PTR question asks about; "" if the name is of another kind.

    >>> asked_address("2.0.86.10.in-addr.arpa")
    '10.86.0.2'
    """
    labels = name.split(".")
    try:
        if name.endswith(".in-addr.arpa") and len(labels) == 6:
            return addresses.text(*addresses.number(".".join(reversed(labels[:4]))))
        digits = "".join(reversed(labels[:32]))
        # One digit in each label; int() would take two of them, "0x", "+1" or "1_0" as well.
        if name.endswith(".ip6.arpa") and len(labels) == 34 and _HEX.fullmatch(digits):
            return addresses.text(6, int(digits, 16))
    except (Failure, ValueError):
        return ""
    return ""
