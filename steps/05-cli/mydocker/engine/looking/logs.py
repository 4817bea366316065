"""``logs``: what a container wrote, read back from its log files (see ``logfile``).

The files are read in blocks, and each entry is handed on before the next block is read: however
much there is, and however fast the container goes on writing. An entry counts once its line is
whole; the last one may be half written, at this moment or since a power cut.
"""

import json
import os
import select
import time
from collections.abc import Callable, Iterator
from contextlib import closing

from mydocker.engine import connection
from mydocker.engine.errors import NoSuchContainer
from mydocker.engine.records.store import Store
from mydocker.engine.truth import look
from mydocker.engine.words.times import number
from mydocker.kernel.errors import Failure
from mydocker.kernel.records import record

_BLOCK = 64 << 10
_LONGEST = 1 << 20  # no entry of ours has a tenth of it: a line without end is not a log's
_BEGIN = b'{"log":"'  # within an entry's text the quotes would have backslashes
_PAUSE = 0.05  # seconds between two looks at a log that grows
_ATTEMPTS = 100


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
    pause: Callable[[], None] = lambda: None,
) -> Iterator[Line]:
    """The last ``tail`` lines (-1: all), between two moments (nanoseconds; 0: no border).

    ``follow``: and those to come, until the container ends; ``pause`` is called before each wait
    for more. Raises Failure for a container that keeps no log.
    """
    identifier = store.find(word)
    config = store.config(identifier)
    if config.log_driver != "json-file":
        raise Failure("configured logging driver does not support reading")
    files = Files(store.log(identifier), config.log_limits[1])
    with closing(files):
        yield from _between(map(_parsed, files.written(tail)), since, until)
        if follow:
            ending = _Ending(store, identifier)
            with closing(ending):
                coming = files.coming(lambda: _waited(ending, pause), until)
                yield from _between(map(_parsed, coming), since, until)


def _waited(ending: "_Ending", pause: Callable[[], None]) -> bool:
    pause()
    return ending.wait(_PAUSE)


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
    # After a power cut half an entry may stand there, and the next on the same line.
    whole = raw[max(raw.rfind(_BEGIN), 0) :]
    try:
        told = json.loads(whole)
        return Line(str(told["time"]), told["stream"], str(told["log"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return Line("", "stderr", f"mydocker: unreadable log entry: {raw[:80]!r}\n")


class Files:
    """The log at ``path`` and the ``count - 1`` older files: read to their end, and further."""

    def __init__(self, path: str, count: int) -> None:
        self._names = [path, *(f"{path}.{n}" for n in range(1, count))]  # the youngest first
        self._opened = self._all()
        # How far each is read now: what comes meanwhile comes later.
        self._ends = [os.fstat(fd).st_size for fd in self._opened]
        self._position = 0  # in the youngest

    def close(self) -> None:
        """Let go of the files."""
        for fd in self._opened:
            os.close(fd)
        self._opened = []

    def _all(self) -> list[int]:
        """All files that are there, as they were at one moment: not while they are renamed."""
        for attempt in range(_ATTEMPTS):
            opened = [fd for name in self._names if (fd := _open(name)) >= 0]
            moved = [not _is(fd, name) for fd, name in zip(opened, self._names, strict=False)]
            if not any(moved) or attempt + 1 == _ATTEMPTS:
                return opened
            for fd in opened:
                os.close(fd)
        raise AssertionError("the last attempt returns")

    def written(self, tail: int) -> Iterator[bytes]:
        """The last ``tail`` entries of what is there; all if it is negative."""
        starts = [0] * len(self._opened)
        if tail >= 0:
            missing = tail
            for index, fd in enumerate(self._opened):
                starts[index], found = _last(fd, self._ends[index], missing)
                missing -= found
        for index in reversed(range(len(self._opened))):
            lines = _Lines(self._opened[index], starts[index])
            yield from lines.until(self._ends[index])
            self._position = lines.position

    def coming(self, wait: Callable[[], bool], until: int) -> Iterator[bytes]:
        """The entries that come after those, until ``wait`` says that the container has ended."""
        lines = _Lines(self._opened[0], self._position) if self._opened else None
        ended = False
        while not (until and time.time_ns() > until):
            # Asked first: what was written before it was renamed is all in there.
            rotated = lines is None or not _is(lines.fd, self._names[0])
            if lines is not None:
                yield from lines.until(-1)
            if rotated and (following := self._following(lines.fd if lines else -1)) >= 0:
                self.close()
                self._opened = [following]
                lines = _Lines(following, 0)
            elif ended:
                return
            else:
                ended = wait()

    def _following(self, fd: int) -> int:
        """The file that was begun after that of ``fd``, which may be renamed again at any moment;
        the oldest if ``fd`` is none or older than all that are kept. -1: there is none yet."""
        for _ in range(_ATTEMPTS):
            place = next((n for n, name in enumerate(self._names) if _is(fd, name)), 0)
            there = [n for n, name in enumerate(self._names) if os.path.exists(name)]
            index = place - 1 if place else max(there, default=-1)
            following = _open(self._names[index]) if index >= 0 else -1
            if following >= 0 and (not place or _is(fd, self._names[place])):
                return following
            if following >= 0:
                os.close(following)
        return -1


class _Lines:
    """The whole lines of an open file from a position on."""

    def __init__(self, fd: int, position: int) -> None:
        self.fd = fd
        self.position = position  # where the next line begins

    def until(self, end: int) -> Iterator[bytes]:
        """The lines up to ``end``; -1: as long as there is something."""
        rest, position = b"", self.position
        while block := os.pread(self.fd, _BLOCK, position):
            block = block if end < 0 else block[: max(end - position, 0)]
            if not block:
                return
            position += len(block)
            *whole, rest = (rest + block).split(b"\n")
            for line in whole:
                self.position += len(line) + 1
                yield line
            if len(rest) > _LONGEST:
                self.position += len(rest)
                yield rest
                rest = b""


def _last(fd: int, end: int, count: int) -> tuple[int, int]:
    """Where the last ``count`` lines before ``end`` begin, and how many there are, ``count`` at
    most. What follows the last line end is none."""
    position, found = end, -1
    while position > 0 and found < count:
        step = min(_BLOCK, position)
        position -= step
        block = os.pread(fd, step, position)
        ends = block.count(b"\n")
        if found + ends >= count:  # the line end before the first of them is in this block
            place = len(block)
            while found < count:
                place = block.rindex(b"\n", 0, place)
                found += 1
            return position + place + 1, count
        found += ends
    return 0, found + 1


def _open(name: str) -> int:
    """A descriptor; -1 if there is no such file."""
    try:
        return os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return -1


def _is(fd: int, name: str) -> bool:
    """True if the file has this name now."""
    if fd < 0:
        return False
    try:
        return os.path.samestat(os.fstat(fd), os.stat(name))
    except FileNotFoundError:
        return False
