"""events: what is told of a name, a command, an end that nobody saw, and when the file is full."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from sandbox.containers import Containers
from sandbox.launcher import eventually
from sandbox.machine import Sandbox

pytestmark = pytest.mark.root

SLEEP = ("busybox", "sleep", "1000")
FULL = 4 << 20  # bytes
ROUNDS = int(os.environ.get("MYDOCKER_TEST_ROUNDS", "8"))


def told(docker: Containers, since: str, *filters: str) -> list[dict[str, Any]]:
    words = [word for text in filters for word in ("--filter", text)]
    done = docker("events", "--since", since, "--until", "0s", "--format", "json", *words)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_new_name(docker: Containers) -> None:
    begin = str(time.time())
    docker("create", "--name", "one", "--net", "none", *SLEEP)
    docker("rename", "one", "two")
    (event,) = told(docker, begin, "event=rename")
    attributes = event["Actor"]["Attributes"]
    assert (attributes["name"], attributes["oldName"]) == ("two", "/one")


@pytest.mark.parametrize("way", [[], ["-t"], ["-d"]], ids=["attached", "terminal", "detached"])
def test_a_command_more_and_its_end(docker: Containers, way: list[str]) -> None:
    docker.run("--name", "one", *SLEEP)
    begin = str(time.time())
    docker("exec", *way, "one", "sh", "-c", "exit 6", code=0 if "-d" in way else 6)
    eventually(lambda: len(told(docker, begin, "event=exec_die")) == 1)
    first, second, third = told(docker, begin, "container=one")
    assert [first["Action"], second["Action"]] == [
        "exec_create: sh -c exit 6",
        "exec_start: sh -c exit 6",
    ]
    assert third["Action"] == "exec_die" and third["Actor"]["Attributes"]["exitCode"] == "6"
    assert len({event["Actor"]["Attributes"]["execID"] for event in (first, second, third)}) == 1


@pytest.mark.parametrize("way", ["-t", "-d"])
def test_a_quick_end_is_told_after_the_start(docker: Containers, way: str) -> None:
    """Two processes tell them: who started the command, and who waits for its end."""
    docker.run("--name", "one", *SLEEP)
    begin = str(time.time())
    for count in range(1, ROUNDS + 1):
        docker("exec", way, "one", "true")
        eventually(lambda count=count: len(told(docker, begin, "event=exec_die")) == count)  # type: ignore[misc]
    actions = [event["Action"] for event in told(docker, begin, "container=one")]
    assert actions == ["exec_create: true", "exec_start: true", "exec_die"] * ROUNDS


def test_an_end_that_no_monitor_saw(docker: Containers, sandbox: Sandbox) -> None:
    """Whoever looks first writes it down, once."""
    identifier = docker.run("--name", "one", *SLEEP)
    begin = str(time.time())
    state = json.loads((sandbox.root / f"containers/{identifier}/state.json").read_text())
    os.kill(state["monitor"]["pid"], signal.SIGKILL)
    docker.until("one", "{{.State.Status}}", "exited")
    docker("ps", "-a")
    (event,) = told(docker, begin, "event=die")
    assert event["Actor"]["Attributes"]["exitCode"] == "137"


def test_a_full_file_makes_room(docker: Containers, sandbox: Sandbox) -> None:
    """The events in it can still be read, and so can those that come: also by who reads already."""
    file = sandbox.root / "events.json"
    begin = str(time.time())
    docker("create", "--name", "one", "--net", "none", *SLEEP)
    fill(file)
    follower = docker.start("events", "--format", "{{.Action}} {{.Actor.Attributes.name}}")
    assert follower.stdout
    time.sleep(0.5)
    docker("rename", "one", "two")  # the last into the full one
    docker("rename", "two", "three")
    docker("rename", "three", "four")
    assert file.stat().st_size < 10_000 < FULL < Path(f"{file}.1").stat().st_size
    names = [event["Actor"]["Attributes"]["name"] for event in told(docker, begin)]
    assert names == ["one", "two", "three", "four"]
    seen = [follower.stdout.readline().strip() for _ in range(3)]
    assert seen == ["rename two", "rename three", "rename four"]
    follower.terminate()
    follower.wait(10)
    fill(file)  # and again: of two full files the older goes
    docker("rename", "four", "five")
    assert Path(f"{file}.1").read_text().count('"Action":"rename"') == 3


def fill(file: Path) -> None:
    """A line that is no event, as a power cut may leave one."""
    with file.open("ab") as opened:
        opened.write(b"x" * (FULL - opened.tell()) + b"\n")
