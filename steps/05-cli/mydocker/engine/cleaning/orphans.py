"""Containers whose monitor was killed, and what a killed ``create`` or ``rm`` left of theirs.

A container that was not to be removed when it ends stays: its state is made true, as by whoever
looks at it (``truth``).
"""

import errno
import os
from collections.abc import Iterator
from functools import partial

from mydocker.engine import truth
from mydocker.engine.cleaning.leftover import Leftover, Place, is_id
from mydocker.engine.errors import NoSuchContainer
from mydocker.engine.life import removal
from mydocker.engine.records.state import DEAD, EXITED, REMOVING
from mydocker.engine.records.store import Store, listed
from mydocker.engine.trees.disk import disk_use
from mydocker.kernel import files
from mydocker.kernel.errors import Failure, KernelError
from mydocker.kernel.whole import Damaged
from mydocker.overlay2.layers import LayerStore


def unwatched(place: Place) -> Iterator[Leftover]:
    """Containers that should run, or were about to, and whose monitor is dead."""
    store = Store(place.root, place.run)
    for identifier in sorted(store.ids()):
        if _unwatched(store, identifier):
            yield Leftover("container", identifier, partial(_mend, store, identifier))


def _unwatched(store: Store, identifier: str) -> bool:
    if not os.path.exists(f"{store.directory(identifier)}/config.json"):
        return False  # a run of an earlier step keeps some files there
    try:
        state = store.written(identifier)
    except NoSuchContainer:
        return False
    except Damaged:
        state = None
    if state is None or not state.active:  # a killed start, or a file that cannot be read
        return store.traces(identifier) and not _owned(store, identifier)
    return not truth.watched(state)


def _owned(store: Store, identifier: str) -> bool:
    """Somebody starts it, or watches it."""
    from mydocker.engine import evidence

    record = evidence.record_of(store, identifier)
    if record is not None and record.owner.alive():
        return True
    return evidence.monitor_of(store, identifier).alive()


def _mend(store: Store, identifier: str) -> None:
    try:
        with truth.changing(store, identifier) as (_, state):
            if state.status == DEAD and state.error and store.traces(identifier):
                raise Failure(f"container {identifier[:12]}: {state.error}")
    except NoSuchContainer:
        return  # somebody was faster, and removed it


def ended(place: Place) -> Iterator[Leftover]:
    """Containers with ``--rm`` that ended, and those that were being removed."""
    store, layers = Store(place.root, place.run), LayerStore(place.root)
    for identifier in sorted(store.ids()):
        try:
            status, auto = store.state(identifier).status, store.known(identifier).auto_remove
        except NoSuchContainer:
            continue
        if status == REMOVING or (auto and status in (EXITED, DEAD)):
            space = disk_use(layers.layer(identifier).path)
            yield Leftover("container", identifier, partial(_remove, store, identifier), space)


def _remove(store: Store, identifier: str) -> None:
    try:
        removal.remove(store, identifier)
    except NoSuchContainer:
        return


def drafts(place: Place) -> Iterator[Leftover]:
    """Directories that were being made or removed, and names of no container."""
    store = Store(place.root, place.run)
    if not os.path.isdir(f"{store.path}/names"):
        return
    for name in sorted(listed(store.path)):
        if name.endswith((".new", ".gone")):
            yield Leftover("directory", name, partial(_discard, store, name))
    with store.names_lock():
        astray = [name for name in sorted(listed(f"{store.path}/names")) if store.astray(name)]
    for name in astray:
        yield Leftover("name", name, partial(_free, store, name))


def _discard(store: Store, name: str) -> None:
    path = f"{store.path}/{name}"
    with store.names_lock():  # with which a draft is made, and becomes the container's directory
        try:
            if name.endswith(".new"):
                _remove_tree(path, "its maker was killed")
                return
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            _remove_unlocked(fd, path)
        finally:
            os.close(fd)


def _remove_unlocked(fd: int, path: str) -> None:
    """Whoever removes a container holds the lock on its directory, whatever it is called."""
    from fcntl import LOCK_EX, LOCK_NB, flock

    try:
        flock(fd, LOCK_EX | LOCK_NB)
        _remove_tree(path, "its remover was killed")
    except BlockingIOError:
        return  # the one that removes it is alive


def _remove_tree(path: str, why: str) -> None:
    try:
        files.remove_tree(path, why=why)
    except KernelError as error:
        if error.errno != errno.ENOENT:  # it became a container, or is gone, just now
            raise


def _free(store: Store, name: str) -> None:
    with store.names_lock():
        if store.astray(name):
            files.unlink(f"{store.path}/names/{name}", why="a name of no container")


def sockets(place: Place) -> Iterator[Leftover]:
    """Sockets of monitors that are dead."""
    store = Store(place.root, place.run)
    for name in sorted(listed(store.monitors)):
        if is_id(name) and not _watched(store, name):
            yield Leftover("socket", name, partial(_close, store, name))


def _watched(store: Store, identifier: str) -> bool:
    from mydocker.engine import evidence

    return evidence.monitor_of(store, identifier).alive()


def _close(store: Store, identifier: str) -> None:
    path = f"{store.monitors}/{identifier}"
    try:
        with store.lock(identifier):  # which whoever starts it holds
            if _watched(store, identifier):
                return
            files.unlink(path, why="a monitor's socket, and no monitor")
    except NoSuchContainer:
        if os.path.exists(path):
            files.unlink(path, why="a monitor's socket, and no container")
