"""A root that an earlier version filled opens in this one: images, volumes, networks, containers.

The earlier version is really run: its steps come out of the repository's history.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sandbox.containers import Containers
from sandbox.launcher import Launcher, eventually
from sandbox.machine import Sandbox, remove

from mydocker.network.host import has_link

pytestmark = pytest.mark.root

ROOT = Path(__file__).parents[2]
# the last whose containers were written down by the options of click
FIRST = "ed28494b571e46c291e74ca5bdf06b249956bfb9"

# What the old program shows in another shape or order than Docker, and this one as Docker
MENDED = (
    ".HostConfig.Ulimits", ".HostConfig.Devices", ".HostConfig.CapAdd", ".HostConfig.CapDrop",
    ".GraphDriver.Data.ID", ".Config.StopSignal", ".NetworkSettings.Networks.front.IPAMConfig",
    ".NetworkSettings.Networks.front.Aliases",
)  # fmt: skip

Old = partial[subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def root_of_its_own(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the old program makes is open to other users: it must not stay for other tests."""
    directory = sandbox.directory / "old"
    monkeypatch.setenv("MYDOCKER_ROOT", str(directory / "root"))
    monkeypatch.setenv("MYDOCKER_RUN", str(directory / "run"))
    yield
    # The bridge goes a moment after its last container; without the root nobody would know it.
    eventually(lambda: not has_link("mydocker0"))
    remove(directory)


@pytest.fixture
def old(docker: Containers, tmp_path: Path) -> Iterator[Old]:
    """Runs the command line of the earlier version in the same root."""
    git = ["git", "-c", "safe.directory=*", "-C", str(ROOT)]
    packed = subprocess.run([*git, "archive", FIRST, "steps"], capture_output=True)
    if packed.returncode:
        pytest.skip("no git history here")
    subprocess.run(["tar", "-x", "-C", tmp_path], input=packed.stdout, check=True)
    command = [sys.executable, "-ESs", str(tmp_path / "steps/05-cli/main.py")]

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*command, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        assert done.returncode == 0, done.stderr
        return done

    yield partial(call)


CONTAINERS: dict[str, list[str]] = {
    "plain": ["busybox"],
    "web": ["-p", "127.0.0.1:8093:80", "-p", "53/udp", "--expose", "99", "--net", "front",
            "--network-alias", "www", "--ip", "172.31.7.9", "--dns", "9.9.9.9", "--dns-search",
            "a.b", "--add-host", "db:10.0.0.7", "busybox", "httpd", "-f"],
    "limits": ["-m", "64M", "--memory-swap", "-1", "--cpus", "0.5", "--pids-limit", "50",
               "--cpuset-cpus", "0", "--device-cgroup-rule", "c 10:229 r", "busybox", "true"],
    "files": ["-v", "data:/data", "-v", "/tmp:/host:ro", "-v", "/anonymous", "--tmpfs",
              "/run:size=1m", "--mount", "type=volume,source=more,target=/more,readonly",
              "--read-only", "-w", "/data", "-u", "1:2", "--group-add", "3", "busybox", "id"],
    "safe": ["--cap-drop", "ALL", "--cap-add", "chown", "--security-opt", "no-new-privileges",
             "--ulimit", "nofile=10:20", "--sysctl", "net.ipv4.ip_forward=1", "--shm-size", "1m",
             "--oom-score-adj", "100", "--device", "/dev/null:/dev/nothing:r", "busybox", "true"],
    "named": ["-h", "box", "--domainname", "lan", "-e", "A=1", "-e", "PATH=/bin", "-l", "k=v",
              "--entrypoint", "sh", "--init", "-t", "-i", "--stop-signal", "HUP", "--stop-timeout",
              "1", "--restart", "on-failure:3", "--log-opt", "max-size=10k", "--log-opt",
              "max-file=2", "busybox", "-c", "exit 3"],
    "shared": ["--pid", "host", "--ipc", "host", "--uts", "host", "--net", "host", "busybox"],
    "private": ["--userns", "private", "--monotonic", "100", "--net", "none", "busybox"],
    "open": ["--privileged", "--net", "none", "busybox"],
}  # fmt: skip


def test_stopped_containers_are_what_they_were(docker: Containers, old: Old) -> None:
    old("network", "create", "--subnet", "172.31.7.0/24", "front")
    old("tag", "busybox", "mine:1")
    for name, options in CONTAINERS.items():
        old("create", "--name", name, *options)
    before = {name: shown(old("inspect", name).stdout) for name in CONTAINERS}
    listed = old("ps", "-a", "--format", "{{.Names}} {{.Image}} {{.Networks}}").stdout

    for name, told in before.items():
        now = shown(docker("inspect", name).stdout)
        assert {path: now.get(path) for path in told} == told, name
    again = docker("ps", "-a", "--format", "{{.Names}} {{.Image}} {{.Networks}}")
    assert again.stdout == listed
    assert "mine" in docker("images").stdout
    assert {"data", "more"} <= set(docker("volume", "ls", "-q").stdout.split())

    docker("start", "-a", "files", code=0)
    said = "uid=1(daemon) gid=2(bin) groups=2(bin),3(sys)\n"
    assert docker("logs", "files").stdout == said
    docker("start", "web")
    assert "172.31.7.9" in docker("exec", "web", "ip", "address").stdout
    docker("start", "named")
    docker.until("named", "{{.State.Status}} {{.RestartCount}}", "exited 3")
    assert docker.get("named", "{{.State.ExitCode}}") == "3"
    docker("commit", "files", "ours")
    assert docker.get("ours", "{{.Config.User}} {{.Config.WorkingDir}}") == "1:2 /data"
    docker("rename", "plain", "other")
    docker("update", "-m", "32M", "limits")
    for name in ("other", "limits", "shared", "safe"):
        docker("start", name)
    docker("rm", "-f", *(name for name in CONTAINERS if name != "plain"), "other")
    docker("network", "rm", "front")
    docker("rmi", "ours", "mine:1")
    docker("volume", "rm", "data", "more")


def shown(text: str) -> dict[str, Any]:
    """All that ``inspect`` says, by its path; lists whose order is none of their own, in order."""
    (found,) = json.loads(text)
    found["Config"]["Env"].sort()
    mounts = [mount for mount in found.pop("Mounts") if mount["Type"] != "tmpfs"]
    named = {
        f".Mounts.{mount['Destination']}": (mount["Source"], mount["RW"], mount["Type"])
        for mount in mounts
    }
    return named | {path: value for path, value in leaves(found, "") if not path.startswith(MENDED)}


def leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Where nothing is shown, or an empty list, is null, too."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from leaves(one, f"{path}.{key}")
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from leaves(one, f"{path}.{number}")
    elif value is not None:
        yield path, value


@pytest.mark.parametrize("end", ["stop", "rm"])
def test_one_that_runs_under_an_old_monitor_can_be_ended(
    docker: Containers, old: Old, end: str
) -> None:
    old("run", "-d", "--name", "web", "-p", "8094:80", "busybox", "sleep", "1000")
    pid = docker.pid("web")
    assert docker("ps", "--format", "{{.Names}} {{.Ports}}").stdout.startswith("web 0.0.0.0:8094")
    if end == "stop":
        docker("stop", "-t", "0", "web")
        assert docker.get("web", "{{.State.Status}} {{.State.ExitCode}}") == "exited 137"
        docker("start", "web")
    docker("rm", "-f", "web")
    assert not os.path.exists(f"/proc/{pid}")
    assert docker("ps", "-aq").stdout == ""


def test_what_an_old_monitor_left_is_cleaned_up(
    docker: Containers, old: Old, mydocker: Launcher
) -> None:
    old("run", "-d", "--name", "web", "-p", "8095:80", "busybox", "sleep", "1000")
    monitor = json.loads(docker("xray", "--json", "web").stdout)["monitor"]
    os.kill(monitor, 9)
    eventually(lambda: docker.get("web", "{{.State.Status}}") == "exited")
    docker("start", "web")
    docker("rm", "-f", "web")
