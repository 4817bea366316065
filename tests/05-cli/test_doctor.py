"""``mydocker doctor``: what it says of this machine, and of machines that lack something."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sandbox.launcher import Launcher
from sandbox.machine import Sandbox

from mydocker.engine.doctor import kernel
from mydocker.engine.doctor.network import dropping_tables
from mydocker.kernel.errors import KernelError

DOCKERS = """\
table ip filter {
    chain DOCKER-USER {
    }
    chain FORWARD {
        type filter hook forward priority filter; policy drop;
        jump DOCKER-USER
    }
}
table inet mydocker {
    chain forward {
        type filter hook forward priority filter; policy drop;
    }
}
"""


def examined(mydocker: Launcher, *options: str, **environment: str) -> dict[str, dict[str, str]]:
    """The checks by name."""
    done = mydocker(5, "doctor", "--json", *options, code=None, env=environment)
    assert done.stderr == ""
    checks = {c["name"]: c for subject in json.loads(done.stdout).values() for c in subject}
    failed = any(check["state"] == "failure" for check in checks.values())
    assert done.returncode == int(failed)
    return checks


@pytest.mark.root
def test_this_machine_is_good(mydocker: Launcher) -> None:
    checks = examined(mydocker)
    kinds = ["uts", "pid", "mount", "ipc", "net", "user", "cgroup", "time"]
    needed = [f"{kind} namespace" for kind in kinds]
    needed += ["clone3", "pivot_root", "terminals", "overlay", "bridge and veth", "nftables"]
    assert {name: checks[name]["state"] for name in needed} == dict.fromkeys(needed, "ok")


@pytest.mark.root
def test_an_overlay_on_an_overlay(mydocker: Launcher, tmp_path: Path) -> None:
    for name in ("lower", "upper", "work", "merged"):
        (tmp_path / name).mkdir()
    options = f"lowerdir={tmp_path}/lower,upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    merged = str(tmp_path / "merged")
    subprocess.run(["mount", "-t", "overlay", "-o", options, "x", merged], check=True)
    try:
        check = examined(mydocker, "--root", merged)["overlay"]
    finally:
        subprocess.run(["umount", merged], check=True)
    assert check["state"] == "failure" and "--root" in check["fix"]
    assert os.listdir(tmp_path / "upper") == []


@pytest.mark.root
@pytest.mark.parametrize(("option", "state"), [("ro", "failure"), ("noexec,nosuid", "ok")])
def test_how_the_data_root_is_mounted(
    mydocker: Launcher, tmp_path: Path, option: str, state: str
) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", option, "x", str(tmp_path)], check=True)
    try:
        check = examined(mydocker, "--root", str(tmp_path))["overlay"]
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
    assert check["state"] == state and bool(check["fix"]) == (state == "failure")


@pytest.mark.root
def test_a_full_disk(mydocker: Launcher, tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "x", str(tmp_path)], check=True)
    try:
        check = examined(mydocker, "--root", str(tmp_path))["disk"]
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
    assert check["state"] == "failure" and "prune" in check["fix"]


@pytest.mark.root
def test_leftovers_are_seen(mydocker: Launcher) -> None:
    mydocker(3, "run", "-m", "40M", "busybox", "true")
    mydocker(3, "run", "-m", "40M", "busybox", "true", code=-9, env={"MYDOCKER_FAULT": "kill:30"})
    check = examined(mydocker)["leftovers"]
    assert check["state"] == "warning" and check["fix"] == "mydocker system prune"
    mydocker(5, "system", "prune")
    assert examined(mydocker)["leftovers"]["state"] == "ok"


@pytest.mark.root
def test_a_damaged_blob(mydocker: Launcher, sandbox: Sandbox) -> None:
    mydocker(3, "run", "busybox", "true")
    blob = max((sandbox.root / "image/blobs/sha256").iterdir(), key=lambda p: p.stat().st_size)
    good = blob.read_bytes()
    blob.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    try:
        assert examined(mydocker)["images"]["state"] == "ok"
        check = examined(mydocker, "--full")["images"]
    finally:
        blob.write_bytes(good)
    assert check["state"] == "failure" and blob.name in check["observed"]


@pytest.mark.root
def test_without_root(mydocker: Launcher) -> None:
    mydocker(5, "run", "--rm", "--net", "none", "busybox", "true")  # so that there is an image
    done = mydocker(5, "doctor", user=65534)
    assert done.stderr == "" and "sudo mydocker doctor" in done.stdout
    assert "not applicable: overlay: only root can try this" in done.stdout.splitlines()
    assert "not applicable: images: only root can look" in done.stdout.splitlines()


@pytest.mark.root
def test_no_user_namespaces(mydocker: Launcher) -> None:
    """In a user namespace of its own, where the limit can be set without touching the machine."""
    script = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]
    own = mydocker.argv(5, "doctor", "--json")
    done = subprocess.run([*command, *own], capture_output=True, text=True)
    checks = {c["name"]: c for subject in json.loads(done.stdout).values() for c in subject}
    assert checks["user namespace"]["state"] == "warning"
    assert "max_user_namespaces" in checks["user namespace"]["fix"]


@pytest.mark.root
@pytest.mark.parametrize(("check", "opened"), [("_terminal", "ptmx"), ("_device", "null")])
def test_why_what_was_made_cannot_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: str, opened: str
) -> None:
    """The kernel's answer is told: no pty is left, or the disk is mounted nodev."""
    really = os.open

    def refused(path: str, *arguments: Any, **named: Any) -> int:
        if str(path).endswith(f"/{opened}"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return really(path, *arguments, **named)

    monkeypatch.setattr(os, "open", refused)
    try:
        with pytest.raises(KernelError, match="No space left on device") as caught:
            getattr(kernel, check)(str(tmp_path))
    finally:
        subprocess.run(["umount", str(tmp_path)], capture_output=True)
    assert caught.value.errno == errno.ENOSPC


def test_a_table_that_drops_what_is_forwarded() -> None:
    assert dropping_tables(DOCKERS) == ["ip filter"]
    assert dropping_tables(DOCKERS.replace("policy drop", "policy accept")) == []


def test_on_a_terminal_it_fits(mydocker: Launcher) -> None:
    argv = " ".join(mydocker.argv(5, "doctor"))
    env = os.environ | {"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"}
    command = ["script", "-qec", argv, "/dev/null"]
    shown = subprocess.run(command, capture_output=True, text=True, env=env).stdout
    assert "✓" in shown and max(map(len, shown.splitlines())) <= 80
    assert sys.executable not in shown
