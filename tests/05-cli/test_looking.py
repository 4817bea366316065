"""events, stats, diff, port, info, version, container prune."""

import json
import re
import time

import pytest
from sandbox.containers import Containers
from sandbox.launcher import eventually

pytestmark = pytest.mark.root
SLEEP = ("busybox", "sleep", "1000")


def test_events_of_a_life(docker: Containers) -> None:
    begin = str(time.time())
    identifier = docker.run("--name", "one", "-l", "a=b", *SLEEP)
    docker("pause", "one")
    docker("unpause", "one")
    docker("stop", "-t", "0", "one")
    docker("rm", "one")
    seen = docker("events", "--since", begin, "--until", "0s", "--format", "json").stdout
    events = [json.loads(line) for line in seen.splitlines()]
    assert [event["Action"] for event in events] == [
        "create", "start", "pause", "unpause", "kill", "kill", "die", "stop", "destroy",
    ]  # fmt: skip
    assert {event["id"] for event in events} == {identifier}
    assert events[6]["Actor"]["Attributes"] == {
        "a": "b", "exitCode": "137", "image": "busybox", "name": "one",
    }  # fmt: skip
    window = ("--since", begin, "--until", "0s")
    shown = docker("events", *window, "--filter", "event=die", "--filter", "container=one").stdout
    assert re.fullmatch(
        rf"\S+ container die {identifier} \(a=b, exitCode=137, image=busybox, name=one\)\n", shown
    )
    assert docker("events", *window, "--filter", "label=a=c").stdout == ""


def test_events_as_they_happen(docker: Containers) -> None:
    started = docker.start("events", "--format", "{{.Action}} {{.Actor.Attributes.name}}")
    assert started.stdout
    time.sleep(0.5)
    docker("create", "--name", "one", "--net", "none", *SLEEP)
    assert started.stdout.readline() == "create one\n"


def test_stats(docker: Containers) -> None:
    docker.run("--name", "one", "-m", "50M", "busybox", "sh", "-c", "while :; do :; done")
    form = "{{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.PIDs}}"
    shown = docker("stats", "--no-stream", "--format", form).stdout
    found = re.fullmatch(r"one (\d+\.\d\d)% (\S+)iB / 50MiB 1\n", shown)
    assert found and float(found[1]) > 5
    titles = docker("stats", "--no-stream", "one").stdout.splitlines()[0]
    assert re.split(r"\s{2,}", titles) == [
        "CONTAINER ID", "NAME", "CPU %", "MEM USAGE / LIMIT", "MEM %", "NET I/O", "BLOCK I/O",
        "PIDS",
    ]  # fmt: skip
    docker("kill", "one")
    assert "--" in docker("stats", "--no-stream", "one").stdout


def test_diff(docker: Containers) -> None:
    docker.run(
        "--name", "one", "busybox", "sh", "-c", "echo x > /new; rm /etc/group; echo >> /etc/passwd"
    )
    docker("wait", "one")
    lines = docker("diff", "one").stdout.splitlines()
    assert {"A /new", "D /etc/group", "C /etc/passwd", "C /etc"} <= set(lines)


def test_port(docker: Containers) -> None:
    docker.run("--name", "one", "-p", "8094:80", "-p", "127.0.0.1:5394:53/udp", *SLEEP, net=True)
    assert docker("port", "one").stdout == "53/udp -> 127.0.0.1:5394\n80/tcp -> 0.0.0.0:8094\n"
    assert docker("port", "one", "53/udp").stdout == "127.0.0.1:5394\n"
    done = docker("port", "one", "81", code=1)
    assert done.stderr == "mydocker: No public port '81/tcp' published for one\n"


def test_info_and_version(docker: Containers) -> None:
    docker.run("--name", "one", *SLEEP)
    docker("create", "--net", "none", *SLEEP)
    assert docker("info", "-f", "{{.Containers}} {{.ContainersRunning}}").stdout == "2 1\n"
    assert "Storage Driver: overlay2\n" in docker("info").stdout
    assert docker("version", "--format", "{{.Client.Os}}").stdout == "linux\n"


def test_prune_removes_what_does_not_run(docker: Containers) -> None:
    docker.run("--name", "up", *SLEEP)
    docker.run("--name", "labelled", "-l", "keep", "busybox", "true")
    identifier = docker.run("--name", "down", "busybox", "true")
    eventually(lambda: docker("ps", "-q").stdout.count("\n") == 1)
    docker("container", "prune", input="n\n")
    done = docker("container", "prune", "-f", "--filter", "label!=keep")
    assert done.stdout.startswith(f"Deleted Containers:\n{identifier}\n\nTotal reclaimed space: ")
    assert docker("ps", "-a", "--format", "{{.Names}}").stdout == "labelled\nup\n"
