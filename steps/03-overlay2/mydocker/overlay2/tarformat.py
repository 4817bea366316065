"""The tar format, read: a sequence of entries, each a header of 512 bytes and the file's data.

Three dialects are in use and all are understood: ustar (POSIX 1988, names up to 255 bytes), pax
(POSIX 2001: an extra entry of ``key=value`` records in front; see pax(1)) and GNU (long names,
sparse files; see "GNU tar Internals" in its manual).

Python has a ``tarfile`` module. It ends quietly at a damaged header and keeps every entry in
memory; an image whose second half is missing must be an error, and one of a million files must not
fill the memory. So here is a reader that keeps nothing, for a few hundred lines that also show the
format.

Names are bytes: Linux file names are, and not all of them are UTF-8.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from struct import Struct

from mydocker.kernel.errors import Invalid

BLOCK = 512
_BUFFER = 1 << 20
_LONGEST_RECORDS = 1 << 20  # names and attributes of one file: more than this is an attack

FILE = b"0"
HARD_LINK = b"1"
SYMLINK = b"2"
CHARACTER = b"3"
BLOCK_DEVICE = b"4"
DIRECTORY = b"5"
FIFO = b"6"
_FILES = (b"0", b"\0", b"7", b"S")  # plain, plain as in 1979, contiguous, GNU sparse
_WITHOUT_DATA = (HARD_LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO)

_XATTR = b"SCHILY.xattr."  # the prefix that star introduced and GNU tar, Go and we use

#  name mode uid gid size mtime checksum type linkname magic uname gname devmajor devminor prefix
_HEADER = Struct("100s8s8s8s12s12s8s1s100s8s32s32s8s8s155s12x")
_GNU_SPARSE = Struct("12s12s")


class DamagedArchive(Invalid):
    """The bytes are not a tar archive, or not all of it."""


@dataclass(slots=True)
class Entry:
    """One file of an archive: what its headers say. Sizes in bytes, times in nanoseconds."""

    name: bytes
    kind: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    linkname: bytes
    device: tuple[int, int]
    xattrs: dict[bytes, bytes] = field(default_factory=dict)
    holes_between: list[tuple[int, int]] | None = None  # sparse: (offset, length) of what is there
    stored: int = 0  # bytes of data in the archive: less than ``size`` for a sparse file


def _number(field: bytes) -> int:
    """A number of a header: octal digits, or GNU's base 256 for what does not fit."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big") & ~(0x80 << (8 * (len(field) - 1)))
        return value - (1 << (8 * len(field) - 1)) if field[0] & 0x40 else value
    text = field.strip(b" \0")
    if not text:
        return 0
    if b"_" in text or text[:1] in b"+-":  # Python's int() accepts more than tar does
        raise ValueError("not an octal number")
    return int(text, 8)


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


class Reader:
    """Reads entries from the open file ``fd`` from its start, forwards only.

    ``wait(offset)`` returns how far the file may be read once that is beyond ``offset``, or its
    whole size: the file may still be growing. With ``need_end`` an archive without its end mark,
    two blocks of zeros, is an error: nothing else tells a whole archive from one cut between two
    files.
    """

    def __init__(self, fd: int, wait: Callable[[int], int], need_end: bool = True) -> None:
        self._fd = fd
        self._wait = wait
        self._need_end = need_end
        self._buffer = memoryview(bytearray(_BUFFER))
        self._start = self._end = 0  # what of the buffer is filled and not yet consumed
        self._offset = 0  # in the file, of self._end
        self._data_left = self._padding = 0
        self._name = b""
        self._globals: dict[bytes, bytes] = {}

    @property
    def position(self) -> int:
        """How many bytes of the archive are consumed."""
        return self._offset - self._end + self._start

    # ------------------------------------------------------------ bytes

    def _fill(self, wanted: int) -> int:
        """Have ``wanted`` bytes in the buffer; how many there are: at the end of the file, less."""
        have = self._end - self._start
        if have >= wanted:
            return have
        self._buffer[:have] = bytes(self._buffer[self._start : self._end])
        self._start, self._end = 0, have
        while self._end < wanted:
            limit = self._wait(self._offset)
            room = min(_BUFFER - self._end, limit - self._offset)
            if room <= 0:
                break
            got = os.preadv(self._fd, [self._buffer[self._end : self._end + room]], self._offset)
            if got == 0:
                break
            self._end += got
            self._offset += got
        return self._end - self._start

    def _take(self, count: int) -> bytes:
        """The next ``count`` bytes, at most the buffer's size."""
        if self._fill(count) < count:
            raise self._cut_short()
        taken = bytes(self._buffer[self._start : self._start + count])
        self._start += count
        return taken

    def _skip(self, count: int) -> None:
        """Go over ``count`` bytes; they must be there."""
        inside = min(count, self._end - self._start)
        self._start += inside
        count -= inside
        if count:
            if self._wait(self._offset + count - 1) < self._offset + count:
                raise self._cut_short()
            self._start = self._end = 0
            self._offset += count

    def _cut_short(self) -> DamagedArchive:
        if not self._offset:
            return DamagedArchive("the archive is empty", "Did the program that packed it fail?")
        where = f"in {os.fsdecode(self._name)!r}" if self._name else "in its first header"
        return DamagedArchive(
            f"the archive ends {where}, after {self._offset} bytes",
            "It was cut short: was it downloaded or written to the end?",
        )

    def _damaged(self, what: str) -> DamagedArchive:
        after = f" after {os.fsdecode(self._name)!r}" if self._name else ""
        return DamagedArchive(f"not a tar archive: {what} at byte {self.position}{after}")

    # ------------------------------------------------------------ entries

    def __iter__(self) -> Iterator[Entry]:
        while True:
            entry = self._next()
            if entry is None:
                return
            self._data_left = entry.stored
            self._padding = -entry.stored % BLOCK
            yield entry
            self._skip(self._data_left + self._padding)
            self._data_left = 0

    def data(self) -> Iterator[memoryview]:
        """The data of the entry that was read last, in pieces; each is valid until the next."""
        while self._data_left:
            have = min(self._fill(1), self._data_left)
            if have == 0:
                raise self._cut_short()
            piece = self._buffer[self._start : self._start + have]
            self._start += have
            self._data_left -= have
            yield piece

    def _next(self) -> Entry | None:
        """The next entry with all that the extra entries in front of it say; None at the end."""
        records = dict(self._globals)
        gnu_sparse: list[tuple[int, int]] = []
        while True:
            if self._fill(BLOCK) == 0 and not self._need_end and self._name:
                return None
            block = self._take(BLOCK)
            if not block.strip(b"\0"):
                return None
            entry, magic = self._header(block)
            if entry.kind == b"x":
                records.update(self._records(entry.stored, gnu_sparse))
            elif entry.kind == b"g":
                self._globals.update(self._records(entry.stored, gnu_sparse))
                records.update(self._globals)
            elif entry.kind == b"L":
                records[b"path"] = _text(self._long(entry.stored))
            elif entry.kind == b"K":
                records[b"linkpath"] = _text(self._long(entry.stored))
            else:
                break
        if entry.kind == b"S":
            self._sparse_header(entry, block)
        if records:
            self._apply(entry, records, gnu_sparse)
        if entry.kind in _FILES:
            # Before there was a type for directories, the slash at the end of the name said so.
            old = entry.kind == b"\0" and not magic and entry.name.endswith(b"/")
            entry.kind = DIRECTORY if old else FILE
        if entry.kind in _WITHOUT_DATA:
            entry.size = entry.stored = 0
        elif entry.kind != FILE:
            raise self._damaged(f"an entry of the unknown type {entry.kind!r}")
        if b"\0" in entry.name or b"\0" in entry.linkname:
            raise self._damaged("a name with a zero byte in it")
        self._name = entry.name
        self._check_map(entry)
        return entry

    def _header(self, block: bytes) -> tuple[Entry, bytes]:
        fields = _HEADER.unpack(block)
        (name, mode, uid, gid, size, mtime, checksum, kind, linkname, magic) = fields[:10]
        try:
            if _number(checksum) != sum(block) - sum(checksum) + 8 * 32:
                raise self._damaged("a header with a wrong checksum")
            bytes_of_data = _number(size)
            if bytes_of_data < 0:
                raise self._damaged("a negative size")
            prefix = _text(fields[14]) if magic == b"ustar\x0000" else b""
            entry = Entry(
                (prefix + b"/" if prefix else b"") + _text(name),
                kind,
                _number(mode) & 0o7777,
                _number(uid),
                _number(gid),
                bytes_of_data,
                _number(mtime) * 10**9,
                _text(linkname),
                (_number(fields[12]), _number(fields[13])),
                stored=bytes_of_data,
            )
        except ValueError:
            raise self._damaged("a header with a number that is none") from None
        return entry, magic[:5].strip(b"\0")

    # ------------------------------------------------------------ what does not fit into a header

    def _long(self, size: int) -> bytes:
        if size > _LONGEST_RECORDS:
            raise self._damaged(f"{size} bytes of names and attributes for one file")
        data = self._take(size)
        self._skip(-size % BLOCK)
        return data

    def _records(self, size: int, gnu_sparse: list[tuple[int, int]]) -> dict[bytes, bytes]:
        """A pax header's records, each ``<length> <key>=<value>\\n``; the length counts itself."""
        data = self._long(size)
        records: dict[bytes, bytes] = {}
        start = 0
        while start < len(data) and data[start]:
            digits = data[start : start + 20].partition(b" ")[0]
            if not digits.isdigit() or int(digits) < len(digits) + 4:
                raise self._damaged("a pax record without its length")
            end = start + int(digits)
            key, equals, value = data[start + len(digits) + 1 : end - 1].partition(b"=")
            if end > len(data) or data[end - 1] != 10 or not equals:
                raise self._damaged("a pax record that is not key=value")
            if key == b"GNU.sparse.offset":  # these two repeat, so they are no dictionary's matter
                gnu_sparse.append((self._decimal(value), 0))
            elif key == b"GNU.sparse.numbytes" and gnu_sparse:
                gnu_sparse[-1] = (gnu_sparse[-1][0], self._decimal(value))
            else:
                records[key] = value
            start = end
        return records

    def _decimal(self, text: bytes) -> int:
        if not text.isdigit() or len(text) > 20:
            raise self._damaged(f"the number {text[:30]!r}")
        return int(text)

    def _apply(
        self, entry: Entry, records: dict[bytes, bytes], sparse: list[tuple[int, int]]
    ) -> None:
        """Let the records have their say: they win over the header."""
        for key, value in records.items():
            if key == b"path":
                entry.name = value
            elif key == b"linkpath":
                entry.linkname = value
            elif key == b"size":
                entry.size = entry.stored = self._decimal(value)
            elif key == b"uid":
                entry.uid = self._decimal(value)
            elif key == b"gid":
                entry.gid = self._decimal(value)
            elif key == b"mtime":
                entry.mtime = self._time(value)
            elif key.startswith(_XATTR):
                entry.xattrs[key[len(_XATTR) :]] = value
        if b"GNU.sparse.name" in records:
            entry.name = records[b"GNU.sparse.name"]
        if records.get(b"GNU.sparse.major") == b"1":
            entry.holes_between = self._map_in_data(entry)
        elif b"GNU.sparse.map" in records:
            numbers = [self._decimal(n) for n in records[b"GNU.sparse.map"].split(b",") if n]
            entry.holes_between = list(zip(numbers[::2], numbers[1::2], strict=False))
        elif sparse:
            entry.holes_between = sparse
        real = records.get(b"GNU.sparse.realsize") or records.get(b"GNU.sparse.size")
        if entry.holes_between is not None and real is not None:
            entry.size = self._decimal(real)

    def _time(self, text: bytes) -> int:
        """Seconds with a fraction, as pax writes them; in nanoseconds and without rounding."""
        seconds, _, fraction = text.partition(b".")
        negative = seconds.startswith(b"-")
        whole = self._decimal(seconds.lstrip(b"-") or b"0") * 10**9
        part = self._decimal((fraction[:9] + b"000000000")[:9])
        return -whole - part if negative else whole + part

    def _sparse_header(self, entry: Entry, block: bytes) -> None:
        """GNU's own sparse header: four pieces in the header, more in blocks that follow it."""
        entry.holes_between = self._pieces(block[386:482])
        try:
            real = _number(block[483:495])
        except ValueError:
            raise self._damaged("a sparse header with a number that is none") from None
        more = block[482]
        while more:
            block = self._take(BLOCK)
            entry.holes_between += self._pieces(block[:504])
            more = block[504]
            if len(entry.holes_between) > _LONGEST_RECORDS:
                raise self._damaged("a sparse file in too many pieces")
        entry.size = real

    def _pieces(self, area: bytes) -> list[tuple[int, int]]:
        try:
            return [
                (_number(offset), _number(length))
                for offset, length in _GNU_SPARSE.iter_unpack(area)
                if length.strip(b" \0")
            ]
        except ValueError:
            raise self._damaged("a sparse header with a number that is none") from None

    def _map_in_data(self, entry: Entry) -> list[tuple[int, int]]:
        """Sparse format 1.0: the data begins with the map, one decimal number a line."""
        area = b""
        count = -1
        while count < 0 or area.count(b"\n") < 2 * count + 1:
            if len(area) > _LONGEST_RECORDS or entry.stored < BLOCK:
                raise self._damaged("a sparse file without its map")
            area += self._take(BLOCK)
            entry.stored -= BLOCK
            if count < 0 and b"\n" in area:
                count = self._decimal(area.partition(b"\n")[0])
        numbers = [self._decimal(line) for line in area.split(b"\n")[1 : 2 * count + 1]]
        return list(zip(numbers[::2], numbers[1::2], strict=True))

    def _check_map(self, entry: Entry) -> None:
        """The pieces of a sparse file are in order, inside it, and all of its data."""
        if entry.holes_between is None:
            return
        end = 0
        for offset, length in entry.holes_between:
            if offset < end or length < 0:
                raise self._damaged("a sparse file whose pieces overlap")
            end = offset + length
        if end > entry.size or sum(n for _, n in entry.holes_between) != entry.stored:
            raise self._damaged("a sparse file whose pieces do not add up")
