"""Any tree of files, changed in any way, through commit, save, load and export: the same tree."""

import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sandbox.archives import Tar
from sandbox.trees import Place, photograph, untarred

from mydocker.engine.images.commit import commit
from mydocker.engine.images.export import export
from mydocker.engine.images.load import load
from mydocker.engine.images.save import save

pytestmark = pytest.mark.root

# Few names, so that changes meet what is there; some that are no UTF-8, or long, or look odd.
NAMES = [
    b"a",
    b"b",
    b"\xff\x00".replace(b"\x00", b"\xfe"),
    b"wh.",
    b" =\n",
    b"x" * 120,
    "ü".encode(),
]
KINDS = ["file", "directory", "symlink", "fifo", "device", "link", "sparse"]
CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")

paths = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map(b"/".join)
making = st.tuples(
    st.sampled_from(KINDS),
    paths,
    st.binary(max_size=30),
    st.sampled_from([0o644, 0o4755, 0o1777, 0o000, 0o2750]),
    st.sampled_from([0, 1_700_000_000_123_456_789, -1_500_000_000, 5 * 10**9]),
    st.sampled_from([0, 1000, 2**31]),
    st.booleans(),
)
changing = st.tuples(st.sampled_from(["remove", "replace", "empty", "touch"]), paths)


def make(top: bytes, told: tuple[str, bytes, bytes, int, int, int, bool]) -> None:
    """Make one thing, unless something is in its way."""
    kind, path, data, mode, mtime, owner, attribute = told
    full = top + b"/" + path
    try:
        os.makedirs(os.path.dirname(full), exist_ok=True)
        if os.path.realpath(os.path.dirname(full)) != os.path.dirname(full):
            return  # never through a symbolic link, wherever it may lead
        _MAKE[kind](full, data)
    except (FileExistsError, NotADirectoryError, IsADirectoryError, FileNotFoundError):
        return
    if kind in ("symlink", "link"):
        return
    os.chown(full, owner, owner)
    os.chmod(full, mode)
    if attribute and kind in ("file", "directory"):
        os.setxattr(full, "user.note", data or b"-")
    if attribute and kind == "file":
        os.setxattr(full, "security.capability", CAPABILITY)
    os.utime(full, ns=(mtime, mtime))


def _file(path: bytes, data: bytes) -> None:
    with open(path, "xb") as file:
        file.write(data)


def _sparse(path: bytes, data: bytes) -> None:
    with open(path, "xb") as file:
        file.seek(200_000)
        file.write(data)
        file.truncate(300_000)


def _link(path: bytes, data: bytes) -> None:
    _file(path + b"1", data)
    os.link(path + b"1", path)


_MAKE: dict[str, Callable[[bytes, bytes], None]] = {
    "file": _file,
    "directory": lambda path, data: os.mkdir(path),
    "symlink": lambda path, data: os.symlink(b"none/" + data.replace(b"\0", b""), path),
    "fifo": lambda path, data: os.mkfifo(path),
    "device": lambda path, data: os.mknod(path, stat.S_IFCHR, os.makedev(1, len(data) + 1)),
    "link": _link,
    "sparse": _sparse,
}


def change(top: bytes, told: tuple[str, bytes]) -> None:
    """Change one thing that is there: what was a file may become a directory, and back."""
    what, path = told
    full = top + b"/" + path
    try:
        status = os.lstat(full)
    except (FileNotFoundError, NotADirectoryError):
        return
    if os.path.realpath(os.path.dirname(full)) != os.path.dirname(full):
        return
    directory = stat.S_ISDIR(status.st_mode)
    if what == "touch":
        os.utime(full, ns=(9, 9), follow_symlinks=False)
        return
    if directory:
        shutil.rmtree(full)
    else:
        os.unlink(full)
    if what == "replace":
        make(top, ("file" if directory else "directory", path, b"new", 0o700, 3, 0, False))
    elif what == "empty":
        os.mkdir(full)


def settle(top: bytes) -> None:
    """Directories whose times were changed by what was made in them get one that is kept."""
    for directory, _, _ in os.walk(top, topdown=False):
        os.utime(directory, ns=(7 * 10**9 + 5, 7 * 10**9 + 5))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(making, max_size=8),
    st.lists(making, max_size=6),
    st.lists(changing, max_size=6),
)
def test_round_trip(
    before: list[tuple[str, bytes, bytes, int, int, int, bool]],
    after: list[tuple[str, bytes, bytes, int, int, int, bool]],
    changes: list[tuple[str, bytes]],
) -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        top = Path(directory)
        for name in ("one", "two"):
            (top / name).mkdir()
        one, two = Place(top / "one"), Place(top / "two")
        below = one.container(one.imported(Tar().directory("etc")))
        with one.mounted(below) as root:
            for told in before:
                make(os.fsencode(root), told)
            settle(os.fsencode(root))
        middle = commit(one.containers, below.id, "middle")
        config = one.container(middle)
        with one.mounted(config) as root:
            for told_change in changes:
                change(os.fsencode(root), told_change)
            for told in after:
                make(os.fsencode(root), told)
            expected = photograph(root)
        image = commit(one.containers, config.id, "last")
        with (top / "saved.tar").open("wb") as file:
            save(one.images, ["last"], file.fileno())
        (loaded,) = load(two.images, str(top / "saved.tar"))
        assert loaded.id == image.id and loaded.names == ("last:latest",)
        again = two.images.resolve("last")
        assert again.document == image.document
        copy = two.container(again)
        with two.mounted(copy) as root:
            assert photograph(root) == expected
        with (top / "x.tar").open("wb") as file:
            export(two.containers, copy.id, file.fileno(), sparse=True)
        assert untarred(top / "x.tar", top / "out") == expected
        assert one.images.leftovers() == two.images.leftovers() == []
