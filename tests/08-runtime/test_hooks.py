"""Six kinds of hooks: when, where, with what; and what a failing one does."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from sandbox.bundles import Runtime

pytestmark = pytest.mark.root
Told = dict[str, Any]
KINDS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")


def hook(script: str, **more: Any) -> Told:
    return {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin"], **more}


def test_each_in_its_moment(runtime: Runtime, tmp_path: Path) -> None:
    """Those of the host write to a file there; that of the inside, to one of the container."""
    log = tmp_path / "log"

    def change(told: Told) -> None:
        line = 'echo "$0 $(cat) $(readlink /proc/self/ns/mnt)" >> {}'
        told["hooks"] = {kind: [hook(line.format(log))] for kind in KINDS}
        told["hooks"]["startContainer"] = [hook(line.format("/log"))]
        for kind, (one,) in told["hooks"].items():
            one["args"].append(kind)

    runtime.create("sh", "-c", "cat /log; exec sleep 1000", change=change)
    moments = [line.split(" ", 1)[0] for line in log.read_text().splitlines()]
    assert moments == ["prestart", "createRuntime", "createContainer"]
    assert not (runtime.bundle.rootfs / "log").exists()
    runtime("start", "box")
    runtime("delete", "--force", "box")
    lines = [
        *log.read_text().splitlines(),
        *(runtime.bundle.rootfs / "log").read_text().splitlines(),
    ]
    found = {}
    for line in lines:
        kind, rest = line.split(" ", 1)
        state, _, namespace = rest.rpartition(" ")
        found[kind] = (json.loads(state), namespace)
    assert set(found) == set(KINDS)
    statuses = {kind: state["status"] for kind, (state, _) in found.items()}
    assert statuses == {
        "prestart": "creating", "createRuntime": "creating", "createContainer": "creating",
        "startContainer": "created", "poststart": "running", "poststop": "stopped",
    }  # fmt: skip
    for state, _ in found.values():
        assert state["id"] == "box" and state["bundle"] == str(runtime.bundle.directory)
    host = os.readlink("/proc/self/ns/mnt")
    inside = {kind for kind, (_, namespace) in found.items() if namespace != host}
    assert inside == {"createContainer", "startContainer"}


def test_its_arguments_and_environment_are_just_those(runtime: Runtime, tmp_path: Path) -> None:
    def change(told: Told) -> None:
        one = {"path": "/bin/sh", "args": ["zero", "-c", f"echo $0 $(env) > {tmp_path}/said"]}
        told["hooks"] = {"prestart": [{**one, "env": ["A=b"]}]}

    runtime.run("true", change=change)
    zero, *variables = (tmp_path / "said").read_text().split()
    assert zero == "zero" and "A=b" in variables
    assert not {v for v in variables if v.startswith(("PATH=/", "HOME=", "MYDOCKER"))}


@pytest.mark.parametrize("kind", ["prestart", "createRuntime", "createContainer"])
@pytest.mark.parametrize(
    ("one", "said"),
    [
        (hook("echo why >&2; exit 3"), "error running hook #0: exit status 3, output: why"),
        (hook("kill -9 $$"), "error running hook #0: signal: Killed"),
        ({"path": "/nowhere"}, "error running hook #0: fork/exec /nowhere: no such file"),
        (hook("sleep 1000", timeout=1), "error running hook #0: hook ran past specified timeout"),
    ],
)
def test_a_failing_one_ends_the_creation(
    runtime: Runtime, kind: str, one: Told, said: str, tmp_path: Path
) -> None:
    def change(told: Told) -> None:
        told["hooks"] = {kind: [one, hook(f"echo > {tmp_path}/second")]}

    done = runtime.run("true", change=change, code=1)
    assert said in done.stderr and len(done.stderr.splitlines()) == 1
    assert os.listdir(runtime.root) == []
    assert not (tmp_path / "second").exists(), "the next one is not run"


def test_what_fails_later_is_only_told(runtime: Runtime) -> None:
    def change(told: Told) -> None:
        told["hooks"] = {kind: [hook("exit 3")] for kind in ("poststart", "poststop")}

    done = runtime.run("echo", "it ran", change=change)
    assert done.stdout == "it ran\n"
    assert [line.count("level=warning") for line in done.stderr.splitlines()] == [1, 1]


def test_a_network_is_made_by_a_hook(runtime: Runtime) -> None:
    """As Docker does it: by the pid in the state, before the command runs."""
    script = "set -- $(cat | tr -d ',\":'); while [ $1 != pid ]; do shift; done; "
    script += "nsenter -t $2 -n ip link add br77 type bridge"

    def change(told: Told) -> None:
        one = hook(script)
        one["env"] = [f"PATH={os.environ['PATH']}"]
        told["hooks"] = {"prestart": [one]}

    done = runtime.run("ls", "/sys/class/net", change=change)
    assert "br77" in done.stdout.split()
