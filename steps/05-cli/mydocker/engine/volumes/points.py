"""Which volumes a container gets, and where: ``-v``, ``--mount``, ``--volumes-from``, and what its
image asks for.

A volume is a directory of the host in the end. So all of them become what the earlier steps know,
``-v /directory/of/the/volume:/path``; which of these are volumes is noted beside, in the option
``points``.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from mydocker.engine.records.errors import Refused
from mydocker.engine.records.store import Store
from mydocker.engine.volumes.store import VolumeStore, is_name
from mydocker.overlay2.images import Image

Options = Mapping[str, Any]

_MODES = ("ro", "rw", "nocopy", "z", "Z", "")


class Point(NamedTuple):
    """A volume at ``destination``. ``source``: the host's directory; ``copy``: what the image has
    there is copied into the volume if that is empty."""

    name: str
    destination: str
    source: str = ""
    writable: bool = True
    anonymous: bool = False
    copy: bool = True


def provide(store: Store, image: Image, options: Options) -> dict[str, Any]:
    """The options with all volumes in them; those that are missing are made and filled.

    The caller holds the volumes' lock until the container is written down. Raises Failure.
    """
    plan = _Plan(store, image, options)
    made: list[str] = []
    try:
        points = [plan.provided(point, made) for point in plan.points.values()]
    except BaseException:
        for name in made:
            VolumeStore(store.root).remove(name)
        raise
    binds = [*plan.binds.values(), *map(_text, points)]
    return {
        **options,
        "volumes": binds,
        "mounts": list(plan.mounts.values()),
        "points": [list(point) for point in points],
    }


def points_of(options: Options) -> list[Point]:
    """The volumes of a container that was made, from its options."""
    return [Point(*told) for told in options.get("points") or ()]


def _text(point: Point) -> str:
    return f"{point.source}:{point.destination}:{'rw' if point.writable else 'ro'}"


class _Plan:
    """Everything by its place in the container: what was said in person wins over what comes from
    another container, and that over what the image asks for."""

    def __init__(self, store: Store, image: Image, options: Options) -> None:
        self.store = store
        self.image = image
        self.binds: dict[str, str] = {}
        self.mounts: dict[str, str] = {}
        self.points: dict[str, Point] = {}
        for text in options["volumes"]:
            self._volume(text)
        for text in options["mounts"]:
            self._mount(text)
        taken = {*self.binds, *self.mounts, *self.points}
        taken |= {os.path.normpath(text.partition(":")[0]) for text in options["tmpfs"]}
        for text in options.get("volumes_from") or ():
            self._from(text, taken)
        for path in image.config.volumes:
            place = _destination(path, f"VOLUME {path}")
            if place not in {*taken, *self.binds, *self.mounts, *self.points}:
                self.points[place] = Point("", place, anonymous=True)

    def _volume(self, text: str) -> None:
        """``-v``: ``/host:/path`` is not ours; ``NAME:/path[:ro,nocopy]`` and ``/path`` are."""
        source, colon, rest = text.partition(":")
        if not colon:
            place = _destination(source, f"-v {text}")
            self._add(place, Point("", place, anonymous=True), text)
            return
        target, _, modes = rest.partition(":")
        if source.startswith("/"):
            self._taken(place := os.path.normpath(target or "/"), text)
            self.binds[place] = text
            return
        given = modes.split(",")
        unknown = [mode for mode in given if mode not in _MODES]
        if not is_name(source) or unknown:
            what = (
                f"invalid mode: {unknown[0]}"
                if unknown
                else (f'"{source}" includes invalid characters for a local volume name')
            )
            raise Refused(
                f"-v {text}: {what}",
                "Write -v NAME:PATH[:ro][,nocopy], or -v /HOST/PATH:PATH",
            )
        place = _destination(target, f"-v {text}")
        point = Point(source, place, "", "ro" not in given, copy="nocopy" not in given)
        self._add(place, point, text)

    def _mount(self, text: str) -> None:
        """``--mount type=volume,…``; without a type it is a volume, too."""
        fields = dict(field.partition("=")[::2] for field in text.split(","))
        target = fields.get("target") or fields.get("dst") or fields.get("destination") or ""
        if fields.get("type", "volume") != "volume":
            self._taken(place := os.path.normpath(target or "/"), text)
            self.mounts[place] = text
            return
        known = {"type", "source", "src", "target", "dst", "destination", "readonly", "ro",
                 "volume-nocopy"}  # fmt: skip
        if unknown := set(fields) - known:
            raise Refused(
                f"--mount {text}: {sorted(unknown)[0]} is no key of type=volume",
                "Write type=volume,source=NAME,target=PATH[,readonly][,volume-nocopy]",
            )
        name = fields.get("source") or fields.get("src") or ""
        place = _destination(target, f"--mount {text}")
        point = Point(
            name,
            place,
            "",
            not _set(fields, "readonly") and not _set(fields, "ro"),
            not name,
            not _set(fields, "volume-nocopy"),
        )
        self._add(place, point, text)

    def _add(self, place: str, point: Point, text: str) -> None:
        self._taken(place, text)
        self.points[place] = point

    def _taken(self, place: str, text: str) -> None:
        if place in self.binds or place in self.points or place in self.mounts:
            raise Refused(f"Duplicate mount point: {place}", f"It is said again by {text}")

    def _from(self, text: str, taken: set[str]) -> None:
        word, _, mode = text.partition(":")
        if mode not in ("", "ro", "rw"):
            raise Refused(f"invalid mode for volumes-from: {mode}", "It is ro or rw")
        options = self.store.config(self.store.find(word)).options
        for point in points_of(options):
            if point.destination not in taken:
                writable = point.writable and mode != "ro"
                self.points[point.destination] = point._replace(writable=writable, anonymous=False)
        mine = {_text(point) for point in points_of(options)}
        for bind in options["volumes"]:
            place = os.path.normpath(bind.split(":")[1])
            if bind not in mine and place not in taken:
                source, target = bind.split(":")[:2]
                ro = mode == "ro" or bind.split(":")[2:] == ["ro"]
                self.binds[place] = f"{source}:{target}:{'ro' if ro else 'rw'}"

    def provided(self, point: Point, made: list[str]) -> Point:
        """The point with its volume, which is made if it is not there."""
        volumes = VolumeStore(self.store.root)
        there = bool(point.name) and volumes.has(point.name)
        fill = self._fill(point) if point.copy else None
        if not there:
            volume = volumes.create(point.name, fill=fill)
            made.append(volume.name)
            return point._replace(name=volume.name, source=volumes.data(volume.name))
        data = volumes.data(point.name)
        if fill and not os.listdir(data):
            fill(data)
        return point._replace(source=data)

    def _fill(self, point: Point) -> Callable[[str], None]:
        def fill(directory: str) -> None:
            from mydocker.engine.volumes.copyup import copy_up

            copy_up(self.store.root, self.image, point.destination, directory)

        return fill


def _set(fields: Mapping[str, str], key: str) -> bool:
    return key in fields and fields[key] in ("", "true", "1")


def _destination(path: str, where: str) -> str:
    if not path.startswith("/"):
        raise Refused(
            f"{where}: invalid mount path: '{path}' mount path must be absolute",
            "Write -v NAME:/path or -v /path",
        )
    place = "/" + os.path.normpath(path).lstrip("/")
    if place == "/":
        raise Refused(f"{where}: invalid specification: destination can't be '/'")
    return place


def users(store: Store) -> dict[str, list[str]]:
    """The containers of each volume that has some, by their ids."""
    found: dict[str, list[str]] = {}
    for identifier, point in _all(store):
        found.setdefault(point.name, []).append(identifier)
    return found


def _all(store: Store) -> Iterator[tuple[str, Point]]:
    from mydocker.kernel.errors import Failure

    for identifier in store.ids():
        try:
            options = store.config(identifier).options
        except Failure:
            continue  # removed meanwhile
        for point in points_of(options):
            yield identifier, point
