"""Who runs the command, where it starts, and its variables."""

import os
from pathlib import Path

import pytest
from sandbox.launcher import Launcher

from mydocker.kernel.errors import Failure
from mydocker.overlay2.environment import PATH, environment, given, read_env_file
from mydocker.overlay2.user import Identity, _lines, look_up

PASSWD = [
    ["root", "x", "0", "0", "root", "/root", "/bin/sh"],
    ["ann", "x", "1000", "1001", ",,,", "/home/ann", "/bin/sh"],
    ["bob", "x", "1002", "1002", "", "", ""],
    ["77", "x", "5", "6", "", "/odd", ""],
]
GROUP = [
    ["root", "x", "0", ""],
    ["ann", "x", "1001", ""],
    ["audio", "x", "29", "root,ann"],
    ["video", "x", "44", "bob,ann"],
]


@pytest.mark.parametrize(
    ("user", "identity"),
    [
        ("root", Identity(0, 0, (29,), "/root")),
        ("ann", Identity(1000, 1001, (29, 44), "/home/ann")),
        ("1000", Identity(1000, 1001, (29, 44), "/home/ann")),
        ("bob", Identity(1002, 1002, (44,), "/")),
        ("ann:video", Identity(1000, 44, (), "/home/ann")),
        ("ann:5000", Identity(1000, 5000, (), "/home/ann")),
        ("4321", Identity(4321, 0, (), "/")),
        ("4321:audio", Identity(4321, 29, (), "/")),
        ("77", Identity(5, 6, (), "/odd")),  # a name of digits is a name first
    ],
)
def test_look_up(user: str, identity: Identity) -> None:
    assert look_up(user, PASSWD, GROUP) == identity


@pytest.mark.parametrize(
    ("user", "said"),
    [
        ("nobody", "unable to find user nobody"),
        ("ann:nobody", "unable to find group nobody"),
        ("ann:", "unable to find group "),
        (":", "unable to find user "),
        (":nobody", "unable to find group nobody"),
        ("-1", "unable to find user -1"),
        ("4294967296", "unable to find user 4294967296"),
        ("1" * 5000, "unable to find user 1111"),
        ("0:" + "1" * 5000, "unable to find group 1111"),
        ("²", "unable to find user ²"),
    ],
)
def test_look_up_fails(user: str, said: str) -> None:
    with pytest.raises(Failure, match=said):
        look_up(user, PASSWD, GROUP)


def test_environment_in_layers() -> None:
    host = {"HERE": "h", "PATH": "/host", "SECRET": "s"}
    texts = ["A=2", "HERE", "NOT_THERE", "EMPTY=", "EQUAL=a=b"]
    assert environment(["A=1", "B=1"], "box", given(texts, host)) == {
        "PATH": PATH,
        "HOSTNAME": "box",
        "A": "2",
        "B": "1",
        "HERE": "h",
        "EMPTY": "",
        "EQUAL": "a=b",
    }
    assert environment(["PATH=/image"], "", given(["B"], host)) == {"PATH": "/image"}
    with pytest.raises(Failure, match="-e =x"):
        given(["=x"], host)


def test_a_group_alone_is_root_s() -> None:
    assert look_up(":5", PASSWD, GROUP).uid == 0 and look_up(":5", PASSWD, GROUP).gid == 5


def test_the_mark_of_windows_editors_is_no_name(tmp_path: Path) -> None:
    (tmp_path / "env").write_bytes(b"\xef\xbb\xbfA=1\n")
    assert read_env_file(str(tmp_path / "env")) == ["A=1"]


def test_env_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("# a comment\n\nA=1\n  B=two words \nC\nD=#no comment\n")
    assert read_env_file(str(file)) == ["A=1", "B=two words ", "C", "D=#no comment"]
    file.write_text("export A=1\n")
    with pytest.raises(Failure, match="'export A=1' has no name"):
        read_env_file(str(file))
    with pytest.raises(Failure, match="No such file"):
        read_env_file(str(tmp_path / "missing"))


# ---------------------------------------------------------------- in a container


def ids(pid: int) -> dict[str, list[int]]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {
        name: [int(number) for number in numbers.split()]
        for name, _, numbers in (line.partition(":") for line in lines)
        if name in ("Uid", "Gid", "Groups")
    }


@pytest.mark.root
@pytest.mark.parametrize(
    ("user", "uid", "gid"), [("www-data", 33, 33), ("4711", 4711, 0), ("mail:users", 8, 100)]
)
def test_the_process_has_the_ids(mydocker: Launcher, user: str, uid: int, gid: int) -> None:
    started = mydocker.start(3, "run", "-u", user, "busybox", "sleep", "60")
    pid = mydocker.inside(started, "sleep")
    assert ids(pid) == {"Uid": [uid] * 4, "Gid": [gid] * 4, "Groups": [gid]}
    status = Path(f"/proc/{pid}/status").read_text()
    assert "CapEff:\t0000000000000000" in status and "CapPrm:\t0000000000000000" in status


@pytest.mark.root
def test_root_inside_loses_the_callers_groups(mydocker: Launcher) -> None:
    before = os.getgroups()
    os.setgroups([0, 4242])
    try:
        started = mydocker.start(3, "run", "busybox", "sleep", "60")
        assert ids(mydocker.inside(started, "sleep"))["Groups"] == [0]
    finally:
        os.setgroups(before)


@pytest.mark.root
def test_home_and_variables(mydocker: Launcher, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("FROM_FILE=1\nBOTH=file\n")
    word = os.urandom(6).hex()
    options = ["--env-file", str(file), "-e", f"WORD={word}", "-e", "TAKEN", "-e", "BOTH=option"]
    done = mydocker(
        3, "run", *options, "-u", "www-data", "busybox", "env", env={"TAKEN": "t", "LEFT": "l"}
    )
    found = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert found.pop("HOSTNAME")
    assert found == {
        "PATH": PATH,
        "HOME": "/var/www",
        "FROM_FILE": "1",
        "BOTH": "option",
        "WORD": word,
        "TAKEN": "t",
    }


@pytest.mark.root
def test_working_directory(mydocker: Launcher) -> None:
    started = mydocker.start(3, "run", "-w", "/made/here", "busybox", "sleep", "60")
    process = Path(f"/proc/{mydocker.inside(started, 'sleep')}")
    assert os.path.samefile(process / "cwd", process / "root/made/here")
    for path, said in (("made", "must be an absolute path"), ("/etc/passwd", "not a directory")):
        failed = mydocker(3, "run", "-w", path, "busybox", "true", code=125)
        assert f"-w {path}: {said}" in failed.stderr


@pytest.mark.root
def test_an_unknown_user(mydocker: Launcher) -> None:
    failed = mydocker(3, "run", "-u", "nobody-here", "busybox", "true", code=125)
    assert "-u nobody-here: unable to find user nobody-here" in failed.stderr


# ---------------------------------------------------------------- files that are none


def written(directory: Path, kind: str) -> str:
    """An /etc/passwd as a hostile or broken image may have it."""
    path = directory / "passwd"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "circle":
        path.symlink_to(path)
    elif kind in ("/proc/self/mem", "/dev/zero", "/proc/self/fd/{fd}", "/none"):
        path.symlink_to(kind.format(fd=os.open("/etc/passwd", os.O_RDONLY)))
    else:
        path.write_bytes(FILES[kind])
    return str(path)


USABLE = b"ann:x:1000:1001:,,,:/home/ann:/bin/sh\n"
FILES = {
    "digits": b"big:x:" + b"9" * 5000 + b":0:::\nzeros:x:" + b"0" * 5000 + b":0:::\n" + USABLE,
    "group": b"big:x:0:" + b"9" * 5000 + b":::\n" + USABLE,
    "huge": USABLE + b"a" * (64 << 20),
    "binary": bytes(range(256)) * 16 + b"\n" + USABLE,
    "separators": b"a\x0b:x:0:0:::\nb\xe2\x80\xa8c:x:1:1:::\n" + USABLE,
    "one line": b":" * 100_000 + b"\n" + USABLE,
}
NONE = ["directory", "fifo", "circle", "/none", "/proc/self/mem", "/dev/zero", "/proc/self/fd/{fd}"]


@pytest.mark.parametrize("kind", NONE)
def test_what_is_no_file_has_no_lines(tmp_path: Path, kind: str) -> None:
    assert _lines(written(tmp_path, kind)) == []


@pytest.mark.parametrize("kind", FILES)
def test_lines_that_cannot_be_used_are_left_out(tmp_path: Path, kind: str) -> None:
    found = _lines(written(tmp_path, kind))
    assert look_up("ann", found, found) == Identity(1000, 1001, (), "/home/ann")
    assert {line[0] for line in found} <= {"ann", "zeros", "a\x0b", "b\u2028c"}


def test_only_the_beginning_of_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "passwd").write_bytes(b"#" * (2 << 20) + b"\n" + USABLE)
    assert _lines(str(tmp_path / "passwd")) == []
