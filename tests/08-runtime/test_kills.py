"""Killed, or refused by the kernel, at any request: ``delete --force``, and nothing is left.

``MYDOCKER_FAULT=kill:K`` kills a command in front of its K-th passage through a door to the kernel,
on whichever side; ``fail:K`` lets that request fail. All K take minutes: each time the suite runs
it takes some, beginning anywhere. ``MYDOCKER_TEST_EVERY=1`` takes all of them.
"""

import os
import random
import re
from typing import Any

import pytest
from sandbox import contract
from sandbox.bundles import Runtime

pytestmark = pytest.mark.root
EVERY = int(os.environ.get("MYDOCKER_TEST_EVERY", "19"))


def everything(told: dict[str, Any]) -> None:
    """A bundle with something of all that is made for a container."""
    told["linux"]["resources"] |= {"memory": {"limit": 64 << 20}, "pids": {"limit": 30}}
    told["linux"]["namespaces"].append({"type": "cgroup"})
    told["mounts"].append({"destination": "/more", "type": "tmpfs", "options": ["size=64k"]})
    one = {"path": "/bin/true", "args": ["true"]}
    told["hooks"] = {"prestart": [one], "createContainer": [one], "poststop": [one]}


def chosen(runtime: Runtime, *words: str) -> range:
    """Some of the numbers of the requests that the command makes."""
    file = runtime.bundle.directory / "told"
    done = runtime("--explain", str(file), *words)
    assert done.stderr == ""
    told = file.read_text() if file.exists() else ""
    last = max([0, *map(int, re.findall(r"^ *(\d+) (?:host|container)", told, re.M))])
    file.unlink()
    return range(random.randint(1, max(1, min(EVERY, last))), last + 1, EVERY)


def at_rest(before: contract.Photograph) -> list[str]:
    """What of the machine is not as it was, with patience for what is dying."""
    return contract.settled(before)


@pytest.mark.parametrize("fault", ["kill", "fail"])
def test_at_any_request_of_create(runtime: Runtime, fault: str) -> None:
    runtime.bundle.write("sleep", "1000", change=everything)
    before = contract.photograph()
    numbers = chosen(runtime, "create", "box")
    runtime.clear()
    hit = 0
    for k in numbers:
        done = runtime("create", "box", code=None, env={"MYDOCKER_FAULT": f"{fault}:{k}"})
        assert done.returncode in (0, -9 if fault == "kill" else 1), (
            f"{fault} at {k}: {done.stderr}"
        )
        hit += done.returncode != 0
        if fault == "fail" and done.returncode != 0:
            assert len(done.stderr.splitlines()) == 1, done.stderr
            assert os.listdir(runtime.root) == [], f"a refusal at {k} leaves nothing"
        runtime("delete", "--force", "box")
        runtime.clear()
        assert at_rest(before) == [], f"{fault} at {k}"
    # The last ones may not come: the group above is made or not, and a refusal is tried again.
    assert hit > len(numbers) / 2
    runtime.create("sleep", "1000", change=everything)  # and the id is free


@pytest.mark.parametrize("words", [("start", "box"), ("delete", "-f", "box"), ("pause", "box")])
@pytest.mark.parametrize("fault", ["kill", "fail"])
def test_at_any_request_of_what_comes_after(
    runtime: Runtime, words: tuple[str, ...], fault: str
) -> None:
    before = contract.photograph()

    def prepare() -> None:
        runtime.create("sleep", "1000", change=everything)
        if words[0] != "start":
            runtime("start", "box")

    prepare()
    numbers = chosen(runtime, *words)
    runtime.clear()
    for k in numbers:
        prepare()
        done = runtime(*words, code=None, env={"MYDOCKER_FAULT": f"{fault}:{k}"})
        assert len(done.stderr.splitlines()) <= 1, done.stderr
        runtime("delete", "--force", "box")
        runtime.clear()
        assert at_rest(before) == [], f"{words[0]}: {fault} at {k}"


def test_killed_before_it_has_a_record(runtime: Runtime) -> None:
    """An empty directory, as of a create that was killed at its very begin: the next takes it."""
    (runtime.root / "box").mkdir(parents=True)
    assert "container does not exist" in runtime("state", "box", code=1).stderr
    runtime.create("sleep", "1000")
    runtime("delete", "--force", "box")
    (runtime.root / "box").mkdir()
    runtime("delete", "--force", "box")
    assert os.listdir(runtime.root) == []
