"""User namespaces: who is who, seen from outside in ``/proc/PID/uid_map``; and without root."""

import os
import secrets
import subprocess
from pathlib import Path
from typing import Any

import pytest
from sandbox.launcher import Launcher
from sandbox.machine import Sandbox

pytestmark = pytest.mark.root

NOBODY = 65534
WITHOUT_ROOT: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []}


@pytest.fixture
def as_nobody(sandbox: Sandbox) -> dict[str, Any]:
    """Options for the launcher that make it nobody."""
    test = ["test", "-r", str(sandbox.steps / "layers.py")]
    if subprocess.run(test, check=False, **WITHOUT_ROOT).returncode != 0:
        pytest.skip("the steps are in a folder that only root may read")
    return {**WITHOUT_ROOT, "cwd": "/"}


def maps(pid: int) -> tuple[list[str], list[str]]:
    uids, gids = (Path(f"/proc/{pid}/{name}").read_text() for name in ("uid_map", "gid_map"))
    return uids.split(), gids.split()


def test_for_root_every_id_is_itself(mydocker: Launcher) -> None:
    started = mydocker.start(1, "run", "sleep", "60")
    every = ["0", "0", "4294967295"]
    assert maps(mydocker.inside(started, "sleep")) == (every, every)


def test_a_map_of_ones_own(mydocker: Launcher, sandbox: Sandbox) -> None:
    uid, gid = secrets.randbelow(10**6) + 10**6, secrets.randbelow(10**6) + 10**6
    directory = sandbox.directory / "mapped"
    directory.mkdir()
    directory.chmod(0o777)
    options = ["--uid-map", f"0:{uid}:1000", "--gid-map", f"0:{gid}:1000"]
    script = f"id -u; id -g; touch {directory}/made; exec sleep 60"
    started = mydocker.start(1, "run", *options, "sh", "-c", script)
    pid = mydocker.inside(started, "sleep")
    assert maps(pid) == (["0", str(uid), "1000"], ["0", str(gid), "1000"])
    made = (directory / "made").stat()
    assert (made.st_uid, made.st_gid) == (uid, gid)
    assert (os.stat(f"/proc/{pid}").st_uid, os.stat(f"/proc/{pid}").st_gid) == (uid, gid)


def test_several_maps(mydocker: Launcher) -> None:
    options = ["--uid-map", "0:1000", "--uid-map", "1:2000:10", "--gid-map", "0:3000:5"]
    started = mydocker.start(1, "run", "--user", *options, "sleep", "60")
    uids, gids = maps(mydocker.inside(started, "sleep"))
    assert uids == ["0", "1000", "1", "1", "2000", "10"]
    assert gids == ["0", "3000", "5"]


def test_a_map_without_root_makes_its_first_id(mydocker: Launcher) -> None:
    options = ["--uid-map", "7:100007:10", "--gid-map", "9:100009"]
    inside = mydocker(1, "run", *options, "sh", "-c", "id -u; id -g")
    assert inside.stdout.split() == ["7", "9"]


@pytest.mark.parametrize(
    "text", ["", "0", "0:", "a:b", "0:0:0", "-1:0", "0:0:1:1", "0:0:4294967296"]
)
def test_what_is_no_map(mydocker: Launcher, text: str) -> None:
    refused = mydocker(1, "run", "--user", "--uid-map", text, "true", code=125)
    assert len(refused.stderr.splitlines()) == 1
    assert "Write INSIDE:OUTSIDE[:COUNT]" in refused.stderr or "uid_map" in refused.stderr


# ---------------------------------------------------------------- without root


def test_without_root_you_are_root_inside_and_yourself_outside(
    mydocker: Launcher, as_nobody: dict[str, Any]
) -> None:
    inside = mydocker(1, "run", "sh", "-c", "id -u; id -g; uname -n; echo $$", **as_nobody)
    uid, gid, name, pid = inside.stdout.split()
    assert (uid, gid, pid) == ("0", "0", "1")
    assert name != os.uname().nodename


def test_without_root_seen_from_outside(mydocker: Launcher, as_nobody: dict[str, Any]) -> None:
    started = mydocker.start(1, "run", "sleep", "60", **as_nobody)
    pid = mydocker.inside(started, "sleep")
    mine = ["0", str(NOBODY), "1"]
    assert maps(pid) == (mine, mine)
    assert Path(f"/proc/{pid}/setgroups").read_text() == "deny\n"
    assert os.stat(f"/proc/{pid}").st_uid == NOBODY


def test_without_root_clocks_can_be_moved(mydocker: Launcher, as_nobody: dict[str, Any]) -> None:
    started = mydocker.start(1, "run", "--boottime", "123456", "sleep", "60", **as_nobody)
    pid = mydocker.inside(started, "sleep")
    offsets = Path(f"/proc/{pid}/timens_offsets").read_text().split()
    assert offsets[offsets.index("boottime") + 1] == "123456"


def test_for_root_setgroups_stays_allowed(mydocker: Launcher) -> None:
    started = mydocker.start(1, "run", "sleep", "60")
    pid = mydocker.inside(started, "sleep")
    assert Path(f"/proc/{pid}/setgroups").read_text() == "allow\n"


def test_without_root_nothing_of_roots_can_be_touched(
    mydocker: Launcher, sandbox: Sandbox, as_nobody: dict[str, Any]
) -> None:
    file = sandbox.directory / "roots"
    file.write_text("secret")
    file.chmod(0o600)
    refused = mydocker(1, "run", "cat", str(file), code=1, **as_nobody)
    assert "Permission denied" in refused.stderr


@pytest.mark.parametrize("mapping", ["0:0", "0:1000", f"0:{NOBODY}:2"])
def test_without_root_only_ones_own_id_can_be_mapped(
    mydocker: Launcher, as_nobody: dict[str, Any], mapping: str
) -> None:
    refused = mydocker(1, "run", "--uid-map", mapping, "true", code=125, **as_nobody)
    assert "Operation not permitted" in refused.stderr
    assert "you may map only your own id" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_without_root_another_namespace_alone_is_refused(
    mydocker: Launcher, as_nobody: dict[str, Any]
) -> None:
    refused = mydocker(1, "run", "--uts", "true", code=125, **as_nobody)
    assert "clone3(" in refused.stderr
    assert "use sudo, or a user namespace as well (--user)" in refused.stderr


def test_a_limit_on_namespaces_is_explained(mydocker: Launcher) -> None:
    """The limit of a user namespace of our own: the machine's is not ours to change."""
    run = " ".join(mydocker.argv(1, "run", "--uts", "true"))
    script = f"echo 0 >/proc/sys/user/max_uts_namespaces; {run}"
    command = ["unshare", "--user", "--map-root-user", "sh", "-c", script]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 125, done.stderr
    assert "see /proc/sys/user/max_*_namespaces" in done.stderr
