"""Containers on disk, laid out as Docker's.

::

    <root>/containers/<id>/config.json        what it is
    <root>/containers/<id>/state.json         what becomes of it
    <root>/containers/<id>/<id>-json.log      what it wrote
    <root>/containers/names/web -> <id>       a name belongs to one container: symlink(2) decides
    <run>/monitors/<id>                       the socket of who watches it, while it runs

A file is written beside and renamed over, after an fsync: after a power cut it says the old or the
new. Of a container with ``--rm`` nothing is to survive a power cut, and so nothing waits for the
disk. Every change of a container holds its lock, flock(2) on its directory.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager

from mydocker.engine.config import Config
from mydocker.engine.errors import NameTaken, NoSuchContainer, Refused
from mydocker.engine.state import DEAD, State
from mydocker.kernel import files, signals
from mydocker.kernel.errors import Failure

_NAMES = "names"
_HEX = "0123456789abcdef"


class Store:
    """The containers under ``root``, and what runs of them under ``run``. Touches nothing yet."""

    def __init__(self, root: str, run: str) -> None:
        self.root = os.path.abspath(root)
        self.run = os.path.abspath(run)
        self.path = f"{self.root}/containers"

    def directory(self, identifier: str) -> str:
        """The container's own directory."""
        return f"{self.path}/{identifier}"

    def log(self, identifier: str) -> str:
        """The file with what it wrote."""
        return f"{self.path}/{identifier}/{identifier}-json.log"

    @property
    def monitors(self) -> str:
        """The directory of the monitors' sockets."""
        return f"{self.run}/monitors"

    def forget_socket(self, identifier: str) -> None:
        """Remove the socket of a monitor that ends, or that was killed. May be called twice."""
        try:
            os.unlink(f"{self.monitors}/{identifier}")
        except FileNotFoundError:
            return

    # ------------------------------------------------------------ look

    def ids(self) -> list[str]:
        """All ids, in no order."""
        try:
            return [name for name in os.listdir(self.path) if len(name) == 64]
        except FileNotFoundError:
            return []

    def find(self, word: str) -> str:
        """The id of the container called ``word``, or whose id is or begins with it.

        Raises NoSuchContainer, or Refused if several ids begin so.
        """
        word = word.removeprefix("/")
        if not word or "/" in word or "\0" in word:
            raise NoSuchContainer(word)
        if len(word) == 64 and os.path.isdir(self.directory(word)):
            return word
        named = self.named(word)
        if named:
            return named
        found = [] if word.strip(_HEX) else [one for one in self.ids() if one.startswith(word)]
        if len(found) > 1:
            raise Refused(f"Multiple IDs found with provided prefix: {word}")
        if not found:
            raise NoSuchContainer(word)
        return found[0]

    def named(self, name: str) -> str:
        """The id of the container of exactly this name; "" if there is none."""
        try:
            identifier = os.readlink(f"{self.path}/{_NAMES}/{name}")
        except OSError:
            return ""
        return identifier if os.path.isdir(self.directory(identifier)) else ""

    def config(self, identifier: str) -> Config:
        """What the container is. Raises NoSuchContainer if it is gone, Failure if it is damaged."""
        path = f"{self.directory(identifier)}/config.json"
        try:
            with open(path, "rb", buffering=0) as file:
                return Config.from_json(json.loads(file.readall()))
        except (FileNotFoundError, NotADirectoryError):
            raise NoSuchContainer(identifier[:12]) from None
        except (ValueError, TypeError, KeyError):
            hint = f"It cannot be started any more: mydocker rm -f {identifier[:12]}"
            raise Failure(f"{path}: not what was written there", hint) from None

    def state(self, identifier: str) -> State:
        """What was last written of the container; see ``truth`` for what is so."""
        path = f"{self.directory(identifier)}/state.json"
        try:
            with open(path, "rb", buffering=0) as file:
                return State.from_json(json.loads(file.readall()))
        except (FileNotFoundError, NotADirectoryError):
            if not os.path.isdir(self.directory(identifier)):
                raise NoSuchContainer(identifier[:12]) from None
            return State()  # not written yet
        except (ValueError, TypeError, KeyError):
            return State(DEAD, error=f"{path}: not what was written there")

    # ------------------------------------------------------------ change

    @contextmanager
    def lock(self, identifier: str) -> Iterator[int]:
        """Nobody else changes this container meanwhile; waits for those who do.

        Gives the descriptor that holds the lock. Raises NoSuchContainer if it is gone, also while
        we waited.
        """
        directory = self.directory(identifier)
        try:
            fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            raise NoSuchContainer(identifier[:12]) from None
        try:
            signals.lock(fd)
            if not _same(fd, directory):  # it was removed while we waited
                raise NoSuchContainer(identifier[:12])
            yield fd
        finally:
            os.close(fd)

    @contextmanager
    def names_lock(self) -> Iterator[None]:
        """Nobody makes, renames or removes a container meanwhile."""
        path = f"{self.path}/{_NAMES}"
        if not os.path.isdir(path):
            os.makedirs(self.root, 0o711, exist_ok=True)
            os.makedirs(path, 0o711, exist_ok=True)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            signals.lock(fd)
            yield
        finally:
            os.close(fd)

    def add(self, config: Config) -> None:
        """Write a new container down. Raises NameTaken; then nothing was written."""
        directory, draft = self.directory(config.id), f"{self.path}/{config.id}.new"
        with self.names_lock():
            self._claim(config.name, config.id)
            try:
                files.mkdir(draft, 0o711, why="the container's own directory")
                durable = not config.auto_remove
                self._write(f"{draft}/config.json", config.to_json(), durable=durable)
                files.rename(draft, directory, why="it is complete: now there is a container")
            except BaseException:
                if os.path.isdir(draft):
                    files.remove_tree(draft, why="it could not be written")
                self._drop_name(config.name, config.id)
                raise

    def _claim(self, name: str, identifier: str) -> None:
        """Give ``identifier`` the name. Called with the names' lock: a name without a container is
        what a killed ``create`` left."""
        owner = self.named(name)
        if owner and owner != identifier:
            raise NameTaken(name, owner)
        link = f"{self.path}/{_NAMES}/{name}"
        if os.path.lexists(link):
            os.unlink(link)
        files.symlink(identifier, link, why="the container's name")

    def rename(self, config: Config, name: str) -> None:
        """``config`` as it has its new name, which was ``name`` before. Raises NameTaken."""
        with self.names_lock():
            self._claim(config.name, config.id)
            self.write_config(config)
            self._drop_name(name, config.id)

    def _drop_name(self, name: str, identifier: str) -> None:
        link = f"{self.path}/{_NAMES}/{name}"
        try:
            owner = os.readlink(link)
        except OSError:
            return
        if owner == identifier:
            files.unlink(link, why="the name is free again")

    def write_config(self, config: Config) -> None:
        """Replace what the container is. The caller holds its lock."""
        path = f"{self.directory(config.id)}/config.json"
        self._write(path, config.to_json(), durable=not config.auto_remove)

    def write_state(self, config: Config, state: State) -> None:
        """Replace what becomes of the container. The caller holds its lock."""
        path = f"{self.directory(config.id)}/state.json"
        self._write(path, state.to_json(), durable=not config.auto_remove)

    def _write(self, path: str, value: object, *, durable: bool) -> None:
        from mydocker.overlay2.content import replace

        replace(path, json.dumps(value).encode(), durable=durable)

    def remove(self, identifier: str, name: str) -> None:
        """Forget a container. May be called twice.

        The name goes after it: a name of nobody can be taken, a container without its name could
        not be called.
        """
        with self.names_lock():
            directory = self.directory(identifier)
            gone = f"{directory}.gone"
            if os.path.isdir(directory):
                files.rename(directory, gone, why="no longer a container: nobody sees half of one")
            if name:
                self._drop_name(name, identifier)
        if os.path.isdir(gone):
            files.remove_tree(gone, why="the container's own directory")


def _same(fd: int, path: str) -> bool:
    """True if ``path`` is still what ``fd`` was opened on."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False
