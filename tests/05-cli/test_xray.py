"""xray: what it says is what the kernel says."""

import json
import os
import re
from pathlib import Path

import pytest
from sandbox.containers import Containers
from sandbox.groups import Outside

pytestmark = pytest.mark.root


def test_the_truth_about_a_container(docker: Containers) -> None:
    script = "rm /etc/group; sleep 998 & sleep 999"
    options = ["-m", "77M", "-p", "8093:80", "--tmpfs", "/mem", "--cap-drop", "CHOWN"]
    identifier = docker.run("--name", "web", *options, "busybox", "sh", "-c", script, net=True)
    docker("exec", "web", "true")
    shown = json.loads(docker("xray", "--json", "web").stdout)
    pid = docker.pid("web")
    assert (shown["id"], shown["pid"]) == (identifier, pid)
    for one in shown["namespaces"]:
        link = os.readlink(f"/proc/{pid}/ns/{one['kind']}")
        assert link == f"{one['kind']}:[{one['inode']}]"
        assert (one["whose"] == "own") == (link != os.readlink(f"/proc/self/ns/{one['kind']}"))
    limit = next(row["limit"] for row in shown["cgroup"]["use"] if row["what"] == "memory")
    outside = Outside()
    assert limit == int(outside.read(pid, "memory.limit_in_bytes", "memory.max"))
    assert [layer["writable"] for layer in shown["layers"]][:2] == [True, False]
    assert shown["layers"][0]["whiteouts"] == 1
    targets = [mount["target"] for mount in shown["mounts"]]
    own = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
    assert targets == [line.split()[4] for line in own]
    assert "/mem" in targets
    (cable,) = shown["network"]
    assert cable["addresses"][0] in docker("exec", "web", "ip", "address").stdout
    assert cable["ports"][0]["host"] == 8093
    status = Path(f"/proc/{pid}/status").read_text()
    effective = int(re.search(r"CapEff:\s*(\w+)", status)[1], 16)  # type: ignore[index]
    assert len(shown["security"]["effective"]) == effective.bit_count()
    assert "CAP_CHOWN" not in shown["security"]["effective"]
    assert shown["security"]["seccomp"] == "filter"
    commands = {member["inside"]: member["command"] for member in shown["processes"]}
    assert commands[1] == "sleep 999"
    assert "sleep 998" in commands.values()


@pytest.mark.parametrize("columns", [80, 140])
def test_the_picture_fits(docker: Containers, columns: int) -> None:
    docker.run("--name", "web", "-v", "/tmp:/data:ro", "busybox", "sleep", "1000")
    picture = docker("xray", "web", env={"COLUMNS": str(columns)}).stdout
    assert max(map(len, picture.splitlines())) <= max(columns, 100)
    for title in ("namespaces", "control group", "layers", "mounts", "powers", "processes"):
        assert title in picture
    assert "/data" in picture and "sleep 1000" in picture


def test_only_what_runs_has_an_inside(docker: Containers) -> None:
    docker.run("--name", "one", "busybox", "true")
    docker("wait", "one")
    assert "is not running" in docker("xray", "one", code=1).stderr
