"""diff, layers and trace-file: what they read from the layers is what the kernel does with them."""

import os
import random
import shutil
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from sandbox.launcher import Launcher, eventually
from sandbox.machine import Sandbox

from mydocker.kernel.errors import Failure
from mydocker.overlay2 import lookup, notes
from mydocker.overlay2.diff import Contents, changes, contents
from mydocker.overlay2.trace_file import trace

pytestmark = pytest.mark.root

OPTIONS = ("redirect_dir=off,metacopy=off", "redirect_dir=on", "redirect_dir=on,metacopy=on")


class Pile:
    """Layers ``l0``, ``l1``, … in a directory; each one above is written through a real overlay."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.layers: list[Path] = [directory / "l0"]  # top first
        self.layers[0].mkdir(parents=True)

    @contextmanager
    def overlay(self, options: str = "redirect_dir=off,metacopy=off") -> Iterator[Path]:
        """One more layer, and the mounted stack to write to."""
        number = len(self.layers)
        upper, work, merged = (self.directory / f"{name}{number}" for name in "lwm")
        for path in (upper, work, merged):
            path.mkdir()
        lower = ":".join(map(str, self.layers))
        if notes.prefix() == notes.USER:  # as in a check of a lab: there are no others
            options = "userxattr"
        text = f"lowerdir={lower},upperdir={upper},workdir={work},{options}"
        # Without fsconfig(2), whose values have 255 bytes at most (see kernel.shell)
        env = os.environ | {"LIBMOUNT_FORCE_MOUNT2": "always"}
        command = ["mount", "-t", "overlay", "overlay", "-o", text, str(merged)]
        subprocess.run(command, check=True, env=env)
        try:
            yield merged
        finally:
            subprocess.run(["umount", merged], check=True)
        self.layers.insert(0, upper)

    def changes(self) -> dict[str, str]:
        top, *lower = map(str, self.layers)
        return {change.path: change.kind for change in changes(top, lower)}


@pytest.fixture
def pile(sandbox: Sandbox, tmp_path: Path) -> Iterator[Pile]:
    directory = sandbox.directory / tmp_path.name
    yield Pile(directory)
    shutil.rmtree(directory)


def test_each_kind_of_change(pile: Pile) -> None:
    low = pile.layers[0]
    for name in ("dir/sub", "gone", "again", "same", "mode", "full"):
        (low / name).mkdir(parents=True)
    for name in ("dir/file", "dir/sub/deep", "gone/x", "again/old", "again/kept", "file", "del"):
        (low / name).write_text("old")
    with pile.overlay() as merged:
        (merged / "dir/file").write_text("new")
        (merged / "new").write_text("x")
        (merged / "newdir").mkdir()
        (merged / "newdir/in").write_text("x")
        (merged / "del").unlink()
        shutil.rmtree(merged / "gone")
        shutil.rmtree(merged / "again")
        (merged / "again").mkdir()
        (merged / "again/kept").write_text("x")
        (merged / "again/new").write_text("x")
        (merged / "mode").chmod(0o700)
        (merged / "full").rmdir()
        (merged / "full").write_text("a file now")
        (merged / "temporary").write_text("x")
        (merged / "temporary").unlink()
        (merged / "same/temporary").write_text("x")  # leaves the directory in the upper layer
        (merged / "same/temporary").unlink()
    assert pile.changes() == {
        "/dir": "C",
        "/dir/file": "C",
        "/new": "A",
        "/newdir": "A",
        "/newdir/in": "A",
        "/del": "D",
        "/gone": "D",
        "/again": "C",
        "/again/old": "D",
        "/again/kept": "C",
        "/again/new": "A",
        "/mode": "C",
        "/full": "C",
    }


@pytest.mark.parametrize("group", [0, 1234])
def test_a_directory_whose_group_alone_changed(pile: Pile, group: int) -> None:
    (pile.layers[0] / "dir").mkdir()
    with pile.overlay() as merged:
        os.chown(merged / "dir", -1, 1234)
        os.chown(merged / "dir", -1, group)
    assert pile.changes() == ({"/dir": "C"} if group else {})


def test_what_a_program_in_the_container_writes_as_overlayfs_is_not_believed(pile: Pile) -> None:
    """user.overlay.* is anybody's to set, and the overlay takes no notice of it."""
    for name in ("old", "moved"):
        (pile.layers[0] / name / "kept").mkdir(parents=True)
    with pile.overlay("redirect_dir=on,metacopy=on") as merged:
        (merged / "new").touch()
        os.setxattr(merged / "new", "user.overlay.whiteout", b"y")
        (merged / "data").write_text("data")
        os.setxattr(merged / "data", "user.overlay.metacopy", b"")
        os.setxattr(merged / "old", "user.overlay.opaque", b"y")
        os.setxattr(merged / "moved", "user.overlay.redirect", b"/old")
        for name in ("old", "moved"):
            (merged / name / "in").write_text("x")
        assert {"new", "data"} <= set(os.listdir(merged)) and (merged / "old/kept").exists()
    assert pile.changes() == {
        "/new": "A",
        "/data": "A",
        "/old": "C",
        "/old/in": "A",
        "/moved": "C",
        "/moved/in": "A",
    }
    directories = list(map(str, pile.layers))
    assert not trace("/data", directories, True).sightings[0].metacopy


def test_a_name_that_a_middle_layer_took_away_is_added(pile: Pile) -> None:
    (pile.layers[0] / "name").write_text("x")
    with pile.overlay() as merged:
        (merged / "name").unlink()
    with pile.overlay() as merged:
        (merged / "name").write_text("y")
    assert pile.changes() == {"/name": "A"}


def test_a_renamed_directory_with_redirect(pile: Pile) -> None:
    (pile.layers[0] / "old/sub").mkdir(parents=True)
    (pile.layers[0] / "old/sub/file").write_text("x")
    with pile.overlay("redirect_dir=on") as merged:
        (merged / "old").rename(merged / "new")
    assert sorted(os.listdir(pile.layers[0] / "new")) == [], "the kernel should have redirected"
    assert pile.changes() == {
        "/old": "D",
        "/new": "A",
        "/new/sub": "A",
        "/new/sub/file": "A",
    }


def act(top: Path, chance: random.Random, times: int) -> None:
    """Do ``times`` things at random to a tree of a few short names."""
    for _ in range(times):
        directories = sorted(Path(path) for path, _, _ in os.walk(top))
        files = sorted(Path(path, name) for path, _, names in os.walk(top) for name in names)
        directory = chance.choice(directories)
        new = chance.choice(directories) / chance.choice("abcde")
        file = chance.choice(files or [top / "none"])
        with suppress(OSError):
            match chance.randrange(10):
                case 0 | 1:
                    new.mkdir()
                case 2 | 3:
                    new.write_text(str(chance.random()))
                case 4:
                    file.unlink()
                case 5:
                    if directory != top:
                        shutil.rmtree(directory)
                case 6:
                    file.rename(new)
                case 7:
                    if directory != top:
                        directory.rename(new)
                case 8:
                    file.write_text("over")
                case 9:
                    file.unlink()
                    file.mkdir()


def photograph(top: Path) -> dict[str, str]:
    """Path → "directory" or the file's text."""
    found: dict[str, str] = {}
    for directory, names, files in os.walk(top):
        here = directory.removeprefix(str(top))
        found |= {f"{here}/{name}": "directory" for name in names}
        found |= {f"{here}/{name}": Path(directory, name).read_text() for name in files}
    return found


def read_layers(tops: list[lookup.Sighting]) -> dict[str, str | None]:
    """The same by :mod:`lookup`; None for a file whose data is in a layer below (metacopy)."""
    found: dict[str, str | None] = {}
    pending = [("", tops)]
    while pending:
        path, directories = pending.pop()
        for name in lookup.names(directories):
            sightings = lookup.step(directories, name, tops)
            seen = lookup.visible(sightings)
            assert seen is not None
            found[f"{path}/{name}"] = "directory"
            if seen.kind == lookup.DIRECTORY:
                pending.append((f"{path}/{name}", lookup.merged(sightings)))
            else:
                found[f"{path}/{name}"] = None if seen.metacopy else Path(seen.path).read_text()
    return found


def compare(before: dict[str, str], now: dict[str, str]) -> dict[str, str]:
    """What diff must find, from two photographs of the mounted stacks."""
    found = {path: "A" for path in now if path not in before}
    found |= {path: "C" for path in now if path in before and before[path] != now[path]}
    for path in before:
        parent = os.path.dirname(path)
        if path not in now and (parent == "/" or now.get(parent) == "directory"):
            found[path] = "D"
    for path in list(found):
        while (path := os.path.dirname(path)) != "/":
            found.setdefault(path, "C")
    return found


@pytest.mark.parametrize("seed", range(12))
def test_the_layers_read_are_the_layers_mounted(pile: Pile, seed: int) -> None:
    chance = random.Random(seed)
    act(pile.layers[0], chance, 25)
    before = photograph(pile.layers[0])
    for _ in range(4):
        with pile.overlay(OPTIONS[seed % 3]) as merged:
            act(merged, chance, chance.choice([3, 12, 40]))
            now = photograph(merged)
        read = read_layers(lookup.roots([str(layer) for layer in pile.layers]))
        assert read.keys() == now.keys()
        assert {p: text for p, text in read.items() if text is not None and text != now[p]} == {}
        found, expected = pile.changes(), compare(before, now)
        assert {path: found.get(path) for path in expected} == expected
        # Written with what it had before, or changed and changed back: Docker says C as well.
        assert {kind for path, kind in found.items() if path not in expected} <= {"C"}
        before = now


def test_contents_of_a_layer(pile: Pile) -> None:
    for name in ("a", "b", "c"):
        (pile.layers[0] / name).mkdir()
        (pile.layers[0] / name / "file").write_text("x")
    with pile.overlay() as merged:
        (merged / "new").write_bytes(b"x" * 1000)
        os.link(merged / "new", merged / "other name")
        (merged / "link").symlink_to("1234")
        shutil.rmtree(merged / "a")
        (merged / "b/file").unlink()
        shutil.rmtree(merged / "c")
        (merged / "c").mkdir()
    assert contents(str(pile.layers[0])) == Contents(2, 1004, 2, 1)


# ---------------------------------------------------------------- trace-file


def test_trace_through_hiding_and_links(pile: Pile) -> None:
    (pile.layers[0] / "etc/deep").mkdir(parents=True)
    (pile.layers[0] / "etc/deep/file").write_text("0" * 10)
    (pile.layers[0] / "etc/only").write_text("0")
    (pile.layers[0] / "way").symlink_to("/etc/../etc/deep")
    with pile.overlay() as merged:
        (merged / "etc/deep/file").write_text("1" * 20)
    with pile.overlay() as merged:
        shutil.rmtree(merged / "etc/deep")
        (merged / "etc/deep").mkdir()
        (merged / "etc/deep/file").write_text("2" * 30)
        (merged / "etc/only").unlink()
    directories = [str(layer) for layer in pile.layers]

    found = trace("/way/file", directories, writable=False)
    assert found.path == "/etc/deep/file"
    assert found.links == ("/way -> /etc/../etc/deep",)
    assert [(one.layer, one.size, one.hidden) for one in found.sightings] == [
        (0, 30, False),
        (1, 20, True),
        (2, 10, True),
    ]
    assert found.copy_up is not None
    assert found.copy_up.size == 30
    assert found.copy_up.directories == ("/etc", "/etc/deep")

    own = trace("/etc/deep/file", directories, writable=True)
    assert own.copy_up is None

    gone = trace("/etc/only", directories, writable=False)
    assert gone.visible is None and gone.copy_up is None
    assert [one.kind for one in gone.sightings] == ["whiteout", "file"]

    for path, said in (("/etc/never", "in none of the 3 layers"), ("etc", "not an absolute path")):
        with pytest.raises(Failure, match=said):
            trace(path, directories, writable=False)


def test_what_trace_file_foretells_happens(mydocker: Launcher, sandbox: Sandbox) -> None:
    started = mydocker.start(
        3, "run", "-i", "busybox", "sh", "-c", "read go; echo x >>/etc/passwd; exec sleep 60"
    )
    mydocker.inside(started, "sh")
    (layer,) = {path.parent for path in (sandbox.root / "overlay2").glob("*/merged")}
    before = mydocker(3, "trace-file", layer.name[:12], "/etc/passwd").stdout
    image = next((sandbox.root / "overlay2").glob("*/diff/etc/passwd"))
    size = image.stat().st_size
    assert not (layer / "diff/etc").exists()
    assert f"copy {size}B up to {layer.name[:12]}" in before and " /etc." in before

    assert started.stdin
    started.stdin.write("\n")
    started.stdin.flush()
    copied = layer / "diff/etc/passwd"
    eventually(lambda: copied.exists() and copied.stat().st_size == size + 2)
    after = mydocker(3, "trace-file", layer.name[:12], "/etc/passwd").stdout
    assert "in the writable layer already" in after
    assert mydocker(3, "diff", layer.name[:12]).stdout == "C /etc\nC /etc/passwd\n"


# ---------------------------------------------------------------- the commands


def test_diff_of_a_running_container(mydocker: Launcher, sandbox: Sandbox) -> None:
    script = "echo x >/new; rm /etc/group; mkdir -p /var/tmp/a/b; chmod 700 /mnt; exec sleep 60"
    started = mydocker.start(3, "run", "-h", "box", "busybox", "sh", "-c", script)
    mydocker.inside(started, "sleep")
    (layer,) = {path.parent for path in (sandbox.root / "overlay2").glob("*/merged")}
    assert mydocker(3, "diff", layer.name[:10]).stdout.splitlines() == [
        "C /etc",
        "D /etc/group",
        "C /mnt",
        "A /new",
        "C /var",
        "C /var/tmp",
        "A /var/tmp/a",
        "A /var/tmp/a/b",
    ]
    assert stat.S_ISCHR(os.lstat(layer / "diff/etc/group").st_mode)


def test_layers_of_an_image_and_of_a_container(mydocker: Launcher, sandbox: Sandbox) -> None:
    started = mydocker.start(3, "run", "busybox", "sleep", "60")
    mydocker.inside(started, "sleep", patience=60)
    (layer,) = {path.parent for path in (sandbox.root / "overlay2").glob("*/merged")}
    shown = mydocker(3, "layers", layer.name[:12]).stdout
    assert f"{layer.name[:12]}  writable" in shown and "read-only" in shown
    assert max(map(len, shown.splitlines())) <= 80
    shown = mydocker(3, "layers", "busybox").stdout
    assert "writable" not in shown and shown.count("read-only") == 1


@pytest.mark.parametrize("command", ["layers", "diff", "trace-file"])
def test_a_name_that_is_nothing(mydocker: Launcher, command: str) -> None:
    arguments = [command, "nothing-of-that-name"] + ["/x"] * (command == "trace-file")
    failed = mydocker(3, *arguments, code=125)
    assert "nothing-of-that-name" in failed.stderr and len(failed.stderr.splitlines()) == 1


def test_a_user_who_is_not_root_is_told_so(mydocker: Launcher, sandbox: Sandbox) -> None:
    mydocker(3, "run", "busybox", "true")
    for arguments in (["layers", "busybox"], ["trace-file", "busybox", "/x"], ["diff", "a"]):
        failed = mydocker(3, *arguments, code=125, user=65534, group=65534, extra_groups=[])
        assert "use sudo" in failed.stderr and len(failed.stderr.splitlines()) == 1
    own = sandbox.directory / "of-nobody"
    own.mkdir()
    os.chown(own, 65534, 65534)
    environment = {"MYDOCKER_RUN": str(own)}
    failed = mydocker(
        3, "run", "busybox", "true", code=125, user=65534, extra_groups=[], env=environment
    )
    assert "belongs to root: use sudo" in failed.stderr
    assert list(own.iterdir()) == []
    own.rmdir()
