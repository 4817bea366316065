"""cp: both ways, as a tree and as an archive, and never out of the container."""

import io
import os
import tarfile
from pathlib import Path

import pytest
from sandbox.archives import Tar, tree
from sandbox.containers import Containers
from sandbox.machine import Sandbox

from mydocker.kernel import beneath
from mydocker.kernel.files import remove_tree

pytestmark = pytest.mark.root
SLEEP = ("busybox", "sleep", "1000")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    top = tmp_path / "top"
    (top / "below").mkdir(parents=True)
    (top / "below" / "file").write_text("text\n")
    (top / "below" / "file").chmod(0o741)
    os.symlink("/etc/passwd", top / "link")
    os.link(top / "below" / "file", top / "second")
    os.mkfifo(top / "fifo")
    os.setxattr(top / "second", "user.note", b"kept")
    return top


@pytest.mark.parametrize("running", [True, False])
def test_a_tree_there_and_back(
    docker: Containers, files: Path, tmp_path: Path, running: bool
) -> None:
    if running:
        docker.run("--name", "one", *SLEEP)
    else:
        docker("create", "--name", "one", "--net", "none", *SLEEP)
    docker("cp", "-a", str(files), "one:/srv")
    docker("cp", "-a", "one:/srv", f"{tmp_path}/back")
    kept = {name: facts[:-1] for name, facts in tree(tmp_path / "back").items()}
    assert kept.keys() == tree(files).keys()
    for name, facts in tree(files).items():
        assert kept[name][0] == facts[0], name
        assert kept[name][2:5] == facts[2:5], name
    assert (tmp_path / "back/second").samefile(tmp_path / "back/below/file")
    if not running:
        docker("start", "one")
    assert docker("exec", "one", "cat", "/srv/below/file").stdout == "text\n"


def test_where_things_go(docker: Containers, files: Path, tmp_path: Path) -> None:
    docker.run("--name", "one", "--tmpfs", "/mem", *SLEEP)
    docker("cp", str(files), "one:/tmp")  # a directory that is there: into it
    docker("cp", f"{files}/.", "one:/mem")  # its contents; and a tmpfs is no layer
    docker("cp", f"{files}/second", "one:/tmp/renamed")
    docker("cp", f"{files}/second", "one:/mem/below")
    listed = docker("exec", "one", "find", "/tmp", "/mem", "-type", "f").stdout.split()
    assert sorted(listed) == [
        "/mem/below/file",
        "/mem/below/second",
        "/mem/second",
        "/tmp/renamed",
        "/tmp/top/below/file",
        "/tmp/top/second",
    ]
    docker("cp", "one:/etc/passwd", str(tmp_path))
    assert (tmp_path / "passwd").read_text().startswith("root:")
    docker("cp", "one:/tmp/top/link", f"{tmp_path}/asis")
    assert os.readlink(tmp_path / "asis") == "/etc/passwd"
    docker("cp", "-L", "one:/tmp/top/link", f"{tmp_path}/followed")
    assert (tmp_path / "followed").read_bytes() == (tmp_path / "passwd").read_bytes()


def test_as_an_archive(docker: Containers, files: Path, tmp_path: Path) -> None:
    docker.run("--name", "one", *SLEEP)
    archive = Tar().directory("d").add("d/x", b"in the archive").symlink("d/l", "x").bytes()
    (tmp_path / "in.tar").write_bytes(archive)
    with (tmp_path / "in.tar").open("rb") as file:
        docker("cp", "-", "one:/srv", stdin=file, code=1)  # not there
    docker("exec", "one", "mkdir", "/srv")
    with (tmp_path / "in.tar").open("rb") as file:
        docker("cp", "-", "one:/srv", stdin=file)
    out = docker("cp", "one:/srv/d", "-").stdout
    with tarfile.open(fileobj=io.BytesIO(out.encode())) as tar:
        assert tar.getnames() == ["d", "d/l", "d/x"]
        member = tar.extractfile("d/x")
        assert member and member.read() == b"in the archive"


def test_no_link_leads_out_of_the_container(docker: Containers, tmp_path: Path) -> None:
    """As CVE-2018-15664: what the container makes of its names must not reach the host."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("the host's\n")
    (tmp_path / "mine").write_text("mine\n")
    docker.run("--name", "one", *SLEEP)
    climb = "../" * 12 + str(outside)[1:]
    script = f"ln -s {outside} /absolute; ln -s {climb} /climbing; ln -s {outside}/new /file"
    docker("exec", "one", "sh", "-c", script)
    for place in ("/absolute/x", "/climbing/x", "/file"):
        docker("cp", f"{tmp_path}/mine", f"one:{place}", code=None)
    for place in ("/absolute/secret", "/climbing/secret"):
        docker("cp", f"one:{place}", f"{tmp_path}/stolen", code=1)
    assert os.listdir(outside) == ["secret"]
    assert not (tmp_path / "stolen").exists()


def deep(top: Path, depth: int, name: bytes) -> None:
    """A file so many directories below, whose path is longer than the kernel takes in one."""
    top.mkdir()
    fd = os.open(top, os.O_PATH)
    for _ in range(depth):
        os.mkdir(name, dir_fd=fd)
        below = os.open(name, os.O_PATH, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=fd))
    os.close(fd)


def test_a_tree_of_any_depth(docker: Containers, sandbox: Sandbox) -> None:
    # A copy that recurses does not get so far down, and the path is longer than the kernel takes.
    # Deeper, Python's own removal would fail, by which the next suite sweeps up if this is killed.
    place = sandbox.directory / "deep"
    place.mkdir()
    top, name, depth = place / "top", b"directory", 600
    deep(top, depth, name)
    docker.run("--name", "one", *SLEEP)
    try:
        docker("cp", str(top), "one:/srv")
        docker("cp", "one:/srv", f"{place}/back")
        fd = os.open(place / "back", os.O_PATH)
        found = beneath.descend(fd, b"/".join([name] * depth))
        assert os.listdir(found) == ["file"]
        os.close(found)
        os.close(fd)
        with open(place / "out.tar", "wb") as file:
            done = docker.start("cp", "one:/srv", "-", stdout=file)
            assert done.wait(60) == 0
        with tarfile.open(place / "out.tar") as tar:
            assert tar.getnames()[-1].count("/") == depth + 1
    finally:
        remove_tree(str(place))
    docker("rm", "-f", "one")


def test_holes_stay_holes(docker: Containers, tmp_path: Path) -> None:
    sparse = tmp_path / "sparse"
    with sparse.open("wb") as file:
        file.seek(5 << 30)
        file.write(b"middle")
        file.truncate(10 << 30)
    docker.run("--name", "one", *SLEEP)
    docker("cp", str(sparse), "one:/srv")
    docker("cp", "one:/srv", f"{tmp_path}/back")
    with open(tmp_path / "back", "rb") as file:
        file.seek(5 << 30)
        assert file.read(8) == b"middle\0\0"
    status = (tmp_path / "back").stat()
    assert status.st_size == 10 << 30 and status.st_blocks * 512 < 1 << 20
    said = docker("exec", "one", "du", "-k", "/srv").stdout
    assert int(said.split()[0]) < 1024


def test_a_file_of_proc_has_what_it_says(docker: Containers, tmp_path: Path) -> None:
    """It says that it is empty, and is not."""
    docker.run("--name", "one", *SLEEP)
    docker("cp", "one:/proc/1/comm", f"{tmp_path}/name")
    assert (tmp_path / "name").read_text() == "sleep\n"


def test_what_is_not_there(docker: Containers, tmp_path: Path) -> None:
    docker.run("--name", "one", *SLEEP)
    for arguments, said in (
        (("one:/nosuch", "."), "No such container:path: one:/nosuch"),
        ((f"{tmp_path}/nosuch", "one:/"), "no such file or directory"),
        (("two:/x", "."), "No such container: two"),
        (("one:/etc", "one:/x"), "copying between containers is not supported"),
        (("/etc/passwd", "/tmp/x"), "must specify at least one container source"),
        (("/etc/passwd", "one:/no/such/place"), "no such file or directory"),
        (("one:/etc", "/etc/passwd"), "cannot copy a directory over a file"),
        (("/etc/passwd", "one:/tmp/new/"), "the destination directory must exist"),
    ):
        done = docker("cp", *arguments, code=1)
        assert said in done.stderr, done.stderr
        assert done.stderr.count("\n") == 1
