"""The tar format, written: one entry's headers, the same bytes for the same entry.

Whatever fits goes into a plain ustar header; the rest, long names, sizes from 8 GiB on, fractions
of seconds, extended attributes, into a pax header in front of it (pax(1)). Names of users and
groups are left out: they are the names of this machine and not of the container.

Names are written as the bytes that they are. pax says that they should be UTF-8; every reader that
was tried takes others as well, and a file whose name is not UTF-8 must not be lost.
"""

from collections.abc import Iterable
from struct import Struct

from mydocker.overlay2.tarformat import BLOCK, BLOCK_DEVICE, CHARACTER, DIRECTORY, FILE, Entry

END = bytes(2 * BLOCK)
XATTR = b"SCHILY.xattr."

#  name mode uid gid size mtime checksum type linkname magic uname gname devmajor devminor prefix
_HEADER = Struct("100s8s8s8s12s12s8s1s100s8s32s32s8s8s155s12x")
_MAGIC = b"ustar\x0000"
_SECOND = 10**9


def padding(size: int) -> bytes:
    """What fills ``size`` bytes of data up to whole blocks."""
    return bytes(-size % BLOCK)


def encode(entry: Entry) -> bytes:
    """The headers of ``entry``; ``entry.stored`` bytes of data have to follow, padded.

    A file with ``holes_between`` becomes a sparse one in GNU's format 1.0, whose map is part of
    what is returned.
    """
    records: list[tuple[bytes, bytes]] = []
    name = entry.name + b"/" if entry.kind == DIRECTORY else entry.name
    sparse = b""
    if entry.holes_between is not None:
        sparse = _map(entry.holes_between)
        records += [
            (b"GNU.sparse.major", b"1"),
            (b"GNU.sparse.minor", b"0"),
            (b"GNU.sparse.name", name),
            (b"GNU.sparse.realsize", b"%d" % entry.size),
        ]
        head, _, tail = name.rpartition(b"/")  # what a reader shows that knows no sparse files
        name = (head + b"/" if head else b"") + b"GNUSparseFile.0/" + tail
    prefix, short = _split(name)
    if short is None:
        records.append((b"path", name))
        short = name[:100]
    if len(entry.linkname) > 100:
        records.append((b"linkpath", entry.linkname))
    stored = len(sparse) + entry.stored if entry.kind == FILE else 0
    seconds, fraction = divmod(entry.mtime, _SECOND)
    if fraction or not 0 <= seconds < 8**11:
        records.append((b"mtime", _time(entry.mtime)))
        seconds = max(0, min(seconds, 8**11 - 1))
    for key, value, limit in (
        (b"size", stored, 8**11),
        (b"uid", entry.uid, 8**7),
        (b"gid", entry.gid, 8**7),
    ):
        if value >= limit:
            records.append((key, b"%d" % value))
    records += [(XATTR + key, value) for key, value in sorted(entry.xattrs.items())]
    header = _header(entry, prefix, short, stored, seconds)
    return _pax(records, short) + header + sparse


def _split(name: bytes) -> tuple[bytes, bytes | None]:
    """``(prefix, name)`` for the two fields of the header; (b"", None) if they are too short."""
    if len(name) <= 100:
        return b"", name
    cut = name.find(b"/", len(name) - 101, 156)
    if len(name) > 256 or cut <= 0 or cut == len(name) - 1:
        return b"", None
    return name[:cut], name[cut + 1 :]


def _header(entry: Entry, prefix: bytes, name: bytes, stored: int, seconds: int) -> bytes:
    device = entry.device if entry.kind in (CHARACTER, BLOCK_DEVICE) else (0, 0)
    fields = [
        name,
        b"%07o\0" % entry.mode,
        b"%07o\0" % (entry.uid if entry.uid < 8**7 else 0),
        b"%07o\0" % (entry.gid if entry.gid < 8**7 else 0),
        b"%011o\0" % (stored if stored < 8**11 else 0),
        b"%011o\0" % seconds,
        b"        ",
        entry.kind,
        entry.linkname[:100],
        _MAGIC,
        b"",
        b"",
        b"%07o\0" % device[0],
        b"%07o\0" % device[1],
        prefix,
    ]
    fields[6] = b"%06o\0 " % sum(_HEADER.pack(*fields))
    return _HEADER.pack(*fields)


def _pax(records: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes:
    data = b"".join(_record(key, value) for key, value in records)
    if not data:
        return b""
    shown = b"PaxHeaders.0/" + name.rstrip(b"/").rpartition(b"/")[2]
    extra = Entry(shown[:100], b"x", 0o644, 0, 0, len(data), 0, b"", (0, 0))
    return _header(extra, b"", extra.name, len(data), 0) + data + padding(len(data))


def _record(key: bytes, value: bytes) -> bytes:
    """``<length> <key>=<value>\\n``, where the length counts its own digits too."""
    bare = len(key) + len(value) + 3
    length = bare + len(str(bare))
    if len(str(length)) > len(str(bare)):
        length = bare + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def _time(nanoseconds: int) -> bytes:
    """Seconds with a fraction as short as it can be; before 1970 negative as a whole."""
    sign, value = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    seconds, fraction = divmod(value, _SECOND)
    return f"{sign}{seconds}.{fraction:09}".rstrip("0").rstrip(".").encode()


def _map(pieces: list[tuple[int, int]]) -> bytes:
    text = b"%d\n" % len(pieces) + b"".join(b"%d\n%d\n" % piece for piece in pieces)
    return text + padding(len(text))
