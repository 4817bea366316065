"""The commands about groups, as a reader types them."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from sandbox.groups import Outside
from sandbox.launcher import Launcher
from sandbox.machine import Sandbox

pytestmark = pytest.mark.root


def place(outside: Outside, controller: str, path: str) -> Path:
    return outside.mounts.get(controller, outside.mounts.get("unified", Path())) / path


def test_a_group_by_hand(mydocker: Launcher, outside: Outside, sandbox: Sandbox) -> None:
    made = mydocker(2, "create", "demo", "--pids-limit", "17", "-m", "40M").stdout
    assert made == f"/{sandbox.cgroup_parent}/demo\n"
    group = place(outside, "pids", made.strip().lstrip("/"))
    assert (group / "pids.max").read_text() == "17\n"
    mydocker(2, "set", "demo", "pids.max=19")
    assert (group / "pids.max").read_text() == "19\n"
    assert mydocker(2, "get", "demo", "pids.max").stdout == "19\n"
    mydocker(2, "set", "demo", "--pids-limit", "21")
    assert "pids.max: 21\n" in mydocker(2, "get", "demo").stdout
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        mydocker(2, "attach", "demo", str(sleeper.pid))
        assert (group / "cgroup.procs").read_text() == f"{sleeper.pid}\n"
        shown = mydocker(2, "tree", f"/{sandbox.cgroup_parent}", "--in", "pids", "-p").stdout
        assert "demo  (1 process)" in shown and f"{sleeper.pid} sleep 60" in shown
        stats = mydocker(2, "stats", "demo").stdout
        assert "1 of 21" in stats and "of 40 MiB" in stats
        refused = mydocker(2, "remove", "demo", code=125)
        assert f"not empty: {sleeper.pid}" in refused.stderr
        mydocker(2, "freeze", "demo")
        frozen = group.parent.parent / "demo"
        v1 = place(outside, "freezer", f"{sandbox.cgroup_parent}/demo/freezer.state")
        if outside.is_v1("freezer"):
            assert v1.read_text() == "FROZEN\n"
        else:
            assert "frozen 1" in (group / "cgroup.events").read_text()
        assert not frozen.exists()
        mydocker(2, "thaw", "demo")
        assert mydocker(2, "kill", "demo").stdout == "killed: 1\n"
        assert sleeper.wait(10) == -9
    mydocker(2, "remove", "demo")
    assert not group.exists() and not group.parent.exists()


@pytest.mark.parametrize("command", ["set", "kill", "freeze", "thaw", "remove", "attach"])
def test_groups_of_others_are_refused(
    mydocker: Launcher, outside: Outside, sandbox: Sandbox, command: str
) -> None:
    other = place(outside, "pids", f"{sandbox.cgroup_parent}-other")
    other.mkdir()
    sleeper = subprocess.Popen(["sleep", "60"])
    arguments = {"set": ["--pids-limit", "5"], "attach": [str(sleeper.pid)]}.get(command, [])
    try:
        refused = mydocker(2, command, f"/{other.name}", *arguments, code=125)
        assert other.is_dir()
        assert "not ours" in refused.stderr
        assert (other / "pids.max").read_text() == "max\n" or not outside.is_v1("pids")
    finally:
        sleeper.kill()
        sleeper.wait()
        other.rmdir()


@pytest.mark.parametrize("name", ["../x", "a/../../x", "", "a//b", "."])
def test_names_that_lead_out_are_refused(mydocker: Launcher, name: str) -> None:
    refused = mydocker(2, "create", name, code=125)
    assert "not the path of a group" in refused.stderr


def test_looking_at_what_is_not_there(mydocker: Launcher) -> None:
    for arguments in (
        ("get", "nothing"),
        ("stats", "nothing"),
        ("tree", "nothing"),
        ("remove", "nothing"),
    ):
        assert "no such group" in mydocker(2, *arguments, code=125).stderr


def test_create_twice_and_create_in_vain(
    mydocker: Launcher, outside: Outside, sandbox: Sandbox
) -> None:
    mydocker(2, "create", "twice")
    assert "there already" in mydocker(2, "create", "twice", code=125).stderr
    mydocker(2, "remove", "twice")
    mydocker(2, "create", "vain", "--device-read-bps", "/dev/null:1", code=125)


def test_process_one_stays(mydocker: Launcher) -> None:
    mydocker(2, "create", "demo")
    assert "stays where it is" in mydocker(2, "attach", "demo", "1", code=125).stderr
    mydocker(2, "remove", "demo")


def test_set_wants_something_that_is_there(mydocker: Launcher) -> None:
    mydocker(2, "create", "demo")
    for arguments in ((), ("pids.max",), ("pids.most=3",), ("../x=3",), ("nonsense.max=1",)):
        mydocker(2, "set", "demo", *arguments, code=125)
    mydocker(2, "remove", "demo")


@pytest.mark.parametrize("command", ["hierarchies", "subsystems", "tree"])
def test_what_is_shown_fits_and_is_plain_in_a_pipe(mydocker: Launcher, command: str) -> None:
    environment = {"COLUMNS": "80"}
    shown = mydocker(2, command, env=environment).stdout
    assert max(map(len, shown.splitlines())) <= 80
    assert "\x1b" not in shown


def test_hierarchies_shows_the_mounts_and_four_rules(mydocker: Launcher, outside: Outside) -> None:
    shown = mydocker(2, "hierarchies").stdout
    for controller, mount in outside.mounts.items():
        if controller.startswith("name=") or controller in ("memory", "pids", "unified"):
            assert str(mount) in shown
    assert shown.count(": holds") == 4


def test_help_of_every_command(mydocker: Launcher) -> None:
    shown = mydocker(2, "--help").stdout
    names = "attach create freeze get hierarchies kill remove run set stats subsystems thaw tree"
    for name in names.split():
        assert f"  {name} " in shown
        assert "..." not in next(
            line for line in shown.splitlines() if line.startswith(f"  {name} ")
        )
        assert mydocker(2, name, "--help").stdout.startswith("Usage: main.py")


def test_without_root(mydocker: Launcher) -> None:
    nobody: dict[str, Any] = {"user": 65534, "group": 65534, "extra_groups": []}
    done = mydocker(2, "create", "demo", code=None, **nobody)
    assert done.returncode == 125, done.stderr
    assert "sudo" in done.stderr
    assert os.geteuid() == 0
