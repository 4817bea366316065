"""A process in a container exchanges directories, files and links while we work among them.

Whatever it does, the host's files stay what they are (modes, owners, times, contents), and nothing
of them comes into the container, an image, an archive or a list. ``MYDOCKER_TEST_ROUNDS`` sets how
often each is tried: a few times by default, a thousand times by hand.
"""

import os
import shutil
import stat
import tarfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from sandbox.archives import Tar, tree
from sandbox.containers import Containers
from sandbox.racing import ROUNDS, Racer, luring, restless, swapping
from sandbox.trees import Place

from mydocker.engine import copying
from mydocker.engine.trees.disk import disk_use
from mydocker.engine.trees.layertar import pack_layer, pack_named, pack_tree
from mydocker.engine.volumes.copyup import copy_up
from mydocker.kernel import syscalls
from mydocker.kernel.errors import Failure
from mydocker.overlay2 import archive, rootfs
from mydocker.overlay2.diff import changes
from mydocker.overlay2.held import Held
from mydocker.overlay2.plan import mount_of
from mydocker.overlay2.tarformat import Reader
from mydocker.overlay2.volumes import BIND, Volume

pytestmark = pytest.mark.root

MANY = 5 * ROUNDS  # where one is short
SECRET = "of the host alone"
FIFOS = [f"fifo{number}" for number in range(2)]
LINKS = [f"link{number}" for number in range(2)]
DIRECTORIES = [f"below{number}" for number in range(2)]
IMPLIED = ["implied0", "implied1"]
FILES = [f"file{number}" for number in range(2)]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Path]:
    """A directory of the host with a file in it, which both are the same after the test."""
    outside = tmp_path / "outside"
    (outside / "hosts-directory").mkdir(parents=True)
    (outside / "hosts-directory/big").write_bytes(bytes(1 << 20))
    (outside / "deep/hosts-directory").mkdir(parents=True)
    outside.chmod(0o751)
    (outside / "secret").write_text(SECRET)
    (outside / "secret").chmod(0o600)
    os.utime(outside / "secret", ns=(10**18, 10**18))
    before = tree(outside)
    yield outside
    assert tree(outside) == before


@pytest.fixture
def container(tmp_path: Path) -> Path:
    """The root of a container, as far as the host is concerned."""
    (tmp_path / "container/d").mkdir(parents=True)
    return tmp_path / "container"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """What is to be copied: many of each kind, so that each round has many moments."""
    top = tmp_path / "source"
    top.mkdir()
    for name in FIFOS:
        os.mkfifo(top / name)
        (top / name).chmod(0o666)
    for name in DIRECTORIES:
        (top / name / "more").mkdir(parents=True)
        (top / name / "x").write_text("x")
        (top / name).chmod(0o777)
    for name in LINKS:
        (top / name).symlink_to("nowhere")
        os.lchown(top / name, 7, 7)
    for name in FILES:
        (top / name).write_text("x")
        os.chown(top / name, 7, 7)
        (top / name).chmod(0o4777)
    return top


def lures(host: Path, names: list[str]) -> dict[str, Path]:
    """Names, and the link that each of them becomes once it is made."""
    return {name: host if name in (*DIRECTORIES, *IMPLIED) else host / "secret" for name in names}


# Two names at a time: so few that the racer comes by more often than we get from one call to the
# next.
ATTACKS = {
    "FIFOs": ("luring", FIFOS),
    "links": ("luring", LINKS),
    "files": ("luring", FILES),
    "directories": ("luring", DIRECTORIES),
    "directories that are implied": ("luring", IMPLIED),
    "names that are free": ("planting", [FILES[0], DIRECTORIES[0]]),
}
attacks = pytest.mark.parametrize("attack", [name for name in ATTACKS if "implied" not in name])


def attacking(attack: str, host: Path, directory: Path) -> AbstractContextManager[Racer]:
    how, names = ATTACKS[attack]
    return luring(directory, how, **lures(host, names))


def clear(directory: Path) -> None:
    """Take away what a round left, but not what the racer has ready."""
    for entry in list(os.scandir(directory)):
        if not entry.name.startswith("lure."):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                Path(entry.path).unlink(missing_ok=True)


def attempt(work: Callable[[], object]) -> None:
    """It may succeed, or fail in one line that tells what happened; anything else is a fault."""
    try:
        work()
    except Failure as failure:
        assert "\n" not in str(failure)
        assert "device" not in str(failure).lower(), "a device was opened"


# ---------------------------------------------------------------- into a container


@attacks
def test_copying_in(host: Path, container: Path, source: Path, attack: str) -> None:
    root = os.open(container, os.O_PATH)
    slash = os.open("/", os.O_PATH)

    def copy() -> None:
        found = copying.find(slash, f"{source}/.", "source")
        into = copying.find(root, "/d", "one:/d")
        try:
            copying.copy(found, into, owner=True)
        finally:
            os.close(found.parent)
            os.close(into.parent)

    if attack == "FIFOs":  # the shortest moment of all: so these alone, and many times
        for name in (*LINKS, *FILES, *DIRECTORIES):
            shutil.rmtree(source / name) if name in DIRECTORIES else (source / name).unlink()
    with attacking(attack, host, container / "d") as race:
        for _ in race.rounds(4 * MANY if attack == "FIFOs" else MANY):
            attempt(copy)
            clear(container / "d")
    os.close(root)
    os.close(slash)


def packed(source: Path, tmp_path: Path) -> Path:
    """The source as an archive, with hard links, a second time and whiteouts at the end."""
    path = tmp_path / "source.tar"
    with tarfile.open(path, "w") as tar:
        tar.add(source, ".")
    extra = Tar().hard_link("again", FILES[0])
    for name in FIFOS:
        extra.add(f"{name}", type=tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o777)
    for name in DIRECTORIES:
        extra.add(f"{name}/.wh..wh..opq")
    extra.add(f"{IMPLIED[0]}/x").add(f"{IMPLIED[1]}/deep/x")  # the archive has no directory for x
    with open(path, "r+b") as file:
        file.seek(-tarfile.RECORDSIZE, os.SEEK_END)
        rest = file.read().rstrip(b"\0")
        assert rest == b"" or len(rest) < tarfile.RECORDSIZE
        end = file.seek(0, os.SEEK_END) - tarfile.RECORDSIZE
        file.seek(end + -(-len(rest) // 512) * 512)
        file.write(extra.bytes())
    return path


@pytest.mark.parametrize("attack", ATTACKS)
def test_unpacking(host: Path, container: Path, source: Path, tmp_path: Path, attack: str) -> None:
    """``cp - CONTAINER:PATH``, and what an image has into a volume that others have mounted."""
    path = packed(source, tmp_path)
    size = path.stat().st_size

    def unpack() -> None:
        fd = os.open(path, os.O_RDONLY)
        try:
            archive.unpack(Reader(fd, lambda offset: size, False), str(container / "d"))
        finally:
            os.close(fd)

    unpack()  # it is a whole archive
    assert (container / "d/again").samefile(container / "d" / FILES[0])
    clear(container / "d")
    with attacking(attack, host, container / "d") as race:
        for _ in race.rounds(MANY):
            attempt(unpack)
            clear(container / "d")


@pytest.mark.parametrize("attack", ["FIFOs", "directories"])
def test_copying_up_into_a_shared_volume(
    host: Path, container: Path, source: Path, tmp_path: Path, attack: str
) -> None:
    with tarfile.open(tmp_path / "image.tar", "w") as tar:
        tar.add(source, "data")
    place = Place(tmp_path)
    image = place.imported((tmp_path / "image.tar").read_bytes())
    store = str(tmp_path / "root")
    layers = place.images.layers(image)
    with attacking(attack, host, container / "d") as race:
        for _ in race.rounds():
            attempt(lambda: copy_up(store, layers, "/data", str(container / "d")))
            clear(container / "d")


# ---------------------------------------------------------------- out of a container


@pytest.fixture
def changing(host: Path, container: Path) -> Iterator[Racer]:
    """A container whose files are others from one moment to the next."""
    names: dict[str, str] = {}
    top = container / "d"
    (top / "sub").mkdir()
    for number in range(6):
        (top / f"plain{number}").write_text("inside")
        (top / f"sub/plain{number}").write_text("inside")
        (top / f"tree{number}/deep").mkdir(parents=True)
        (top / f"tree{number}/deep/plain").write_text("inside")
        (top / f"evil-plain{number}").symlink_to(host / "secret")
        (top / f"evil-tree{number}").symlink_to(host)
        names |= {f"plain{number}": f"evil-plain{number}", f"tree{number}": f"evil-tree{number}"}
    (top / "to-fifo").write_text("inside")
    os.mkfifo(top / "evil-fifo")
    (top / "to-device").write_text("inside")
    os.mknod(top / "evil-device", 0o666 | stat.S_IFCHR, os.makedev(240, 77))  # which is nothing
    names |= {"to-fifo": "evil-fifo", "to-device": "evil-device"}
    with swapping(top, **names) as race:
        yield race


def check(told: bytes) -> None:
    """What was packed, or listed, has nothing of the host."""
    assert SECRET.encode() not in told
    assert b"hosts-directory" not in told


def test_copying_out(changing: Racer, container: Path, tmp_path: Path) -> None:
    root, slash = os.open(container, os.O_PATH), os.open("/", os.O_PATH)
    out = tmp_path / "out"

    def copy() -> None:
        found = copying.find(root, "/d", "one:/d")
        into = copying.find(slash, str(out), "out")
        try:
            copying.copy(found, into, owner=True)
        finally:
            os.close(found.parent)
            os.close(into.parent)

    for _ in changing.rounds():
        attempt(copy)
        for directory, below, names in os.walk(out):
            assert "hosts-directory" not in below
            for name in names:
                path = Path(directory, name)
                if path.is_file() and not path.is_symlink():
                    check(path.read_bytes())
        shutil.rmtree(out, ignore_errors=True)
    os.close(root)
    os.close(slash)


@pytest.mark.parametrize("how", ["copy", "cp", "export", "commit"])
def test_what_vanishes_and_shrinks(container: Path, tmp_path: Path, how: str) -> None:
    """Directories go and come back, files are cut to nothing and grow: it is told as it was at some
    moment, or refused in one line."""
    names: dict[str, str] = {}
    for number in range(4):
        (container / f"d/tree{number}/deep").mkdir(parents=True)
        (container / f"d/tree{number}/deep/file").write_bytes(bytes(300_000))
        (container / f"d/file{number}").write_bytes(b"x" * 300_000)
        names |= {f"tree{number}": "directory", f"file{number}": "file"}
    root, slash = os.open(container, os.O_RDONLY), os.open("/", os.O_PATH)
    (tmp_path / "lower").mkdir()

    def once() -> None:
        if how == "copy":
            found, into = (
                copying.find(root, "/d", "one:/d"),
                copying.find(slash, str(tmp_path / "out"), "out"),
            )
            try:
                copying.copy(found, into, owner=False)
            finally:
                os.close(found.parent)
                os.close(into.parent)
            return
        pieces = {
            "cp": lambda: pack_named(root, "d", "d"),
            "export": lambda: pack_tree(root),
            "commit": lambda: pack_layer(root, [str(tmp_path / "lower")], lambda: root),
        }[how]()
        (tmp_path / "x.tar").write_bytes(b"".join(pieces))
        with tarfile.open(tmp_path / "x.tar") as tar:  # whole, whatever happened meanwhile
            assert "d" in tar.getnames()

    with restless(container / "d", **names) as race:
        for _ in race.rounds():
            attempt(once)
            shutil.rmtree(tmp_path / "out", ignore_errors=True)
    os.close(root)
    os.close(slash)


@pytest.mark.parametrize("how", ["cp", "export", "commit"])
def test_packing(changing: Racer, container: Path, tmp_path: Path, how: str) -> None:
    lower = tmp_path / "lower"
    (lower / "d/sub").mkdir(parents=True)
    (lower / "d/tree0").symlink_to("/etc")  # and in a layer below a link leads nowhere either
    root = os.open(container, os.O_RDONLY)

    def pack() -> None:
        if how == "cp":
            pieces = pack_named(root, "d", "d")
        elif how == "export":
            pieces = pack_tree(root)
        else:
            pieces = pack_layer(root, [str(lower)], lambda: root)
        check(b"".join(pieces))

    for _ in changing.rounds(MANY):
        attempt(pack)
    os.close(root)


def test_what_changed(changing: Racer, container: Path, tmp_path: Path) -> None:
    (tmp_path / "lower/d").mkdir(parents=True)
    for _ in changing.rounds(MANY):
        attempt(
            lambda: check(
                "\n".join(map(str, changes(str(container), [str(tmp_path / "lower")]))).encode()
            )
        )


def test_how_much_there_is(changing: Racer, container: Path) -> None:
    assert max(disk_use(str(container)) for _ in changing.rounds(MANY)) < 1 << 20


# ---------------------------------------------------------------- mounts


def mounted(top: Path) -> list[tuple[str, str, set[str]]]:
    """Of each mount below ``top``: where it is, what of its filesystem it shows, its options."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        if fields[4].startswith(f"{top}/"):
            found.append((fields[4], fields[3], set(fields[5].split(","))))
    return found


def in_child(work: Callable[[], None]) -> None:
    """In a process with mounts of its own."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            syscalls.unshare(syscalls.CLONE_NEWNS)
            syscalls.mount("none", "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
            work()
        except BaseException as error:
            os.write(writing, f"{type(error).__name__}: {error}"[:4000].encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    assert not said, said


def test_what_is_made_read_only_is_what_was_found(host: Path, container: Path) -> None:
    (container / "d/bus").mkdir()
    (container / "d/evil").symlink_to(host)

    def work() -> None:
        root = rootfs.Root(str(container))
        for _ in range(20):
            attempt(lambda: rootfs._make_read_only(root, "/d/bus"))
            for _, shows, options in mounted(container):
                assert str(host) not in shows, "the host's directory is in the container"
                assert "ro" in options

    with swapping(container / "d", bus="evil") as race:
        for _ in race.rounds():
            in_child(work)


def test_a_read_only_volume_is_read_only(host: Path, container: Path, tmp_path: Path) -> None:
    """And nothing else becomes so, whatever the way to its place is by then."""
    data = tmp_path / "data"
    data.mkdir()
    for name in ("a", "b"):
        (container / "d" / name / "deep").mkdir(parents=True)
    (container / "d/evil").symlink_to(host)

    def others() -> list[str]:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        return [line for line in lines if f" {container}/" not in line]

    def work() -> None:
        root = rootfs.Root(str(container))
        wish = mount_of(Volume(BIND, "/d/a/deep", str(data), read_only=True))
        before = others()
        for _ in range(20):
            attempt(lambda: rootfs.carry_out(root, [wish], Held([str(data)])))
            for _, shows, options in mounted(container):
                assert shows.endswith(str(data)) and "ro" in options
        assert others() == before

    with swapping(container / "d", a="b", b="evil") as race:
        for _ in race.rounds():
            in_child(work)


def test_a_working_directory_is_made_inside(host: Path, container: Path) -> None:
    """``-w`` in a shared volume, where a directory becomes a link to what we have open."""
    from mydocker.overlay2.workdir import WorkingDirectoryPart

    (container / "d/a").mkdir()
    kept = os.open(host, os.O_RDONLY)
    (container / "d/evil").symlink_to(f"/proc/self/fd/{kept}")

    def work() -> None:
        for number in range(20):
            path = f"{container}/d/a/new{number}"
            attempt(WorkingDirectoryPart(path).enter)
            shutil.rmtree(path, ignore_errors=True)

    with swapping(container / "d", a="evil") as race:
        for _ in race.rounds():
            in_child(work)
    os.close(kept)


# ---------------------------------------------------------------- the whole program


def test_with_a_container_that_runs(
    docker: Containers, host: Path, container: Path, source: Path, tmp_path: Path
) -> None:
    """All at once as a user does it: cp in and out, run, commit, export, diff."""
    shared = container / "d"
    path = packed(source, tmp_path)
    options = ("-v", f"{shared}:/shared", "busybox", "sleep", "1000")
    docker.run("--name", "one", *options)
    inside = Path(f"/proc/{docker.pid('one')}/root/srv")
    inside.mkdir()
    names = lures(host, [*FIFOS, *LINKS, *FILES, *DIRECTORIES])
    with luring(shared, **names), luring(inside, **names):
        for number in range(max(1, ROUNDS // 10)):
            for place in ("/shared", "/srv"):
                docker("cp", "-a", f"{source}/.", f"one:{place}", code=None)
                with path.open("rb") as file:
                    docker("cp", "-", f"one:{place}", stdin=file, code=None)
                docker("cp", f"one:{place}", str(tmp_path / f"out{number}"), code=None)
                shutil.rmtree(tmp_path / f"out{number}", ignore_errors=True)
            assert "hosts-directory" not in docker("diff", "one").stdout
            docker("commit", "-p=false", "one", "raced", code=None)
            docker("export", "-o", str(tmp_path / "export.tar"), "one")
            check((tmp_path / "export.tar").read_bytes())
            data = ("-v", f"{source}:/shared/{DIRECTORIES[0]}/more:ro")
            script = f"cat /shared/*/* /shared/* 2>/dev/null | grep '{SECRET}'"
            words = ("--rm", "--net", "none", "-v", f"{shared}:/shared", *data, "busybox", "sh")
            done = docker("run", *words, "-c", script, code=None)
            assert done.returncode in (1, 125) and SECRET not in done.stdout
            clear(shared)
    docker("rm", "-f", "one")
    docker("rmi", "raced", code=None)
