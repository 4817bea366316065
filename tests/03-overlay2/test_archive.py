"""Unpacking archives: what honest ones say is done, and hostile ones do not get out."""

import os
import shutil
import stat
import struct
import subprocess
import tarfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sandbox.archives import Tar, tree

from mydocker.kernel.errors import Failure
from mydocker.overlay2 import notes
from mydocker.overlay2.archive import UnsafeArchive, unpack
from mydocker.overlay2.tarformat import DamagedArchive, Reader

pytestmark = pytest.mark.root

# <linux/capability.h>: version 2, effective, CAP_NET_RAW (13) permitted
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)


def unpacked(archive: Path, target: Path, need_end: bool = True) -> int:
    target.mkdir(exist_ok=True)
    fd = os.open(archive, os.O_RDONLY)
    try:
        size = os.fstat(fd).st_size
        return unpack(Reader(fd, lambda offset: size, need_end), str(target))
    finally:
        os.close(fd)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "archive.tar"


# ---------------------------------------------------------------- the same tree as tar(1) makes


def plant(top: Path) -> None:
    """A tree with one of everything that a file system can hold."""
    (top / "a/deep/er").mkdir(parents=True)
    (top / "a/file").write_bytes(os.urandom(70_000))
    (top / "a/empty").touch()
    (top / "a/set-uid").write_text("x")
    os.chown(top / "a/set-uid", 12, 34)
    (top / "a/set-uid").chmod(0o6755)
    (top / "a/closed").mkdir(mode=0o700)
    (top / "sticky").mkdir()
    (top / "sticky").chmod(0o1777)
    os.link(top / "a/file", top / "same file")
    (top / "link").symlink_to("a/file")
    (top / "dangling").symlink_to("/nowhere/at/all")
    os.symlink("x/" * 150, top / "long link")
    (top / ("n" * 255)).write_text("a name of 255 bytes")
    long = top / ("d" * 120) / ("e" * 120) / ("f" * 120)
    long.mkdir(parents=True)
    (long / ("g" * 120)).write_text("a path of 480 bytes")
    (top / "utf-8 ä€ ☃").write_text("snowman")
    os.mkfifo(top / "fifo")
    os.mknod(top / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.mknod(top / "disk", 0o660 | stat.S_IFBLK, os.makedev(259, 1000))
    os.lchown(top / "link", 77, 78)
    with open(os.fsencode(top) + b"/latin-\xe9\xff", "w") as file:
        file.write("not UTF-8")
    for number, path in enumerate(sorted(top.rglob("*"), reverse=True)):
        time = 1_600_000_000_123_456_789 + number * 10**9
        os.utime(path, ns=(time, time), follow_symlinks=False)
    os.utime(top, ns=(10**18, 10**18))


@pytest.mark.parametrize("form", ["gnu", "posix"])
def test_the_tree_is_the_one_that_was_packed(
    tmp_path: Path, out: Path, archive: Path, form: str
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    plant(source)
    if form == "posix":
        os.setxattr(source / "a/file", "user.note", b"\0binary=\n")
        os.setxattr(source / "a/file", "security.capability", CAPABILITY)
        os.setxattr(source / "a", "trusted.note", b"of a directory")
        os.setxattr(source / "link", "trusted.note", b"of a link", follow_symlinks=False)
    command = ["tar", f"--format={form}", "--xattrs", "--xattrs-include=*", "--numeric-owner"]
    command += ["--pax-option=delete=atime,delete=ctime"] if form == "posix" else []
    command.remove("--xattrs") if form == "gnu" else None
    command.remove("--xattrs-include=*") if form == "gnu" else None
    subprocess.run([*command, "-C", source, "-cf", archive, "."], check=True)
    unpacked(archive, out)
    expected = tree(source)
    if form == "gnu":  # whole seconds are all that it can say
        expected = {k: (*v[:2], v[2] // 10**9 * 10**9, *v[3:]) for k, v in expected.items()}
    assert tree(out) == expected


@pytest.mark.parametrize("version", ["gnu", "0.0", "0.1", "1.0"])
def test_sparse_files_stay_sparse(tmp_path: Path, out: Path, archive: Path, version: str) -> None:
    source = tmp_path / "source"
    source.mkdir()
    with open(source / "sparse", "wb") as file:
        for number in range(30):  # more pieces than fit into one GNU header
            file.seek(number * 1_000_000)
            file.write(b"%d" % number * 100)
        file.truncate(50_000_000)
    (source / "after").write_text("what follows is found")
    form = (
        ["--format=gnu"] if version == "gnu" else ["--format=posix", f"--sparse-version={version}"]
    )
    subprocess.run(
        ["tar", "-S", *form, "-C", source, "-cf", archive, "sparse", "after"], check=True
    )
    assert unpacked(archive, out) == 50_000_000 + 21
    assert (out / "sparse").read_bytes() == (source / "sparse").read_bytes()
    assert (out / "sparse").stat().st_blocks * 512 < 5_000_000
    assert (out / "after").read_text() == "what follows is found"


def test_directories_keep_their_times_whatever_is_made_in_them(out: Path, archive: Path) -> None:
    Tar().directory("d", mtime=1000).add("d/x", b"x").directory(".", mtime=2000).write(archive)
    unpacked(archive, out)
    assert (out / "d").stat().st_mtime == 1000
    assert out.stat().st_mtime == 2000


def test_missing_directories_are_made(out: Path, archive: Path) -> None:
    old = os.umask(0o077)
    try:
        unpacked(Tar().add("a/b/c", b"x").write(archive), out)
    finally:
        os.umask(old)
    assert stat.S_IMODE((out / "a/b").stat().st_mode) == 0o755


def test_the_later_entry_counts(out: Path, archive: Path) -> None:
    tar = Tar().add("x", b"first").add("x", b"second")
    tar.directory("d").add("d/inside").add("d", b"now a file")
    tar.add("f").directory("f").add("f/inside", b"now a directory")
    tar.directory("e", mode=0o700).add("e/inside").directory("e", mode=0o711)
    tar.symlink("l", "e").add("l", b"no link").symlink("s", "e").directory("s").add("s/in s")
    unpacked(tar.write(archive), out)
    assert (out / "x").read_text() == "second"
    assert (out / "d").read_text() == "now a file"
    assert (out / "f/inside").read_text() == "now a directory"
    assert (out / "e/inside").exists() and stat.S_IMODE((out / "e").stat().st_mode) == 0o711
    assert os.listdir(out / "s") == ["in s"] and not (out / "s").is_symlink()
    assert (out / "l").read_text() == "no link" and not (out / "l").is_symlink()


def test_a_directory_that_was_replaced_is_not_written_to(out: Path, archive: Path) -> None:
    tar = Tar().directory("a").add("a/1").directory("b").symlink("a", "b").add("a/2", b"in b")
    unpacked(tar.write(archive), out)
    assert (out / "b/2").read_text() == "in b"


def test_links_inside_are_followed_as_the_container_will(out: Path, archive: Path) -> None:
    # Names that no machine has: with broken code under test, the links would lead out.
    tar = Tar().directory("no/such").symlink("link", "/no/such").add("link/sh", b"shell")
    unpacked(tar.hard_link("link/dash", "/link/sh").write(archive), out)
    assert (out / "no/such/sh").read_text() == "shell"
    assert (out / "no/such/dash").samefile(out / "no/such/sh")


def test_a_hard_link_to_itself_loses_nothing(out: Path, archive: Path) -> None:
    tar = Tar().add("a", b"kept").hard_link("a", "a").hard_link("b", "a").hard_link("a", "b")
    unpacked(tar.write(archive), out)
    assert (out / "a").read_text() == "kept"


def test_a_capability_that_cannot_be_kept_is_told(out: Path, archive: Path, tmp_path: Path) -> None:
    """On a filesystem without attributes: a program that lost its powers would fail much later.
    What is only a note goes without a word."""
    capability = {"SCHILY.xattr.security.capability": CAPABILITY.decode("latin-1")}
    out.mkdir()
    subprocess.run(["mount", "-t", "ramfs", "none", out], check=True)
    try:
        tar = Tar().add("noted", b"x", pax_headers={"SCHILY.xattr.trusted.note": "1"})
        unpacked(tar.write(archive), out)
        assert (out / "noted").read_text() == "x"
        data = Tar().add("able", b"x", pax_headers=capability).bytes()
        archive.write_bytes(data.replace(CAPABILITY.decode("latin-1").encode(), CAPABILITY))
        with pytest.raises(Failure, match="cannot unpack 'able': Operation not supported"):
            unpacked(archive, out)
    finally:
        subprocess.run(["umount", out], check=True)


# ---------------------------------------------------------------- whiteouts


def is_whiteout(path: Path) -> bool:
    status = path.lstat()
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def is_opaque(path: Path) -> bool:
    return f"{notes.prefix()}opaque" in os.listxattr(path)


def test_whiteouts_become_overlayfs_own(out: Path, archive: Path) -> None:
    tar = Tar().add("etc/.wh.motd").directory("var/lib").add("var/lib/.wh..wh..opq")
    tar.add("var/lib/new", b"x").add(".wh..wh.plnk").add(".wh.top")
    unpacked(tar.write(archive), out)
    assert is_whiteout(out / "etc/motd") and is_whiteout(out / "top")
    assert os.getxattr(out / "var/lib", f"{notes.prefix()}opaque") == b"y"
    assert not is_opaque(out / "etc")
    assert sorted(os.listdir(out / "var/lib")) == ["new"]
    assert sorted(os.listdir(out)) == ["etc", "top", "var"]


def test_a_whiteout_is_about_the_layers_below(out: Path, archive: Path) -> None:
    tar = Tar().add("file", b"x").add(".wh.file").directory("dir").add("dir/x").add(".wh.dir")
    tar.add(".wh.again").directory("again").add(".wh.late").add("late", b"a file")
    unpacked(tar.write(archive), out)
    assert (out / "file").read_text() == "x"
    assert (out / "dir/x").exists() and is_opaque(out / "dir")
    assert is_opaque(out / "again")
    assert (out / "late").read_text() == "a file"


@pytest.mark.parametrize("name", [".wh..", ".wh...", ".wh.", "a/.wh..."])
def test_a_whiteout_names_no_directory_above(out: Path, archive: Path, name: str) -> None:
    with pytest.raises(UnsafeArchive, match="takes away"):
        unpacked(Tar().add(name).write(archive), out)


def test_overlayfs_notes_in_an_archive_are_not_believed(out: Path, archive: Path) -> None:
    notes = {"SCHILY.xattr.trusted.overlay.redirect": "/etc", "SCHILY.xattr.user.kept": "1"}
    unpacked(Tar().directory("d", pax_headers=notes).write(archive), out)
    assert os.listxattr(out / "d") == ["user.kept"]


# ---------------------------------------------------------------- hostile archives


def hostile() -> dict[str, Tar]:
    return {
        "dots": Tar().add("../escaped", b"x"),
        "dots inside": Tar().add("a/../../escaped", b"x"),
        "absolute dots": Tar().add("/../escaped", b"x"),
        "link to above": Tar().symlink("l", "..").add("l/escaped", b"x"),
        "absolute link": Tar().symlink("l", "OUTSIDE").add("l/escaped", b"x"),
        "chain of links": Tar()
        .symlink("a", "..")
        .symlink("b", "a/..")
        .symlink("c", "b/OUTSIDE")
        .add("c/escaped", b"x"),
        "overwrite through a link": Tar().symlink("l", "OUTSIDE/canary").add("l", b"changed"),
        "mode through a link": Tar().symlink("l", "OUTSIDE").directory("l", mode=0o777),
        "hard link out": Tar().hard_link("h", "../outside/canary").add("h", b"changed"),
        "hard link to a link": Tar().symlink("l", "OUTSIDE/canary").hard_link("h", "l"),
        "hard link through a link": Tar()
        .symlink("l", "OUTSIDE")
        .hard_link("h", "l/canary")
        .add("h", b"changed"),
        "whiteout through a link": Tar().symlink("l", "OUTSIDE").add("l/.wh.canary"),
        "opaque through a link": Tar().symlink("l", "OUTSIDE").add("l/.wh..wh..opq"),
        "device through a link": Tar()
        .symlink("l", "OUTSIDE")
        .add("l/escaped", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
        "times through a link": Tar().directory("d", mtime=5).symlink("d", "OUTSIDE"),
        "a process's root": Tar().symlink("l", "/proc/self/root").add("l/escaped", b"x"),
    }


@pytest.mark.parametrize("kind", hostile())
def test_a_hostile_archive_stays_in_its_directory(tmp_path: Path, kind: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "canary").write_text("alive")
    before = tree(outside)
    target = tmp_path / "target"
    target.mkdir()
    # The placeholder in the links gets the name of a place that exists, of the same length.
    out_of_here = f"{outside}"
    data = hostile()[kind].bytes()
    if b"OUTSIDE" in data:
        data = rewritten(data, "OUTSIDE", out_of_here)
    archive = tmp_path / "hostile.tar"
    archive.write_bytes(data)
    try:
        unpacked(archive, target)
    except Failure as failure:
        assert "\n" not in str(failure)
    assert tree(outside) == before
    assert sorted(os.listdir(tmp_path)) == ["hostile.tar", "outside", "target"]
    assert not Path("/escaped").exists()


def rewritten(data: bytes, old: str, new: str) -> bytes:
    """The archive with ``old`` replaced by ``new`` in the targets of links."""
    import io

    out = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(data)) as source,
        tarfile.open(fileobj=out, mode="w") as tar,
    ):
        for entry in source:
            entry.linkname = entry.linkname.replace(old, new)
            entry.pax_headers = {}
            tar.addfile(entry, source.extractfile(entry) if entry.isreg() else None)
    return out.getvalue()


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/../x", "a/b/../../../x"])
def test_leaving_the_root_is_refused_in_one_line(out: Path, archive: Path, name: str) -> None:
    with pytest.raises(UnsafeArchive) as caught:
        unpacked(Tar().add(name).write(archive), out)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["/no/x", "//no//x", "./no/./x", "no/y/../x", "/./no/x"])
def test_odd_names_of_good_files(out: Path, archive: Path, name: str) -> None:
    unpacked(Tar().add(name, b"x").write(archive), out)
    assert (out / "no/x").read_text() == "x"


REFUSED = {
    "file as directory": (Tar().add("a", b"x").add("a/b", b"x"), "cannot unpack 'a/b': Not a dir"),
    "missing target": (Tar().hard_link("h", "gone"), "hard link to 'gone', which is not there"),
    "loop": (Tar().symlink("l", "l").add("l/x"), "cannot unpack 'l/x'"),
    "long name": (Tar().add("n" * 256), "cannot unpack 'n*': File name too long"),
    "long path": (Tar().add("/".join(["n" * 250] * 20)), "File name too long"),
    "owner of 50 bits": (Tar(tarfile.GNU_FORMAT).add("x", uid=1 << 50), "an owner, device or name"),
    "root is a file": (Tar().add("/", b"x"), "Not a directory"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_is_refused_in_one_line(out: Path, archive: Path, kind: str) -> None:
    tar, expected = REFUSED[kind]
    archive.write_bytes(tar.bytes())
    with pytest.raises(Failure, match=expected) as caught:
        unpacked(archive, out)
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- damaged archives


def sample() -> bytes:
    tar = Tar().directory("d").add("d/a", bytes(range(250)) * 6).add("d/" + "long" * 40, b"b" * 512)
    return tar.symlink("l", "d").add("end", b"end").bytes()


WHOLE = sample()


@pytest.mark.parametrize("blocks", range(13))
@pytest.mark.parametrize("extra", [0, 1, 300])
def test_an_archive_cut_anywhere_is_refused(
    out: Path, archive: Path, blocks: int, extra: int
) -> None:
    archive.write_bytes(WHOLE[: blocks * 512 + extra])
    with pytest.raises(DamagedArchive, match=r"the archive (ends|is empty)") as caught:
        unpacked(archive, out)
    assert "\n" not in str(caught.value)


def test_the_end_mark_can_be_left_out_where_a_digest_vouches(out: Path, archive: Path) -> None:
    data = Tar().add("a", b"x").bytes()
    archive.write_bytes(data[:1024])
    unpacked(archive, out, need_end=False)
    assert (out / "a").read_text() == "x"
    archive.write_bytes(data[:700])
    with pytest.raises(DamagedArchive):
        unpacked(archive, out, need_end=False)


@settings(deadline=None)
@given(st.data())
def test_a_changed_header_is_noticed(data: st.DataObject) -> None:
    position = data.draw(st.integers(0, 499))
    value = data.draw(st.integers(0, 255).filter(lambda value: value != WHOLE[position]))
    damaged = WHOLE[:position] + bytes([value]) + WHOLE[position + 1 :]
    fd = os.memfd_create("damaged")
    try:
        os.write(fd, damaged)
        entries = [entry.name for entry in Reader(fd, lambda offset: len(damaged))]
        # The checksum's own field has some ways to write the same number.
        assert 148 <= position < 156 and entries[0] == b"d/"
    except DamagedArchive:
        pass
    finally:
        os.close(fd)


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=2000))
def test_noise_is_refused(noise: bytes) -> None:
    fd = os.memfd_create("noise")
    try:
        os.write(fd, noise)
        with pytest.raises(DamagedArchive):
            list(Reader(fd, lambda offset: len(noise)))
            if not noise.strip(b"\0"):  # nothing but zeros is an archive with nothing in it
                raise DamagedArchive("empty")
    finally:
        os.close(fd)


def damaged_sparse() -> bytes:
    """A sparse file of GNU's old form whose real size is no number."""
    block = bytearray(tarfile.TarInfo("sparse").tobuf(tarfile.GNU_FORMAT))
    block[156:157], block[483:495] = b"S", b"<".ljust(12, b"\0")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + bytes(1024)


def test_numbers_that_are_none(archive: Path, out: Path) -> None:
    archive.write_bytes(damaged_sparse())
    with pytest.raises(DamagedArchive, match="a sparse header with a number that is none"):
        unpacked(archive, out)


def test_a_name_of_gigabytes_is_not_read(archive: Path) -> None:
    entry = tarfile.TarInfo("././@LongLink")
    entry.type, entry.size = tarfile.GNUTYPE_LONGNAME, 1 << 33
    archive.write_bytes(entry.tobuf(tarfile.GNU_FORMAT))
    os.truncate(archive, 1 << 34)
    with open(archive, "rb") as file, pytest.raises(DamagedArchive, match="names and attributes"):
        list(Reader(file.fileno(), lambda offset: 1 << 34))


def test_memory_does_not_grow_with_the_archive(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        path = tmp_path / f"{count}.tar"
        with open(path, "wb") as file:
            for number in range(count):
                file.write(tarfile.TarInfo(f"directory/{number}").tobuf())
            file.write(b"\0" * 1024)
        with open(path, "rb") as file:
            size = path.stat().st_size
            tracemalloc.start()
            try:
                assert sum(1 for _ in Reader(file.fileno(), lambda offset: size)) == count
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

    assert peak(20_000) < peak(200) + 50_000


def test_what_tar_packs_of_this_machine(out: Path, archive: Path) -> None:
    """A real tree: the modules of this Python, as tar(1) unpacks them too."""
    source = Path(os.__file__).parent
    subprocess.run(["tar", "-C", source, "-cf", archive, "json", "email", "os.py"], check=True)
    unpacked(archive, out)
    other = out.with_name("other")
    other.mkdir()
    subprocess.run(["tar", "-C", other, "-xpf", archive], check=True)
    ours, theirs = tree(out), tree(other)
    assert ours.keys() == theirs.keys() and len(ours) > 10
    assert [v for k, v in ours.items() if k != b"."] == [v for k, v in theirs.items() if k != b"."]
    shutil.rmtree(other)
