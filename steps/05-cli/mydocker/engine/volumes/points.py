"""Which volumes a container gets, and where: as asked for, of other containers, and of its image.

A volume is a directory of the host in the end. So all of them become what the earlier steps know, a
bind of the volume's directory; which of a container's mounts are volumes is noted beside, in
``Config.points``.
"""

import os
from collections.abc import Callable, Container

from mydocker.engine.errors import NoSuchContainer
from mydocker.engine.records.config import Config, Point
from mydocker.engine.records.store import Store
from mydocker.engine.volumes.forms import destination
from mydocker.engine.volumes.store import VolumeStore
from mydocker.kernel.errors import Invalid
from mydocker.kernel.records import replace
from mydocker.kernel.whole import Damaged
from mydocker.overlay2.volumes import BIND, Volume, ordered


def provide(store: Store, config: Config) -> Config:
    """The container with all its volumes; those that are missing are made and filled.

    The caller holds the volumes' lock until the container is written down. Raises Failure.
    """
    plan = _Plan(store, config)
    made: list[str] = []
    try:
        points = [plan.provided(point, made) for point in plan.points.values()]
    except BaseException:
        for name in made:
            VolumeStore(store.root).remove(name)
        raise
    mounts = ordered([*plan.mounts.values(), *map(bind_of, points)])
    rootfs = replace(config.rootfs, volumes=mounts)
    return replace(config, rootfs=rootfs, points=tuple(points))


def bind_of(point: Point) -> Volume:
    """The mount that shows a volume."""
    return Volume(BIND, point.destination, point.source, read_only=not point.writable, create=True)


class _Plan:
    """Everything by its place in the container: what was said in person wins over what comes from
    another container, and that over what the image asks for."""

    def __init__(self, store: Store, config: Config) -> None:
        self.store = store
        self.config = config
        self.mounts = {os.path.normpath(one.target): one for one in config.rootfs.volumes}
        self.points = {point.destination: point for point in config.points}
        taken = {*self.mounts, *self.points}
        for text in config.written.volumes_from:
            self._from(text, taken)
        for path in config.settings.volumes:
            place = destination(path, f"VOLUME {path}")
            if place not in {*taken, *self.mounts, *self.points}:
                self.points[place] = Point("", place, anonymous=True)

    def _from(self, text: str, taken: set[str]) -> None:
        word, _, mode = text.partition(":")
        if mode not in ("", "ro", "rw"):
            raise Invalid(f"invalid mode for volumes-from: {mode}", "It is ro or rw")
        other = self.store.config(self.store.find(word))
        places = {point.destination for point in other.points}
        for point in other.points:
            if point.destination not in taken:
                writable = point.writable and mode != "ro"
                self.points[point.destination] = replace(point, writable=writable, anonymous=False)
        for bind in other.rootfs.volumes:
            place = os.path.normpath(bind.target)
            if bind.kind == BIND and place not in places and place not in taken:
                self.mounts[place] = replace(bind, read_only=bind.read_only or mode == "ro")

    def provided(self, point: Point, made: list[str]) -> Point:
        """The point with its volume, which is made if it is not there."""
        volumes = VolumeStore(self.store.root)
        there = bool(point.name) and volumes.has(point.name)
        fill = self._fill(point) if point.copy else None
        if not there:
            volume = volumes.create(point.name, fill=fill)
            made.append(volume.name)
            return replace(point, name=volume.name, source=volumes.data(volume.name))
        data = volumes.data(point.name)
        if fill and not os.listdir(data):
            fill(data)
        return replace(point, source=data)

    def _fill(self, point: Point) -> Callable[[str], None]:
        def fill(directory: str) -> None:
            from mydocker.engine.volumes.copyup import copy_up
            from mydocker.overlay2.images import ImageStore

            image, root = self.config.image_id, self.store.root
            layers = ImageStore(root).parents(image, self.config.diff_ids)
            copy_up(root, layers[::-1], point.destination, directory)

        return fill


def users(store: Store) -> dict[str, list[str]]:
    """The containers of each volume that has some, by their ids, as far as that can be read."""
    found, _ = used(store)
    return found


def used(
    store: Store, *, without: Container[str] = ()
) -> tuple[dict[str, list[str]], list[Damaged]]:
    """As :func:`users`, and for each container that cannot tell what it uses, why.

    As long as there is one of these, any volume may be in use. ``without``: containers that do not
    count.
    """
    found: dict[str, list[str]] = {}
    silent = []
    for identifier in store.ids():
        if identifier in without:
            continue
        try:
            points = store.config(identifier).points
        except NoSuchContainer:
            continue  # removed meanwhile
        except Damaged as damage:
            silent.append(damage)
            continue
        for point in points:
            found.setdefault(point.name, []).append(identifier)
    return found, silent
