"""Files of a container that are damaged while it runs: what the kernel says outweighs them."""

import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from sandbox.containers import Containers
from sandbox.launcher import Launcher, eventually
from sandbox.machine import Sandbox

pytestmark = pytest.mark.root
SLEEP = ("busybox", "sleep", "1000")
DAMAGES = {
    "empty": b"",
    "half": b'{"status": "runn',
    "null": b"null",
    "an empty object": b"{}",
    "another's": b'{"status": "resting", "process": 7}',
    "binary": bytes(range(256)),
    "deep": b"[" * 100_000,
}


@pytest.fixture
def docker(mydocker: Launcher) -> Iterator[Containers]:
    containers = Containers(mydocker)
    containers.need_image()
    yield containers
    containers.clear()


def files_of(sandbox: Sandbox, identifier: str) -> dict[str, Path]:
    own = sandbox.root / "containers" / identifier
    return {
        "state": own / "state.json",
        "config": own / "config.json",
        "record": sandbox.run / identifier / "state.json",
    }


def left(sandbox: Sandbox, identifier: str) -> list[str]:
    """What there is of a container on the machine, but for its own directories."""
    with open("/proc/self/mountinfo") as file:
        found = [line for line in file if identifier in line]
    groups = Path("/sys/fs/cgroup").glob(f"**/{sandbox.cgroup_parent}/{identifier}")
    run = sandbox.run.glob(f"**/*{identifier}*")
    return [*found, *map(str, groups), *map(str, run)]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_state(docker: Containers, sandbox: Sandbox, damage: str) -> None:
    identifier = docker.run("--name", "one", *SLEEP, net=True)
    pid = docker.pid("one")
    state = files_of(sandbox, identifier)["state"]
    state.write_bytes(DAMAGES[damage])
    assert docker("ps", "--format", "{{.Names}} {{.State}}").stdout == "one running\n"
    state.write_bytes(DAMAGES[damage])
    docker("system", "prune", "-f")
    assert psutil.pid_exists(pid)
    state.write_bytes(DAMAGES[damage])
    assert docker("exec", "one", "echo", "there").stdout == "there\n"
    state.write_bytes(DAMAGES[damage])
    docker("stop", "-t", "0", "one")
    assert not psutil.pid_exists(pid) and left(sandbox, identifier) == []
    assert docker.get("one", "{{.State.Status}} {{.State.ExitCode}}") == "exited 137"
    docker("start", "one")
    state.write_bytes(DAMAGES[damage])
    docker("rm", "-f", "one")
    assert left(sandbox, identifier) == []


def test_a_lost_state(docker: Containers, sandbox: Sandbox) -> None:
    identifier = docker.run("--name", "one", *SLEEP)
    files_of(sandbox, identifier)["state"].unlink()
    assert docker.get("one", "{{.State.Status}}") == "running"
    docker("rm", "-f", "one")
    assert left(sandbox, identifier) == []


@pytest.mark.parametrize("which", [("record",), ("config",), ("state", "record"),
                                   ("state", "config", "record")], ids=" ".join)  # fmt: skip
@pytest.mark.parametrize("command", ["stop", "kill", "rm"])
def test_damaged_files_of_one_that_runs(
    docker: Containers, sandbox: Sandbox, which: tuple[str, ...], command: str
) -> None:
    identifier = docker.run("--name", "one", *SLEEP, net=True)
    pid, files = docker.pid("one"), files_of(sandbox, identifier)

    def damage() -> None:
        for name in which:
            files[name].write_bytes(b'{"half":')

    damage()
    shown = docker("ps", "--format", "{{.Names}} {{.State}}").stdout
    assert shown == "one running\n"
    docker("system", "prune", "-f")
    damage()
    if command == "stop":
        docker("pause", "one", code=1 if "config" in which else 0)
        damage()
    words = {"stop": ["stop", "-t", "0"], "kill": ["kill"], "rm": ["rm", "-f"]}[command]
    docker(*words, "one")
    eventually(lambda: not psutil.pid_exists(pid) and left(sandbox, identifier) == [])
    docker("rm", "-f", "one")
    assert docker("ps", "-aq").stdout == ""
    assert not (sandbox.root / "overlay2" / identifier).exists()
    assert os.listdir(sandbox.root / "containers/names") == []


@pytest.mark.parametrize("which", [("state",), ("record",), ("state", "record")], ids=" ".join)
@pytest.mark.parametrize("command", ["ps", "prune", "start", "rm"])
def test_damaged_files_and_a_killed_monitor(
    docker: Containers, sandbox: Sandbox, which: tuple[str, ...], command: str
) -> None:
    identifier = docker.run("--name", "one", *SLEEP, net=True)
    monitor = psutil.Process(docker.pid("one")).parent()
    assert monitor is not None
    files = files_of(sandbox, identifier)
    for name in which:
        files[name].write_bytes(b"")
    monitor.kill()
    eventually(lambda: not monitor.is_running() or monitor.status() == psutil.STATUS_ZOMBIE)
    docker("system", "prune", "-f") if command == "prune" else None
    docker("start", "one", code=None) if command == "start" else None
    docker("ps", "-a")
    docker("rm", "-f", "one")
    docker("system", "prune", "-f")
    assert left(sandbox, identifier) == []
