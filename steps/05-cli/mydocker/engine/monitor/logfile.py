"""What a container writes, kept as Docker's json-file does: one line of JSON for each line.

::

    {"log":"hello\\n","stream":"stdout","time":"2026-01-31T12:00:00.123456789Z"}

A line longer than 16 KiB is split; the pieces before the last have no ``\\n``. When the file has
``max-size`` (``Config.log_limits``) it is renamed to ``….1``, that one to ``….2``, and so on.

The monitor lives as long as its container and shall be small: this imports next to nothing, of
``json`` only the C function that quotes a string.
"""

import posix as os  # as in ``supervisor``
import time
from _json import encode_basestring

LONGEST = 16 << 10  # bytes of one entry
_KEPT = 1 << 20  # bytes that wait in memory while the disk is full
_END = 10  # "\n"


class Log:
    """The log at ``path``. ``size``: bytes of one file, -1 for no limit; ``files``: how many."""

    def __init__(self, path: str, size: int = -1, files: int = 1) -> None:
        self.path, self.size, self.files = path, size, files
        self._begun: dict[str, bytes] = {}  # the beginning of a line, by stream
        self._late = b""  # what the disk did not take
        self._torn = False  # the file ends within an entry, whose rest is the beginning of _late
        self._notice, self._lost = b"", 0  # the entry in _late that says how many are not there
        self._fd = -1
        self._written = 0

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(self.path, flags, 0o600)
        self._written = os.fstat(self._fd).st_size

    def add(self, stream: str, data: bytes) -> None:
        """Something that the container wrote; whole lines are written, the rest waits."""
        data = self._begun.pop(stream, b"") + data
        lines = data.split(b"\n")
        rest = lines.pop()
        pieces = [piece for line in lines for piece in _pieces(line + b"\n")]
        while len(rest) >= LONGEST:
            pieces.append(rest[:LONGEST])
            rest = rest[LONGEST:]
        if rest:
            self._begun[stream] = rest
        self._write(stream, pieces)

    def finish(self) -> None:
        """The container ended: a last line without its end is written too."""
        for stream, rest in self._begun.items():
            self._write(stream, [rest])
        self._begun.clear()
        if self._late:
            self._append(b"")  # the last attempt: there may be room by now
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self, stream: str, pieces: list[bytes]) -> None:
        if not pieces:
            return
        tail = f',"stream":"{stream}","time":"{_now()}"}}\n'
        said = _entries(pieces, tail)
        if self.size < 0 or self._written + len(said) <= self.size:
            self._append(said)
            return
        for line in said.splitlines(keepends=True):
            self._append(line)

    def _append(self, data: bytes) -> None:
        data = self._late + data
        try:
            if self._fd < 0:
                self._open()
            if self._written and 0 <= self.size < self._written + len(data):
                self._rotate()
            while data:
                done = os.write(self._fd, data)
                self._written += done
                self._torn = data[done - 1] != _END
                data = data[done:]
        except OSError:
            # The disk is full. The container must not wait for that, and may write for ever: so
            # much is kept for when there is room again, and no more.
            self._late = data if len(data) <= _KEPT else self._shortened(data)
            return
        self._late = b""

    def _shortened(self, data: bytes) -> bytes:
        """The youngest entries, whole ones, and before them how many went."""
        start = data.index(b"\n") + 1 if self._torn else 0
        end = data.index(b"\n", len(data) - _KEPT) + 1
        gone = data[start:end]
        again = bool(self._notice) and self._notice in gone
        self._lost = gone.count(b"\n") + (self._lost - 1 if again else 0)
        text = f"mydocker: {self._lost} entries were lost here: the disk was full\\n"
        said = f'{{"log":"{text}","stream":"stderr","time":"{_now()}"}}\n'
        self._notice = said.encode()
        return data[:start] + self._notice + data[end:]

    def _rotate(self) -> None:
        """The file is full: its name is made free for the next one."""
        os.close(self._fd)
        self._fd = -1
        # lab 5.4: a full log makes room
        for number in range(self.files - 1, 0, -1):
            older = self.path if number == 1 else f"{self.path}.{number - 1}"
            try:
                os.rename(older, f"{self.path}.{number}")
            except FileNotFoundError:
                continue
        if self.files == 1:
            os.unlink(self.path)
        # end lab
        self._open()

    def begun(self) -> dict[str, bytes]:
        """The beginnings of lines, to go on with in another process."""
        return self._begun

    def go_on(self, begun: dict[str, bytes]) -> None:
        """Go on with what :meth:`begun` gave."""
        self._begun = dict(begun)


def _entries(pieces: list[bytes], tail: str) -> bytes:
    """The pieces, each as a line of JSON that ends with ``tail``."""
    text = b"".join(pieces).decode(errors="replace")
    quoted = encode_basestring(text)
    if len(quoted) == len(text) + 2 + len(pieces) and text.count("\n") == len(pieces):
        # Whole lines in which nothing had to be escaped but their ends: one replacement does all,
        # ten times as fast as one line after the other.
        return f'{{"log":{quoted[:-1]}'.replace("\\n", f'\\n"{tail}{{"log":"').encode()[:-8]
    said = [f'{{"log":{encode_basestring(p.decode(errors="replace"))}{tail}' for p in pieces]
    return "".join(said).encode()


def _pieces(line: bytes) -> list[bytes]:
    if len(line) <= LONGEST:
        return [line]
    return [line[start : start + LONGEST] for start in range(0, len(line), LONGEST)]


def _now() -> str:
    seconds, rest = divmod(time.time_ns(), 10**9)
    t = time.gmtime(seconds)
    day = f"{t.tm_year:04}-{t.tm_mon:02}-{t.tm_mday:02}"
    return f"{day}T{t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02}.{rest:09}Z"
