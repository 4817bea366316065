"""An archive of images, to look things up in it: which files it has, and where their bytes are.

What ``load`` is given comes from somebody else. Nothing of it becomes a name on our disk here: the
names are keys of a table. But an archive whose names are made to lead out of a directory, or that
has a file twice, so that two readers would see different images, is refused at once.
"""

import hashlib
import json
import os
import posixpath
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mydocker.kernel import signals
from mydocker.kernel.errors import Failure, Invalid, by_errno
from mydocker.overlay2.archive import UnsafeArchive
from mydocker.overlay2.compression import decompressed
from mydocker.overlay2.content import Json
from mydocker.overlay2.digest import ALGORITHM
from mydocker.overlay2.tarformat import DIRECTORY, FILE, HARD_LINK, SYMLINK, Entry, Reader

_PIECE = 1 << 20
_MOST_FILES = 100_000
_LARGEST_DOCUMENT = 16 << 20  # a manifest or a configuration in JSON
_LONGEST_LINKS = 8
# What is compressed as well as this, and is large, was made to fill a disk.
_BOMB_RATIO = 500
_BOMB_SIZE = 8 << 30


class DamagedImage(Invalid):
    """The archive is whole, but what it says about its images is not so."""


class Bundle:
    """The files of the archive in the open file ``fd`` of ``size`` bytes, by their names."""

    def __init__(self, fd: int, size: int) -> None:
        self._fd = fd
        self._files: dict[str, tuple[int, int]] = {}  # name: offset and size
        self._links: dict[str, str] = {}
        reader = Reader(fd, lambda _: size)
        for entry in reader:
            self._add(entry, reader.position)

    def _add(self, entry: Entry, position: int) -> None:
        name = _checked(entry.name)
        if entry.kind == DIRECTORY:
            return
        if name in self._files or name in self._links:
            raise UnsafeArchive(
                f"the archive has {name!r} twice",
                "Two readers could take it for two different images; nothing of it was kept",
            )
        if len(self._files) + len(self._links) >= _MOST_FILES:
            raise UnsafeArchive(f"the archive has more than {_MOST_FILES} files")
        if entry.kind == FILE and entry.holes_between is None:
            self._files[name] = (position, entry.size)
        elif entry.kind == SYMLINK:
            target = posixpath.join(posixpath.dirname(name), os.fsdecode(entry.linkname))
            self._links[name] = _checked(os.fsencode(target))
        elif entry.kind == HARD_LINK:
            self._links[name] = _checked(entry.linkname)

    def has(self, name: str) -> bool:
        """True if the archive has a file of this name."""
        return self._find(name) is not None

    def _find(self, name: str) -> tuple[int, int] | None:
        for _ in range(_LONGEST_LINKS):
            if name not in self._links:
                break
            name = self._links[name]
        return self._files.get(name)

    def _place(self, name: str) -> tuple[int, int]:
        place = self._find(name)
        if place is None:
            raise DamagedImage(
                f"the archive has no file {name!r}, which its table of contents names",
                "Was it packed to the end?",
            )
        return place

    def content(self, name: str) -> bytes:
        """A small file, whole. Raises DamagedImage if it is not there."""
        offset, size = self._place(name)
        if size > _LARGEST_DOCUMENT:
            raise DamagedImage(f"{name!r} in the archive: {size} bytes are too many for a document")
        found = os.pread(self._fd, size, offset)
        if len(found) < size:
            raise DamagedImage(f"{name!r} in the archive: cannot be read to its end")
        return found

    def document(self, name: str) -> Any:
        """A file that is JSON. Raises DamagedImage for what is not."""
        try:
            return json.loads(self.content(name))
        except (ValueError, RecursionError) as error:
            raise DamagedImage(f"{name!r} in the archive is not JSON: {error}") from None

    def layer(self, name: str, digest: str, read: Callable[[int], None]) -> Iterator[bytes]:
        """A layer in uncompressed pieces; ``digest``: what its bytes in the archive must have.

        ``read`` is told the bytes that are read. Raises DamagedImage for another digest.
        """
        offset, size = self._place(name)
        hasher = hashlib.sha256() if digest else None
        end = offset + size

        def take(count: int) -> bytes:
            nonlocal offset
            data = os.pread(self._fd, min(count, end - offset), offset)
            offset += len(data)
            if hasher:
                hasher.update(data)
            read(len(data))
            return data

        yield from bounded(decompressed(take), lambda: size)
        while take(_PIECE):
            pass  # what lies behind the compressed data is part of the digest, too
        if hasher and ALGORITHM + hasher.hexdigest() != digest:
            raise DamagedImage(
                f"{name!r} in the archive is {ALGORITHM}{hasher.hexdigest()} and not {digest}",
                "It was damaged, or changed by somebody, on its way",
            )

    def sizes(self, names: Iterator[str]) -> int:
        """The bytes of those files together."""
        return sum((self._find(name) or (0, 0))[1] for name in names)


def bounded(pieces: Iterator[bytes], read: Callable[[], int]) -> Iterator[bytes]:
    """The same pieces, but for those of a bomb: many gigabytes made of almost nothing.

    ``read`` tells the compressed bytes.
    """
    done = 0
    for piece in pieces:
        done += len(piece)
        if done > _BOMB_SIZE and done > _BOMB_RATIO * read():
            raise UnsafeArchive(
                f"{read()} compressed bytes become more than {done}",
                "It was made to fill a disk; nothing of it was kept",
            )
        yield piece


def _checked(name: bytes) -> str:
    """The name without dots in it. Raises UnsafeArchive for one that leads out of the archive."""
    text = os.fsdecode(name)
    path = posixpath.normpath(text)
    if text.startswith("/") or path == ".." or path.startswith("../"):
        raise UnsafeArchive(
            f"the archive wants to write outside of its root: {text!r}",
            "It was made to do harm, or by mistake; nothing of it was kept",
        )
    return path


def check_json(value: Any, kind: type, what: str) -> Any:
    """``value`` if it is a ``kind``. Raises DamagedImage that says ``what`` is not."""
    if not isinstance(value, kind):
        raise DamagedImage(f"{what} in the archive is not what it should be")
    return value


@contextmanager
def opened(path: str, work: str, told: Callable[[int, int], None]) -> Iterator[Bundle]:
    """The archive ``path``, or standard input for ``-``; ``work`` is a place for what must be
    unpacked first.

    ``told`` hears the bytes read of it, and how many there are, 0 if nobody knows.
    """
    from mydocker.overlay2.importing import source

    with source(path) as (fd, size):
        if size and not _compressed(os.pread(fd, 6, 0)):
            yield Bundle(fd, size)
            return
        spooled, length = _spool(fd, size, f"{work}/archive", told)
        try:
            yield Bundle(spooled, length)
        finally:
            os.close(spooled)


def _compressed(head: bytes) -> bool:
    from mydocker.overlay2.compression import is_compressed

    return is_compressed(head)


def _spool(fd: int, size: int, path: str, told: Callable[[int, int], None]) -> tuple[int, int]:
    """A pipe cannot be read twice, and compressed data not from its middle: write it down."""
    got = 0

    def read(count: int) -> bytes:
        nonlocal got
        data = signals.read(fd, count)
        got += len(data)
        told(got, size)
        return data

    out = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.unlink(path)  # it goes with its descriptor
        length = 0
        for piece in bounded(decompressed(read), lambda: got):
            rest = memoryview(piece)
            while rest:
                rest = rest[os.write(out, rest) :]
            length += len(piece)
    except OSError as error:
        os.close(out)
        if isinstance(error, Failure):
            raise
        raise by_errno(error.errno)(
            f"cannot keep the archive: {error.strerror}", "Is the disk full?"
        ) from None
    except BaseException:
        os.close(out)
        raise
    return out, length


def descriptor(value: Any, what: str) -> tuple[str, Json]:
    """The digest of an OCI descriptor, and the whole descriptor. Raises DamagedImage."""
    from mydocker.overlay2.digest import is_digest

    line: Json = check_json(value, dict, what)
    digest = line.get("digest")
    if not isinstance(digest, str) or not is_digest(digest):
        raise DamagedImage(f"{what} in the archive has no digest of sha256")
    return digest, line
