"""``list`` and ``inspect``, compared with lsns(8) and with /proc."""

import json
import os
import secrets
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest
from sandbox.launcher import Launcher, eventually

from mydocker.kernel.errors import Failure
from mydocker.namespaces import survey, users
from mydocker.namespaces.kinds import KINDS


@pytest.fixture
def container(mydocker: Launcher) -> tuple[int, list[int]]:
    """A container of three processes: its first one, and all."""
    script = "sleep 60 & exec sh -c 'sleep 61; :'"
    started = mydocker.start(1, "run", "-h", "surveyed", "sh", "-c", script)

    def three() -> list[int]:
        found = [child.pid for child in psutil.Process(started.pid).children(recursive=True)]
        names = [psutil.Process(pid).name() for pid in found]
        return sorted(found) if sorted(names) == ["sh", "sleep", "sleep"] else []

    pids = eventually(three)
    (first,) = psutil.Process(started.pid).children()
    return first.pid, pids


def inode(pid: int | str, kind: str) -> int:
    return os.stat(f"/proc/{pid}/ns/{kind}").st_ino


@pytest.mark.root
def test_as_lsns_shows_them(mydocker: Launcher, container: tuple[int, list[int]]) -> None:
    first, _ = container
    keys = [(kind.name, inode(first, kind.name)) for kind in KINDS]

    def agreed() -> bool:
        """Looked at twice, and processes begin and end between: once they stand still, the same."""
        listed = json.loads(mydocker(1, "list", "--json").stdout)
        ours = {
            (one["kind"], one["inode"]): (
                len(one["processes"]),
                one["processes"][0],
                one["command"],
            )
            for one in listed
        }
        theirs = shown_by_lsns(keys)
        counts = {count for count, _, _ in theirs.values()}
        return {key: ours.get(key) for key in keys} == theirs and counts == {3}

    assert eventually(agreed, what="our list and that of lsns are the same")


def shown_by_lsns(keys: list[tuple[str, int]]) -> dict[tuple[str, int], tuple[int, int, str]]:
    """What lsns tells of these; nothing if it stopped at a process that just ended, as it does."""
    columns = "--output=NS,TYPE,NPROCS,PID,COMMAND"
    # --list: else what a parent with a higher pid has started is put into its row, as "children",
    # and it has a higher one when the machine has counted to its last pid and begun anew
    command = ["lsns", "--json", "--list", columns]
    shown = subprocess.run(command, capture_output=True, text=True)
    if shown.returncode:
        return {}
    found = {
        (one["type"], int(one["ns"])): (one["nprocs"], one["pid"], one["command"])
        for one in json.loads(shown.stdout)["namespaces"]
    }
    return {key: found[key] for key in keys} if set(keys) <= set(found) else {}


@pytest.mark.root
def test_the_table(mydocker: Launcher, container: tuple[int, list[int]]) -> None:
    first, _ = container
    lines = mydocker(1, "list").stdout.splitlines()
    assert lines[0].split() == ["NS", "TYPE", "NPROCS", "PID", "USER", "COMMAND"]
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in "".join(lines)
    found = [line.split() for line in lines if line.split()[0] == str(inode(first, "uts"))]
    assert found == [
        [str(inode(first, "uts")), "uts", "3", str(first), "root", "sh", "-c", "sleep", "61;", ":"]
    ]


@pytest.mark.root
def test_some_types_only(mydocker: Launcher) -> None:
    lines = mydocker(1, "list", "-t", "net", "--type", "uts").stdout.splitlines()[1:]
    assert {line.split()[1] for line in lines} == {"net", "uts"}
    assert "'nonsense' is not one of" in mydocker(1, "list", "-t", "nonsense", code=125).stderr


@pytest.mark.root
def test_a_name_cannot_write_to_the_terminal(mydocker: Launcher) -> None:
    mark = secrets.token_hex(4)
    command = ["bash", "-c", f"exec -a $'{mark}\\e[31m\\r\\n[red]:boom:' sleep 60"]
    started = mydocker.start(1, "run", "--uts", *command)
    pid = eventually(lambda: next(iter(pids_with(started.pid, mark)), 0))
    for arguments in (["list", "-t", "uts"], ["inspect", str(pid)]):
        shown = mydocker(1, *arguments).stdout
        assert f"{mark}?[31m??[red]:boom:" in shown
        assert "\x1b" not in shown
    psutil.Process(pid).kill()


def pids_with(above: int, mark: str) -> list[int]:
    children = psutil.Process(above).children(recursive=True)
    return [p.pid for p in children if p.cmdline() and p.cmdline()[0].startswith(mark)]


# ---------------------------------------------------------------- inspect


def inspect(mydocker: Launcher, pid: int, **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(mydocker(1, "inspect", "--json", str(pid), **options).stdout)
    return found


@pytest.mark.root
def test_a_container(mydocker: Launcher, container: tuple[int, list[int]]) -> None:
    first, every = container
    found = inspect(mydocker, first)
    assert found["host_name"] == "surveyed"
    assert found["command"] == "sh -c sleep 61; :"
    others = sorted(set(every) - {first})
    for one, kind in zip(found["namespaces"], KINDS, strict=True):
        assert one == {
            "kind": kind.name,
            "inode": inode(first, kind.name),
            "whose": "own",
            "others": others,
        }
    assert found["uid_map"] == [{"inside": 0, "outside": 0, "count": 4294967295}]
    members = {member["pid"]: member for member in found["members"]}
    assert sorted(members) == every
    assert members[first]["inside"] == 1
    assert {members[pid]["parent"] for pid in others} == {first}
    assert all(member["memory"] > 0 for member in members.values())


@pytest.mark.root
def test_what_is_shared(mydocker: Launcher) -> None:
    started = mydocker.start(1, "run", "--uts", "-h", "apart", "sleep", "60")
    found = inspect(mydocker, mydocker.inside(started, "sleep"))
    whose = {one["kind"]: one["whose"] for one in found["namespaces"]}
    assert whose.pop("uts") == "own"
    assert set(whose.values()) <= {"yours", "host"}
    net = next(one for one in found["namespaces"] if one["kind"] == "net")
    assert {os.getpid(), started.pid} <= set(net["others"])


@pytest.mark.root
def test_the_page(mydocker: Launcher, container: tuple[int, list[int]]) -> None:
    first, every = container
    page = mydocker(1, "inspect", str(first)).stdout
    lines = page.splitlines()
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in page
    assert any(line.split() == ["host", "name", "inside", "surveyed"] for line in lines)
    assert "0 inside is 0 outside, 4294967295 ids" in page
    (tree,) = [line for line in lines if f"1 ({first})" in line]
    assert tree.startswith("└── ")
    children = [line for line in lines if line.startswith(("    ├── ", "    └── "))]
    assert len(children) == 2
    assert all(any(f"({pid})" in line for line in lines) for pid in every)


@pytest.mark.root
def test_without_root_ones_own_can_be_seen(mydocker: Launcher) -> None:
    nobody: dict[str, Any] = {"user": 65534, "group": 65534, "extra_groups": [], "cwd": "/"}
    if subprocess.run(["test", "-r", mydocker.argv(1)[2]], check=False, **nobody).returncode:
        pytest.skip("the steps are in a folder that only root may read")
    started = mydocker.start(1, "run", "-h", "nobodys", "sleep", "60", **nobody)
    pid = mydocker.inside(started, "sleep")
    assert inspect(mydocker, pid, **nobody)["host_name"] == "nobodys"
    assert inspect(mydocker, pid, **nobody)["uid_map"] == [
        {"inside": 0, "outside": 65534, "count": 1}
    ]
    refused = mydocker(1, "inspect", str(os.getpid()), code=125, **nobody)
    assert "permission denied" in refused.stderr
    listed = json.loads(mydocker(1, "list", "--json", **nobody).stdout)
    assert inode(pid, "uts") in [one["inode"] for one in listed]


# ---------------------------------------------------------------- parsers


def test_a_link() -> None:
    assert survey.parse_link("uts:[4026531838]") == 4026531838


def test_the_inner_pid() -> None:
    assert survey.parse_inner_pid("Name:\tx\nNSpid:\t4012\t17\t1\nVmRSS:\t1 kB\n") == 1
    assert survey.parse_inner_pid("Name:\tx\n") is None


def test_the_root_mount() -> None:
    lines = [
        "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw",
        "23 22 0:5 / /dev rw - devtmpfs devtmpfs rw",
        "400 22 0:60 / / rw,relatime - overlay overlay rw,lowerdir=l/A:l/B",
    ]
    assert survey.parse_root("\n".join(lines)) == ("overlay", "overlay")
    assert survey.parse_root(lines[0]) == ("ext4", "/dev/vda")
    assert survey.parse_root(lines[1]) is None


def test_a_map_of_the_kernel() -> None:
    text = "         0       1000          1\n         1     100000      65536\n"
    assert users.parse_map(text) == (users.Mapping(0, 1000, 1), users.Mapping(1, 100000, 65536))
    assert users.parse_map("") == ()


@pytest.mark.parametrize(
    "text, mapping",
    [("0:1000", (0, 1000, 1)), ("5:100000:65536", (5, 100000, 65536))],
)
def test_a_map_of_the_command_line(text: str, mapping: tuple[int, int, int]) -> None:
    assert users.parse(text) == users.Mapping(*mapping)


@pytest.mark.parametrize("text", ["", ":", "1", "1:", "1:2:3:4", "a:1", "-1:2", "1:2:x", "1 :2"])
def test_what_is_no_map(text: str) -> None:
    with pytest.raises(Failure, match="not a map"):
        users.parse(text)


def test_text_that_somebody_else_chose() -> None:
    assert survey.printable(b"a\x1b[2Jb\nc\x7f \xc3\xa4\xff ") == "a?[2Jb?c? ä?"


def process(proc: Path, pid: int, namespaces: dict[str, int], command: bytes) -> None:
    """A process in a /proc of our own."""
    (proc / f"{pid}" / "ns").mkdir(parents=True)
    for kind in KINDS:
        number = namespaces.get(kind.name, 1)
        (proc / f"{pid}" / "ns" / kind.name).symlink_to(f"{kind.name}:[{number}]")
    (proc / f"{pid}" / "cmdline").write_bytes(command)
    (proc / f"{pid}" / "comm").write_text("name\n")


def test_a_machine(tmp_path: Path) -> None:
    process(tmp_path, 10, {"uts": 5}, b"a\0b c\0")
    process(tmp_path, 9, {}, b"")
    process(tmp_path, 100, {"uts": 5, "net": 7}, b"last\0")
    (tmp_path / "11" / "ns").mkdir(parents=True)  # ended while we look
    (tmp_path / "self").mkdir()
    found = {(one.kind, one.inode): one for one in survey.machine(str(tmp_path))}
    assert found["uts", 5].processes == (10, 100)
    assert found["uts", 5].command == "a b c"
    assert found["uts", 1].processes == (9,)
    assert found["uts", 1].command == "[name]"
    assert found["net", 1].processes == (9, 10)
    assert found["net", 7].processes == (100,)
    assert list(found)[-1] == ("net", 7)
    assert len(found) == len(KINDS) + 2
