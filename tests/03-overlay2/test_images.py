"""The image store: names, content, layers, and that nothing half-done stays."""

import bz2
import gzip
import hashlib
import http.server
import json
import lzma
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sandbox.archives import Tar
from sandbox.launcher import Launcher
from sandbox.machine import Sandbox

from mydocker.kernel import syscalls
from mydocker.kernel.errors import Failure
from mydocker.overlay2 import digest as digests
from mydocker.overlay2.image import Image, ImageConfig
from mydocker.overlay2.image_commands import image, images, import_command, rmi, tag
from mydocker.overlay2.image_list import ago, size
from mydocker.overlay2.images import ImageStore, NewLayer, NoSuchImage, Use
from mydocker.overlay2.importing import add_layer, describe, import_archive
from mydocker.overlay2.instructions import apply
from mydocker.overlay2.reference import InvalidReference, parse
from mydocker.overlay2.workspace import workspace

pytestmark = pytest.mark.root


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(str(tmp_path / "store"))


def archive(path: Path, text: str = "hello") -> Path:
    tar = Tar().directory("bin").add("bin/sh", text.encode(), mode=0o755).symlink("sh", "bin/sh")
    return tar.write(path)


def imported(store: ImageStore, tmp_path: Path, name: str, text: str = "hello") -> Image:
    return import_archive(store, str(archive(tmp_path / "a.tar", text)), name)


def stacked(store: ImageStore, name: str, texts: list[str], below: Image | None = None) -> Image:
    """An image of a layer per text, on top of those of another image."""
    diff_ids = list(below.diff_ids) if below else []
    with workspace(store.root) as work:
        layers = []
        for number, text in enumerate(texts):
            os.mkdir(f"{work}/{number}")
            data = Tar().add(f"layer-{text}", text.encode()).bytes()
            layer = add_layer(iter([data]), f"{work}/{number}")
            layers.append(layer)
            diff_ids.append(layer.diff_id)
        document = describe(diff_ids, ImageConfig(cmd=(name,)), "", "2020-01-01T00:00:00Z")
        return store.commit(work, document, layers, [name])


def listing(root: str) -> list[str]:
    """Every name in the store, without the random parts."""
    return sorted(str(path.relative_to(root)) for path in Path(root).rglob("*"))


# ---------------------------------------------------------------- names


NAMES = {
    "busybox": "busybox:latest",
    "busybox:1.36": "busybox:1.36",
    "docker.io/library/busybox": "busybox:latest",
    "library/busybox": "busybox:latest",
    "library/a/b": "library/a/b:latest",
    "index.docker.io/busybox:x": "busybox:x",
    "docker.io/me/box": "me/box:latest",
    "me/box:v1_2-3.4": "me/box:v1_2-3.4",
    "localhost/box": "localhost/box:latest",
    "host.example:5000/a/b__c/d-e": "host.example:5000/a/b__c/d-e:latest",
    "host:5000/a:t": "host:5000/a:t",
    "a" * 255: "a" * 255 + ":latest",
    "x:" + "t" * 128: "x:" + "t" * 128,
}

NO_NAMES = {
    "Busybox": r"repository name \(library/Busybox\) must be lowercase",
    "me/Box": r"repository name \(me/Box\) must be lowercase",
    "": "invalid reference format",
    ":tag": "invalid reference format",
    "box:": "invalid reference format",
    "box:ta g": "invalid reference format",
    "box:.tag": "invalid reference format",
    "x:" + "t" * 129: "invalid reference format",
    "-box": "invalid reference format",
    "a..b": "invalid reference format",
    "a//b": "invalid reference format",
    "/a": "invalid reference format",
    "a/": "invalid reference format",
    "a___b": "invalid reference format",
    "box\n": "invalid reference format",
    "../../etc/passwd": "invalid reference format",
    "box@sha256:12": "invalid reference format",
    "a" * 256: "must not be more than 255 characters",
    "a" * 64: "an image's id",
}


@pytest.mark.parametrize(("text", "expected"), NAMES.items())
def test_names_are_docker_s(text: str, expected: str) -> None:
    assert parse(text).name == expected


@pytest.mark.parametrize(("text", "expected"), NO_NAMES.items())
def test_what_is_no_name(text: str, expected: str) -> None:
    with pytest.raises(InvalidReference, match=expected):
        parse(text)


def test_an_image_is_found_by_every_name_it_has(store: ImageStore, tmp_path: Path) -> None:
    made = imported(store, tmp_path, "me/box:v1")
    digits = made.id.removeprefix("sha256:")
    repository_digest = f"me/box@{made.manifest}"
    for name in (
        "me/box:v1",
        "docker.io/me/box:v1",
        made.id,
        digits,
        digits[:12],
        repository_digest,
    ):
        assert store.resolve(name) == made
    assert store.resolve(f"sha256:{digits[:7]}").id == made.id


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("nope", "nope:latest"),
        ("me/box", "me/box:latest"),
        ("docker.io/nope:x", "nope:x"),
        ("sha256:" + "0" * 64, "sha256:" + "0" * 64),
        ("0123abcd", "0123abcd:latest"),
    ],
)
def test_no_such_image(store: ImageStore, tmp_path: Path, name: str, shown: str) -> None:
    with pytest.raises(NoSuchImage) as caught:
        store.resolve(name)
    imported(store, tmp_path, "me/box:v1")
    with pytest.raises(NoSuchImage) as caught:
        store.resolve(name)
    assert caught.value.message == f"No such image: {shown}"
    assert store.find(name) is None


def test_a_short_id_must_mean_one_image(store: ImageStore, tmp_path: Path) -> None:
    made = [imported(store, tmp_path, f"box:{n}", f"{n}") for n in range(17)]  # 16 first digits
    ids = [image.id.removeprefix("sha256:") for image in made]
    first = next(i[0] for i in ids if sum(j[0] == i[0] for j in ids) > 1)
    with pytest.raises(Failure, match="more than one image"):
        store.resolve(first)


def test_a_name_moves_to_the_newer_image(store: ImageStore, tmp_path: Path) -> None:
    old = imported(store, tmp_path, "box", "old")
    new = imported(store, tmp_path, "box", "new")
    assert store.resolve("box").id == new.id != old.id
    assert store.resolve(old.id).names == ()
    store.tag(old.id, "kept:1")
    store.tag("kept:1", "kept:2")
    assert store.resolve(old.id).names == ("kept:1", "kept:2")
    assert len(store.content.index()) == 3


# ---------------------------------------------------------------- content and layers


def test_the_store_is_an_oci_layout(store: ImageStore, tmp_path: Path) -> None:
    """Read with nothing but the specification: every digest is that of the bytes under its name."""
    source = archive(tmp_path / "a.tar")
    import_archive(store, str(source), "box:1", config=ImageConfig(cmd=("sh",)), message="hi")
    layout = Path(store.root) / "image"

    def blob(descriptor: dict[str, Any]) -> bytes:
        algorithm, _, digits = descriptor["digest"].partition(":")
        data: bytes = (layout / "blobs" / algorithm / digits).read_bytes()
        assert hashlib.sha256(data).hexdigest() == digits and len(data) == descriptor["size"]
        return data

    assert json.loads((layout / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    (entry,) = json.loads((layout / "index.json").read_text())["manifests"]
    assert entry["annotations"]["org.opencontainers.image.ref.name"] == "box:1"
    manifest = json.loads(blob(entry))
    config = json.loads(blob(manifest["config"]))
    (layer,) = manifest["layers"]
    assert blob(layer) == source.read_bytes()
    assert config["rootfs"] == {"type": "layers", "diff_ids": [layer["digest"]]}
    assert config["config"] == {"Cmd": ["sh"]} and config["history"][0]["comment"] == "hi"
    assert len(list((layout / "blobs/sha256").iterdir())) == 3


def test_layers_are_shared_and_in_order(store: ImageStore) -> None:
    base = stacked(store, "base", ["a", "b"])
    top = stacked(store, "top", ["c"], base)
    assert store.layers(top)[1:] == store.layers(base)
    found = [os.listdir(store.layer_store.layer(layer).diff) for layer in store.layers(top)]
    assert found == [["layer-c"], ["layer-b"], ["layer-a"]]
    stack = [layer.id for layer in store.layer_store.stack(store.layers(top)[0])]
    assert stack == store.layers(top)
    assert store.size(top) == 3


def test_chain_ids_are_those_of_the_specification() -> None:
    a, b = digests.of(b"a"), digests.of(b"b")
    chained = hashlib.sha256(f"{a} {b}".encode()).hexdigest()
    assert digests.chain_ids([a, b]) == [a, f"sha256:{chained}"]


def test_layerdb_is_laid_out_as_docker_s(store: ImageStore) -> None:
    made = stacked(store, "box", ["a", "b"])
    below, above = (Path(store.layerdb.path) / c.replace(":", "/") for c in made.chain_ids)
    assert (above / "diff").read_text() == made.diff_ids[1]
    assert (above / "parent").read_text() == made.chain_ids[0]
    assert (above / "cache-id").read_text() == store.layers(made)[0]
    assert not (below / "parent").exists() and (below / "size").read_text() == "1"


def test_the_same_layer_twice_is_kept_once(store: ImageStore, tmp_path: Path) -> None:
    first = imported(store, tmp_path, "one")
    second = imported(store, tmp_path, "two")
    assert store.layers(first) == store.layers(second)
    assert len(store.layer_store.ids()) == 1 and os.listdir(f"{store.root}/tmp") == []


# ---------------------------------------------------------------- import


def packed(form: str, data: bytes) -> bytes:
    match form:
        case "gzip":
            return gzip.compress(data)
        case "bzip2":
            return bz2.compress(data)
        case "xz":
            return lzma.compress(data)
        case "zstd":
            return subprocess.run(["zstd"], input=data, stdout=subprocess.PIPE, check=True).stdout
    return data


@pytest.mark.parametrize("form", ["tar", "gzip", "bzip2", "xz", "zstd", "two gzip members"])
def test_compressed_or_not_it_is_the_same_image(
    store: ImageStore, tmp_path: Path, form: str
) -> None:
    noise = os.urandom(3_000_000)
    data = Tar().add("noise", noise).add("zeros", bytes(9_000_000)).bytes()
    path = tmp_path / "archive"
    if form == "two gzip members":
        compressed = gzip.compress(data[:1000]) + gzip.compress(data[1000:]) + b"\0" * 100
    else:
        compressed = packed(form, data)
    path.write_bytes(compressed)
    made = import_archive(store, str(path), "box")
    assert made.diff_ids == (digests.of(data),)
    root = Path(store.layer_store.layer(store.layers(made)[0]).diff)
    assert (root / "noise").read_bytes() == noise
    assert (root / "zeros").stat().st_size == 9_000_000


@pytest.mark.parametrize("form", ["tar", "gzip", "bzip2", "xz", "zstd", "noise", "empty", "text"])
def test_half_an_archive_changes_nothing(store: ImageStore, tmp_path: Path, form: str) -> None:
    imported(store, tmp_path, "before")
    before = listing(store.root)
    data = Tar().add("noise", os.urandom(3_000_000)).bytes()
    other = {"noise": os.urandom(10_000), "empty": b"", "text": b"this is not an archive\n" * 100}
    whole = other[form] if form in other else packed(form, data)
    path = tmp_path / "half"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Failure) as caught:
        import_archive(store, str(path), "box")
    assert "\n" not in str(caught.value)
    assert listing(store.root) == before
    assert store.leftovers() == []


@pytest.mark.parametrize("form", ["gzip", "bzip2", "xz", "zstd"])
def test_a_compressed_archive_cut_after_the_tar_is_refused(
    store: ImageStore, tmp_path: Path, form: str
) -> None:
    path = tmp_path / "cut"
    path.write_bytes(packed(form, Tar().add("x", b"x").bytes())[:-1])
    with pytest.raises(Failure, match=f"the {form} data"):
        import_archive(store, str(path), "box")


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/nowhere/x.tar", "/nowhere/x.tar: No such file"), ("/etc", "/etc: it is a directory")],
)
def test_import_of_what_is_no_file(store: ImageStore, path: str, expected: str) -> None:
    with pytest.raises(Failure, match=expected):
        import_archive(store, path, "box")
    assert not os.path.exists(store.root)


class _Answers(http.server.BaseHTTPRequestHandler):
    """/whole.tar is one; /cut.tar promises more than it sends; nothing else is there."""

    data = b""

    def do_GET(self) -> None:
        cut = self.path == "/cut.tar"
        self.send_response(200 if cut or self.path == "/whole.tar" else 404)
        self.send_header("Content-Length", str(len(self.data)))
        self.end_headers()
        self.wfile.write(self.data[: len(self.data) // 2] if cut else self.data)

    def log_message(self, *args: Any) -> None:
        pass


def test_import_from_a_url(store: ImageStore, tmp_path: Path) -> None:
    _Answers.data = archive(tmp_path / "a.tar").read_bytes()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        made = import_archive(store, f"{url}/whole.tar", "box")
        assert made.diff_ids == (digests.of(_Answers.data),)
        before = listing(store.root)
        with pytest.raises(Failure, match="404"):
            import_archive(store, f"{url}/none.tar", "other")
        with pytest.raises(Failure, match="it ended after"):
            import_archive(store, f"{url}/cut.tar", "other")
        assert listing(store.root) == before
        server.shutdown()
    with pytest.raises(Failure, match="refused"):
        import_archive(store, f"{url}/whole.tar", "other")


def test_a_bad_name_is_refused_before_the_work(store: ImageStore, tmp_path: Path) -> None:
    with pytest.raises(InvalidReference):
        imported(store, tmp_path, "No/Good")
    assert not os.path.exists(store.root)


@pytest.fixture
def small_disk(tmp_path: Path, sandbox: Sandbox) -> Iterator[Path]:
    path = tmp_path / "small"
    path.mkdir()
    syscalls.mount("tmpfs", str(path), "tmpfs", 0, "size=4m")
    yield path
    syscalls.umount2(str(path))


@pytest.mark.parametrize("kilobytes", [2500, 3900, 9000])
def test_a_full_disk_changes_nothing(small_disk: Path, tmp_path: Path, kilobytes: int) -> None:
    """Full while the second copy is unpacked, at its end, and while the archive is kept."""
    store = ImageStore(str(small_disk / "store"))
    imported(store, tmp_path, "before")
    before = listing(store.root)
    source = Tar().add("large", os.urandom(kilobytes * 1024)).write(tmp_path / "large.tar")
    with pytest.raises(Failure, match="No space left on device") as caught:
        import_archive(store, str(source), "box")
    assert "\n" not in str(caught.value)
    assert listing(store.root) == before
    assert store.leftovers() == []


def test_owners_and_modes_of_the_store(store: ImageStore, tmp_path: Path) -> None:
    """Others may not reach the layers: there are set-uid programs in them, old and unpatched."""
    old = os.umask(0)
    try:
        made = imported(store, tmp_path, "box")
    finally:
        os.umask(old)
    assert os.stat(store.root).st_mode & 0o077 == 0o010
    for name in ("overlay2", "overlay2/l", "image", "image/blobs/sha256", "tmp"):
        assert os.stat(f"{store.root}/{name}").st_mode & 0o077 == 0, name
    assert os.stat(store.layer_store.layer(store.layers(made)[0]).diff).st_mode & 0o777 == 0o755


@pytest.mark.parametrize("command", ["import", "rmi", "tag"])
def test_without_the_rights(
    mydocker: Launcher, sandbox: Sandbox, tmp_path: Path, command: str
) -> None:
    source = sandbox.directory / "rights.tar"
    root = sandbox.directory / "rights"
    imported(ImageStore(str(root)), tmp_path, "box")
    archive(source)
    arguments = {"import": [str(source), "x"], "rmi": ["box"], "tag": ["box", "x"]}[command]
    done = mydocker(3, command, "--root", str(root), *arguments, code=125, user=65534)
    assert done.stderr.startswith("mydocker: ") and done.stderr.count("\n") == 1
    assert "use sudo" in done.stderr
    listed = mydocker(3, "images", "--root", str(root), "-q", "box", code=125, user=65534)
    assert "use sudo" in listed.stderr and not listed.stdout  # an image's variables may be secrets


# ---------------------------------------------------------------- killed


PROGRAM = """
import sys
sys.path[:0] = sys.argv[1].split(":")
from mydocker.overlay2.images import ImageStore
from mydocker.overlay2.importing import import_archive
from mydocker.kernel import trace
store = ImageStore(sys.argv[2])
import_archive(store, sys.argv[4], "box") if sys.argv[3] == "import" else store.remove("box")
print(trace.count())
"""


def program(store: ImageStore, sandbox: Sandbox, *arguments: str) -> list[str]:
    """The command line of a process that imports ``box`` or removes it."""
    steps = ":".join(str(step) for step in sorted(sandbox.steps.glob("0[123]-*")))
    return [sys.executable, "-c", PROGRAM, steps, store.root, *arguments]


def killed(command: list[str], k: int) -> None:
    env = os.environ | {"MYDOCKER_FAULT": f"kill:{k}"}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, f"at {k}: {done}"


def test_killed_at_every_request_leaves_nothing_unknown(
    store: ImageStore, tmp_path: Path, sandbox: Sandbox
) -> None:
    imported(store, tmp_path, "before")
    before = listing(store.root)
    source = str(archive(tmp_path / "b.tar", "other"))
    command = program(store, sandbox, "import", source)
    whole = subprocess.run(command, capture_output=True, text=True, check=True)
    store.remove("box")
    assert listing(store.root) == before
    for k in range(1, int(whole.stdout) + 1):
        killed(command, k)
        found = store.leftovers()
        assert store.remove_leftovers() == found
        if store.find("box"):  # killed while it cleaned up: the work was done
            store.remove("box")
        assert listing(store.root) == before, f"killed at request {k}"
        assert store.leftovers() == []


def test_removal_killed_at_every_request(
    store: ImageStore, tmp_path: Path, sandbox: Sandbox
) -> None:
    imported(store, tmp_path, "before")
    before = listing(store.root)
    command = program(store, sandbox, "remove")
    stacked(store, "box", ["a", "b"])
    whole = subprocess.run(command, capture_output=True, text=True, check=True)
    for k in range(1, int(whole.stdout) + 1):
        stacked(store, "box", ["a", "b"])
        killed(command, k)
        store.remove_leftovers()
        if image := store.find("box"):  # killed before the first change: it is all there
            assert k == 1 and len(store.layers(image)) == 2
            store.remove("box")
        assert listing(store.root) == before, f"killed at request {k}"


def test_work_in_progress_is_no_leftover(
    store: ImageStore, tmp_path: Path, sandbox: Sandbox
) -> None:
    imported(store, tmp_path, "before")
    before = listing(store.root)
    worker = subprocess.Popen(program(store, sandbox, "import", "-"), stdin=subprocess.PIPE)
    try:
        assert worker.stdin
        worker.stdin.write(Tar().add("x", bytes(100_000)).bytes()[:5000])
        worker.stdin.flush()
        end = time.monotonic() + 20
        while not list(Path(store.root).glob("tmp/*/diff/x")):
            assert time.monotonic() < end and worker.poll() is None
            time.sleep(0.01)
        assert store.leftovers() == store.remove_leftovers() == []
        assert list(Path(store.root).glob("tmp/*/diff/x"))
    finally:
        worker.kill()
        worker.wait()
        assert worker.stdin
        worker.stdin.close()
    assert len(store.leftovers()) == 1
    store.remove_leftovers()
    assert listing(store.root) == before


def test_an_archive_that_stops_coming_can_be_refused(
    store: ImageStore, tmp_path: Path, sandbox: Sandbox
) -> None:
    """A bad entry is reported though the other end of the pipe neither writes on nor closes."""
    command = program(store, sandbox, "import", "-")
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    assert worker.stdin and worker.stderr
    with worker.stdin, worker.stderr:
        worker.stdin.write(Tar().add("../x", bytes(100_000)).bytes()[:5000])
        worker.stdin.flush()
        assert worker.wait(20) != 0
        assert b"outside of its root" in worker.stderr.read()
    assert store.leftovers() == [] and os.listdir(f"{store.root}/tmp") == []


# ---------------------------------------------------------------- filters


def listed(store: ImageStore, *filters: str) -> list[str]:
    words = [word for text in filters for word in ("--filter", text)]
    done = CliRunner().invoke(
        images, ["--root", store.root, *words, "--format", "{{.Repository}}:{{.Tag}}"]
    )
    assert done.exit_code == 0, done.exception
    return done.output.split()


def test_filters(store: ImageStore) -> None:
    for number, name in enumerate(["old:1", "mid:1", "me/new:2"]):
        layers = stacked(store, name, [name.replace("/", "-")])
        document = layers.document | {"created": f"202{number}-01-01T00:00:00Z"}
        document["config"] = {"Labels": {"n": str(number), "all": ""}}
        with workspace(store.root) as work:
            store.commit(work, document, [], [name])
    everything = ["me/new:2", "mid:1", "old:1"]
    # what had the names before is dangling now
    assert listed(store, "dangling=false") == everything
    assert listed(store, "dangling=true") == ["<none>:<none>"] * 3
    assert listed(store, "since=old:1", "dangling=false") == ["me/new:2", "mid:1"]
    assert listed(store, "before=mid:1", "dangling=false") == ["old:1"]
    assert listed(store, "label=all") == everything
    assert listed(store, "label=n=1") == ["mid:1"] and listed(store, "label=no") == []
    assert listed(store, "label=all", "label=n=2") == ["me/new:2"]
    assert listed(store, "reference=*:1") == ["mid:1", "old:1"]
    assert listed(store, "reference=*/*") == ["me/new:2"]
    assert listed(store, "reference=m*", "reference=old") == ["mid:1", "old:1"]


@pytest.mark.parametrize("text", ["dangling", "dangling=x", "what=x", "before=nobody"])
def test_what_is_no_filter(store: ImageStore, text: str) -> None:
    done = CliRunner().invoke(images, ["--root", store.root, "--filter", text])
    assert isinstance(done.exception, Failure)


# ---------------------------------------------------------------- removal


def test_a_name_goes_first_and_the_image_with_the_last(store: ImageStore, tmp_path: Path) -> None:
    made = imported(store, tmp_path, "box")
    empty = {"image/lock", "image/index.json", "image/oci-layout"}
    store.tag("box", "other/box:2")
    assert store.remove("box") == ["Untagged: box:latest"]
    (layer,) = made.diff_ids
    said = ["Untagged: other/box:2", f"Deleted: {made.id}", f"Deleted: {layer}"]
    assert store.remove("other/box:2") == said
    left = {name for name in listing(store.root) if Path(store.root, name).is_file()}
    assert left - {"events.json"} == empty  # where step 05 is loaded, it writes down what happened
    assert os.listdir(f"{store.root}/overlay2") == ["l"]
    assert os.listdir(f"{store.root}/overlay2/l") == []


def test_an_id_goes_with_all_its_names(store: ImageStore, tmp_path: Path) -> None:
    made = imported(store, tmp_path, "box:1")
    store.tag("box:1", "box:2")
    assert store.remove(made.short_id)[:2] == ["Untagged: box:1", "Untagged: box:2"]
    made = imported(store, tmp_path, "box:1")
    store.tag("box:1", "other:2")
    with pytest.raises(Failure, match=r"must be forced.*multiple repositories"):
        store.remove(made.id)
    assert store.remove(made.id, force=True)[-2] == f"Deleted: {made.id}"


def test_shared_layers_stay_while_an_image_needs_them(store: ImageStore) -> None:
    base = stacked(store, "base", ["a", "b"])
    top = stacked(store, "top", ["c"], base)
    assert store.remove("base") == ["Untagged: base:latest", f"Deleted: {base.id}"]
    assert len(store.layers(top)) == 3
    said = store.remove("top")
    assert said[2:] == [f"Deleted: {chain}" for chain in reversed(top.chain_ids)]
    assert store.layer_store.ids() == [] and store.content.digests() == []


def test_an_image_in_use_needs_force_and_keeps_its_layers(
    store: ImageStore, tmp_path: Path
) -> None:
    made = imported(store, tmp_path, "box")
    layers = store.layers(made)
    container = store.layer_store.create(layers)
    with pytest.raises(Failure, match="conflict: unable to remove repository reference") as caught:
        store.remove("box", used_by=lambda image_id: [Use("f" * 64)] if image_id == made.id else [])
    assert f"container {'f' * 12} is using its referenced image {made.short_id}" in str(
        caught.value
    )
    store.remove("box", force=True, used_by=lambda image_id: [Use("f" * 64)])
    assert [layer.id for layer in store.layer_store.stack(container.id)] == [container.id, *layers]
    assert os.path.exists(f"{store.layer_store.layer(layers[0]).diff}/bin/sh")
    store.layer_store.remove(container.id)
    assert store.remove_leftovers() == list(made.diff_ids)
    assert store.layer_store.ids() == []


def test_an_image_whose_container_runs_only_loses_its_name(
    store: ImageStore, tmp_path: Path
) -> None:
    made = imported(store, tmp_path, "box")
    running = [Use("f" * 64, running=True)]
    for force in (False, True):
        with pytest.raises(Failure, match=r"cannot be forced.*used by running container ffffffff"):
            store.remove(made.short_id, force=force, used_by=lambda image_id: running)
    said = store.remove("box", force=True, used_by=lambda image_id: running)
    assert said == ["Untagged: box:latest"]
    assert store.resolve(made.id).names == () and store.layers(made)
    stopped = [Use("f" * 64)]
    with pytest.raises(Failure, match=r"must be forced.*used by stopped container ffffffff"):
        store.remove(made.id, used_by=lambda image_id: stopped)
    assert store.remove(made.id, force=True, used_by=lambda image_id: stopped)


def test_a_killed_writer_s_draft_is_a_leftover(store: ImageStore, tmp_path: Path) -> None:
    imported(store, tmp_path, "box")
    done = subprocess.Popen(["true"])
    done.wait()
    living = Path(f"{store.content.path}/index.json.{os.getpid()}.new")
    dead = Path(f"{store.content.path}/index.json.{done.pid}.new")
    for draft in (living, dead):
        draft.write_text("{")
    assert store.leftovers() == [str(dead)] == store.remove_leftovers()
    assert living.exists() and not dead.exists()
    living.unlink()


def test_a_damaged_store_says_so(store: ImageStore, tmp_path: Path) -> None:
    made = imported(store, tmp_path, "box")
    store.layer_store.remove(store.layers(made)[0])
    with pytest.raises(Failure, match=r"its layer .* is not there"):
        store.layers(made)
    Path(store.content.blob(made.id)).write_text("{")
    with pytest.raises(Failure, match="damaged"):
        store.resolve("box")
    Path(store.content.path, "index.json").write_text("[]")
    with pytest.raises(Failure, match="damaged"):
        store.resolve("box")


# ---------------------------------------------------------------- changes


def test_changes_are_lines_of_a_dockerfile() -> None:
    config = apply(
        ImageConfig(),
        [
            'CMD ["sh", "-x"]',
            "entrypoint run this",
            "ENV A=1 B='two words'",
            "ENV A 3 and more",
            "EXPOSE 80 53/udp",
            'LABEL a.b="c d" e=f',
            "USER 7:8",
            "VOLUME /x",
            'VOLUME ["/y z"]',
            "WORKDIR /a",
            "WORKDIR b",
            "STOPSIGNAL SIGINT",
            "ONBUILD RUN true",
        ],
    )
    assert config == ImageConfig(
        env=("A=3 and more", "B=two words"),
        cmd=("sh", "-x"),
        entrypoint=("/bin/sh", "-c", "run this"),
        working_dir="/a/b",
        user="7:8",
        labels=(("a.b", "c d"), ("e", "f")),
        exposed_ports=("53/udp", "80/tcp"),
        volumes=("/x", "/y z"),
        stop_signal="SIGINT",
        on_build=("RUN true",),
    )
    assert ImageConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    "line",
    ["RUN x", "CMD", "ENV A", "EXPOSE x", "EXPOSE 70000", "EXPOSE 1/x", "LABEL =x", "ENV 'a"],
)
def test_what_is_no_change(line: str) -> None:
    with pytest.raises(Failure, match="--change"):
        apply(ImageConfig(), [line])


# ---------------------------------------------------------------- commands


def call(store: ImageStore, command: Any, *arguments: str) -> str:
    done = CliRunner().invoke(command, [*arguments], env={"MYDOCKER_ROOT": store.root})
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_commands(store: ImageStore, tmp_path: Path) -> None:
    source = str(archive(tmp_path / "a.tar"))
    said = call(store, import_command, "-c", "CMD sh", "-m", "note", source, "me/box:1")
    made = store.resolve("me/box:1")
    assert said == f"{made.id}\n"
    heading, row = call(store, images).splitlines()
    assert heading.split("  ")[0] == "REPOSITORY" and heading.endswith("SIZE")
    assert row.split()[:3] == ["me/box", "1", made.short_id] and row.endswith(" ago   5B")
    call(store, tag, "me/box:1", "other")
    assert call(store, images, "-q") == f"{made.short_id}\n" * 2
    assert call(store, images, "-q", "--no-trunc", "other") == f"{made.id}\n"
    assert call(store, images, "--format", "table {{.Tag}}\\t{{.ID}}", "me/*").split() == [
        *("TAG", "IMAGE", "ID", "1", made.short_id)
    ]
    assert call(store, images, "--format", "{{.Repository}}:{{.Tag}}").split() == [
        "me/box:1",
        "other:latest",
    ]
    rows = [json.loads(line) for line in call(store, images, "--format", "json").splitlines()]
    assert [row["Digest"] for row in rows] == [made.manifest] * 2
    assert call(store, image, "inspect", "-f", "{{.Id}} {{json .Config.Cmd}}", "other") == (
        f'{made.id} ["/bin/sh", "-c", "sh"]\n'
    )
    (shown,) = json.loads(call(store, image, "inspect", "other"))
    assert shown["RepoTags"] == ["me/box:1", "other:latest"] and shown["Comment"] == "note"
    assert shown["RootFS"]["Layers"] == list(made.diff_ids) and shown["Size"] == 5
    assert call(store, rmi, "other", "me/box:1").splitlines()[0] == "Untagged: other:latest"
    assert call(store, images, "-q") == ""


def test_rmi_goes_on_after_one_that_fails(store: ImageStore, tmp_path: Path) -> None:
    imported(store, tmp_path, "box")
    done = CliRunner().invoke(
        rmi, ["nope", "box"], env={"MYDOCKER_ROOT": store.root}, standalone_mode=False
    )
    assert done.return_value == 125
    assert "No such image: nope:latest" in done.stderr and "Untagged: box:latest" in done.stdout


def test_sizes_and_times_read_as_docker_s() -> None:
    counts = [0, 999, 1000, 4261550, 77_800_000, 510_000_000, 999_600, 1_230_000_000]
    assert [size(n) for n in counts] == [
        "0B",
        "999B",
        "1kB",
        "4.26MB",
        "77.8MB",
        "510MB",
        "1MB",
        "1.23GB",
    ]
    spans = [0, 1, 59, 60, 150, 3600, 7200, 86400 * 3, 86400 * 20, 86400 * 90, 86400 * 800]
    assert [ago(s) for s in spans] == [
        "Less than a second ago",
        "1 second ago",
        "59 seconds ago",
        "About a minute ago",
        "2 minutes ago",
        "About an hour ago",
        "2 hours ago",
        "3 days ago",
        "2 weeks ago",
        "3 months ago",
        "2 years ago",
    ]


def test_new_layers_are_what_they_say(store: ImageStore) -> None:
    """The digest is that of the whole stream, also of what follows the end mark."""
    data = Tar().add("x", b"x").bytes() + b"\0" * 10_000 + b"trailing"
    with workspace(store.root) as work:
        layer = add_layer(iter([data[:700], data[700:]]), work)
        assert isinstance(layer, NewLayer)
        assert (layer.diff_id, layer.blob_size) == (digests.of(data), len(data))
        assert Path(layer.blob).read_bytes() == data


# ---------------------------------------------------------------- killed between two writes


def test_an_empty_note_of_a_layer_takes_nothing_along(store: ImageStore, tmp_path: Path) -> None:
    """Once, the layer without a name was the directory of all layers."""
    image = imported(store, tmp_path, "box")
    (gone,) = imported(store, tmp_path, "gone", "other").chain_ids
    store.content.write_index([one for one in store.content.index() if one.name != "gone:latest"])
    (Path(store.layerdb.path) / gone.replace(":", "/") / "cache-id").write_text("")
    half = Path(store.root) / "tmp/half/layerdb"
    half.mkdir(parents=True)
    (half / "cache-id").write_text("")
    store.layer_store.remove("")
    store.remove_leftovers()
    assert store.layers(image) and not half.exists() and store.leftovers() == []


def test_a_layer_without_its_short_name_is_none(store: ImageStore, tmp_path: Path) -> None:
    layers = store.layer_store
    image = imported(store, tmp_path, "box")
    half = layers.create(store.layers(image))
    Path(half.path, "link").write_text("")
    assert not layers.exists(half.id)
    layers.remove(half.id)
    assert not os.path.exists(half.path)


def test_drafts_of_blobs_are_found(store: ImageStore, tmp_path: Path) -> None:
    imported(store, tmp_path, "box")
    draft = Path(store.content.path) / f"blobs/sha256/{'a' * 64}.999999999.new"
    draft.write_text("half")
    assert store.leftovers() == [str(draft)]
    assert store.remove_leftovers() == [str(draft)] and not draft.exists()
