"""What is told of ends: out of memory, after a boot, of several at once, and what prune leaves."""

import json
import os
import signal
from pathlib import Path

import click
import pytest
from sandbox.containers import Containers
from sandbox.launcher import eventually
from sandbox.machine import Sandbox

from mydocker.cli.main import container
from mydocker.cli.store import for_each
from mydocker.engine.errors import NoSuchContainer
from mydocker.kernel.errors import Failure

pytestmark = pytest.mark.root

SLEEP = ("busybox", "sleep", "1000")
EAT = 'x=a; while :; do x="$x$x"; done'


def test_who_took_too_much_memory(docker: Containers) -> None:
    """``State.OOMKilled``: true until the next start, whoever of its processes it was."""
    docker.run("--name", "eats", "-m", "20M", "busybox", "sh", "-c", EAT)
    docker("wait", "eats")
    shown = "{{.State.OOMKilled}} {{.State.ExitCode}}"
    assert docker.get("eats", shown) == "true 137"
    script = f"[ -e /was ] && exec sleep 1000; touch /was; (sh -c '{EAT}'); exit 4"
    docker.run("--name", "child", "-m", "20M", "busybox", "sh", "-c", script)
    docker("wait", "child")
    assert docker.get("child", shown) == "true 4"
    docker("start", "child")
    assert docker.get("child", shown) == "false 0"
    told = docker(
        "events", "--since", "1h", "--until", "0s", "--format", "{{.Action}} {{.Actor.ID}}"
    )
    child = docker.get("child", "{{.Id}}")
    actions = [line.split()[0] for line in told.stdout.splitlines() if line.endswith(child)]
    assert actions == ["create", "start", "oom", "die", "start"]
    docker.run("--name", "killed", "-m", "20M", *SLEEP)
    docker("kill", "killed")
    assert docker.get("killed", shown) == "false 137"


def test_after_the_next_boot_the_same_pids_are_others(docker: Containers, sandbox: Sandbox) -> None:
    """Pid and start time of a monitor may be anybody's then: the boot's id tells."""
    identifier = docker.run("--name", "one", *SLEEP)
    file = sandbox.root / f"containers/{identifier}/state.json"
    state = json.loads(file.read_text())
    assert state["boot"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert docker.get("one", "{{.State.Status}}") == "running"
    os.kill(state["process"]["pid"], signal.SIGKILL)
    docker("wait", "one")
    # As the power cut left it, and by chance two living processes have these numbers: ours
    started = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    us = {"pid": os.getpid(), "start_time": int(started)}
    kinds = dict.fromkeys(("process", "monitor"), us)
    assert set(us) == set(state["monitor"])
    file.write_text(json.dumps({**state, **kinds, "boot": "of-another-boot"}))
    assert docker.get("one", "{{.State.Status}} {{.State.Pid}}") == "exited 0"
    docker("start", "one")
    assert docker.get("one", "{{.State.Status}}") == "running"


def test_of_several_one_that_fails_is_told(docker: Containers) -> None:
    """And the others are done all the same, before and after it."""
    for name in ("one", "two"):
        docker("create", "--name", name, "--net", "none", *SLEEP)
    docker.run("--name", "runs", *SLEEP)
    done = docker("rm", "one", "nosuch", "runs", "two", code=1)
    assert done.stdout == "one\ntwo\n"
    missing, running = done.stderr.splitlines()
    assert missing == "mydocker: No such container: nosuch"
    assert running.startswith("mydocker: You cannot remove a running container ")
    assert docker("ps", "-a", "--format", "{{.Names}}").stdout == "runs\n"
    done = docker("stop", "-t", "0", "nosuch", "runs", code=1)
    assert (done.stdout, done.stderr.count("\n")) == ("runs\n", 1)
    done = docker("rm", "-f", "nosuch", "runs")
    assert done.stdout == "runs\n"


@pytest.mark.parametrize("names", [["bad", "missing"], ["missing", "bad"], ["bad", "good"]])
def test_with_force_a_missing_one_hides_none_that_failed(
    names: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    def remove(name: str) -> None:
        if name == "missing":
            raise NoSuchContainer(name)
        if name == "bad":
            raise Failure("device or resource busy")

    with click.Context(click.Command("rm"), click.Context(container), "rm").scope():
        assert for_each(names, remove, or_gone=True) == 1
        assert for_each(["missing", "good"], remove, or_gone=True) == 0
    assert "busy" in capsys.readouterr().err


def test_one_that_is_paused_is_neither_started_nor_removed(docker: Containers) -> None:
    docker.run("--name", "one", *SLEEP)
    docker("pause", "one")
    done = docker("start", "one", code=1)
    assert "cannot start a paused container, try unpause instead" in done.stderr
    assert "You cannot remove a paused container" in docker("rm", "one", code=1).stderr
    docker("container", "prune", "-f")
    assert docker.get("one", "{{.State.Status}}") == "paused"
    docker("unpause", "one")


def test_prune_takes_what_was_only_created_and_what_ended(docker: Containers) -> None:
    """And asks first, and counts what is free again."""
    made = docker("create", "--net", "none", *SLEEP).stdout.strip()
    ended = docker.run("busybox", "sh", "-c", "head -c 3000000 /dev/zero >/big")
    docker("wait", ended)
    docker.run("--name", "runs", *SLEEP)
    asked = docker("container", "prune", input="n\n")
    assert asked.stdout == "" and "WARNING!" in asked.stderr
    assert len(docker("ps", "-aq").stdout.split()) == 3
    old = docker("container", "prune", "-f", "--filter", "until=1h").stdout
    assert old == "Total reclaimed space: 0B\n"
    done = docker("container", "prune", input="y\n").stdout.splitlines()
    assert done[0] == "Deleted Containers:" and set(done[1:3]) == {made, ended}
    assert done[-1].startswith("Total reclaimed space: 3")
    assert docker("ps", "-a", "--format", "{{.Names}}").stdout == "runs\n"
    eventually(lambda: docker.get("runs", "{{.State.Status}}") == "running")
