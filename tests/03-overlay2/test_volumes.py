"""Volumes: what the options say, and what the container then has."""

import os
import stat
import subprocess
from pathlib import Path

import pytest
from sandbox.launcher import Launcher

from mydocker.kernel import syscalls
from mydocker.kernel.errors import Failure
from mydocker.overlay2.volumes import Volume, ordered, parse_mount, parse_tmpfs, parse_volume

SAFE = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC


@pytest.mark.parametrize(
    ("text", "volume"),
    [
        ("/a:/b", Volume("bind", "/b", "/a", create=True)),
        ("/a/../c/:/b//d/", Volume("bind", "/b/d", "/c", create=True)),
        ("/a:/b:rw", Volume("bind", "/b", "/a", create=True)),
        ("/a:/b:ro", Volume("bind", "/b", "/a", read_only=True, create=True)),
    ],
)
def test_volume(text: str, volume: Volume) -> None:
    assert parse_volume(text) == volume


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("/a", "needs a directory of the host and one of the container"),
        (":/b", "needs a directory"),
        ("/a:", "needs a directory"),
        ("a:/b", "the host's directory must be an absolute path"),
        ("./a:/b", "must be an absolute path"),
        ("/a:b", "b is not an absolute path in the container"),
        ("/a:/b:rx", "rx is not ro or rw"),
        ("/a:/", "/ is the image itself"),
        ("/a:/b/..", "/ is the image itself"),
    ],
)
def test_volume_refused(text: str, said: str) -> None:
    with pytest.raises(Failure) as failure:
        parse_volume(text)
    assert str(failure.value).startswith(f"-v {text}: ")
    assert said in str(failure.value)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize(
    ("text", "flags", "data"),
    [
        ("/x", SAFE, "mode=1777"),
        ("/x:", SAFE, "mode=1777"),
        ("/x:size=2m,mode=700", SAFE, "mode=700,size=2m"),
        ("/x:exec,ro", SAFE & ~syscalls.MS_NOEXEC | syscalls.MS_RDONLY, "mode=1777"),
        ("/x:exec,noexec,rw", SAFE, "mode=1777"),
    ],
)
def test_tmpfs(text: str, flags: int, data: str) -> None:
    assert parse_tmpfs(text) == Volume("tmpfs", "/x", flags=flags, data=data)


@pytest.mark.parametrize("text", ["x", "/", "/x:colour=red", "/x:size", "/x:ro=1"])
def test_tmpfs_refused(text: str) -> None:
    with pytest.raises(Failure, match="--tmpfs"):
        parse_tmpfs(text)


@pytest.mark.parametrize(
    ("text", "volume"),
    [
        ("type=bind,source=/a,target=/b", Volume("bind", "/b", "/a")),
        ("dst=/b,src=/a,type=bind,ro", Volume("bind", "/b", "/a", read_only=True)),
        ("type=bind,src=/a,destination=/b,readonly=false", Volume("bind", "/b", "/a")),
        ("type=tmpfs,target=/b", Volume("tmpfs", "/b", flags=SAFE, data="mode=1777")),
        (
            "type=tmpfs,target=/b,tmpfs-size=1m,tmpfs-mode=700,readonly=true",
            Volume("tmpfs", "/b", flags=SAFE | syscalls.MS_RDONLY, data="mode=700,size=1m"),
        ),
    ],
)
def test_mount(text: str, volume: Volume) -> None:
    assert parse_mount(text) == volume


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not KEY=VALUE"),
        ("type=bind,source=/a", "needs a type, bind or tmpfs, and a target"),
        ("type=cloud,target=/a", "needs a type"),
        ("type=bind,source=a,target=/b", "must be an absolute path"),
        ("type=bind,target=/b", "must be an absolute path"),
        ("type=bind,source=/a,target=/b,colour=red", "colour is no key of type=bind"),
        ("type=tmpfs,source=/a,target=/b", "source is no key of type=tmpfs"),
        ("type=bind,type=bind", "says type twice"),
        ("type=bind,source=/a,target=/b,readonly=maybe", "neither true nor false"),
    ],
)
def test_mount_refused(text: str, said: str) -> None:
    with pytest.raises(Failure) as failure:
        parse_mount(text)
    assert str(failure.value).startswith(f"--mount {text}: ")
    assert said in str(failure.value)


def test_outer_before_inner_and_no_two_in_one_place() -> None:
    texts = ["/h:/a/b/c", "/h:/a", "/h:/a/b"]
    assert [volume.target for volume in ordered([parse_volume(text) for text in texts])] == [
        "/a",
        "/a/b",
        "/a/b/c",
    ]
    with pytest.raises(Failure, match="/a: two volumes"):
        ordered([parse_volume("/h:/a"), parse_tmpfs("/a")])


# ---------------------------------------------------------------- in a container


@pytest.mark.root
def test_a_volume_is_the_hosts_directory(mydocker: Launcher, tmp_path: Path) -> None:
    word = os.urandom(8).hex()
    (tmp_path / "in").write_text(word)
    script = "cat /data/in; echo -n $(cat /data/in) >/data/out"
    done = mydocker(3, "run", "-v", f"{tmp_path}:/data", "busybox", "sh", "-c", script)
    assert done.stdout == word
    assert (tmp_path / "out").read_text() == word


@pytest.mark.root
def test_read_only_volume_with_a_mount_below(mydocker: Launcher, tmp_path: Path) -> None:
    below = tmp_path / "below"
    below.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", below], check=True)
    try:
        (below / "there").touch()
        script = "ls /data/below; touch /data/x /data/below/x"
        done = mydocker(
            3, "run", "-v", f"{tmp_path}:/data:ro", "busybox", "sh", "-c", script, code=1
        )
        assert done.stdout.split() == ["there"]
        assert done.stderr.count("Read-only file system") == 2
        assert os.listdir(below) == ["there"]
    finally:
        subprocess.run(["umount", below], check=True)


@pytest.mark.root
def test_a_file_as_volume_and_volumes_in_volumes(mydocker: Launcher, tmp_path: Path) -> None:
    outer, inner, file = tmp_path / "outer", tmp_path / "inner", tmp_path / "file"
    for directory in (outer, inner):
        directory.mkdir()
    (inner / "deep").touch()
    file.write_text("content")
    options = ["-v", f"{inner}:/a/b", "-v", f"{outer}:/a", "-v", f"{file}:/new/name:ro"]
    script = "ls /a/b; cat /new/name; touch /a/outside"
    done = mydocker(3, "run", *options, "busybox", "sh", "-c", script)
    assert done.stdout == "deep\ncontent"
    assert (outer / "outside").exists()
    assert os.listdir(outer / "b") == []  # only the place to mount on is there for the host


@pytest.mark.root
def test_missing_host_directory(mydocker: Launcher, tmp_path: Path) -> None:
    made, missing = tmp_path / "made/deep", tmp_path / "missing"
    mydocker(3, "run", "-v", f"{made}:/data", "busybox", "touch", "/data/x")
    assert os.listdir(made) == ["x"]
    option = f"type=bind,source={missing},target=/data"
    failed = mydocker(3, "run", "--mount", option, "busybox", "true", code=125)
    assert f"{missing}: no such file or directory" in failed.stderr
    assert not missing.exists()


@pytest.mark.root
def test_a_tmpfs_has_its_size_and_mode(mydocker: Launcher) -> None:
    started = mydocker.start(3, "run", "--tmpfs", "/t:size=3m,mode=711", "busybox", "sleep", "60")
    path = f"/proc/{mydocker.inside(started, 'sleep')}/root/t"
    found = os.statvfs(path)
    assert found.f_blocks * found.f_frsize == 3 << 20
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o711
    assert found.f_flag & os.ST_NOEXEC and found.f_flag & os.ST_NOSUID


@pytest.mark.root
@pytest.mark.parametrize(
    "option", [["-v", "/tmp:/proc"], ["-v", "/tmp:/x/../proc/self"], ["--tmpfs", "/proc/1"]]
)
def test_nothing_covers_what_proc_tells(mydocker: Launcher, option: list[str]) -> None:
    failed = mydocker(3, "run", *option, "busybox", "true", code=125)
    assert "nothing can be mounted inside /proc" in failed.stderr


def test_a_size_that_is_none_is_explained(mydocker: Launcher) -> None:
    failed = mydocker(3, "run", "--tmpfs", "/x:size=-1", "busybox", "true", code=125)
    assert len(failed.stderr.splitlines()) == 1
    assert "size=64m" in failed.stderr


@pytest.mark.parametrize(("source", "target"), [("dir", "/etc/passwd"), ("file", "/etc")])
def test_a_file_on_a_directory_or_the_other_way(
    mydocker: Launcher, tmp_path: Path, source: str, target: str
) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "file").touch()
    option = f"{tmp_path / source}:{target}"
    failed = mydocker(3, "run", "-v", option, "busybox", "true", code=125)
    assert failed.stderr.startswith(f"mydocker: {target} in the container: is a ")
