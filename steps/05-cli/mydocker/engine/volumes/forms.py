"""What ``-v``, ``--mount`` and ``--tmpfs`` ask for: binds, tmpfs, and volumes.

``-v /host:/path`` and ``type=bind`` are step 03's own; a name or nothing in the host's place is a
volume.
"""

import os
from collections.abc import Iterable, Mapping

from mydocker.engine.records.config import Point
from mydocker.engine.volumes.store import is_name
from mydocker.kernel.errors import Invalid
from mydocker.overlay2.volumes import Volume, parse_mount, parse_tmpfs, parse_volume

_MODES = ("ro", "rw", "nocopy", "z", "Z", "")


def requested(
    volumes: Iterable[str], mounts: Iterable[str], tmpfs: Iterable[str]
) -> tuple[list[Volume], list[Point]]:
    """Everything that was said, each place once. Raises Failure."""
    asked = _Asked()
    for text in volumes:
        asked.volume(text)
    for text in mounts:
        asked.mount(text)
    temporary = [parse_tmpfs(text) for text in tmpfs]
    return [*asked.binds.values(), *temporary], list(asked.points.values())


class _Asked:
    """By its place in the container."""

    def __init__(self) -> None:
        self.binds: dict[str, Volume] = {}
        self.points: dict[str, Point] = {}

    def volume(self, text: str) -> None:
        """``-v``: ``/host:/path`` is not ours; ``NAME:/path[:ro,nocopy]`` and ``/path`` are."""
        source, colon, rest = text.partition(":")
        if not colon:
            place = destination(source, f"-v {text}")
            self._add(place, Point("", place, anonymous=True), text)
            return
        target, _, modes = rest.partition(":")
        if source.startswith("/"):
            self._bind(target, parse_volume(text), text)
            return
        given = modes.split(",")
        unknown = [mode for mode in given if mode not in _MODES]
        if not is_name(source) or unknown:
            what = (
                f"invalid mode: {unknown[0]}"
                if unknown
                else (f'"{source}" includes invalid characters for a local volume name')
            )
            raise Invalid(
                f"-v {text}: {what}",
                "Write -v NAME:PATH[:ro][,nocopy], or -v /HOST/PATH:PATH",
            )
        place = destination(target, f"-v {text}")
        point = Point(source, place, "", "ro" not in given, copy="nocopy" not in given)
        self._add(place, point, text)

    def mount(self, text: str) -> None:
        """``--mount type=volume,…``; without a type it is a volume, too."""
        fields = dict(field.partition("=")[::2] for field in text.split(","))
        target = fields.get("target") or fields.get("dst") or fields.get("destination") or ""
        if fields.get("type", "volume") != "volume":
            self._bind(target, parse_mount(text), text)
            return
        known = {"type", "source", "src", "target", "dst", "destination", "readonly", "ro",
                 "volume-nocopy"}  # fmt: skip
        if unknown := set(fields) - known:
            raise Invalid(
                f"--mount {text}: {sorted(unknown)[0]} is no key of type=volume",
                "Write type=volume,source=NAME,target=PATH[,readonly][,volume-nocopy]",
            )
        name = fields.get("source") or fields.get("src") or ""
        place = destination(target, f"--mount {text}")
        point = Point(
            name,
            place,
            "",
            not _set(fields, "readonly") and not _set(fields, "ro"),
            not name,
            not _set(fields, "volume-nocopy"),
        )
        self._add(place, point, text)

    def _bind(self, target: str, volume: Volume, text: str) -> None:
        self._free(place := os.path.normpath(target or "/"), text)
        self.binds[place] = volume

    def _add(self, place: str, point: Point, text: str) -> None:
        self._free(place, text)
        self.points[place] = point

    def _free(self, place: str, text: str) -> None:
        if place in self.binds or place in self.points:
            raise Invalid(f"Duplicate mount point: {place}", f"It is said again by {text}")


def _set(fields: Mapping[str, str], key: str) -> bool:
    return key in fields and fields[key] in ("", "true", "1")


def destination(path: str, where: str) -> str:
    """The place of a volume in the container. Raises Invalid for none."""
    if not path.startswith("/"):
        raise Invalid(
            f"{where}: invalid mount path: '{path}' mount path must be absolute",
            "Write -v NAME:/path or -v /path",
        )
    place = "/" + os.path.normpath(path).lstrip("/")
    if place == "/":
        raise Invalid(f"{where}: invalid specification: destination can't be '/'")
    return place
