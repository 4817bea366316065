"""Compression of what ``save`` and ``export`` write, on all processors.

Both gzip (RFC 1952, 2.2) and zstd (RFC 8878, 3) let a file be a row of members, each complete in
itself; every reader puts them together again. So each piece is compressed for itself, by a thread
of its own: the libraries release Python's lock. Some MiB a piece cost no more than a thousandth of
the size.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING

from mydocker.kernel.errors import Failure
from mydocker.overlay2.compression import gzip_library, zstd_library

if TYPE_CHECKING:
    from concurrent.futures import Future

GZIP, ZSTD = "gzip", "zstd"

_PIECE = 4 << 20
_PIPE = 1 << 20  # what any user may ask for (pipe(7))
# Levels by what they cost, measured on a Debian's /usr: on one processor zlib 1 does 97 MB/s, ISA-L
# 2 does 437, zstd 1 does 400; all three leave 35 to 37 per cent.
_LEVEL = {"zlib": 1, "isal.isal_zlib": 2, "zstd": 1}
_GZIP_FORMAT = 31  # zlib's number for: with gzip's header and checksum

Compress = Callable[[bytes], bytes]


def compressor(form: str) -> Compress:
    """The function that makes one member of ``form``. Raises Failure if nothing here can."""
    if form == GZIP:
        zlib = gzip_library()
        level = _LEVEL[zlib.__name__]
        return lambda data: bytes(zlib.compress(data, level, _GZIP_FORMAT))
    zstd = zstd_library()
    if zstd is None:
        raise Failure("zstd cannot be written here", "pip install backports.zstd, or use gzip")
    with_checksum = {
        zstd.CompressionParameter.compression_level: _LEVEL[ZSTD],
        zstd.CompressionParameter.checksum_flag: 1,
    }
    return lambda data: bytes(zstd.compress(data, options=with_checksum))


@contextmanager
def compressed(fd: int, form: str | None) -> Iterator[int]:
    """A descriptor: what is written to it in the block reaches ``fd`` compressed.

    Without a ``form`` it is ``fd`` itself. An OSError of ``fd``, a full disk, is raised in the
    block or at its end.
    """
    if form is None:
        yield fd
        return
    row = _Row(fd, compressor(form))
    try:
        yield row.entrance
    except BaseException as error:
        row.end(given_up=True)
        if row.error and isinstance(error, BrokenPipeError):
            raise row.error from None  # why there is nobody at the pipe's other end
        raise
    row.end()
    if row.error:
        raise row.error


class _Row:
    """A thread that reads from a pipe, lets others compress, and writes their work in order."""

    def __init__(self, fd: int, compress: Compress) -> None:
        from fcntl import F_SETPIPE_SZ, fcntl

        self.error: BaseException | None = None
        self._out, self._compress, self._given_up = fd, compress, False
        self._exit, self.entrance = os.pipe2(os.O_CLOEXEC)
        try:
            fcntl(self.entrance, F_SETPIPE_SZ, _PIPE)
        except PermissionError:
            pass  # this user has too many pipes already: a small one does, too
        self._thread = Thread(target=self._run, name="compression", daemon=True)
        self._thread.start()

    def end(self, given_up: bool = False) -> None:
        """No more comes; wait until all of it is written, or nothing more is."""
        self._given_up = given_up
        os.close(self.entrance)
        self._thread.join()

    def _run(self) -> None:
        try:
            with open(self._exit, "rb", _PIECE) as source:
                self._all(lambda: source.read(_PIECE))
        except BaseException as caught:  # it is raised again where the block ends
            self.error = caught

    def _all(self, read: Callable[[], bytes]) -> None:
        from concurrent.futures import ThreadPoolExecutor

        threads = len(os.sched_getaffinity(0))
        waiting: deque[Future[bytes]] = deque()
        with ThreadPoolExecutor(threads) as pool:
            while piece := read():
                waiting.append(pool.submit(self._compress, piece))
                if len(waiting) > threads:  # so many pieces are in the memory, and no more
                    self._write(waiting.popleft().result())
            while waiting:
                self._write(waiting.popleft().result())

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest and not self._given_up:
            rest = rest[os.write(self._out, rest) :]
