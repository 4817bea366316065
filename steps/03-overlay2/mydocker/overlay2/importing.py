"""Make an image from an archive of a root directory: one layer, no history.

The archive goes through twice at the same time: one thread reads, decompresses, hashes and writes
what becomes the blob; the other follows in that file and unpacks. hashlib and the system calls
release Python's lock, so on two processors the slower of the two sets the time.
"""

import errno
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from mydocker.kernel import signals
from mydocker.kernel.errors import Failure, Invalid, by_errno
from mydocker.overlay2 import holes
from mydocker.overlay2.archive import unpack
from mydocker.overlay2.compression import decompressed
from mydocker.overlay2.content import Json
from mydocker.overlay2.digest import ALGORITHM
from mydocker.overlay2.image import Image, ImageConfig
from mydocker.overlay2.images import ImageStore, NewLayer
from mydocker.overlay2.tarformat import Reader
from mydocker.overlay2.workspace import workspace

# Told the bytes that were read of the source, and how many it has; 0 if nobody knows.
Progress = Callable[[int, int], None]

_LOOK = 0.1  # seconds between two looks for a signal, while a thread is waited for


class Landing:
    """A stream on its way into a file: a thread writes and hashes it while others read the file."""

    def __init__(self, pieces: Iterator[bytes], path: str) -> None:
        from hashlib import sha256

        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._pieces = pieces
        self._hash = sha256()
        self._written = 0
        self._done = False
        self._given_up = False
        self._error: BaseException | None = None
        self._moved = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="landing", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            for piece in self._pieces:
                holes.write(self.fd, piece)
                with self._moved:
                    self._written += len(piece)
                    self._moved.notify()
                    if self._given_up:
                        break
                self._hash.update(piece)
        except BaseException as caught:  # it is raised again, in the thread that waits
            error = caught
        with self._moved:
            self._done, self._error = True, error
            self._moved.notify()

    def wait(self, offset: int) -> int:
        """How much is written, once that is more than ``offset``, or all there is."""
        with self._moved:
            while self._written <= offset and not self._done:
                self._moved.wait(_LOOK)
            self._raise()
            return self._written

    def _raise(self) -> None:
        if isinstance(self._error, OSError) and not isinstance(self._error, Failure):
            number = self._error.errno or 0
            hint = "The disk is full" if number == errno.ENOSPC else ""
            raise by_errno(number)(
                f"cannot read the archive and keep it: {os.strerror(number)}", hint
            )
        if self._error:
            raise self._error

    def finish(self) -> tuple[str, int]:
        """Wait for the end of the stream: its digest, and its size in bytes."""
        while self._thread.is_alive():
            self._thread.join(_LOOK)
        self._raise()
        return ALGORITHM + self._hash.hexdigest(), self._written

    def close(self) -> None:
        """Stop the thread, if it still runs, and close the file."""
        with self._moved:
            self._given_up = True
        # It may hang in a read from a pipe to which nobody writes; then it goes with the process,
        # and the descriptor with it: closed now, its number could be another file's by then.
        self._thread.join(timeout=1)
        if not self._thread.is_alive():
            os.close(self.fd)


def add_layer(
    pieces: Iterator[bytes], work: str, progress: Callable[[int], None] | None = None
) -> NewLayer:
    """Unpack an archive, given in uncompressed pieces, in the workspace ``work``.

    ``progress`` is told the uncompressed bytes that are unpacked. Raises Failure for whatever is
    wrong with the archive.
    """
    blob, diff = f"{work}/blob", f"{work}/diff"
    os.mkdir(diff, 0o755)
    os.chmod(diff, 0o755)
    landing = Landing(pieces, blob)
    try:
        size = unpack(Reader(landing.fd, landing.wait), diff, progress)
        diff_id, blob_size = landing.finish()
    finally:
        landing.close()
    return NewLayer(diff_id, diff, size, blob, blob_size)


@contextmanager
def source(path: str) -> Iterator[tuple[int, int]]:
    """The file ``path``, or standard input for ``-``: its descriptor, and its size or 0."""
    try:
        fd = os.dup(0) if path == "-" else os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise by_errno(error.errno, named=True)(
            f"{path}: {os.strerror(error.errno or 0)}"
        ) from None
    try:
        import stat

        status = os.fstat(fd)
        if stat.S_ISDIR(status.st_mode):
            raise Invalid(
                f"{path}: it is a directory", f"Pack it first: tar -C {path} -c . | … import -"
            )
        yield fd, status.st_size if stat.S_ISREG(status.st_mode) else 0
    finally:
        os.close(fd)


_SCHEMES = ("http://", "https://")
_PATIENCE = 60  # seconds without a byte


@contextmanager
def _file(path: str) -> Iterator[tuple[Callable[[int], bytes], int]]:
    with source(path) as (fd, size):
        yield lambda count: signals.read(fd, count), size


@contextmanager
def download(url: str) -> Iterator[tuple[Callable[[int], bytes], int]]:
    """What a server has at ``url``: a function that reads it, and its size or 0.

    An answer that ends before its size is an error: an archive may look whole without its end.
    """
    from http.client import HTTPException
    from urllib.request import urlopen

    try:
        with urlopen(url, timeout=_PATIENCE) as answer:
            size, done = int(answer.headers.get("Content-Length") or 0), 0

            def read(count: int) -> bytes:
                nonlocal done
                data: bytes = answer.read(count)
                done += len(data)
                if not data and done < size:
                    raise Failure(f"{url}: it ended after {done} of {size} bytes", "Try again")
                return data

            yield read, size
    except HTTPException as error:
        raise Failure(f"{url}: {type(error).__name__}", "Try again") from None
    except OSError as error:
        if isinstance(error, Failure):
            raise
        raise Failure(f"{url}: {error}", "Is it the right address, and the network up?") from None


def import_archive(
    store: ImageStore,
    path: str,
    name: str = "",
    *,
    config: ImageConfig | None = None,
    message: str = "",
    progress: Progress | None = None,
) -> Image:
    """Make a one-layer image from the tar file ``path``, from standard input for ``-``, or from a
    URL.

    The file may be compressed. Without a ``name`` the image has only its id. Raises Failure for a
    damaged or hostile archive, a full disk, a name that is none; then nothing has changed.
    """
    names = _checked(name)
    with (download if path.startswith(_SCHEMES) else _file)(path) as (read_some, size):
        done = 0

        def read(count: int) -> bytes:
            nonlocal done
            data = read_some(count)
            done += len(data)
            if progress:
                progress(done, size)
            return data

        return import_stream(
            store,
            decompressed(read),
            names,
            config=config or ImageConfig(),
            comment=message or f"Imported from {path}",
        )


def _checked(name: str) -> list[str]:
    """The name, looked at before the long work and not after it."""
    from mydocker.overlay2.reference import parse

    return [parse(name).name] if name else []


def import_stream(
    store: ImageStore,
    pieces: Iterator[bytes],
    names: Sequence[str] = (),
    *,
    config: ImageConfig,
    comment: str,
    created: str = "",
) -> Image:
    """As :func:`import_archive`, from uncompressed pieces. ``created``: RFC 3339, or now."""
    with workspace(store.root) as work:
        layer = add_layer(pieces, work)
        document = describe([layer.diff_id], config, comment, created or now())
        image = store.commit(work, document, [layer], names)
        store.tell(image, "import")
        return image


def describe(diff_ids: list[str], config: ImageConfig, comment: str, created: str) -> Json:
    """An OCI image configuration for this machine's kind of processor."""
    return {
        "created": created,
        "architecture": architecture(),
        "os": "linux",
        "config": config.to_json(),
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [{"created": created, "comment": comment}],
    }


def now() -> str:
    """The time as RFC 3339 wants it."""
    from datetime import UTC, datetime

    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def architecture() -> str:
    """The processor by the name that Go, and so every image, has for it."""
    machine = os.uname().machine
    return {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}.get(machine, machine)
