"""Volumes go: by name, with the container that brought them, and all that nobody uses."""

from collections.abc import Container

from mydocker.engine.records import events
from mydocker.engine.records.config import Config
from mydocker.engine.records.store import Store
from mydocker.engine.trees.disk import disk_use
from mydocker.engine.volumes.points import used
from mydocker.engine.volumes.store import NoSuchVolume, VolumeStore
from mydocker.engine.words import filters
from mydocker.kernel.errors import Conflict
from mydocker.kernel.whole import Damaged

FILTERS = ("label", "label!", "all")


def remove(store: Store, name: str, *, force: bool = False) -> None:
    """Remove a volume. Raises Conflict if a container uses it, NoSuchVolume unless ``force``."""
    volumes = VolumeStore(store.root)
    if not volumes.has(name):
        if force:
            return
        raise NoSuchVolume(name)
    with volumes.lock():
        found, silent = used(store)
        if name in found:
            raise Conflict(
                f"remove {name}: volume is in use - [{', '.join(found[name])}]",
                "Remove the container first",
            )
        _refuse(f"remove {name}: volume may be in use", silent)
        volumes.remove(name)


def _refuse(what: str, silent: list[Damaged]) -> None:
    """Raise Conflict, if a container cannot tell which volumes it uses."""
    if silent:
        raise Conflict(f"{what}: {silent[0].message}", silent[0].hint)


def remove_anonymous(store: Store, config: Config) -> None:
    """Remove the volumes that came with the container ``config``, which is gone, and had no other
    name."""
    mine = [point.name for point in config.points if point.anonymous]
    if not mine:
        return
    volumes = VolumeStore(store.root)
    with volumes.lock():
        found, silent = used(store)
        if silent:  # it may have them with --volumes-from; `volume prune` takes them later
            return
        for name in mine:
            if name not in found and volumes.has(name):
                volumes.remove(name)


def prune(
    store: Store, *, every: bool = False, chosen: filters.Filters | None = None
) -> tuple[list[str], int]:
    """Remove all volumes without a name that no container uses, with ``every`` those with one too.

    Gives their names, and the bytes that are free again. Raises Conflict, and then nothing was
    removed, while a container cannot tell what it uses.
    """
    volumes = VolumeStore(store.root)
    removed, space = [], 0
    with volumes.lock():
        _refuse("no volume is removed, any may be in use", used(store)[1])
        for name in unused(store, every=every, chosen=chosen):
            size = disk_use(volumes.data(name))
            volumes.remove(name)
            removed.append(name)
            space += size
    events.tell_prune(store, "volume", space)
    return removed, space


def unused(
    store: Store,
    *,
    every: bool = False,
    chosen: filters.Filters | None = None,
    without: Container[str] = (),
) -> list[str]:
    """What :func:`prune` would remove, if the containers ``without`` did not count."""
    volumes, wanted = VolumeStore(store.root), chosen or {}
    every = every or wanted.get("all", ["false"])[-1] in ("true", "1")
    found, silent = used(store, without=without)
    if silent:
        return []
    return [
        name
        for name in volumes.names()
        if name not in found
        and (every or volumes.get(name).anonymous)
        and filters.passes(wanted, volumes.get(name).created, volumes.get(name).labels)
    ]
