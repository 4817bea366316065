"""``logs``: what a container wrote, read back from its log files (see ``logfile``)."""

import json
import os
import select
import time
from collections.abc import Iterator
from contextlib import closing

from mydocker.engine import connection
from mydocker.engine.errors import NoSuchContainer, Refused
from mydocker.engine.records.store import Store
from mydocker.engine.truth import look
from mydocker.engine.words.times import number
from mydocker.kernel.records import record

_BLOCK = 64 << 10
_PAUSE = 0.05  # seconds between two looks at a log that grows


@record
class Line:
    """One entry: ``time`` as it is written there, ``text`` with its line end if it has one."""

    time: str
    stream: str
    text: str


def read(
    store: Store,
    word: str,
    *,
    tail: int = -1,
    since: int = 0,
    until: int = 0,
    follow: bool = False,
) -> Iterator[Line]:
    """The last ``tail`` lines (-1: all), between two moments (nanoseconds; 0: no border).

    ``follow``: and those to come, until the container ends. Raises Refused for a container that
    keeps no log.
    """
    identifier = store.find(word)
    config = store.config(identifier)
    if config.log_driver != "json-file":
        raise Refused("configured logging driver does not support reading")
    path = store.log(identifier)
    lines = _tail(path, config.log_files, tail) if tail >= 0 else _whole(path, config.log_files)
    reader = _Reader(path)
    if follow:
        reader.to_end(lines)
        lines = iter(reader.before)
    yield from _between(map(_parsed, lines), since, until)
    if follow:
        active = _Ending(store, identifier)
        with closing(active):
            yield from _between(map(_parsed, reader.coming(active, until)), since, until)


class _Ending:
    """Is the container still there? Cheap to ask often."""

    def __init__(self, store: Store, identifier: str) -> None:
        self._store, self._id = store, identifier
        self._socket = connection.connect(store, identifier)

    def wait(self, seconds: float) -> bool:
        """Wait a moment; True when it has ended."""
        if self._socket is None:
            time.sleep(seconds)
            try:
                return not look(self._store, self._id).active
            except NoSuchContainer:
                return True
        if not select.select([self._socket], [], [], seconds)[0]:
            return False
        self.close()
        return self.wait(0.0)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _between(lines: Iterator[Line], since: int, until: int) -> Iterator[Line]:
    for line in lines:
        moment = number(line.time) if since or until else 0
        if since and moment < since:
            continue
        if until and moment > until:
            return
        yield line


def _parsed(raw: bytes) -> Line:
    try:
        told = json.loads(raw)
        return Line(told["time"], told["stream"], told["log"])
    except (ValueError, KeyError, TypeError, RecursionError):
        # The last line before a power cut, or another's file
        return Line("", "stderr", f"mydocker: unreadable log entry: {raw[:80]!r}\n")


def _files(path: str, files: int) -> list[str]:
    """The files there are, oldest first."""
    names = [f"{path}.{n}" for n in range(files - 1, 0, -1)] + [path]
    return [name for name in names if os.path.exists(name)]


def _whole(path: str, files: int) -> Iterator[bytes]:
    # All are opened first: a rotation meanwhile renames them, and we would read one twice.
    opened = [open(name, "rb") for name in _files(path, files)]  # noqa: SIM115
    for file in opened:
        with file:
            yield from file


def _tail(path: str, files: int, count: int) -> Iterator[bytes]:
    """The last ``count`` entries, read from the end."""
    found: list[bytes] = []
    for name in reversed(_files(path, files)):
        if len(found) >= count:
            break
        found[:0] = _last_lines(name, count - len(found))
    return iter(found)


def _last_lines(name: str, count: int) -> list[bytes]:
    with open(name, "rb") as file:
        position, data = file.seek(0, os.SEEK_END), b""
        while position > 0 and data.count(b"\n") <= count:
            step = min(_BLOCK, position)
            position -= step
            file.seek(position)
            data = file.read(step) + data
    lines = data.splitlines(keepends=True)
    return lines[-count:] if count else []


class _Reader:
    """Goes on reading a log that grows and is rotated."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.before: list[bytes] = []
        self._fd = -1
        self._position = 0
        self._rest = b""

    def to_end(self, lines: Iterator[bytes]) -> None:
        """Take what is there as read, and remember where it ends."""
        self._open()
        end = os.fstat(self._fd).st_size if self._fd >= 0 else 0
        self.before = list(lines)
        # An entry that is written between the two looks must be shown once.
        if self._fd >= 0:
            self._position = end
            grown = os.fstat(self._fd).st_size - end
            if grown:
                more = os.pread(self._fd, grown, end)
                while self.before and more.endswith(self.before[-1]) and more:
                    more = more[: len(more) - len(self.before.pop())]

    def _open(self) -> None:
        try:
            self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            self._fd = -1
        self._position = 0

    def _new(self) -> list[bytes]:
        if self._fd < 0:
            self._open()
        if self._fd < 0:
            return []
        data = b""
        while block := os.pread(self._fd, _BLOCK, self._position):
            self._position += len(block)
            data += block
        *whole, self._rest = (self._rest + data).split(b"\n")
        return whole

    def _rotated(self) -> bool:
        try:
            return self._fd >= 0 and os.fstat(self._fd).st_ino != os.stat(self.path).st_ino
        except FileNotFoundError:
            return False

    def coming(self, ending: _Ending, until: int) -> Iterator[bytes]:
        """The entries to come, until the container ends."""
        ended = False
        while not (until and time.time_ns() > until):
            rotated = self._rotated()
            yield from self._new()
            if rotated:
                os.close(self._fd)
                self._open()
            elif ended:
                break
            else:
                ended = ending.wait(_PAUSE)
        if self._fd >= 0:
            os.close(self._fd)
