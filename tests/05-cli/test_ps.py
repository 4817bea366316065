"""ps: who is listed, how, and by which filters."""

import json
import re

import pytest
from sandbox.containers import Containers

pytestmark = pytest.mark.root
SLEEP = ("busybox", "sleep", "1000")


def names(docker: Containers, *arguments: str) -> list[str]:
    return docker("ps", "--format", "{{.Names}}", *arguments).stdout.split()


def test_the_table(docker: Containers) -> None:
    identifier = docker.run(
        "--name", "web", "-p", "8099:80", "--expose", "53/udp", *SLEEP, net=True
    )
    title, row = docker("ps").stdout.splitlines()
    assert title.split("  ")[0] == "CONTAINER ID"
    assert re.split(r"\s{2,}", title) == [
        "CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES",
    ]  # fmt: skip
    cells = re.split(r"\s{2,}", row)
    assert cells[:3] == [identifier[:12], "busybox", '"sleep 1000"']
    assert cells[4].startswith("Up ")
    assert cells[5:] == ["53/udp, 0.0.0.0:8099->80/tcp", "web"]  # Docker's order


def test_without_containers_the_titles(docker: Containers) -> None:
    assert docker("ps").stdout.startswith("CONTAINER ID   IMAGE     COMMAND   CREATED   STATUS")
    assert docker("ps", "-q").stdout == ""


def test_all_last_latest_quiet(docker: Containers) -> None:
    docker.run("--name", "old", "busybox", "true")
    docker("wait", "old")
    docker.run("--name", "up", *SLEEP)
    docker("create", "--name", "new", "--net", "none", *SLEEP)
    assert names(docker) == ["up"]
    assert names(docker, "-a") == ["new", "up", "old"]
    assert names(docker, "-n", "2") == ["new", "up"]
    assert names(docker, "-l") == ["new"]
    assert len(docker("ps", "-q", "--no-trunc").stdout.strip()) == 64
    statuses = docker("ps", "-a", "--format", "{{.Status}}").stdout.splitlines()
    assert statuses[0] == "Created"
    assert re.fullmatch(r"Exited \(0\) .* ago", statuses[2])


def test_filters(docker: Containers) -> None:
    docker.run("--name", "first", "-l", "a=1", "-l", "b", "busybox", "sh", "-c", "exit 3")
    docker("wait", "first")
    docker.run("--name", "second", "-l", "a=2", "-v", "/tmp:/data", *SLEEP)
    third = docker.run("--name", "third", "-p", "8098:80", *SLEEP, net=True)
    for text, found in {
        "name=sec": ["second"],
        "name=^s": ["second"],
        "label=a": ["second", "first"],
        "label=a=2": ["second"],
        f"id={third[:8]}": ["third"],
        "status=exited": ["first"],
        "status=running": ["third", "second"],
        "exited=3": ["first"],
        "exited=0": [],
        "ancestor=busybox": ["third", "second", "first"],
        "ancestor=debian": [],
        "before=second": ["first"],
        "since=second": ["third"],
        "volume=/data": ["second"],
        "network=bridge": ["third"],
        "network=none": ["second", "first"],
        "publish=8098": ["third"],
    }.items():
        assert names(docker, "-a", "--filter", text) == found, text
    assert names(docker, "-af", "status=exited", "-f", "status=running", "-f", "label=a") == [
        "second",
        "first",
    ]
    assert "Invalid filter 'colour'" in docker("ps", "-f", "colour=red", code=1).stderr
    assert "bad format of filter" in docker("ps", "-f", "name", code=1).stderr


def test_formats(docker: Containers) -> None:
    docker.run("--name", "one", "-l", "x=y", *SLEEP)
    row = json.loads(docker("ps", "--format", "json").stdout)
    assert (row["Names"], row["State"], row["Labels"]) == ("one", "running", "x=y")
    assert docker("ps", "--format", '{{.Label "x"}}/{{.Label "z"}}').stdout == "y/\n"
    table = docker("ps", "--format", r"table {{.Names}}\t{{.Image}}").stdout
    assert table == "NAMES     IMAGE\none       busybox\n"
    done = docker("ps", "--format", "{{.Nonsense}}", code=1)
    assert re.fullmatch("mydocker: template parsing error: template: .*Nonsense.*\n", done.stderr)


def test_sizes(docker: Containers) -> None:
    docker.run("--name", "one", "busybox", "dd", "if=/dev/zero", "of=/big", "bs=1000", "count=3000")
    docker("wait", "one")
    shown = docker("ps", "-as", "--format", "{{.Size}}").stdout
    assert re.fullmatch(r"3MB \(virtual \d+(\.\d+)?MB\)\n", shown)
