"""What is kept of a container below ``--root``: who comes later is another process.

``<root>/<id>/``
    ``state.json``      its process, and the parts that whoever ends it has to release
    ``container.json``  what was asked for
    ``config.json``     the bundle's, as it was when the container was created
    ``go``, ``told``    where the process waits for ``start`` (``container.gate``)

The directory itself is the lock: whoever changes a container holds flock(2) on it. A directory
without ``state.json`` is what a killed ``create`` has left: the next one takes it over.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_NB, LOCK_UN, flock
from typing import Any

from mydocker.container import halves, private, state
from mydocker.container.halves import CREATED, CREATING, RUNNING, STOPPED
from mydocker.container.parts import Part, rebuilt
from mydocker.container.processes import Identity
from mydocker.kernel import signals, whole
from mydocker.kernel.errors import Failure, NotFound
from mydocker.kernel.records import asdict, field, fromdict, record

PAUSED = "paused"
__all__ = ["CREATED", "CREATING", "PAUSED", "RUNNING", "STOPPED", "Container", "NotThere", "Store"]
_LONGEST = 1024  # characters of an id, as in runc
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.")
_CONFIG_MAX = 64 << 20  # bytes of a config.json: a hook's or an argument's megabytes, and no disk


class NotThere(NotFound):
    """There is no container of this id."""

    def __init__(self) -> None:
        super().__init__("container does not exist")


@record
class Container:
    """What was asked for. ``group`` is the path of its control group, ``created`` a time as RFC
    3339 writes it, ``hooks`` those that come after ``create``."""

    id: str
    bundle: str
    rootfs: str
    version: str = ""
    created: str = ""
    group: str = ""
    annotations: dict[str, str] = field(default_factory=dict)
    hooks: dict[str, Any] = field(default_factory=dict)


def checked_id(identifier: str) -> str:
    """An id that can be the name of a directory. Raises Failure."""
    if not identifier:
        raise Failure("container id cannot be empty")
    wrong = identifier in (".", "..") or not set(identifier) <= _LETTERS
    if wrong or len(identifier) > _LONGEST:
        raise Failure("invalid container ID format")
    return identifier


class Store:
    """The containers below one ``--root``."""

    def __init__(self, root: str) -> None:
        self.root = root

    def directory(self, identifier: str) -> str:
        """Where the files of one container are. Raises Failure for what is no id."""
        return f"{self.root}/{checked_id(identifier)}"

    def ids(self) -> list[str]:
        """The containers that have a directory."""
        try:
            with os.scandir(self.root) as entries:
                return sorted(e.name for e in entries if e.is_dir(follow_symlinks=False))
        except FileNotFoundError:
            return []

    def find(self, identifier: str) -> Container:
        """Raises NotThere, and Damaged for a file that is not what was written."""
        path = f"{self.directory(identifier)}/container.json"
        told = whole.read_json(path)
        if told is None or not os.path.exists(f"{self.directory(identifier)}/state.json"):
            raise NotThere
        try:
            return fromdict(Container, told)
        except TypeError:
            raise whole.Damaged(path) from None

    def write(self, container: Container) -> None:
        """On a tmpfs, which no power cut leaves behind: there is no disk to wait for."""
        path = f"{self.directory(container.id)}/container.json"
        whole.write_json(path, asdict(container), durable=False)

    def process(self, identifier: str) -> Identity:
        """Its first process, nobody as long as there is none. Raises NotThere."""
        return self._record(identifier).process

    def parts(self, identifier: str) -> list[Part]:
        """What was made for it on the host. Raises NotThere."""
        return rebuilt(self._record(identifier).parts)

    def _record(self, identifier: str) -> state.State:
        record = state.read(self.root, checked_id(identifier))
        if record is None:
            raise NotThere
        return record

    def status(self, container: Container) -> str:
        """One of the words above; not whether it is paused, which its control group knows."""
        return halves.status(self.root, container.id)

    @contextmanager
    def adding(self, identifier: str) -> Iterator[None]:
        """The directory of a new container, locked; what is in it at the end without a record goes.

        Raises Failure if there is one of this id.
        """
        directory = self.directory(identifier)
        private.found(self.root, private.DIRECTORY)
        with self._locked(identifier, make=True):
            if os.path.exists(f"{directory}/state.json"):
                raise Failure("container with given ID already exists")
            try:
                yield
            except BaseException:
                self.forget(identifier)
                raise

    @contextmanager
    def changing(self, identifier: str) -> Iterator[Container]:
        """The container, locked. Raises NotThere."""
        with self._locked(identifier, make=False):
            yield self.find(identifier)

    @contextmanager
    def _locked(self, identifier: str, *, make: bool) -> Iterator[None]:
        directory = self.directory(identifier)
        while True:
            if make:
                _make(directory)
            try:
                fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except FileNotFoundError:
                if make:
                    continue
                raise NotThere from None
            signals.lock(fd)
            if _is(directory, fd):
                break
            os.close(fd)  # it was removed while we waited
        try:
            yield
        finally:
            flock(
                fd, LOCK_UN | LOCK_NB
            )  # for the container's process as well, which has it from us
            os.close(fd)

    def forget(self, identifier: str) -> None:
        """Remove its files, the record last. May be called twice."""
        state.remove(self.root, identifier)


def _make(directory: str) -> None:
    try:
        os.mkdir(directory, private.DIRECTORY)
    except FileExistsError:
        return


def _is(directory: str, fd: int) -> bool:
    try:
        return os.path.samestat(os.stat(directory), os.fstat(fd))
    except FileNotFoundError:
        return False


def read_config(path: str, missing: str = "") -> tuple[bytes, dict[str, Any]]:
    """The bytes of a config.json, and the JSON object. Raises Failure; ``missing`` if there is
    none."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO has no end
        with open(fd, "rb", buffering=0) as file:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode) or status.st_size > _CONFIG_MAX:
                raise Failure(f"{path}: not a file that a container is described in")
            data = file.readall()
    except OSError as error:
        if error.errno == errno.ENOENT and missing:
            raise Failure(missing) from None
        raise Failure(f"open {path}: {(error.strerror or '').lower()}") from None
    return data, whole.parse(data, path)
