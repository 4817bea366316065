"""Volumes on disk, laid out as Docker's.

::

    <root>/volumes/<name>/_data         what containers see
    <root>/volumes/<name>/volume.json   when it was made, its labels, whether it was given its name

A volume is made in a workspace and moved to its place, content and all: it is there whole or not
at all. Who removes volumes, or notes in a container that one is used, holds the lock.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mydocker.container.private import DIRECTORY
from mydocker.engine.records.events import tell_of
from mydocker.engine.words.times import now
from mydocker.kernel import files, signals, whole
from mydocker.kernel.errors import Invalid, NotFound
from mydocker.kernel.records import alike, asdict, field, record
from mydocker.kernel.whole import Damaged
from mydocker.overlay2.workspace import explained, make_directories, workspace

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_RECORD = "volume.json"


class NoSuchVolume(NotFound):
    """No volume has this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"get {name}: no such volume")


@record
class Volume:
    """One volume. ``anonymous``: its name is a random one, and it goes with its container."""

    name: str
    created: str
    labels: dict[str, str] = field(default_factory=dict)
    anonymous: bool = False


def is_name(text: str) -> bool:
    """True for what can be a volume's name."""
    return bool(_NAME.fullmatch(text))


class VolumeStore:
    """The volumes under ``root``. Making the object touches nothing."""

    def __init__(self, root: str) -> None:
        self.root = os.path.abspath(root)
        self.path = f"{self.root}/volumes"

    def data(self, name: str) -> str:
        """The directory that containers see."""
        return f"{self.path}/{name}/_data"

    def names(self) -> list[str]:
        """All names, sorted."""
        try:
            return sorted(name for name in os.listdir(self.path) if is_name(name))
        except FileNotFoundError:
            return []

    def has(self, name: str) -> bool:
        """True if there is such a volume."""
        return is_name(name) and os.path.isdir(self.data(name))

    def get(self, name: str) -> Volume:
        """The volume ``name``. Raises NoSuchVolume."""
        if not self.has(name):
            raise NoSuchVolume(name)
        try:
            told = whole.read_json(f"{self.path}/{name}/{_RECORD}")
            found, usual = Volume(**(told or {})), Volume(name, "")
            if found.name == name and alike(found, usual):
                return found
        except (Damaged, TypeError):
            pass
        return Volume(name, "")  # its data count, and they are there

    def inspect(self, name: str) -> dict[str, Any]:
        """All that is known of a volume, in Docker's shape. Raises NoSuchVolume."""
        one = self.get(name)
        labels = dict(one.labels)
        if one.anonymous:
            labels["com.docker.volume.anonymous"] = ""
        return {
            "CreatedAt": one.created,
            "Driver": "local",
            "Labels": labels or None,
            "Mountpoint": self.data(name),
            "Name": name,
            "Options": None,
            "Scope": "local",
        }

    def create(
        self,
        name: str = "",
        labels: Mapping[str, str] | None = None,
        fill: Callable[[str], None] | None = None,
    ) -> Volume:
        """Make a volume, or find the one that is called so; without a ``name`` an anonymous one.

        ``fill`` is called with the new volume's directory, before anybody else sees it. Raises
        Invalid for what cannot be a name.
        """
        if len(name) == 1:
            raise Invalid(
                f"create {name}: volume name is too short, names should be at least two"
                " alphanumeric characters"
            )
        if name and not is_name(name):
            raise Invalid(
                f'create {name}: "{name}" includes invalid characters for a local volume name,'
                ' only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed',
                "If you intended to pass a host directory, use absolute path",
            )
        if name and self.has(name):
            return self.get(name)
        volume = Volume(name or os.urandom(32).hex(), now(), dict(labels or {}), not name)
        with workspace(self.root) as work, explained(self.path):
            draft = f"{work}/volume"
            files.mkdir(draft, DIRECTORY, why="a volume")
            files.mkdir(f"{draft}/_data", 0o755, why="what containers will see of it")
            files.chmod(f"{draft}/_data", 0o755, why="everyone may enter, as in Docker")
            if fill:
                fill(f"{draft}/_data")
            whole.write_json(f"{draft}/{_RECORD}", asdict(volume))
            make_directories(self.root, "volumes")
            try:
                os.rename(draft, f"{self.path}/{volume.name}")
                tell_of(self.root, "volume", "create", volume.name, {"driver": "local"})
            except OSError:
                if not self.has(volume.name):  # else another was faster
                    raise
        return self.get(volume.name)

    def remove(self, name: str) -> None:
        """Remove a volume with its data. The caller holds the lock, and knows that it is unused."""
        if not self.has(name):
            raise NoSuchVolume(name)
        with workspace(self.root) as work, explained(self.path):
            os.rename(f"{self.path}/{name}", f"{work}/volume")
            tell_of(self.root, "volume", "destroy", name, {"driver": "local"})

    @contextmanager
    def lock(self) -> Iterator[None]:
        """No volume is removed meanwhile, and none comes into use."""
        with explained(self.path):
            make_directories(self.root, "volumes")
            fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            signals.lock(fd)
            yield
        finally:
            os.close(fd)
