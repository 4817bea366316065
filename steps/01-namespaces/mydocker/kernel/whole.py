"""Files that are read whole, and replaced whole: what is remembered, as JSON.

A file that says how things are must never be half of what it was to say. So the new text is written
to a file beside it, down to the last byte, synced to the disk, and renamed over the old one
(rename(2)): who reads gets the old text or the new, also after a kill, a full disk or a power cut.

And whoever reads must bear any file: empty, half, binary, nested ten thousand deep. All of these
are one error, :class:`Damaged`, which says which file it is.
"""

import errno
import json
import os
from typing import Any

from mydocker.kernel import trace
from mydocker.kernel.errors import Failure, by_errno

DRAFT = ".new"


class Damaged(Failure):
    """A file does not hold what was written there, or cannot be read: ``number`` says why."""

    def __init__(self, path: str, hint: str = "", number: int = 0) -> None:
        why = os.strerror(number) if number else "not what was written there"
        super().__init__(f"{path}: {why}", hint)
        self.path = path
        self.kind = by_errno(number).kind


class NotWritten(Failure):
    """The disk refused a file, which is as it was before; ``errno`` is the kernel's answer."""

    def __init__(self, path: str, number: int, hint: str = "") -> None:
        # write(2) does not say which file it was
        super().__init__(f"{path}: {os.strerror(number)}", hint)
        self.errno = number
        self.kind = by_errno(number).kind


# ---------------------------------------------------------------- write


def draft_of(path: str) -> str:
    """The name that this process writes ``path`` under: ``path.PID.new``."""
    return f"{path}.{os.getpid()}{DRAFT}"


def writer(name: str) -> int:
    """The pid of the process that writes a draft; 0 for a file that is none."""
    pid = name.removesuffix(DRAFT).rpartition(".")[2] if name.endswith(DRAFT) else ""
    return int(pid) if pid.isdecimal() else 0


def write(path: str, data: bytes, *, durable: bool = True, mode: int = 0o600) -> None:
    """Replace the file ``path`` by ``data``: all of it, or nothing. Raises NotWritten.

    Without ``durable`` this holds for a killed process but not for a power cut.
    """
    draft = draft_of(path)
    try:
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        try:
            pour(fd, data)
            if durable:
                trace.disk_passage()
                os.fsync(fd)  # else the new name may reach the disk before the new content
        finally:
            os.close(fd)
        os.rename(draft, path)
    except OSError as error:
        try:
            os.unlink(draft)
        except OSError:
            pass  # not there, or on a disk that cannot be written
        raise NotWritten(path, error.errno or 0) from None


def pour(fd: int, data: bytes) -> None:
    """Write all of ``data``: write(2) may take less than it was given, and say so."""
    rest = memoryview(data)
    while rest:
        rest = rest[trace.disk_write(fd, rest) :]


def write_json(path: str, value: object, *, durable: bool = True, mode: int = 0o600) -> None:
    """Replace ``path`` by ``value`` as JSON, as :func:`write` does."""
    write(path, json.dumps(value).encode(), durable=durable, mode=mode)


# ---------------------------------------------------------------- read


def read_json(path: str, hint: str = "") -> dict[str, Any] | None:
    """The JSON object in ``path``; None if there is no such file. Raises Damaged, with ``hint``."""
    try:
        with open(path, "rb", buffering=0) as file:
            data = file.readall()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.EACCES:
            hint = "It belongs to root: use sudo"
        raise Damaged(path, hint, error.errno or 0) from None
    return parse(data, path, hint)


def parse(data: bytes, path: str, hint: str = "") -> dict[str, Any]:
    """The JSON object that ``data`` is. Raises Damaged, which names ``path``."""
    try:
        value = json.loads(data)
        if b"\\ud" in data.lower() or b"\xed" in data:
            value = _without_surrogates(value)
    except (ValueError, RecursionError, MemoryError):
        raise Damaged(path, hint) from None
    if not isinstance(value, dict):
        raise Damaged(path, hint)
    return value


def _without_surrogates(value: Any) -> Any:
    r"""``value`` with U+FFFD for each half of a pair (``"\ud800"``), which UTF-8 has no bytes for:
    as Go reads it. Nobody could print it."""
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, list):
        return [_without_surrogates(one) for one in value]
    if isinstance(value, dict):
        return {_without_surrogates(k): _without_surrogates(v) for k, v in value.items()}
    return value
