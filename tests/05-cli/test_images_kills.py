"""Killed at any change of the disk: the store of images and volumes stays sound, and heals.

Each operation runs in a process of its own, which kills itself in front of its K-th step: a request
to the kernel, or a call of any function that changes a file. After that nothing that the store
names is missing (``mydocker doctor``), every name says what it said before or what it was to say,
``system prune`` leaves nothing behind, and the operation can be done again.

Each time the suite runs, it takes some K, beginning anywhere; ``MYDOCKER_TEST_EVERY=1`` takes all.
"""

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from sandbox.archives import Tar
from sandbox.trees import Place

from mydocker.engine.cleaning import leftover, leftovers
from mydocker.engine.doctor.store import verify
from mydocker.engine.images.commit import commit
from mydocker.engine.images.load import load
from mydocker.engine.images.save import save
from mydocker.engine.images.uses import uses
from mydocker.engine.volumes import removing
from mydocker.engine.volumes.store import VolumeStore
from mydocker.kernel import trace
from mydocker.overlay2.importing import import_archive

pytestmark = pytest.mark.root
EVERY = int(os.environ.get("MYDOCKER_TEST_EVERY", "23"))
_CHANGES = """
chmod chown fchmod fchown ftruncate lchown link mkdir mknod open pwrite remove rename replace rmdir
sendfile setxattr symlink truncate unlink utime write
"""
CHANGES = set(_CHANGES.split())


def on_step(act: Callable[[], None]) -> None:
    """From now on ``act`` is called in front of every change of the disk, in every thread."""

    def see(frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call":
            if argument.__module__ == "posix" and argument.__name__ in CHANGES:
                act()
        elif event == "call" and frame.f_code is trace._pass.__code__:
            act()

    threading.setprofile(see)
    sys.setprofile(see)


def in_child(work: Callable[[], object], kill_at: int = 0) -> tuple[int, int]:
    """Do ``work`` in a process that dies in front of its K-th step: its end, how many steps."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        status, steps = 1, 0

        def count() -> None:
            nonlocal steps
            steps += 1
            if steps == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            on_step(count)
            work()
            status = 0
        except Exception as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
        finally:
            sys.setprofile(None)
            os.write(write, str(steps).encode())
            os._exit(status)
    os.close(write)
    _, end = os.waitpid(pid, 0)
    with open(read) as told:
        return os.waitstatus_to_exitcode(end), int(told.read() or 0)


class Stage:
    """A store with images, a container and volumes, that can be had anew; and archives to read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self.place = place = Place(path)
        base = Tar().directory("bin").add("bin/sh", b"sh").add("f", b"f" * 70_000)
        image = place.imported(base)
        config = self.container = place.container(image)
        with place.mounted(config) as root:
            (root / "new").write_text("new")
            (root / "f").unlink()
        commit(place.containers, config.id, "child:1")
        self.archive = path / "other.tar"
        self.archive.write_bytes(Tar().add("x", b"x").directory("d").add("d/y", b"y").bytes())
        self.image = path / "image.tar"
        with self.image.open("wb") as file:
            save(place.images, ["child"], file.fileno())
        place.images.tag("child:1", "child:2")
        VolumeStore(place.containers.root).create("kept")
        volume = Path(VolumeStore(place.containers.root).create("going").name)
        (path / "root/volumes" / volume / "_data/file").write_text("data")
        self.old = {image.id for image in place.images.all()}
        self.save_copy()

    def save_copy(self) -> None:
        subprocess.run(["cp", "-a", self.path / "root", self.path / "copy"], check=True)

    def renew(self) -> None:
        subprocess.run(["rm", "-rf", self.path / "root"], check=True)
        subprocess.run(["cp", "-a", self.path / "copy", self.path / "root"], check=True)

    def known(self) -> dict[str, object]:
        """What the store says. Of new images, whose ids have their time in them, only the names; of
        random ids the number."""
        root, images = self.path / "root", self.place.images
        there = images.all()
        return {
            "names": {n: i.id if i.id in self.old else "new" for i in there for n in i.names},
            "old": sorted(i.id for i in there if i.id in self.old),
            "layers": len(images.layer_store.ids()) - len(images.layerdb.chain_ids()),
            "links": len(os.listdir(root / "overlay2/l")) - len(images.layer_store.ids()),
            "volumes": VolumeStore(str(root)).names(),
            "container": sorted(os.listdir(root / f"overlay2/{self.container.id}/diff")),
        }


def operations(stage: Stage) -> dict[str, Callable[[], object]]:
    place = stage.place
    store, volumes = place.containers, VolumeStore(place.containers.root)

    def write() -> None:
        with (stage.path / "out.tar").open("wb") as file:
            save(place.images, ["child"], file.fileno())

    def loaded() -> None:
        load(place.images, str(stage.image))

    return {
        "import": lambda: import_archive(place.images, str(stage.archive), "imported"),
        "import over a name": lambda: import_archive(place.images, str(stage.archive), "child:1"),
        "load": loaded,
        "commit": lambda: commit(store, stage.container.id, "committed"),
        "save": write,
        "tag": lambda: place.images.tag("child:1", "base:latest"),
        "rmi a name": lambda: place.images.remove("child:2"),
        "rmi": lambda: place.images.remove(
            place.images.resolve("child:1").id, force=True, used_by=uses(store)
        ),
        "volume create": lambda: volumes.create("made", {"a": "b"}),
        "volume rm": lambda: removing.remove(store, "going"),
    }


NAMES = (
    "import", "import over a name", "load", "commit", "save", "tag", "rmi a name", "rmi",
    "volume create", "volume rm",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_killed_at_a_change_of_the_disk(tmp_path: Path, name: str) -> None:
    stage = Stage(tmp_path / "stage")
    if name == "load":  # into a store that does not have it yet
        stage.place.images.remove(
            stage.place.images.resolve("child:1").id,
            force=True,
            used_by=uses(stage.place.containers),
        )
        subprocess.run(["rm", "-rf", stage.path / "copy"], check=True)
        stage.save_copy()
    root, work = str(stage.path / "root"), operations(stage)[name]
    where = leftover.Place(root, str(stage.path / "run"))
    before = stage.known()
    code, last = in_child(work)
    assert code == 0 and last > 1
    after = stage.known()
    assert name == "save" or before != after
    for k in range(random.randrange(1, min(EVERY, last) + 1), last + 1, EVERY):
        stage.renew()
        code, _ = in_child(work, kill_at=k)
        assert code == -signal.SIGKILL, f"at {k} of {last}"
        verify(root, full=True)
        healed = leftovers.prune(where)
        assert healed.failures == (), f"at {k} of {last}"
        assert leftovers.find(where) == [] and os.listdir(f"{root}/tmp") == [], f"at {k} of {last}"
        verify(root, full=True)
        found = stage.known()
        assert found in (before, after), f"at {k} of {last}: {found}"
        if name not in ("rmi", "rmi a name", "volume rm") or found == before:
            assert in_child(work)[0] == 0, f"again, after a kill at {k} of {last}"
            verify(root)
            assert stage.known() == after, f"again, after a kill at {k} of {last}"
