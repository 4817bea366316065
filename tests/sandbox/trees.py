"""Trees of files for tests: made at random, put on a disk, changed, and compared."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sandbox.archives import Tar, tree

from mydocker.engine.life.creation import create
from mydocker.engine.records.config import Config
from mydocker.engine.records.store import Store
from mydocker.overlay2.image import Image
from mydocker.overlay2.images import ImageStore
from mydocker.overlay2.importing import import_archive
from mydocker.overlay2.layers import LayerStore
from mydocker.overlay2.part import LayersPart


@dataclass(frozen=True)
class Place:
    """A store of images and containers below one directory."""

    path: Path

    @property
    def containers(self) -> Store:
        return Store(str(self.path / "root"), str(self.path / "run"))

    @property
    def images(self) -> ImageStore:
        return ImageStore(str(self.path / "root"))

    def imported(self, archive: Tar | bytes, name: str = "base") -> Image:
        """An image of one layer."""
        data = archive if isinstance(archive, bytes) else archive.bytes()
        path = self.path / "import.tar"
        path.write_bytes(data)
        try:
            return import_archive(self.images, str(path), name)
        finally:
            path.unlink()

    def container(self, image: Image, *command: str, **options: Any) -> Config:
        """A container that was created and never ran."""
        from mydocker.cli.options import configuration

        asked = configuration(image, image.id, command or ("true",), _options() | options)
        return create(self.containers, asked)

    @contextmanager
    def mounted(self, config: Config) -> Iterator[Path]:
        """The container's files, to be read and changed as if it ran."""
        parents = self.images.parents(config.image_id, config.diff_ids)
        part = LayersPart(self.containers.root, config.id, parents, True)
        part.prepare()
        try:
            yield Path(LayerStore(self.containers.root).layer(config.id).merged)
        finally:
            part.release()


@cache
def _options() -> dict[str, Any]:
    """What ``mydocker create IMAGE`` without any option says."""
    from mydocker.cli.run import create as command

    with command.make_context("create", ["image"]) as context:
        return {k: v for k, v in context.params.items() if k not in ("image", "command", "root")}


def photograph(top: Path) -> dict[bytes, tuple[Any, ...]]:
    """As :func:`archives.tree`, without what no archive keeps: the time of the topmost, overlayfs's
    own attributes, and counts of names, which overlayfs does not know of a file in two layers.
    Which names are one file is in it."""
    found = tree(top)
    for name, (mode, owner, mtime, device, content, attributes, same) in found.items():
        mtime = 0 if name == b"." else mtime
        kept = {k: v for k, v in attributes.items() if not k.startswith("trusted.overlay.")}
        found[name] = (mode, owner[:2], mtime, device, content, kept, same)
    return found


def untarred(archive: Path, place: Path) -> dict[bytes, tuple[Any, ...]]:
    """What GNU tar makes of an archive."""
    place.mkdir()
    place.chmod(0o755)
    command = ["tar", "--numeric-owner", "--xattrs", "--xattrs-include=*", "--same-owner", "-C"]
    subprocess.run([*command, place, "-xpf", archive], check=True, capture_output=True)
    found = photograph(place)
    shutil.rmtree(place)
    return found


def write_file(path: str | bytes | Path, data: bytes, mode: int = 0o644, mtime: int = 0) -> None:
    """A file with all that matters about it; the time in nanoseconds."""
    with open(path, "wb") as file:
        file.write(data)
    os.chmod(path, mode)
    os.utime(path, ns=(mtime, mtime))
