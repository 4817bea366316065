"""commit and export: layers and archives, right to the byte, read by other people's tools."""

import json
import os
import stat
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from sandbox.archives import Tar
from sandbox.launcher import Launcher, eventually
from sandbox.trees import Place, photograph, untarred, write_file

from mydocker.engine.images.commit import EMPTY, commit, container_config
from mydocker.engine.images.export import export
from mydocker.engine.trees import layertar, tarheader
from mydocker.kernel.errors import Failure
from mydocker.namespaces import users
from mydocker.overlay2 import digest, notes
from mydocker.overlay2.image import Image
from mydocker.overlay2.images import ImageStore
from mydocker.overlay2.tarformat import DIRECTORY, FILE, HARD_LINK, Entry, Reader

pytestmark = pytest.mark.root


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def base() -> Tar:
    tar = Tar().directory("bin").add("bin/sh", b"shell", mode=0o755).add("bin/ls", b"list")
    tar.directory("etc").add("etc/passwd", b"root").add("etc/group", b"root")
    tar.directory("var").directory("var/log").add("var/log/a", b"a").add("var/log/b", b"b")
    return tar.add("old", b"old")


def top_layer(place: Place, image: Image) -> list[tarfile.TarInfo]:
    with tarfile.open(place.images.content.blob(image.diff_ids[-1])) as tar:
        return tar.getmembers()


def exported(place: Place, word: str, path: Path, **options: Any) -> Path:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        export(place.containers, word, fd, **options)
    finally:
        os.close(fd)
    return path


# ---------------------------------------------------------------- headers

NAMES = [
    b"a",
    b"a" * 100,
    b"a" * 101,
    b"d/" * 60 + b"x",
    b"d" * 155 + b"/" + b"x" * 100,
    b"d" * 156 + b"/" + b"x" * 100,
    b"d" * 200 + b"/" + b"x" * 200,
    b"d" * 90 + b"/" + b"x" * 9,
    b"\xff\xfe not utf-8",
    "ü".encode() * 60,
    b"new\nline=1",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", [FILE, DIRECTORY, HARD_LINK])
def test_a_header_says_what_the_entry_says(name: bytes, kind: bytes, tmp_path: Path) -> None:
    link = b"to/" + name if kind == HARD_LINK else b""
    entry = Entry(name, kind, 0o4755, 1, 2, 0, 1_700_000_000 * 10**9, link, (0, 0))
    for field, value in (("uid", 3_000_000), ("gid", 2**32 - 2), ("mtime", -(10**9) // 2)):
        setattr(entry, field, value)
        assert read_back(tarheader.encode(entry), tmp_path) == [entry]


def read_back(data: bytes, tmp_path: Path) -> list[Entry]:
    path = tmp_path / "x.tar"
    path.write_bytes(data + tarheader.END)
    with path.open("rb") as file:
        found = list(Reader(file.fileno(), lambda _: path.stat().st_size))
    for entry in found:
        if entry.kind == DIRECTORY:
            entry.name = entry.name.rstrip(b"/")
    return found


@pytest.mark.parametrize("length", [*range(1, 12), *range(85, 105), *range(975, 1005)])
def test_the_length_of_a_record_counts_itself(length: int) -> None:
    record = tarheader._record(b"k", b"v" * length)
    assert int(record.split(b" ")[0]) == len(record)


def test_large_files_have_their_size(tmp_path: Path) -> None:
    entry = Entry(b"x", FILE, 0, 0, 0, 9 << 30, 0, b"", (0, 0), stored=9 << 30)
    path = tmp_path / "x.tar"
    with path.open("wb") as file:
        file.write(tarheader.encode(entry))
        file.truncate(file.tell() + (9 << 30))
        file.seek(0, os.SEEK_END)
        file.write(tarheader.END)
    listed = subprocess.run(["tar", "tvf", path], capture_output=True, text=True, check=True)
    assert str(9 << 30) in listed.stdout


# ---------------------------------------------------------------- commit


def test_a_layer_is_what_changed_in_the_words_of_the_specification(place: Place) -> None:
    devices = users.of_the_machine()  # not so where a lab is checked
    config = place.container(place.imported(base()))
    with place.mounted(config) as root:
        (root / "bin/ls").unlink()
        (root / "old").unlink()
        write_file(root / "new", b"new", 0o600, 1_600_000_000 * 10**9)
        os.link(root / "new", root / "same")
        os.symlink("../x", root / "link")
        os.mkfifo(root / "fifo")
        if devices:
            os.mknod(root / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        (root / "etc/passwd").unlink()
        (root / "etc/group").unlink()
        (root / "etc").rmdir()
        (root / "etc").mkdir()
        (root / "etc/hosts2").write_text("x")
        (root / "var/fresh").mkdir()
    image = commit(place.containers, config.id, "new:1")
    members = {member.name: member for member in top_layer(place, image)}
    # Each directory's files, then the directories in it, each with all that is in it.
    names = f"fifo link new {'null ' if devices else ''}.wh.old same"
    names += " bin bin/.wh.ls etc etc/.wh..wh..opq etc/hosts2 var var/fresh"
    assert list(members) == names.split()
    assert members["same"].islnk() and members["same"].linkname == "new"
    assert members["link"].issym() and members["link"].linkname == "../x"
    assert not devices or (members["null"].ischr() and members["null"].devmajor == 1)
    assert members["fifo"].isfifo()
    assert (members["new"].mode, members["new"].mtime) == (0o600, 1_600_000_000)
    for name in (".wh.old", "bin/.wh.ls", "etc/.wh..wh..opq"):
        assert members[name].isreg() and members[name].size == 0
    assert all(m.uname == m.gname == "" for m in members.values())


def test_what_a_program_writes_as_overlayfs_is_not_believed(place: Place) -> None:
    """A file with user.overlay.whiteout is there, and one with user.overlay.metacopy has data."""
    config = place.container(place.imported(base()))
    with place.mounted(config) as root:
        (root / "empty").touch()
        os.setxattr(root / "empty", "user.overlay.whiteout", b"y")
        (root / "data").write_text("data")
        os.setxattr(root / "data", "user.overlay.metacopy", b"")
        for note, value in (("opaque", b"y"), ("redirect", b"/etc")):
            os.setxattr(root / "var", f"user.overlay.{note}", value)
        (root / "var/new").write_text("x")
    image = commit(place.containers, config.id, "new:1")
    members = {member.name: member for member in top_layer(place, image)}
    assert list(members) == ["data", "empty", "var", "var/new"]
    assert members["data"].size == 4
    # On a machine that mounts with userxattr they would be believed: they are not handed on.
    assert not any("overlay" in key for m in members.values() for key in m.pax_headers)


def test_a_directory_whose_group_alone_changed(place: Place) -> None:
    config = place.container(place.imported(base()))
    with place.mounted(config) as root:
        os.chown(root / "etc", -1, 77)
    (member,) = top_layer(place, commit(place.containers, config.id, "new:1"))
    assert (member.name, member.gid) == ("etc", 77)


def test_what_is_a_deletion_and_what_only_looks_like_one(tmp_path: Path) -> None:
    """Where no devices can be made, overlayfs writes an empty file with an attribute. Each case is
    one that the others are mistaken for; the devices are told, for not everybody can make them."""
    for name in ("plain", "noted", "full"):
        (tmp_path / name).write_bytes(b"x" if name == "full" else b"")
    for name in ("noted", "full"):
        os.setxattr(tmp_path / name, f"{notes.prefix()}whiteout", b"y")
    layer = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)

    def device(number: int) -> os.stat_result:
        return os.stat_result((stat.S_IFCHR | 0o666, *[0] * 9), {"st_rdev": number})

    files = {name: os.stat(tmp_path / name) for name in ("plain", "noted", "full")}
    cases = [
        ("a device with the number 0", "gone", device(0), b"dir/.wh.gone"),
        ("a device", "null", device(os.makedev(1, 3)), None),
        ("an empty file", "plain", files["plain"], None),
        ("a full file with the attribute", "full", files["full"], None),
        ("an empty file with the attribute", "noted", files["noted"], b"dir/.wh.noted"),
    ]
    writer = layertar._Packing.__new__(layertar._Packing)
    try:
        for what, name, status, mark in cases:
            entry = writer._deletion(layer, b"dir/" + name.encode(), status)
            assert (entry and entry.name) == mark, what
    finally:
        os.close(layer)


def test_the_digests_are_those_of_the_bytes(place: Place) -> None:
    below = place.imported(base())
    config = place.container(below)
    with place.mounted(config) as root:
        write_file(root / "new", os.urandom(100_000))
    image = commit(place.containers, config.id)
    assert image.diff_ids[:-1] == below.diff_ids
    layer = Path(place.images.content.blob(image.diff_ids[-1])).read_bytes()
    assert digest.of(layer) == image.diff_ids[-1]
    assert digest.of(Path(place.images.content.blob(image.id)).read_bytes()) == image.id
    assert len(layer) % 512 == 0 and layer.endswith(bytes(1024))


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    """Whatever the order in which they were made, and the disk."""
    layers = []
    for number, order in enumerate([1, -1]):
        (tmp_path / str(number)).mkdir()
        place = Place(tmp_path / str(number))
        config = place.container(place.imported(base()))
        with place.mounted(config) as root:
            for name in ["b", "a", "c"][::order]:
                (root / name).mkdir()
                for inner in ["2", "1", "10"][::order]:
                    write_file(root / name / inner, inner.encode(), 0o644, 5 * 10**9)
            for name in "abc":
                os.setxattr(root / name, "user.one", b"1")
                os.setxattr(root / name, "user.two", b"2")
                os.utime(root / name, (7, 7))
        layers.append(commit(place.containers, config.id).diff_ids[-1])
        first = exported(place, config.id, tmp_path / f"{number}.tar").read_bytes()
        assert first == (tmp_path / "0.tar").read_bytes()
    assert layers[0] == layers[1]


def test_a_container_that_changed_nothing_makes_no_layer(place: Place) -> None:
    below = place.imported(base())
    config = place.container(below)
    image = commit(place.containers, config.id, changes=["CMD sh"])
    assert image.diff_ids == below.diff_ids and image.id != below.id
    assert image.document["history"][-1]["empty_layer"] is True
    assert digest.of(bytes(1024)) == EMPTY
    assert place.images.leftovers() == []


def test_history_and_configuration_grow(place: Place) -> None:
    below = place.imported(base())
    options = {"env": ("A=1", "B=2"), "workdir": "/w", "user": "7", "labels": ("x=y",)}
    config = place.container(below, "sleep", "9", **options, publish=("8080:80/tcp",))
    changes = ['CMD ["sh", "-c", "true"]', "ENV C=3", "EXPOSE 53/udp", "LABEL z=1", "VOLUME /v"]
    changes += ["ONBUILD RUN x", "STOPSIGNAL SIGINT", "ENTRYPOINT /e"]
    with place.mounted(config) as root:
        (root / "x").touch()
    image = commit(place.containers, config.id, author="me", message="why", changes=changes)
    told = image.document["config"]
    assert told["Env"] == ["A=1", "B=2", "C=3"]
    assert told["Cmd"] == ["sh", "-c", "true"] and told["Entrypoint"] == ["/bin/sh", "-c", "/e"]
    assert told["ExposedPorts"] == {"53/udp": {}, "80/tcp": {}}
    assert (told["WorkingDir"], told["User"], told["StopSignal"]) == ("/w", "7", "SIGINT")
    assert told["Labels"] == {"x": "y", "z": "1"} and told["Volumes"] == {"/v": {}}
    assert told["OnBuild"] == ["RUN x"]
    assert image.document["author"] == "me"
    step = image.document["history"][-1]
    assert (step["author"], step["comment"], step["created_by"]) == ("me", "why", "sleep 9")
    assert image.document["history"][:-1] == below.document["history"]


def test_what_a_container_was_started_with_is_what_its_image_starts(place: Place) -> None:
    below = place.imported(base())
    plain = container_config(place.container(below, "run", entrypoint="/e"))
    assert (plain.entrypoint, plain.cmd, plain.env) == (("/e",), ("run",), ())


def test_files_with_capabilities_and_attributes_survive(place: Place, tmp_path: Path) -> None:
    config = place.container(place.imported(base()))
    capability = bytes.fromhex("0100000200200000000000000000000000000000")
    with place.mounted(config) as root:
        write_file(root / "ping", b"ping", 0o755)
        os.setxattr(root / "ping", "security.capability", capability)
        os.setxattr(root / "bin", "user.note", b"binary\0\n=value")
        os.setxattr(root / "bin", "trusted.mine", b"t")
    commit(place.containers, config.id, "new")
    again = place.container(place.images.resolve("new"))
    with place.mounted(again) as root:
        assert os.getxattr(root / "ping", "security.capability") == capability
        assert os.getxattr(root / "bin", "user.note") == b"binary\0\n=value"
        assert os.getxattr(root / "bin", "trusted.mine") == b"t"


def test_a_name_that_means_deletion_is_refused(place: Place) -> None:
    config = place.container(place.imported(base()))
    with place.mounted(config) as root:
        (root / "bin/.wh.sh").touch()
    before = sorted(os.listdir(place.images.content.path + "/blobs/sha256"))
    with pytest.raises(Failure, match=r"\.wh\.sh'.* means that a file was deleted"):
        commit(place.containers, config.id, "new")
    assert sorted(os.listdir(place.images.content.path + "/blobs/sha256")) == before
    assert os.listdir(place.path / "root/tmp") == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("-c", "FROM x"), "not a valid change command"),
        (("--", "box", "Not/Good"), "must be lowercase"),
        (("nobody",), "No such container: nobody"),
    ],
)
def test_bad_words_are_one_line(mydocker: Launcher, options: tuple[str, ...], said: str) -> None:
    mydocker(5, "rm", "-f", "box", code=None)
    mydocker(5, "create", "--name", "box", "busybox")
    words = options if options[0] == "--" or len(options) == 1 else (*options, "box")
    done = mydocker(5, "commit", *words, code=None)
    assert done.returncode in (1, 125)
    assert said in done.stderr and done.stderr.count("\n") == 1 and not done.stdout
    mydocker(5, "rm", "box")


def test_a_running_container_stands_still_meanwhile(mydocker: Launcher) -> None:
    """Two files that are always written together are never seen apart."""
    script = (
        "head -c 20000000 /dev/urandom > /b; touch /ready;"
        "while :; do echo x >> /a; echo x >> /c; done"
    )
    name = mydocker(5, "run", "-d", "busybox", "sh", "-c", script).stdout.strip()
    try:
        eventually(lambda: "/ready" in mydocker(5, "diff", name).stdout)
        mydocker(5, "commit", name, "still")
        assert mydocker(5, "inspect", "-f", "{{.State.Status}}", name).stdout.strip() == "running"
        counted = mydocker(5, "run", "--rm", "still", "wc", "-l", "/a", "/c").stdout.split()
        a, b = int(counted[0]), int(counted[2])
        assert a > 0 and b <= a <= b + 1
    finally:
        mydocker(5, "rm", "-f", name)
        mydocker(5, "rmi", "still", code=None)


def test_what_we_mount_on_is_no_change_of_the_container_s(mydocker: Launcher) -> None:
    mydocker(5, "run", "--name", "box", "busybox", "true")
    try:
        mydocker(5, "commit", "box", "same")
        told = json.loads(mydocker(5, "image", "inspect", "same").stdout)[0]
        assert len(told["RootFS"]["Layers"]) == 1
        mydocker(5, "rm", "box")
        mydocker(5, "run", "--name", "box", "busybox", "sh", "-c", "echo x > /etc/mine")
        mydocker(5, "commit", "box", "more")
        listed = mydocker(5, "history", "--format", "{{.Size}}", "more").stdout.split()
        assert listed[0] == "2B"
    finally:
        mydocker(5, "rm", "box")
        mydocker(5, "rmi", "same", "more", code=None)


# ---------------------------------------------------------------- export


def test_gnu_tar_makes_the_same_files_of_an_export(place: Place, tmp_path: Path) -> None:
    config = place.container(place.imported(base()))
    with place.mounted(config) as root:
        write_file(os.fsencode(root) + b"/\xff\xfe", b"not utf-8", 0o640, 1_234_567_891 * 10**8)
        os.setxattr(root / "bin/sh", "user.x", b"y")
        os.link(root / "bin/sh", root / "bin/bash")
        (root / ("d" * 200)).mkdir()
        write_file(root / ("d" * 200) / ("f" * 200), b"long")
        os.chown(root / "bin/ls", 70_000, 3_000_000)
        os.symlink("x" * 300, root / "longlink")
        (root / "etc/passwd").unlink()
        (root / "old").touch()
        os.utime(root / "old", ns=(0, -1_500_000_000))
        expected = photograph(root)
    assert untarred(exported(place, config.id, tmp_path / "x.tar"), tmp_path / "out") == expected
    with place.mounted(config):  # as while it runs
        again = exported(place, config.id, tmp_path / "y.tar")
    assert again.read_bytes() == (tmp_path / "x.tar").read_bytes()


@pytest.mark.parametrize("sparse", [False, True])
def test_holes_stay_holes(place: Place, tmp_path: Path, sparse: bool) -> None:
    config = place.container(place.imported(base()))
    with place.mounted(config) as root, (root / "sparse").open("wb") as file:
        file.seek(50 << 20)
        file.write(b"in the middle")
        file.truncate(100 << 20)
    path = exported(place, config.id, tmp_path / "x.tar", sparse=sparse)
    assert (path.stat().st_size < 1 << 20) == sparse
    os.mkdir(tmp_path / "out")
    subprocess.run(["tar", "-C", tmp_path / "out", "-xf", path], check=True)
    data = (tmp_path / "out/sparse").read_bytes()
    assert len(data) == 100 << 20 and data.strip(b"\0") == b"in the middle"
    image = commit(place.containers, config.id, "new")
    with place.mounted(place.container(image)) as root:
        assert (root / "sparse").read_bytes() == data
        assert (root / "sparse").stat().st_blocks * 512 < 1 << 20
    assert os.stat(place.images.content.blob(image.diff_ids[-1])).st_blocks * 512 < 2 << 20


def test_an_export_has_no_history_and_a_volume_s_data_stays_out(
    mydocker: Launcher, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/secret").write_text("x")
    mydocker(5, "run", "--name", "box", "-v", f"{tmp_path}/data:/data", "busybox", "touch", "/y")
    try:
        mydocker(5, "commit", "-m", "one more", "box", "layered")
        mydocker(5, "export", "-o", f"{tmp_path}/x.tar", "box")
        mydocker(5, "import", f"{tmp_path}/x.tar", "flat")
        with tarfile.open(tmp_path / "x.tar") as tar:
            names = tar.getnames()
        assert "data" in names and "y" in names and "data/secret" not in names
        counts = [len(mydocker(5, "history", "-q", n).stdout.split()) for n in ("layered", "flat")]
        assert counts == [2, 1]
        layers = [
            len(json.loads(mydocker(5, "image", "inspect", name).stdout)[0]["RootFS"]["Layers"])
            for name in ("layered", "flat")
        ]
        assert layers == [2, 1]
    finally:
        mydocker(5, "rm", "box")
        mydocker(5, "rmi", "layered", "flat", code=None)


def test_what_cannot_be_written_leaves_nothing(mydocker: Launcher, tmp_path: Path) -> None:
    mydocker(5, "create", "--name", "box", "busybox")
    try:
        done = mydocker(5, "export", "-o", f"{tmp_path}/no/x.tar", "box", code=None)
        assert done.returncode and f"{tmp_path}/no/x.tar: No such file" in done.stderr
        done = mydocker(5, "export", "-o", "/dev/full", "box", code=None)
        assert done.returncode and "/dev/full: No space left" in done.stderr
        done = mydocker(5, "export", "-o", f"{tmp_path}/x.tar", "nobody", code=1)
        assert done.stderr == "mydocker: No such container: nobody\n"
        assert os.listdir(tmp_path) == []
    finally:
        mydocker(5, "rm", "box")


def test_memory_does_not_grow_with_the_image(place: Place, tmp_path: Path) -> None:
    """The largest file is many times what export and commit may take."""
    config = place.container(place.imported(base()))
    with place.mounted(config) as root, (root / "large").open("wb") as file:
        for _ in range(120):
            file.write(os.urandom(1 << 20))
    program = (
        "import sys, os; sys.path[:0] = sys.argv[4].split(':');"
        "from mydocker.engine.records.store import Store;"
        "from mydocker.engine.images.commit import commit;"
        "from mydocker.engine.images.export import export;"
        "store = Store(sys.argv[1], sys.argv[2]);"
        "export(store, sys.argv[3], os.open('/dev/null', os.O_WRONLY));"
        "commit(store, sys.argv[3]);"
        "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    )
    paths = ":".join(path for path in sys.path if "steps" in path)
    words = [place.containers.root, place.containers.run, config.id, paths]
    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 60 * 1024  # KiB
    assert ImageStore(place.containers.root).leftovers() == []
