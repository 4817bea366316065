"""Containers on disk, laid out as Docker's.

::

    <root>/containers/<id>/config.json        what it is
    <root>/containers/<id>/state.json         what becomes of it
    <root>/containers/<id>/<id>-json.log      what it wrote
    <root>/containers/names/web -> <id>       a name belongs to one container: symlink(2) decides
    <run>/monitors/<id>                       the socket of who watches it, while it runs

A file is replaced as a whole (``kernel.whole``): after a power cut it says the old or the new. Of a
container with ``--rm`` nothing is to survive a power cut, and so nothing waits for the disk. Every
change of a container holds its lock, flock(2) on its directory; see ``truth.changing``.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_NB, flock

from mydocker.container import private
from mydocker.engine.errors import NameTaken, NoSuchContainer
from mydocker.engine.records import keeping  # noqa: F401  (whoever opens a store keeps events)
from mydocker.engine.records.config import Config, unknown
from mydocker.engine.records.state import DEAD, State
from mydocker.kernel import files, signals, whole
from mydocker.kernel.errors import Failure, Invalid
from mydocker.kernel.whole import Damaged, NotWritten

_NAMES = "names"
_HEX = "0123456789abcdef"


class Store:
    """The containers under ``root``, and what runs of them under ``run``. Touches nothing yet."""

    def __init__(self, root: str, run: str) -> None:
        self.root = os.path.abspath(root)
        self.run = os.path.abspath(run)
        self.path = f"{self.root}/containers"
        self.unwritten: list[NotWritten] = []  # what was done and could not be written down

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

    def traces(self, identifier: str) -> bool:
        """Is there anything of it in the run directory? Nothing, of most that do not run."""
        names = (f"{self.run}/{identifier}", f"{self.monitors}/{identifier}")
        return any(os.path.exists(name) for name in names)

    def forget_socket(self, identifier: str) -> None:
        """Remove the socket of a monitor that ends, or that was killed. May be called twice."""
        try:
            os.unlink(f"{self.monitors}/{identifier}")
        except FileNotFoundError:
            return

    # ------------------------------------------------------------ look

    def ids(self) -> list[str]:
        """All ids, in no order."""
        return [name for name in listed(self.path) if len(name) == 64]

    def find(self, word: str) -> str:
        """The id of the container called ``word``, or whose id is or begins with it.

        Raises NoSuchContainer, or Invalid if several ids begin so.
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
            raise Invalid(f"Multiple IDs found with provided prefix: {word}")
        if not found:
            raise NoSuchContainer(word)
        return found[0]

    def named(self, name: str) -> str:
        """The id of the container of exactly this name; "" if there is none."""
        try:
            identifier = os.readlink(f"{self.path}/{_NAMES}/{name}")
        except PermissionError:  # only root gets in: that is not to say that there is none
            raise
        except OSError:
            return ""
        return identifier if os.path.isdir(self.directory(identifier)) else ""

    def astray(self, name: str) -> bool:
        """Is it nobody's name? Called with the names' lock: else it may only just be given.

        A killed ``create`` leaves one without a container, a killed ``rename`` a second one.
        """
        try:
            identifier = os.readlink(f"{self.path}/{_NAMES}/{name}")
        except OSError:
            return False
        try:
            return self.config(identifier).name != name
        except NoSuchContainer:
            return not os.path.isdir(self.directory(identifier))
        except Damaged:
            return False

    def config(self, identifier: str) -> Config:
        """What the container is. Raises NoSuchContainer if it is gone, Failure if it is damaged."""
        path = f"{self.directory(identifier)}/config.json"
        hint = f"It cannot be started any more: mydocker rm -f {identifier[:12]}"
        told = whole.read_json(path, hint)
        if told is None:
            raise NoSuchContainer(identifier[:12])
        try:
            if "version" not in told:
                from mydocker.engine.records import first_form

                return first_form.config(told)
            return Config.from_json(told)
        except (ValueError, TypeError, KeyError, AttributeError, Failure):
            raise Damaged(path, hint) from None

    def known(self, identifier: str) -> Config:
        """What is known of the container, to end and to remove it: of a damaged one its name.

        Raises NoSuchContainer if it is gone.
        """
        try:
            return self.config(identifier)
        except Damaged:
            name = self.name_of(identifier) or identifier[:12]
            return unknown(identifier, name)

    def name_of(self, identifier: str) -> str:
        """The name that leads to it, whatever its own file says; "" if there is none."""
        directory = f"{self.path}/{_NAMES}"
        for name in listed(directory):
            try:
                if os.readlink(f"{directory}/{name}") == identifier:
                    return name
            except OSError:
                continue  # freed just now: another container's
        return ""

    def state(self, identifier: str) -> State:
        """What was last written of the container; see ``truth`` for what is so."""
        try:
            return self.written(identifier) or State()
        except Damaged as damage:
            return State(DEAD, error=damage.message)

    def written(self, identifier: str) -> State | None:
        """As :meth:`state`, and no more than what is there.

        None if nothing was written yet. Raises NoSuchContainer, or Damaged.
        """
        path = f"{self.directory(identifier)}/state.json"
        told = whole.read_json(path)
        if told is None:
            if not os.path.isdir(self.directory(identifier)):
                raise NoSuchContainer(identifier[:12])
            return None
        try:
            return State.from_json(told)
        except (ValueError, TypeError, KeyError):
            raise Damaged(path) from None

    # ------------------------------------------------------------ change

    @contextmanager
    def lock(self, identifier: str, *, wait: bool = True) -> Iterator[int]:
        """Nobody else changes this container meanwhile; waits for those who do.

        Gives the descriptor that holds the lock. Raises NoSuchContainer if it is gone, also while
        we waited; without ``wait``, BlockingIOError if somebody is changing it.
        """
        directory = self.directory(identifier)
        try:
            fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            raise NoSuchContainer(identifier[:12]) from None
        try:
            if wait:
                signals.lock(fd)
            else:
                flock(fd, LOCK_EX | LOCK_NB)
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
            private.make(self.root, "containers", _NAMES)
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
                files.mkdir(draft, private.DIRECTORY, why="the container's own directory")
                durable = not config.auto_remove
                self._write(f"{draft}/config.json", config.to_json(), durable=durable)
                files.rename(draft, directory, why="it is complete: now there is a container")
            except BaseException:
                if os.path.isdir(draft):
                    files.remove_tree(draft, why="it could not be written")
                self._drop_name(config.name, config.id)
                raise

    def _claim(self, name: str, identifier: str) -> None:
        """Give ``identifier`` the name. Called with the names' lock."""
        owner = self.named(name)
        if owner and owner != identifier and not self.astray(name):
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
        """Replace what becomes of the container. The caller holds its lock. Raises NotWritten."""
        path = f"{self.directory(config.id)}/state.json"
        self._write(path, state.to_json(), durable=not config.auto_remove)

    def note_state(self, config: Config, state: State) -> None:
        """As :meth:`write_state`, of what is so already, whatever the disk says to that.

        A container must be able to end on a full disk, which it has filled itself perhaps.
        """
        try:
            self.write_state(config, state)
        except NotWritten as failure:
            self.unwritten.append(failure)

    def _write(self, path: str, value: object, *, durable: bool) -> None:
        whole.write_json(path, value, durable=durable)

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
            for each in {name, *listed(f"{self.path}/{_NAMES}")}:
                self._drop_name(each, identifier)
        if os.path.isdir(gone):
            files.remove_tree(gone, why="the container's own directory")


def listed(directory: str) -> list[str]:
    """The names in a directory; none if it is not there (any more)."""
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []


def _same(fd: int, path: str) -> bool:
    """True if ``path`` is still what ``fd`` was opened on."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False
