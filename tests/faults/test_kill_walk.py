"""Killed, or refused by the kernel, at every request: the machine afterwards is the one before.

``MYDOCKER_FAULT=kill:K`` kills a run in front of its K-th passage through a door to the kernel, and
``system prune`` cleans up; ``fail:K`` lets the K-th request fail, and the run cleans up by itself.
K walks from 1 until nothing is left to be hit, which is after the last request of the release.
"""

import re
import signal
from collections.abc import Iterator

import pytest
from sandbox.before import Before, at_rest
from sandbox.launcher import Launcher, eventually
from sandbox.machine import Sandbox

pytestmark = pytest.mark.root

LIMITS = ("-m", "40M", "--pids-limit", "30")
RUNS: dict[str, tuple[int, tuple[str, ...]]] = {
    "namespaces": (1, ("run", "--hostname", "box", "true")),
    "user namespace": (1, ("run", "--user", "--net", "true")),
    "cgroups": (2, ("run", *LIMITS, "true")),
    "layers": (3, ("run", *LIMITS, "--tmpfs", "/run", "busybox", "true")),
    "network": (4, ("run", "-p", "8765:80", "busybox", "true")),
    "named network": (4, ("run", "--net", "walk", "busybox", "true")),
    "mydocker": (5, ("run", "--rm", *LIMITS, "-p", "8765:80", "busybox", "true")),
}
LAST = 400  # no run makes so many requests: one that never ends is broken


@pytest.fixture
def before(name: str, sandbox: Sandbox, mydocker: Launcher) -> Iterator[Before]:
    """The machine after one such run: the image made, the default network known."""
    step, arguments = RUNS[name]
    networks = ["walk"] if "walk" in arguments else []
    for network in networks:
        mydocker(4, "network", "create", network)
    mydocker(step, *arguments)
    eventually(at_rest, what="the end of what outlives a run")
    yield Before(sandbox)
    for network in networks:
        mydocker(4, "network", "rm", network)


@pytest.mark.parametrize("name", RUNS)
def test_killed_at_every_request(mydocker: Launcher, before: Before, name: str) -> None:
    step, arguments = RUNS[name]
    for k in range(1, LAST):
        done = mydocker(step, *arguments, code=None, env={"MYDOCKER_FAULT": f"kill:{k}"})
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, f"at {k}: {done}"
        before.prune()
        assert before.changes() == [], f"killed at request {k}: {told(mydocker, name, k)}"
    assert 5 < k < LAST - 1


@pytest.mark.parametrize("name", RUNS)
def test_refused_at_every_request(mydocker: Launcher, before: Before, name: str) -> None:
    step, arguments = RUNS[name]
    for k in range(1, requests(mydocker, name) + 1):
        done = mydocker(step, *arguments, code=None, env={"MYDOCKER_FAULT": f"fail:{k}"})
        where = f"refused at request {k}: {done.stderr}"
        assert before.changes() == [], f"{where}: {told(mydocker, name, k)}"
        assert "internal error" not in done.stderr, where
        if done.returncode != 0:  # else one that is not needed, or was tried again
            assert re.fullmatch(r"mydocker: [^\n]+\n", done.stderr), where
            assert done.returncode == (126 if "execve" in done.stderr else 125), where
    assert 5 < k < LAST - 1


def requests(mydocker: Launcher, name: str) -> int:
    """How many there are."""
    return int(explained(mydocker, name)[-1].split()[0])


def told(mydocker: Launcher, name: str, k: int) -> str:
    """What the K-th request is, for the reader of a failure."""
    lines = [line for line in explained(mydocker, name) if int(line.split()[0]) == k]
    return lines[0] if lines else "?"


def explained(mydocker: Launcher, name: str) -> list[str]:
    step, (verb, *rest) = RUNS[name]
    done = mydocker(step, verb, "--explain", *rest)
    return [line for line in done.stderr.splitlines() if re.match(r" *\d+ ", line)]
