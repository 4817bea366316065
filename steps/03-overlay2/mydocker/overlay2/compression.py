"""Compressed archives, recognised by their first bytes and not by their name.

bzip2 and xz come with Python, and zstd with Python 3.14 or the package ``backports.zstd``; else the
command ``zstd`` does the work. For gzip there is zlib; but ISA-L (the package ``isal``) reads it
twice and writes it four times as fast, so that is taken where it is installed.
"""

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

from mydocker.kernel.errors import Failure, Invalid

PIECE = 1 << 20

_GZIP = b"\x1f\x8b"
_BZIP2 = b"BZh"
_XZ = b"\xfd7zXZ\0"
_ZSTD = b"\x28\xb5\x2f\xfd"

Read = Callable[[int], bytes]


class DamagedCompression(Invalid):
    """What was compressed cannot be had back."""


def gzip_library() -> Any:
    """``isal_zlib`` or, with the same functions, ``zlib``."""
    try:
        return import_module("isal.isal_zlib")
    except ImportError:
        return import_module("zlib")


def zstd_library() -> Any:
    """The module ``compression.zstd``, whatever it is called here; None if there is none."""
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return import_module(name)
        except ImportError:
            continue
    return None


def is_compressed(head: bytes) -> bool:
    """True if data that begin with ``head``, six bytes or more, are compressed."""
    return head.startswith((_GZIP, _BZIP2, _XZ, _ZSTD))


def decompressed(read: Read) -> Iterator[bytes]:
    """What ``read(size)`` gives, in pieces, decompressed if it is compressed.

    ``read`` returns up to ``size`` bytes and nothing at the end. Raises DamagedCompression if the
    data is damaged or ends too early.
    """
    head = b""
    while len(head) < 6 and (more := read(PIECE)):
        head += more
    if head.startswith(_GZIP):
        yield from _gzip(head, read)
    elif head.startswith(_BZIP2):
        import bz2

        yield from _by(bz2.BZ2Decompressor, "bzip2", head, read)
    elif head.startswith(_XZ):
        import lzma

        yield from _by(lzma.LZMADecompressor, "xz", head, read)
    elif head.startswith(_ZSTD):
        library = zstd_library()
        if library:
            yield from _by(library.ZstdDecompressor, "zstd", head, read)
        else:
            yield from _zstd_command(head, read)
    else:
        while head:
            yield head
            head = read(PIECE)


def _damaged(name: str, what: str) -> DamagedCompression:
    return DamagedCompression(
        f"the {name} data {what}", "Was the file downloaded or written to the end?"
    )


def _gzip(data: bytes, read: Read) -> Iterator[bytes]:
    zlib = gzip_library()
    gzip_format = 31  # zlib's number for: with gzip's header and checksum
    decompressor = zlib.decompressobj(gzip_format)
    try:
        while data:
            piece = decompressor.decompress(data, PIECE)
            if piece:
                yield piece
            if decompressor.eof:  # the end of one member: another, padding, or nothing follows
                data = decompressor.unused_data.lstrip(b"\0") or read(PIECE).lstrip(b"\0")
                if data:
                    decompressor = zlib.decompressobj(gzip_format)
            else:
                # A bounded piece: the rest of a bomb stays compressed until it is asked for.
                data = decompressor.unconsumed_tail or read(PIECE)
    except zlib.error as error:
        raise _damaged("gzip", f"is damaged ({error})") from None
    if not decompressor.eof:
        raise _damaged("gzip", "ends too early")


def _by(make: Callable[[], Any], name: str, data: bytes, read: Read) -> Iterator[bytes]:
    """bz2, lzma and zstd have one interface, and each tells damage by an exception of its own."""
    decompressor = make()
    while True:
        try:
            piece = decompressor.decompress(data, PIECE)
        except Exception as error:
            raise _damaged(name, f"is damaged ({error})") from None
        if piece:
            yield piece
        if decompressor.eof:
            data = decompressor.unused_data.lstrip(b"\0") or read(PIECE).lstrip(b"\0")
            if not data:
                return
            decompressor = make()
        else:
            data = b"" if not decompressor.needs_input else read(PIECE)
            if not data and decompressor.needs_input:
                raise _damaged(name, "ends too early")


def _zstd_command(head: bytes, read: Read) -> Iterator[bytes]:
    import contextlib
    import subprocess
    import threading

    try:
        process = subprocess.Popen(
            ["zstd", "-dcq"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except FileNotFoundError:
        raise Failure("zstd: command not found", "Install it: apt-get install zstd") from None
    assert process.stdin and process.stdout and process.stderr
    stdin = process.stdin

    def feed() -> None:
        data = head
        try:
            while data:
                stdin.write(data)
                data = read(PIECE)
        except (BrokenPipeError, ValueError):
            pass  # zstd has given up and says why by its exit status
        finally:
            with contextlib.suppress(BrokenPipeError):
                stdin.close()

    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    try:
        while piece := process.stdout.read(PIECE):
            yield piece
        said = process.stderr.read().decode(errors="replace").strip()
        if process.wait() != 0:
            raise _damaged("zstd", f"is damaged ({' '.join(said.split())})")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()
