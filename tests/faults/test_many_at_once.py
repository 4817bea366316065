"""Lists that are read while others change them: many commands of all kinds at once.

``MYDOCKER_TEST_ROUNDS`` says how many rounds; in each, things are made, listed and removed.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from sandbox.containers import Containers
from sandbox.launcher import Completed
from sandbox.machine import Sandbox

from mydocker.engine.cleaning.leftover import Place
from mydocker.engine.cleaning.leftovers import find
from mydocker.engine.life.removal import remove
from mydocker.engine.records.store import Store

pytestmark = pytest.mark.root
ROUNDS = int(os.environ.get("MYDOCKER_TEST_ROUNDS", "1"))


def test_what_vanishes_from_a_list_is_left_out(docker: Containers, sandbox: Sandbox) -> None:
    looking = [["ps", "-a"], ["volume", "ls"], ["images"], ["network", "ls"], ["system", "df"],
               ["network", "map"], ["cgroup", "tree"], ["info"], ["system", "prune", "-f"],
               ["stats", "--no-stream"]]  # fmt: skip
    for number in range(ROUNDS):
        names = [f"m{number}-{n}" for n in range(10)]
        making = [["create", "--name", n, "--net", "none", "busybox", "true"] for n in names]
        making += [["volume", "create", n] for n in names[:4]]
        making += [["tag", "busybox", n] for n in names[:4]]
        making += [["run", "--rm", "busybox", "true"] for _ in range(4)]
        removing = [["rm", n] for n in names] + [["volume", "rm", n] for n in names[:4]]
        removing += [["rmi", n] for n in names[:4]]
        with ThreadPoolExecutor(6) as pool:
            for step in (making, removing):
                mixed = [one for pair in zip(step, looking * 3, strict=False) for one in pair]
                mixed += step[len(looking) * 3 :]
                done = pool.map(lambda words: docker(*words, code=None), mixed)
                for words, one in zip(mixed, done, strict=True):
                    check(words, one)


def check(words: list[str], done: Completed) -> None:
    """A container that a prune removed first is no fault; a Python error is one."""
    assert "internal error" not in done.stderr and "Traceback" not in done.stderr, (words, done)
    gone = "No such" in done.stderr or "no such" in done.stderr
    assert done.returncode == 0 or gone, (words, done)


def test_a_name_that_is_freed_while_it_is_looked_for(
    sandbox: Sandbox, docker: Containers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the list of names and the look at each, another container goes."""
    docker("create", "--name", "one", "--net", "none", "busybox", "true")
    identifier = docker("create", "--name", "two", "--net", "none", "busybox", "true").stdout
    store = Store(str(sandbox.root), str(sandbox.run))
    listed = os.listdir

    def late(path: str) -> list[str]:
        names = listed(path)
        return ["gone", *names] if str(path).endswith("/names") else names

    monkeypatch.setattr(os, "listdir", late)
    find(Place(store.root, store.run))
    assert store.name_of(identifier.strip()) == "two"
    remove(store, "two")
    assert store.named("two") == ""
