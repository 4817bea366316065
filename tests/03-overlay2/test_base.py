"""The embedded base images."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from mydocker.kernel.errors import Failure
from mydocker.overlay2 import base
from mydocker.overlay2.base import make_busybox, make_debian, resolve_or_make
from mydocker.overlay2.image import Image
from mydocker.overlay2.images import ImageStore, NoSuchImage

pytestmark = pytest.mark.root


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(str(tmp_path / "store"))


def root_of(store: ImageStore, image: Image) -> Path:
    return Path(store.layer_store.layer(store.layers(image)[0]).diff)


def test_busybox_is_the_same_to_the_byte(store: ImageStore, tmp_path: Path) -> None:
    first = make_busybox(store)
    old = os.umask(0o077)
    try:
        second = make_busybox(ImageStore(str(tmp_path / "elsewhere")))
    finally:
        os.umask(old)
    assert first.manifest == second.manifest and first.names == ("busybox:latest",)
    assert first.config.cmd == ("sh",)
    # Made in one second, times of now would be equal too: they are the program's.
    made = {path.lstat().st_mtime for path in root_of(store, first).rglob("*")}
    assert made == {int(os.stat("/bin/busybox").st_mtime)}


def test_busybox_is_made_when_it_is_asked_for(store: ImageStore) -> None:
    said: list[str] = []
    made = resolve_or_make(store, "docker.io/library/busybox", said.append)
    assert "busybox-static" in said[0]
    told = list(said)
    assert resolve_or_make(store, "busybox", said.append) == made
    assert said == told


def test_busybox_works_as_a_root(store: ImageStore) -> None:
    root = root_of(store, make_busybox(store))
    script = "id -un; ls -d /tmp /etc/passwd; [ -x /usr/bin/env ] && /sbin/ip -V 2>&1 | head -c 2"
    done = subprocess.run(["chroot", root, "sh", "-c", script], capture_output=True, text=True)
    assert done.stdout.split()[:3] == ["root", "/etc/passwd", "/tmp"], done
    links = [path for path in root.rglob("*") if path.is_symlink()]
    assert len(links) > 200
    assert {os.path.realpath(link) for link in links} == {str(root / "bin/busybox")}
    for path in ("tmp", "var/tmp"):
        assert stat.S_IMODE((root / path).stat().st_mode) == 0o1777
    assert stat.S_IMODE((root / "root").stat().st_mode) == 0o700
    assert {(p.lstat().st_uid, p.lstat().st_gid) for p in root.rglob("*")} == {(0, 0)}


def test_without_a_static_busybox(store: ImageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for programs in ((), ("/bin/true",)):  # none, or one that would look for its libraries
        monkeypatch.setattr(base, "_BUSYBOX_PROGRAMS", programs)
        with pytest.raises(Failure, match="apt-get install busybox-static"):
            resolve_or_make(store, "busybox")
    assert not os.path.exists(store.root)


@pytest.mark.parametrize(
    ("name", "hint"), [("debian", "mydocker images make debian"), ("x:1", "mydocker import FILE")]
)
def test_what_is_not_embedded_has_a_hint(store: ImageStore, name: str, hint: str) -> None:
    with pytest.raises(NoSuchImage, match=hint):
        resolve_or_make(store, name)


def test_debian_without_a_network(store: ImageStore) -> None:
    """The sandbox has no way out: debootstrap fails, in one line, and leaves nothing."""
    make_busybox(store)
    with pytest.raises(Failure) as caught:
        make_debian(store)
    assert "debootstrap" in str(caught.value) and "\n" not in str(caught.value)
    assert os.listdir(f"{store.root}/tmp") == [] and store.leftovers() == []
    assert len(store.all()) == 1
