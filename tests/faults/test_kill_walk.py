"""Killed, or refused by the kernel, at every request: the machine afterwards is the one before.

``MYDOCKER_FAULT=kill:K`` kills a run in front of its K-th passage through a door to the kernel, then
``system prune`` cleans up; ``fail:K`` lets the K-th request fail, and the run cleans up by itself.
K walks from 1 until nothing is left to be hit.
"""

import os
import re
import signal
from collections.abc import Iterator

import pytest
from sandbox import contract
from sandbox.launcher import Launcher, eventually
from sandbox.machine import Sandbox

from mydocker.engine import pruning

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


def files_of(sandbox: Sandbox) -> list[str]:
    """All that is below the root and run directories, but for what images consist of."""
    found = []
    for top in (sandbox.root, sandbox.run):
        for directory, below, names in os.walk(top):
            if os.path.basename(directory) in ("diff", "blobs"):
                below.clear()
                continue
            found += [f"{directory}/{name}" for name in (*below, *names)]
    return sorted(found)


class Machine:
    """The machine before, and how it differs from that now."""

    def __init__(self, sandbox: Sandbox, place: pruning.Place) -> None:
        self.sandbox = sandbox
        self.place = place
        self.photograph = contract.photograph()
        self.files = files_of(sandbox)

    def changes(self) -> list[str]:
        now = files_of(self.sandbox)
        changed = contract.settled(self.photograph)
        changed += [f"left behind: {path}" for path in now if path not in self.files]
        return changed + [f"gone: {path}" for path in self.files if path not in now]

    def prune(self) -> None:
        pruned = pruning.prune(self.place)
        assert pruned.failures == (), [str(failure) for failure in pruned.failures]
        assert pruning.find(self.place) == []


@pytest.fixture
def machine(name: str, sandbox: Sandbox, mydocker: Launcher) -> Iterator[Machine]:
    """The machine after one such run: the image made, the default network known."""
    step, arguments = RUNS[name]
    networks = ["walk"] if "walk" in arguments else []
    for network in networks:
        mydocker(4, "network", "create", network)
    mydocker(step, *arguments)
    eventually(at_rest, what="the end of what outlives a run")
    yield Machine(sandbox, pruning.Place(str(sandbox.root), str(sandbox.run)))
    for network in networks:
        mydocker(4, "network", "rm", network)


def at_rest() -> bool:
    """No process of ours is left, nor a bridge that has not yet seen its last cable go.

    The default network goes some moments after its last container.
    """
    now = contract.photograph()
    carried = [line for line in now["links and addresses"] if "state UP" in line]
    running = [line for line in now["processes"] if "main.py" in line]
    return not running and not any(line.startswith("md-") for line in carried)


@pytest.mark.parametrize("name", RUNS)
def test_killed_at_every_request(mydocker: Launcher, machine: Machine, name: str) -> None:
    step, arguments = RUNS[name]
    for k in range(1, LAST):
        done = mydocker(step, *arguments, code=None, env={"MYDOCKER_FAULT": f"kill:{k}"})
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, f"at {k}: {done}"
        machine.prune()
        assert machine.changes() == [], f"killed at request {k}: {told(mydocker, name, k)}"
    assert 5 < k < LAST - 1


@pytest.mark.parametrize("name", RUNS)
def test_refused_at_every_request(mydocker: Launcher, machine: Machine, name: str) -> None:
    step, arguments = RUNS[name]
    for k in range(1, requests(mydocker, name) + 1):
        done = mydocker(step, *arguments, code=None, env={"MYDOCKER_FAULT": f"fail:{k}"})
        where = f"refused at request {k}: {done.stderr}"
        assert machine.changes() == [], f"{where}: {told(mydocker, name, k)}"
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
