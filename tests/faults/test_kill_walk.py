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

from mydocker.engine.life import removal
from mydocker.engine.records.state import CREATED
from mydocker.engine.records.store import Store

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
    last = requests(mydocker, name)
    for k in range(1, last + 1):
        done = mydocker(step, *arguments, code=None, env={"MYDOCKER_FAULT": f"kill:{k}"})
        # In step 05 it may be the monitor that was killed, and the command that tells of it.
        assert done.returncode == -signal.SIGKILL or step == 5, f"at {k}: {done}"
        assert "Traceback" not in done.stderr and "internal error" not in done.stderr, done
        eventually(before.nobody_dies, what="the end of what was killed")
        before.prune()
        forget_created(before)
        assert before.changes() == [], f"killed at request {k}: {told(mydocker, name, k)}"
    assert last > 5


def forget_created(before: Before) -> None:
    """A container that was made and not yet started stays, as ``create`` leaves it: remove it."""
    store = Store(before.place.root, before.place.run)
    for identifier in store.ids():
        assert store.state(identifier).status == CREATED
        removal.remove(store, identifier)


@pytest.mark.parametrize("name", RUNS)
def test_refused_at_every_request(mydocker: Launcher, before: Before, name: str) -> None:
    step, arguments = RUNS[name]
    last = requests(mydocker, name)
    for k in range(1, last + 1):
        done = mydocker(step, *arguments, code=None, env={"MYDOCKER_FAULT": f"fail:{k}"})
        where = f"refused at request {k}: {done.stderr}"
        if step == 5 and "system prune" in done.stderr and before.changes():
            before.prune()  # the removal itself was refused: it is told, and prune does it
        assert before.changes() == [], f"{where}: {told(mydocker, name, k)}"
        assert "internal error" not in done.stderr, where
        if done.returncode != 0:  # else one that is not needed, or was tried again
            assert re.fullmatch(r"mydocker: [^\n]+\n", done.stderr), where
            assert done.returncode == (126 if "execve" in done.stderr else 125), where
    assert last > 5


def requests(mydocker: Launcher, name: str) -> int:
    """How many there are."""
    return max(int(line.split()[0]) for line in explained(mydocker, name))


def told(mydocker: Launcher, name: str, k: int) -> str:
    """What the K-th request is, for the reader of a failure."""
    lines = [line for line in explained(mydocker, name) if int(line.split()[0]) == k]
    return lines[0] if lines else "?"


def explained(mydocker: Launcher, name: str) -> list[str]:
    step, (verb, *rest) = RUNS[name]
    done = mydocker(step, verb, "--explain", *rest)
    return [line for line in done.stderr.splitlines() if re.match(r" *\d+ ", line)]
