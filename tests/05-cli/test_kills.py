"""Commands killed at their requests to the kernel: what follows does not stumble over it.

The command or the container's monitor dies in front of the K-th request. After that the state of
every container is true, and whatever somebody types next does its work: ``start``, ``restart``,
``exec``, ``commit``, ``rename``, ``rm -f``, ``system prune``. At the end nothing is left, and the
machine is as before.

All K take minutes: each time the suite runs, it takes some, beginning anywhere, with one command
after each. ``MYDOCKER_TEST_EVERY=1`` takes all of them, with every command.
"""

import json
import os
import random
import re
import time
from collections.abc import Callable

import psutil
import pytest
from sandbox import contract
from sandbox.containers import Containers
from sandbox.embedding import embedding
from sandbox.launcher import eventually
from sandbox.machine import Sandbox

pytestmark = pytest.mark.root
EVERY = int(os.environ.get("MYDOCKER_TEST_EVERY", "47"))
SLEEP = ("busybox", "sleep", "1000")
COMMANDS = {
    "run -d": ["run", "-d", "-m", "40M", "-p", "8092:80", "--name", "new", *SLEEP],
    "create": ["create", "--name", "new", "--net", "none", *SLEEP],
    "start": ["start", "down"],
    "stop": ["stop", "-t", "0", "up"],
    "kill": ["kill", "up"],
    "restart": ["restart", "-t", "0", "up"],
    "pause": ["pause", "up"],
    "exec": ["exec", "up", "true"],
    "commit": ["commit", "up", "of-up"],
    "rename": ["rename", "up", "renamed"],
    "network connect": ["network", "connect", "walk", "up"],
    "rm": ["rm", "down"],
    "rm -f": ["rm", "-f", "up"],
}
# The same of a program with threads: an operation of the warm process, and what is named.
WARM: dict[str, tuple[list[object], dict[str, object]]] = {
    "start": (["start", "down"], {}),
    "stop": (["stop", "up"], {"timeout": 0}),
    "kill": (["kill", "up"], {}),
    "restart": (["restart", "up"], {"timeout": 0}),
    "pause": (["pause", "up"], {}),
    "exec": (["exec", "up", {"arguments": ["true"]}], {}),
    "commit": (["commit", "up", "of-up"], {}),
    "rename": (["rename", "up", "renamed"], {}),
    "network connect": (["network_connect", "up", {"network": "walk"}], {}),
    "rm": (["rm", "down"], {}),
    "rm -f": (["rm", "up"], {"force": True}),
}
FOLLOWING = ("prune", "start", "restart", "exec", "commit", "rename", "rm")


@pytest.mark.parametrize("name", COMMANDS)
def test_killed_at_a_request(docker: Containers, sandbox: Sandbox, name: str) -> None:
    def strike(k: int, where: str) -> None:
        done = docker(*COMMANDS[name], code=None, env={"MYDOCKER_FAULT": f"kill:{k}"})
        assert "internal error" not in done.stderr, f"{where}: {done.stderr}"

    walk(docker, sandbox, name, strike)


@pytest.mark.parametrize("name", WARM)
def test_a_worker_of_the_warm_process_killed_at_a_request(
    docker: Containers, sandbox: Sandbox, name: str
) -> None:
    """It is told so, and the next call of the same program is done by the same warm process."""
    arguments, named = WARM[name]

    def strike(k: int, where: str) -> None:
        words = json.dumps([arguments, named])
        done = embedding(sandbox, CALL, sandbox.cgroup_parent, f"kill:{k}", words)
        assert done.returncode == 0 and not done.stderr, f"{where}: {done.stderr}"
        assert "internal error" not in done.stdout and "Error" not in done.stdout, done.stdout
        if k == 1 and name in ("exec", "commit", "rename", "rm"):  # which do all of it themselves
            assert "the worker that did it was killed" in done.stdout, where

    walk(docker, sandbox, name, strike)
    prepare(docker)
    strike(1, f"{name} killed at 1")
    end(docker, sandbox, name)


CALL = """
from mydocker.engine.warm.client import Warm

cgroup_parent, fault, words = sys.argv[3:]
arguments, named = json.loads(words)
with Warm(store.root, store.run, cgroup_parent=cgroup_parent) as warm:
    warm.call("pid")
    first = warm.pid
    warm.settings["fault"] = fault
    try:
        warm.call(*arguments, **named)
    except Failure as failure:
        print(failure)
    del warm.settings["fault"]
    assert warm.call("pid") != first == warm.pid
"""


def walk(
    docker: Containers, sandbox: Sandbox, name: str, strike: Callable[[int, str], None]
) -> None:
    """Some of a command's requests, or all: ``strike`` kills at the K-th, and then life goes on."""
    prepare(docker)
    words = COMMANDS[name]
    told = docker(*(words[:1] if words[0] != "network" else words[:2]), "--explain",
                  *words[2 if words[0] == "network" else 1:]).stderr  # fmt: skip
    last = max(int(number) for number in re.findall(r"^ *(\d+) (?:host|container)", told, re.M))
    clear(docker)
    for k in range(random.randrange(1, min(EVERY, last) + 1), last + 1, EVERY):
        for following in FOLLOWING if EVERY == 1 else random.sample(FOLLOWING, 1):
            where = f"{name} killed at {k}, then {following}"
            prepare(docker)
            strike(k, where)
            eventually(at_rest, what=f"the end of what was killed: {where}")
            go_on(docker, following, where)
            end(docker, sandbox, where)


@pytest.mark.parametrize("following", ["start", "restart", "rm", "commit"])
def test_a_start_that_was_killed_when_its_root_was_mounted(
    docker: Containers, sandbox: Sandbox, following: str
) -> None:
    """The next start would mount a second time, over the first: then nothing can be removed."""
    prepare(docker)
    told = docker("start", "--explain", "down").stderr
    clear(docker)
    (mounted,) = re.findall(r"^ *(\d+) host +(?:mount|move_mount)\b.*merged", told, re.M)
    last = max(int(number) for number in re.findall(r"^ *(\d+) (?:host|container)", told, re.M))
    moments = [int(mounted) + 1, int(mounted) + 4, last]
    for k in moments if EVERY == 1 else random.sample(moments, 1):
        prepare(docker)
        where = f"start killed at {k}, then {following}"
        docker("start", "down", code=None, env={"MYDOCKER_FAULT": f"kill:{k}"})
        eventually(at_rest, what=f"the end of what was killed: {where}")
        go_on(docker, following, where)
        end(docker, sandbox, where)


def go_on(docker: Containers, following: str, where: str) -> None:
    """What somebody types next, at every container that there is."""
    if following == "prune":
        docker("system", "prune", "-f")
        check_states(docker, where)
        return
    for name in docker("ps", "-a", "--format", "{{.Names}}").stdout.split():
        state = docker.get(name, "{{.State.Status}}")
        if state == "paused" and following in ("start", "exec"):
            docker("unpause", name)
        expected = {int(following == "exec" and state in ("created", "exited"))}
        if state == "dead" and following != "rm":  # its removal had begun
            expected = {0, 1, 125}
        words = {
            "start": ["start", name],
            "restart": ["restart", "-t", "0", name],
            "exec": ["exec", name, "true"],
            "commit": ["commit", name, "walked"],
            "rename": ["rename", name, f"n{random.randrange(1 << 30)}"],
            "rm": ["rm", "-f", name],
        }[following]
        done = docker(*words, code=None)
        assert done.returncode in expected, f"{where}: {words}, it was {state}: {done.stderr}"
        if following in ("start", "restart") and done.returncode == 0:
            assert docker.get(name, "{{.State.Status}}") == "running", where
            docker("exec", name, "true")
    check_states(docker, where)


def check_states(docker: Containers, where: str) -> None:
    """What is said to run runs, and nothing else does."""
    for line in docker("ps", "-a", "--format", "{{.Names}} {{.State}}").stdout.splitlines():
        container, state = line.split()
        pid = docker.pid(container)
        runs = state in ("running", "paused")
        assert runs == psutil.pid_exists(pid or 1 << 30), f"{where}: {container} is {state}"


def end(docker: Containers, sandbox: Sandbox, where: str) -> None:
    pruned = docker("system", "prune", "-f", code=None)
    assert pruned.returncode == 0, f"{where}: {pruned.stderr}"
    clear(docker)
    assert nothing_left(sandbox) == [], where


def clear(docker: Containers) -> None:
    docker.clear()
    for image in ("of-up", "walked"):
        docker("rmi", image, code=None)
    docker("network", "rm", "walk", code=None)


def test_two_kills_in_a_row(docker: Containers, sandbox: Sandbox) -> None:
    """Of a command, then of another one, at containers of every age; ``MYDOCKER_TEST_SEED``."""
    seed = int(os.environ.get("MYDOCKER_TEST_SEED", "0")) or random.randrange(1 << 30)
    chance = random.Random(seed)
    rounds = int(os.environ.get("MYDOCKER_TEST_ROUNDS", "3"))
    docker.run("--name", "old", "--restart", "always", *SLEEP)
    prepare(docker)
    begun = psutil.Process(docker.pid("old")).create_time()
    eventually(lambda: time.time() - begun > 10.5, what="ten seconds: a run is settled then")
    for number in range(rounds):
        prepare(docker)
        where = f"seed {seed}, round {number}:"
        for _ in range(2):
            where += strike(docker, chance)
            eventually(at_rest, what=f"the end of what was killed: {where}")
        go_on(docker, chance.choice(FOLLOWING), where)
        if number % 3 == 2:
            end(docker, sandbox, where)
    end(docker, sandbox, where)


def strike(docker: Containers, chance: random.Random) -> str:
    """Kill a command, or a monitor; what was done."""
    there = docker("ps", "-a", "--format", "{{.Names}}").stdout.split()
    name = chance.choice(sorted({*there, "old"}))
    if chance.random() < 0.2 and (pid := docker.pid(name) if name in there else 0):
        psutil.Process(psutil.Process(pid).ppid()).kill()
        return f" the monitor of {name} killed,"
    words = [name if word in ("up", "down") else word for word in
             COMMANDS[chance.choice(sorted(COMMANDS))]]  # fmt: skip
    k = chance.randrange(1, 90)
    done = docker(*words, code=None, env={"MYDOCKER_FAULT": f"kill:{k}"})
    assert "internal error" not in done.stderr, f"{words} at {k}: {done.stderr}"
    return f" {' '.join(words)} killed at {k},"


def at_rest() -> bool:
    """True once nobody is on the way any more: each process is a container's, a small monitor, or
    the DNS server of a network that has containers, with its keeper.

    Orphans are ours to wait for, as a subreaper: the kernel does not let a PID namespace end while
    one of its processes has not been waited for.
    """
    ours = [line for line in contract.photograph()["processes"] if "main.py" in line]
    names = [psutil.Process(int(line.split()[0])).name() for line in ours]
    return all(name in ("mydocker-dns", "mydocker-names") for name in names)


def prepare(docker: Containers) -> None:
    """A network, a container that runs, and one that was never started."""
    if "walk" not in docker("network", "ls", "--format", "{{.Name}}").stdout.split():
        docker("network", "create", "walk")
    have = docker("ps", "-a", "--format", "{{.Names}}").stdout.split()
    if "up" not in have:
        docker.run("--name", "up", *SLEEP, net=True)
    if "down" not in have:
        docker("create", "--name", "down", "--net", "none", *SLEEP)


def nothing_left(sandbox: Sandbox) -> list[str]:
    from mydocker.engine.cleaning import leftovers
    from mydocker.engine.cleaning.leftover import Place

    place = Place(str(sandbox.root), str(sandbox.run))
    names = os.listdir(sandbox.root / "containers/names")
    left = [one for one in os.listdir(sandbox.root / "containers") if one != "names"]
    return [*map(str, leftovers.find(place)), *names, *left]
