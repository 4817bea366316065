"""Find, and release, what killed commands left on the machine: ``mydocker system prune``.

Each kind of thing that can be left is one function here, which looks and gives what it found, each
with the deed that releases it; ``doctor`` only looks. What is in use is not found: a container
whose owner lives, an image's layer, a layer that a container without ``--rm`` wrote, a group with a
process in it.

In each, *things are listed before their owners*: whoever begins meanwhile writes its record before
it makes anything, so that what is on the list and has no owner after that had none before.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from mydocker.cgroups import hierarchy, making
from mydocker.cgroups.cgroup import Cgroup
from mydocker.cgroups.part import own_parent
from mydocker.container import leftovers, state
from mydocker.engine.cleaning import orphans
from mydocker.engine.cleaning.leftover import Leftover, Place, is_id
from mydocker.engine.records.store import Store as ContainerStore
from mydocker.engine.trees.disk import disk_use
from mydocker.kernel import signals
from mydocker.kernel.errors import Failure, by_errno
from mydocker.kernel.records import record
from mydocker.network import leftovers as network_leftovers
from mydocker.network.store import Store
from mydocker.overlay2 import workspace
from mydocker.overlay2.images import ImageStore
from mydocker.overlay2.layers import LayerStore

Kind = Callable[[Place], Iterator[Leftover]]


@record
class Pruned:
    """What was released, what could not be."""

    released: tuple[Leftover, ...]
    failures: tuple[Failure, ...]

    @property
    def space(self) -> int:
        """The bytes that are free again."""
        return sum(leftover.space for leftover in self.released)


def prune(place: Place) -> Pruned:
    """Release all leftovers; what fails is reported, and the rest done. Needs root.

    One at a time: a second one waits, and then finds nothing.
    """
    released: list[Leftover] = []
    failures: list[Failure] = []
    with _alone(place.run):
        for kind in KINDS:
            # Looked for only now: a container takes its layer and its groups with it.
            for leftover in _found(kind, place, failures):
                try:
                    leftover.release()
                    released.append(leftover)
                except Failure as failure:
                    failures.append(failure)
                except OSError as error:
                    failures.append(by_errno(error.errno)(f"{leftover}: {error}"))
    return Pruned(tuple(released), tuple(failures))


def _found(kind: Kind, place: Place, failures: list[Failure]) -> list[Leftover]:
    try:
        return list(kind(place))  # all of them before the first is released
    except Failure as failure:
        failures.append(failure)
    except PermissionError:
        raise  # of all kinds: it is told once
    except OSError as error:  # removed while we looked, or the disk refuses
        failures.append(by_errno(error.errno)(f"{error.filename}: {error.strerror}"))
    return []


def find(place: Place) -> list[Leftover]:
    """What :func:`prune` would release. Changes nothing."""
    return [leftover for kind in KINDS for leftover in kind(place)]


@contextmanager
def _alone(run: str) -> Iterator[None]:
    """A lock (flock(2)) on the run directory itself: the kernel takes it away if we are killed."""
    try:
        fd = os.open(run, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:  # nothing ever ran
        yield
        return
    try:
        signals.lock(fd)
        yield
    finally:
        os.close(fd)


# ---------------------------------------------------------------- the kinds


def _containers(place: Place) -> Iterator[Leftover]:
    """Records whose owner was killed: with each go the groups, mounts, links and layer it tells."""
    for identifier in leftovers.dead(place.run):
        record = state.read(place.run, identifier)
        kept = any(_kept(part) for part in record.parts) if record else False
        layer = LayerStore(place.root).layer(identifier)
        space = 0 if kept else disk_use(layer.path)
        yield Leftover("container", identifier, partial(_release, place.run, identifier), space)
    yield from _unknown(place)


def _unknown(place: Place) -> Iterator[Leftover]:
    """Of runs whose record is damaged, those in whose group nothing runs any more."""
    if not (damaged := leftovers.unknown(place.run)):
        return
    from mydocker.engine import evidence

    store = ContainerStore(place.root, place.run)
    for identifier in damaged:
        if not os.path.exists(f"{store.directory(identifier)}/config.json"):  # else see abandoned
            group = Cgroup(f"{own_parent()}/{identifier}", hierarchy.read())
            if not group.processes():
                release = partial(_raise_first, partial(evidence.release, store, identifier))
                yield Leftover("container", identifier, release)


def _release(run: str, identifier: str) -> None:
    _raise_first(partial(leftovers.release, run, identifier))


def _kept(saved: dict[str, Any]) -> bool:
    fields = saved.get("fields")
    return isinstance(fields, dict) and bool(fields.get("keep"))


def _raise_first(release: Callable[[], list[Failure]]) -> None:
    if failures := release():
        raise failures[0]


def _records(place: Place) -> Iterator[Leftover]:
    """Records whose writer was killed while it wrote them, and so before it made anything."""
    for directory in state.abandoned(place.run):
        yield Leftover("record", os.path.basename(directory), partial(state.discard, directory))


def _networks(place: Place) -> Iterator[Leftover]:
    """What outlived the records of its containers: addresses, the default network's bridge."""
    store = Store(place.root, place.run)
    for line in network_leftovers.leftovers(store):
        release = partial(network_leftovers.remove_leftovers, store)  # all of them at once
        kind, _, name = line.partition(" ")
        yield Leftover(kind, name, release)


def _images(place: Place) -> Iterator[Leftover]:
    """Half-done imports, and what was being removed when the remover was killed."""
    if not os.path.isdir(f"{place.root}/image"):
        return
    store = ImageStore(place.root)
    for name in store.leftovers():
        if name.startswith("/"):
            yield Leftover("workspace", name, store.remove_leftovers, disk_use(name))
        elif store.content.has(name):
            space = _file_size(store.content.blob(name))
            yield Leftover("blob", name, store.remove_leftovers, space)
        else:
            cache_id = store.layerdb.cache_id(name)  # empty if its removal was killed half-way
            space = disk_use(store.layer_store.layer(cache_id).path) if cache_id else 0
            yield Leftover("image layer", name, store.remove_leftovers, space)


def _file_size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0  # removed just now


def _workspaces(place: Place) -> Iterator[Leftover]:
    """Half-done imports into a store that has no image yet."""
    for path in workspace.leftovers(place.root):
        remove = partial(workspace.remove_leftovers, place.root)
        yield Leftover("workspace", path, remove, disk_use(path))


def _layers(place: Place) -> Iterator[Leftover]:
    """Layers that were not made to the end, of no container and no image."""
    store = LayerStore(place.root)
    listed = [layer_id for layer_id in store.ids() if not store.exists(layer_id)]
    if not listed:
        return
    images = ImageStore(place.root)
    with images.content.lock():  # an import that is under way has its layer's directory already
        owned = {*state.identifiers(place.run), *images.layer_ids()}
        owned |= set(_names(f"{place.root}/containers"))
        idle = [i for i in listed if i not in owned and not store.exists(i)]
    for layer_id in idle:
        remove = partial(store.remove_unfinished, layer_id)
        yield Leftover("layer", layer_id, remove, disk_use(store.layer(layer_id).path))


def _groups(place: Place) -> Iterator[Leftover]:
    """Groups below our own parent that are called as a container is, with no process in them."""
    machine, parent = hierarchy.read(), own_parent()
    above = Cgroup(parent, machine).directories
    listed = {name for directory in above for name in _names(directory) if is_id(name)}
    owned = set(state.identifiers(place.run))
    for name in sorted(listed - owned):
        group = Cgroup(f"{parent}/{name}", machine)
        if not group.processes():
            yield Leftover("cgroup", group.path, partial(_remove_idle, group, above))


def _remove_idle(group: Cgroup, above: tuple[str, ...]) -> None:
    """Remove a group, if nobody has come into it since we looked: another root's, say."""
    with making.by_nobody(group.machine):
        if not group.processes():
            group.remove(above)


KINDS = (
    orphans.unwatched,
    _containers,
    _records,
    orphans.ended,
    orphans.drafts,
    orphans.sockets,
    _networks,
    _images,
    _workspaces,
    _layers,
    _groups,
)


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []
