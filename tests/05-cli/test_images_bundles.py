"""save and load: every layer and the whole history; and what is refused, in one line."""

import errno
import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sandbox.archives import Tar
from sandbox.launcher import Launcher
from sandbox.machine import Sandbox
from sandbox.trees import Place

from mydocker.engine.images.commit import commit
from mydocker.engine.images.compressing import compressed
from mydocker.engine.images.history import history
from mydocker.engine.images.load import load
from mydocker.engine.images.save import OCI, save
from mydocker.kernel import syscalls
from mydocker.kernel.errors import Failure
from mydocker.overlay2.compression import decompressed
from mydocker.overlay2.image import Image

pytestmark = pytest.mark.root


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "one").mkdir()
    return Place(tmp_path / "one")


@pytest.fixture
def other(tmp_path: Path) -> Place:
    (tmp_path / "two").mkdir()
    return Place(tmp_path / "two")


def layered(place: Place, name: str, *texts: str) -> Image:
    """An image of a base layer and one for each text."""
    image = place.imported(Tar().directory("bin").add("bin/sh", b"sh"))
    for text in texts:
        config = place.container(image)
        with place.mounted(config) as root:
            (root / text).write_text(text)
        image = commit(place.containers, config.id, name, message=text)
    return image


def saved(place: Place, path: Path, *names: str, form: str = "docker") -> Path:
    with path.open("wb") as file:
        save(place.images, names, file.fileno(), form=form)
    return path


def contents(place: Place) -> list[str]:
    top = place.path / "root"
    return sorted(str(p.relative_to(top)) for p in top.rglob("*") if p.name != "tmp")


# ---------------------------------------------------------------- round and round


@pytest.mark.parametrize("form", ["docker", "oci"])
@pytest.mark.parametrize("packed", ["plain", "gzip", "zstd"])
def test_layers_history_and_names_come_back(
    place: Place, other: Place, tmp_path: Path, form: str, packed: str
) -> None:
    image = layered(place, "box:1", "a", "b")
    place.images.tag("box:1", "box:2")
    place.images.tag("box:1", "else:3")
    archive = saved(place, tmp_path / "x.tar", "box", form=form)
    if packed == "gzip":
        archive.write_bytes(gzip.compress(archive.read_bytes()))
    if packed == "zstd":
        subprocess.run(["zstd", "-q", "--rm", archive], check=True)
        archive = tmp_path / "x.tar.zst"
    (loaded,) = load(other.images, str(archive))
    again = other.images.resolve("box:2")
    assert loaded.id == again.id == image.id and loaded.names == ("box:1", "box:2")
    assert again.document == image.document and len(again.diff_ids) == 3
    assert [step.comment for step in history(other.images, again)][:2] == ["b", "a"]
    assert other.images.find("else:3") is None
    assert other.images.leftovers() == [] and os.listdir(other.path / "root/tmp") == []


def test_the_same_images_give_the_same_archive(place: Place, other: Place, tmp_path: Path) -> None:
    layered(place, "box", "a")
    first = saved(place, tmp_path / "1.tar", "box").read_bytes()
    load(other.images, str(tmp_path / "1.tar"))
    assert saved(other, tmp_path / "2.tar", "box").read_bytes() == first


def test_shared_layers_are_packed_and_kept_once(place: Place, other: Place, tmp_path: Path) -> None:
    one = layered(place, "one", "a")
    layered(place, "two", "b")
    archive = saved(place, tmp_path / "x.tar", "one", "two")
    with tarfile.open(archive) as tar:
        assert len([name for name in tar.getnames() if one.diff_ids[0][7:] in name]) == 1
    assert [image.names for image in load(other.images, str(archive))] == [
        ("one:latest",),
        ("two:latest",),
    ]
    assert len(other.images.layer_store.ids()) == 3
    before = contents(other)
    load(other.images, str(archive))
    assert contents(other) == before


def test_an_image_with_the_same_layer_twice(place: Place, tmp_path: Path) -> None:
    layer = Tar().add("x", b"x").bytes()
    config = {"rootfs": {"type": "layers", "diff_ids": [sha(layer)] * 2}, "os": "linux"}
    raw = json.dumps(config, indent=3).encode()  # not as we would write it, and kept so
    archive = docker_archive(tmp_path / "x.tar", raw, [layer, layer], names=["box:1"])
    load(place.images, str(archive))
    image = place.images.resolve("box:1")
    assert image.id == sha(raw)
    assert len(place.images.layers(image)) == 2
    load(place.images, str(saved(place, tmp_path / "y.tar", "box:1")))


def test_an_id_is_saved_without_names(place: Place, other: Place, tmp_path: Path) -> None:
    image = layered(place, "box", "a")
    saved(place, tmp_path / "x.tar", image.short_id)
    (loaded,) = load(other.images, str(tmp_path / "x.tar"))
    assert loaded.names == () and other.images.resolve(image.id).names == ()


def test_a_name_moves_to_the_image_that_was_loaded(
    mydocker: Launcher, place: Place, tmp_path: Path
) -> None:
    image = layered(place, "box", "a")
    saved(place, tmp_path / "x.tar", "box")
    root = ("--root", str(tmp_path / "r"))
    first = mydocker(5, "load", *root, "-i", str(tmp_path / "x.tar"))
    assert first.stdout == "Loaded image: box:latest\n"
    layered(place, "box", "b")
    saved(place, tmp_path / "y.tar", "box")
    with (tmp_path / "y.tar").open("rb") as file:
        second = mydocker(5, "load", *root, stdin=file)
    assert second.stdout.splitlines() == [
        f"The image box:latest already exists, renaming the old one with ID {image.id} to empty "
        "string",
        "Loaded image: box:latest",
    ]


def test_two_loads_at_once_make_one_copy(
    place: Place, other: Place, mydocker: Launcher, tmp_path: Path
) -> None:
    layered(place, "box", "a", "b")
    saved(place, tmp_path / "x.tar", "box")
    words = ("load", "-q", "-i", str(tmp_path / "x.tar"), "--root", f"{other.path}/root")
    running = [mydocker.start(5, *words) for _ in range(4)]
    assert [process.wait(60) for process in running] == [0] * 4
    assert len(other.images.layer_store.ids()) == 3 and other.images.leftovers() == []


# ---------------------------------------------------------------- archives made to be refused


def sha(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def pack(path: Path, files: list[tuple[str, bytes]]) -> Path:
    tar = Tar()
    for name, data in files:
        tar.add(name, data)
    return tar.write(path)


def docker_archive(
    path: Path,
    config: Any,
    layers: list[bytes],
    names: list[str] | None = None,
    *,
    extra: list[tuple[str, bytes]] | None = None,
    manifest: Any = None,
) -> Path:
    raw = config if isinstance(config, bytes) else json.dumps(config).encode()
    files = [(f"{sha(raw)[7:]}.json", raw)]
    files += [(f"{number}/layer.tar", data) for number, data in enumerate(layers)]
    table = [
        {
            "Config": f"{sha(raw)[7:]}.json",
            "RepoTags": names,
            "Layers": [f"{number}/layer.tar" for number in range(len(layers))],
        }
    ]
    told = table if manifest is None else manifest(table)
    return pack(path, [*files, ("manifest.json", json.dumps(told).encode()), *(extra or [])])


def one_layer(layer: bytes, **more: Any) -> dict[str, Any]:
    return {"os": "linux", "rootfs": {"type": "layers", "diff_ids": [sha(layer)]}} | more


LAYER = Tar().add("x", b"x").bytes()
GOOD = one_layer(LAYER)


def changed(**fields: Any) -> Any:
    return lambda table: [table[0] | fields]


BAD: dict[str, tuple[Any, list[bytes], dict[str, Any], str]] = {
    "a layer that is not what its image says": (
        GOOD, [Tar().add("y", b"y").bytes()], {}, "'0/layer.tar' in the archive is sha256:"),
    "a layer that is no archive": (one_layer(b"x" * 2048), [b"x" * 2048], {}, "not a tar archive"),
    "a layer that was cut off": (
        one_layer(LAYER[:900]), [LAYER[:900]], {}, "ends in 'x'"),
    "a layer that is not there": (
        GOOD, [LAYER], {"manifest": changed(Layers=["1/layer.tar"])}, "no file '1/layer.tar'"),
    "no configuration": (
        GOOD, [LAYER], {"manifest": changed(Config="x.json")}, "no file 'x.json'"),
    "a configuration with another's digest": (
        GOOD, [LAYER], {"extra": [("0" * 64 + ".json", b"{}")],
                        "manifest": changed(Config="0" * 64 + ".json")}, "and not sha256:000"),
    "fewer layers than it says": (GOOD, [], {}, "has 0 layers, and its configuration 1"),
    "a manifest that is not one": (GOOD, [LAYER], {"manifest": lambda t: {}}, "not what it should"),
    "no image": (GOOD, [LAYER], {"manifest": lambda t: []}, "names no image"),
    "layers that are no names": (
        GOOD, [LAYER], {"manifest": changed(Layers=[7])}, "not what it should be"),
    "a name that is none": (
        GOOD, [LAYER], {"names": ["../../x:y"]}, "invalid reference format"),
    "a configuration that is no JSON": (b"{", [LAYER], {}, "is not an image's configuration"),
    "a configuration of wrong types": (
        one_layer(LAYER, config={"Env": [7]}), [LAYER], {}, "is not an image's configuration"),
    "a DiffID that is none": (
        GOOD | {"rootfs": {"diff_ids": ["sha256:../../x"]}}, [LAYER], {}, "is not an image's conf"),
    "another system": (one_layer(LAYER, os="windows"), [LAYER], {}, "is for windows"),
    "the same file twice": (
        GOOD, [LAYER], {"extra": [("0/layer.tar", LAYER)]}, "has '0/layer.tar' twice"),
    "an absolute name": (GOOD, [LAYER], {"extra": [("/etc/x", b"")]}, "outside of its root"),
    "a name that leads out": (GOOD, [LAYER], {"extra": [("a/../../x", b"")]}, "outside of its"),
}  # fmt: skip
for _name, _tar in {
    "a layer's name that leads out": Tar().add("../x", b"x"),
    "a whiteout of the parent": Tar().add(".wh...", b""),
    "a file below a file": Tar().add("x", b"").add("x/y", b""),
    "a hard link that leads out": Tar().hard_link("x", "../../nothing"),
}.items():
    _data = _tar.bytes()
    BAD[_name] = (one_layer(_data), [_data], {}, "'0/layer.tar' in the archive: ")


@pytest.mark.parametrize("what", BAD)
def test_bad_archives_are_refused_and_nothing_changes(
    mydocker: Launcher, tmp_path: Path, place: Place, what: str
) -> None:
    config, layers, more, said = BAD[what]
    layered(place, "before", "a")
    before = contents(place)
    archive = docker_archive(tmp_path / "x.tar", config, layers, **more)
    with pytest.raises(Failure) as caught:
        load(place.images, str(archive))
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert contents(place) == before
    assert place.images.leftovers() == [] and os.listdir(place.path / "root/tmp") == []


@pytest.mark.parametrize("form", ["docker", OCI])
@pytest.mark.parametrize("packed", [False, True])
def test_an_archive_that_was_cut_anywhere(
    place: Place, other: Place, tmp_path: Path, form: str, packed: bool
) -> None:
    layered(place, "box", "a")
    whole = saved(place, tmp_path / "x.tar", "box", form=form).read_bytes()
    whole = gzip.compress(whole) if packed else whole
    for length in [0, 1, 300, *range(512, len(whole) - 1024, len(whole) // 9)]:
        (tmp_path / "cut.tar").write_bytes(whole[:length])
        with pytest.raises(Failure) as caught:
            load(other.images, str(tmp_path / "cut.tar"))
        assert "\n" not in str(caught.value)
        assert other.images.all() == [] and other.images.layer_store.ids() == []
        assert os.listdir(other.path / "root/tmp") == []


def rewritten(archive: Path, change: Any) -> Path:
    """The archive with ``change(name, data)`` for each file's data."""
    out = io.BytesIO()
    with tarfile.open(archive) as old, tarfile.open(fileobj=out, mode="w") as new:
        for member in old:
            data = old.extractfile(member)
            text = change(member.name, data.read()) if data else b""
            member.size = len(text)
            new.addfile(member, io.BytesIO(text))
    archive.write_bytes(out.getvalue())
    return archive


@pytest.mark.parametrize("which", range(3))
def test_oci_digests_that_lie(place: Place, other: Place, tmp_path: Path, which: int) -> None:
    """One bit, in the manifest, the configuration, a layer."""
    image = layered(place, "box", "a")
    digest = (image.manifest, image.id, image.diff_ids[-1])[which]
    archive = saved(place, tmp_path / "x.tar", "box", form=OCI)

    def flip(name: str, data: bytes) -> bytes:
        if not name.endswith(digest[7:]):
            return data
        return (
            data.replace(b'"', b"'", 1)
            if which < 2
            else data.replace(b"a" + bytes(511), b"b" + bytes(511))
        )

    with pytest.raises(Failure, match=r"in the archive(:| is)"):
        load(other.images, str(rewritten(archive, flip)))
    assert other.images.all() == []


def test_compressed_layers_are_compared_with_both_digests(place: Place, tmp_path: Path) -> None:
    for number, broken in enumerate([False, True]):
        packed = gzip.compress(LAYER, mtime=0)
        told = sha(packed)
        if broken:
            packed = gzip.compress(LAYER, mtime=1)  # the same layer, but other bytes
        archive = oci_archive(tmp_path / f"{number}.tar", GOOD, told, packed)
        if broken:
            place.images.remove(next(iter(place.images.all())).id)
            with pytest.raises(Failure, match="and not sha256:"):
                load(place.images, str(archive))
        else:
            load(place.images, str(archive))


def oci_archive(path: Path, config: Any, digest: str, layer: bytes) -> Path:
    raw = json.dumps(config).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "config": {"digest": sha(raw), "size": len(raw)},
            "layers": [{"digest": digest, "size": len(layer)}],
        }
    ).encode()
    index = {"manifests": [{"digest": sha(manifest), "size": len(manifest)}]}
    blobs = {sha(raw): raw, digest: layer, sha(manifest): manifest}
    files = [(f"blobs/sha256/{name[7:]}", data) for name, data in blobs.items()]
    return pack(path, [("index.json", json.dumps(index).encode()), *files])


def test_an_index_of_several_machines(place: Place, tmp_path: Path) -> None:
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, "?")
    path = oci_archive(tmp_path / "x.tar", GOOD, sha(LAYER), LAYER)
    with tarfile.open(path) as tar:
        files = [(m.name, f.read()) for m in tar if (f := tar.extractfile(m))]
    mine = json.loads(files[0][1])["manifests"][0]
    lines = [mine | {"platform": {"os": "linux", "architecture": machine}}]
    lines.insert(0, {"digest": sha(b"x"), "platform": {"os": "linux", "architecture": "s390x"}})
    inner = json.dumps({"manifests": lines}).encode()
    name = {"org.opencontainers.image.ref.name": "host.example/box:1"}
    index = {"manifests": [{"digest": sha(inner), "size": len(inner), "annotations": name}]}
    files[0] = ("index.json", json.dumps(index).encode())
    (loaded,) = load(
        place.images, str(pack(path, [*files, (f"blobs/sha256/{sha(inner)[7:]}", inner)]))
    )
    assert loaded.names == ("host.example/box:1",)


def test_what_is_no_image_says_what_it_may_be(place: Place, tmp_path: Path) -> None:
    with pytest.raises(Failure, match="takes import and not load"):
        load(place.images, str(Tar().directory("bin").write(tmp_path / "x.tar")))


def test_a_bomb(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Smaller borders than ours, so that the test is short; the archive is all zeros behind."""
    from mydocker.engine.images import bundle

    monkeypatch.setattr(bundle, "_BOMB_SIZE", 8 << 20)
    bomb = gzip.compress(LAYER[:512] + bytes(64 << 20))
    (tmp_path / "x.tar.gz").write_bytes(bomb)
    with pytest.raises(Failure, match="made to fill a disk"):
        load(place.images, str(tmp_path / "x.tar.gz"))
    archive = docker_archive(tmp_path / "y.tar", one_layer(bomb), [bomb])
    with pytest.raises(Failure, match="made to fill a disk"):
        load(place.images, str(archive))
    assert os.listdir(place.path / "root/tmp") == [] and place.images.all() == []


# ---------------------------------------------------------------- no room


@pytest.fixture
def small_disk(tmp_path: Path, sandbox: Sandbox) -> Iterator[Path]:
    path = tmp_path / "small"
    path.mkdir()
    syscalls.mount("tmpfs", str(path), "tmpfs", 0, "size=6m")
    yield path
    syscalls.umount2(str(path))


@pytest.mark.parametrize(
    ("size", "packed"),
    [(3_500_000, False), (6_500_000, False), (2_300_000, True), (6_500_000, True)],
)
def test_a_full_disk(
    small_disk: Path, place: Place, tmp_path: Path, size: int, packed: bool
) -> None:
    layer = Tar().add("x", os.urandom(size)).bytes()
    archive = docker_archive(tmp_path / "x.tar", one_layer(layer), [layer])
    if packed:
        archive.write_bytes(gzip.compress(archive.read_bytes(), 1))
    small = Place(small_disk)
    layered(small, "before", "a")
    before = contents(small)
    with pytest.raises(Failure, match="No space left") as caught:
        load(small.images, str(archive))
    assert "\n" not in str(caught.value)
    assert contents(small) == before and small.images.leftovers() == []


def test_a_commit_onto_a_full_disk(small_disk: Path) -> None:
    small = Place(small_disk)
    config = small.container(small.imported(Tar().add("x", b"x")))
    with small.mounted(config) as root:
        (root / "big").write_bytes(os.urandom(3_500_000))
    before = contents(small)
    with pytest.raises(Failure, match="No space left") as caught:
        commit(small.containers, config.id, "new")
    assert "\n" not in str(caught.value)
    assert contents(small) == before and small.images.leftovers() == []


# ---------------------------------------------------------------- compressed


@pytest.fixture(params=["installed", "standard"])
def libraries(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With the fast libraries, and as on a machine that has none of them."""
    if request.param == "standard":
        for name in ("isal.isal_zlib", "compression.zstd", "backports.zstd"):
            monkeypatch.setitem(sys.modules, name, None)
    return str(request.param)


@pytest.mark.parametrize("form", ["gzip", "zstd"])
def test_what_is_written_compressed_is_the_same(tmp_path: Path, form: str, libraries: str) -> None:
    data = os.urandom(3_000_000) + b"text " * 3_000_000 + os.urandom(7)  # several members
    out = tmp_path / "out"
    with out.open("wb") as file:
        try:
            with compressed(file.fileno(), form) as fd:
                for start in range(0, len(data), 100_000):
                    os.write(fd, data[start : start + 100_000])
        except Failure as failure:
            assert "backports.zstd" in failure.hint
            assert (form, libraries) == ("zstd", "standard")
            return
    assert out.stat().st_size < len(data) // 3
    tool = subprocess.run([form, "-dc"], stdin=out.open("rb"), stdout=subprocess.PIPE, check=True)
    assert tool.stdout == data
    with out.open("rb") as file:
        pieces = list(decompressed(file.read))
    assert b"".join(pieces) == data and max(map(len, pieces)) <= 1 << 20
    with out.open("r+b") as file:
        file.truncate(out.stat().st_size - 1)
        file.seek(0)
        with pytest.raises(Failure, match=f"{form} data ends too early"):
            list(decompressed(file.read))


@pytest.mark.parametrize("form", ["gzip", "zstd"])
def test_compressed_onto_a_full_disk(form: str) -> None:
    with (
        open("/dev/full", "wb", buffering=0) as full,
        pytest.raises(OSError) as caught,
        compressed(full.fileno(), form) as fd,
    ):
        for _ in range(100):
            os.write(fd, os.urandom(1 << 20))
    assert caught.value.errno == errno.ENOSPC
    with (
        open(os.devnull, "wb") as null,
        pytest.raises(ZeroDivisionError),  # nor does that hang
        compressed(null.fileno(), form) as fd,
    ):
        os.write(fd, b"x" * 100)
        raise ZeroDivisionError
    assert not any(thread.name == "compression" for thread in threading.enumerate())


@pytest.mark.parametrize("form", ["gzip", "zstd"])
def test_save_and_export_compressed(
    place: Place, mydocker: Launcher, tmp_path: Path, form: str
) -> None:
    root = ("--root", f"{place.path}/root")
    layered(place, "box", "a")
    container = place.container(place.images.resolve("box"))
    plain, small = tmp_path / "plain", tmp_path / "small"
    for words in (["save", "box"], ["export", container.id]):
        mydocker(5, *words, "-o", str(plain), *root)
        mydocker(5, *words, "-o", str(small), "--compress", form, *root)
        tool = subprocess.run(
            [form, "-dc"], stdin=small.open("rb"), stdout=subprocess.PIPE, check=True
        )
        assert tool.stdout == plain.read_bytes()
