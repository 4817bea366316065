"""events: what is told of a name, a command, an end that nobody saw, and when the file is full."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from sandbox.containers import Containers
from sandbox.launcher import eventually
from sandbox.machine import Sandbox

from mydocker.engine.records import events

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
    form = "{{.Status}} {{.ID}} {{.From}} {{.TimeNano}} {{.Actor.Attributes.oldName}} {{.Action}}"
    window = ("--since", begin, "--until", "0s", "--filter", "event=rename")
    assert docker("events", *window, "--format", form).stdout == (
        f"rename {event['id']} busybox {event['timeNano']} /one rename\n"
    )
    wrong = docker("events", *window, "--format", "{{.Scopes}}", code=None)
    assert wrong.returncode and wrong.stderr.count("\n") == 1


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


# ---------------------------------------------------------------- images, networks, volumes


def shown(event: dict[str, Any]) -> str:
    """Kind, action, and all attributes but those that say which thing it was."""
    about = {k: v for k, v in event["Actor"]["Attributes"].items() if k != "container"}
    return " ".join((event["Type"], event["Action"], *(f"{k}={v}" for k, v in about.items())))


def test_an_image_and_its_names(docker: Containers, tmp_path: Path) -> None:
    """As Docker tells them: a tag by its name, all else by the image's id."""
    docker("image", "prune", "-f")  # what other tests left, for the prune below
    (tmp_path / "file").write_text("x")
    subprocess.run(["tar", "-cf", "one.tar", "file"], cwd=tmp_path, check=True)
    begin = str(time.time())
    image = docker("import", f"{tmp_path}/one.tar", "one:1", "-c", "LABEL a=b").stdout.strip()
    docker("tag", "one:1", "two")
    docker("save", "-o", f"{tmp_path}/both.tar", "one:1", "two")
    docker("rmi", "one:1", "two")
    docker("load", "-i", f"{tmp_path}/both.tar")
    docker("rmi", "-f", image)
    docker("import", f"{tmp_path}/one.tar")
    docker("image", "prune", "-f")
    events = told(docker, begin, "type=image")
    own = f"image %s a=b name={image}"
    assert [shown(event) for event in events[:11]] == [
        "image tag a=b name=one:1", own % "import", "image tag a=b name=two:latest", own % "save",
        own % "untag", own % "untag", own % "delete", own % "load", own % "untag", own % "untag",
        own % "delete",
    ]  # fmt: skip
    assert [event["Action"] for event in events[11:]] == ["import", "delete", "prune"]
    assert {event["Actor"]["ID"] for event in events[:11]} == {image}
    assert all(event["status"] == event["Action"] for event in events)
    assert int(events[-1]["Actor"]["Attributes"]["reclaimed"]) > 0
    assert len(told(docker, begin, "image=two")) == 1
    assert len(told(docker, begin, f"image={image}")) == 11


def test_a_network_and_who_joins_it(docker: Containers) -> None:
    begin = str(time.time())
    network = docker("network", "create", "lab").stdout.strip()
    identifier = docker.run("--name", "one", "--net", "lab", *SLEEP, net=True)
    docker("network", "connect", "bridge", "one")
    docker("network", "disconnect", "lab", "one")
    docker("network", "connect", "lab", "one")
    docker("stop", "-t", "0", "one")
    docker("network", "rm", "lab")
    docker("network", "create", "idle")
    docker("network", "prune", "-f")
    events = told(docker, begin, "type=network")
    lab = [event for event in events if event["Actor"]["ID"] == network]
    assert [shown(event) for event in lab] == [
        f"network {action} name=lab type=bridge"
        for action in ("create", "connect", "disconnect", "connect", "disconnect", "destroy")
    ]
    assert {event["Actor"]["Attributes"].get("container") for event in lab[1:5]} == {identifier}
    assert told(docker, begin, "network=lab") == lab == told(docker, begin, f"network={network}")
    assert "status" not in lab[0] and "id" not in lab[0]
    default = [shown(event) for event in told(docker, begin, "network=bridge")]
    assert default == [
        "network connect name=bridge type=bridge", "network disconnect name=bridge type=bridge",
    ]  # fmt: skip
    assert [shown(event) for event in events[-3:]] == [
        "network create name=idle type=bridge", "network destroy name=idle type=bridge",
        "network prune reclaimed=0",
    ]  # fmt: skip


def test_a_volume_and_who_mounts_it(docker: Containers) -> None:
    begin = str(time.time())
    docker("volume", "create", "data")
    docker("volume", "create", "data")  # it is there
    mounts = ("-v", "data:/data:ro", "-v", "/own")
    identifier = docker.run("--name", "one", *mounts, *SLEEP)
    docker("restart", "-t", "0", "one")
    docker("rm", "-f", "-v", "one")
    docker("volume", "rm", "data")
    docker("volume", "prune", "-f")
    events = told(docker, begin, "type=volume")
    data = [event for event in events if event["Actor"]["ID"] == "data"]
    mounted = "volume mount destination=/data driver=local propagation= read/write=false"
    left = "volume unmount driver=local"
    assert [shown(event) for event in data] == [
        "volume create driver=local", mounted, left, mounted, left, "volume destroy driver=local",
    ]  # fmt: skip
    assert told(docker, begin, "volume=data") == data
    assert data[1]["Actor"]["Attributes"]["container"] == identifier
    own = [event["Action"] for event in events if event["Actor"]["ID"] not in ("data", "")]
    assert own == ["create", "mount", "unmount", "mount", "unmount", "destroy"]
    assert shown(events[-1]) == "volume prune reclaimed=0"


def test_an_end_that_no_monitor_saw_is_told_of_all_that_was_used(
    docker: Containers, sandbox: Sandbox
) -> None:
    identifier = docker.run("--name", "one", "-v", "data:/data", *SLEEP, net=True)
    begin = str(time.time())
    state = json.loads((sandbox.root / f"containers/{identifier}/state.json").read_text())
    os.kill(state["monitor"]["pid"], signal.SIGKILL)
    docker.until("one", "{{.State.Status}}", "exited")
    docker("ps", "-a")
    docker("system", "prune", "-f")
    actions = [f"{event['Type']} {event['Action']}" for event in told(docker, begin)]
    ends = ("container die", "network disconnect", "volume unmount", "container destroy")
    assert [actions.count(end) for end in ends] == [1] * 4
    docker("volume", "rm", "data")


def test_what_events_prints(docker: Containers) -> None:
    begin = str(time.time())
    docker("volume", "create", "data")
    docker("container", "prune", "-f")
    window = ("--since", begin, "--until", "0s")
    assert re.fullmatch(
        r"\S+ volume create data \(driver=local\)\n\S+ container prune  \(reclaimed=0\)\n",
        docker("events", *window).stdout,
    )
    form = ("--format", "{{.Type}} {{.Actor.ID}} {{.Action}} {{.scope}}")
    assert docker("events", *window, *form, "--filter", "volume=data").stdout == (
        "volume data create local\n"
    )
    form = (
        "--format",
        "{{.Scope}} [{{.Status}}] [{{.ID}}] [{{.From}}] {{eq .Time .time}} {{json .}}",
    )
    told_of = docker("events", *window, *form, "--filter", "volume=data").stdout
    assert re.match(r'local \[\] \[\] \[\] true {"Type":"volume",.*"timeNano":\d+}\n', told_of)
    assert docker("events", *window, "--filter", "scope=swarm").stdout == ""
    assert len(docker("events", *window, "--filter", "scope=local").stdout.splitlines()) == 2


def test_what_a_container_gives_is_told(docker: Containers, tmp_path: Path) -> None:
    docker("create", "--name", "one", "--net", "none", *SLEEP)
    begin = str(time.time())
    image = docker("commit", "-m", "a word", "one", "made").stdout.strip()
    docker("export", "-o", f"{tmp_path}/one.tar", "one")
    tag, commit, export = told(docker, begin)
    assert shown(tag) == "image tag name=made:latest" and tag["Actor"]["ID"] == image
    about = commit["Actor"]["Attributes"]
    assert about["comment"] == "a word"
    assert (about["imageID"], about["imageRef"]) == (image, "made:latest")
    assert [e["Action"] for e in (commit, export)] == ["commit", "export"]


def test_half_a_line_on_a_full_disk_takes_no_other_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer was stopped before its write; others did not wait and wrote; the disk is full."""
    file, before, others = tmp_path / "events.json", b"b" * 3999 + b"\n", b"others\n"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "x", tmp_path], check=True)
    write = os.write

    def stopped(fd: int, data: bytes) -> int:
        with file.open("ab") as another:
            another.write(others)
        return write(fd, data)

    try:
        file.write_bytes(before)
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", stopped)
            events._append(str(file), b"a" * 200 + b"\n")
        assert file.read_bytes() == before + others
    finally:
        subprocess.run(["umount", tmp_path], check=True)
