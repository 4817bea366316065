"""Commands killed at their requests to the kernel: no container is left that cannot be removed.

The command or the container's monitor dies in front of the K-th request. After that the state of
every container is true, ``system prune`` and ``rm -f`` leave nothing, and the machine is as before.
All K take minutes: each time the suite runs, it takes some, beginning anywhere.
``MYDOCKER_TEST_EVERY=1`` takes all of them.
"""

import os
import random
import re

import psutil
import pytest
from sandbox import contract
from sandbox.containers import Containers
from sandbox.launcher import eventually
from sandbox.machine import Sandbox

pytestmark = pytest.mark.root
EVERY = int(os.environ.get("MYDOCKER_TEST_EVERY", "29"))
SLEEP = ("busybox", "sleep", "1000")
COMMANDS = {
    "run -d": ["run", "-d", "-m", "40M", "-p", "8092:80", "--name", "new", *SLEEP],
    "create": ["create", "--net", "none", *SLEEP],
    "start": ["start", "down"],
    "stop": ["stop", "-t", "0", "up"],
    "kill": ["kill", "up"],
    "restart": ["restart", "-t", "0", "up"],
    "pause": ["pause", "up"],
    "exec": ["exec", "up", "true"],
    "rm": ["rm", "down"],
    "rm -f": ["rm", "-f", "up"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_killed_at_a_request(docker: Containers, sandbox: Sandbox, name: str) -> None:
    prepare(docker)
    told = docker(COMMANDS[name][0], "--explain", *COMMANDS[name][1:]).stderr
    last = max(int(number) for number in re.findall(r"^ *(\d+) (?:host|container)", told, re.M))
    docker.clear()
    for k in range(random.randrange(1, min(EVERY, last) + 1), last + 1, EVERY):
        prepare(docker)
        done = docker(*COMMANDS[name], code=None, env={"MYDOCKER_FAULT": f"kill:{k}"})
        assert "internal error" not in done.stderr, f"at {k}: {done.stderr}"
        eventually(at_rest, what=f"the end of what was killed at {k}")
        for line in docker("ps", "-a", "--format", "{{.Names}} {{.State}}").stdout.splitlines():
            container, state = line.split()
            pid = docker.pid(container)
            assert (state in ("running", "paused")) == psutil.pid_exists(pid or 1 << 30), f"at {k}"
        pruned = docker("system", "prune", "-f", code=None)
        assert pruned.returncode == 0, f"at {k}: {pruned.stderr}"
        docker.clear()
        assert nothing_left(sandbox) == [], f"at {k}"


def at_rest() -> bool:
    """True once nobody is on the way any more: each process is a container's or a small monitor.

    Orphans are ours to wait for, as a subreaper: the kernel does not let a PID namespace end while
    one of its processes has not been waited for.
    """
    return not any("main.py" in process for process in contract.photograph()["processes"])


def prepare(docker: Containers) -> None:
    """One container that runs, and one that has ended."""
    have = docker("ps", "-a", "--format", "{{.Names}}").stdout.split()
    if "up" not in have:
        docker.run("--name", "up", *SLEEP)
    if "down" not in have:
        docker("create", "--name", "down", "--net", "none", *SLEEP)


def nothing_left(sandbox: Sandbox) -> list[str]:
    from mydocker.engine import pruning
    from mydocker.engine.leftover import Place

    place = Place(str(sandbox.root), str(sandbox.run))
    names = os.listdir(sandbox.root / "containers/names")
    left = [one for one in os.listdir(sandbox.root / "containers") if one != "names"]
    return [*map(str, pruning.find(place)), *names, *left]
