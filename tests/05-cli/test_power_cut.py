"""After a power cut a file is old or new, never empty: fsync(2) before rename(2), told by strace.

A rename may reach the disk before the content of the file that it names (ext4 without
auto_da_alloc, XFS). No test can cut the power; but it can see in which order the calls are made.
"""

import shutil
import subprocess
from pathlib import Path

import pytest
from sandbox import strace
from sandbox.containers import Containers
from sandbox.patience import patience

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed"),
]

CALLS = "?open,openat,fsync,?fdatasync,rename"


def replaced(docker: Containers, tmp_path: Path, *command: str) -> dict[str, bool]:
    """The files that ``command`` put in the place of others: was each on the disk before that?

    But for what Python itself compiles, in a place where it has not run before.
    """
    trace = tmp_path / command[0]
    own = docker.launcher.argv(5, *command)
    words = ["strace", "-ff", "-y", "-s", "9999", "-o", str(trace), "-e", f"trace={CALLS}", *own]
    environment = docker.launcher.environment()
    done = subprocess.run(words, env=environment, capture_output=True, timeout=patience(60))
    assert done.returncode == 0, done.stderr
    found = {}
    for process in strace.read(trace).values():
        synced = set()
        for call in process.calls:
            if call.name in ("fsync", "fdatasync") and call.result == "0":
                synced.add(call.paths[0])
            elif call.name == "rename" and "/__pycache__/" in call.arguments[1]:
                continue
            elif call.name == "rename" and call.arguments[0].startswith(f"{call.arguments[1]}."):
                found[call.arguments[1]] = call.arguments[0] in synced
    return found


def test_of_a_container(docker: Containers, tmp_path: Path) -> None:
    told = replaced(docker, tmp_path, "run", "--name", "one", "--net", "none", "busybox", "true")
    files = {path.rpartition("/")[2]: synced for path, synced in told.items()}
    assert files.pop("config.json", False) and files.pop("state.json", False), told
    told = replaced(docker, tmp_path, "rename", "one", "two")
    assert [synced for path, synced in told.items() if path.endswith("config.json")] == [True]


def test_of_one_that_goes_with_its_end_nothing_waits(docker: Containers, tmp_path: Path) -> None:
    told = replaced(docker, tmp_path, "run", "--rm", "--net", "none", "busybox", "true")
    files = {path.rpartition("/")[2]: synced for path, synced in told.items()}
    assert files["config.json"] is False


def test_of_the_images(docker: Containers, tmp_path: Path) -> None:
    told = replaced(docker, tmp_path, "tag", "busybox", "other")
    assert [synced for path, synced in told.items() if path.endswith("index.json")] == [True]
    docker("create", "--name", "one", "busybox")
    told = replaced(docker, tmp_path, "commit", "one", "third")
    assert {synced for path, synced in told.items() if "/image/" in path} == {True}, told
    docker("rm", "one")
    docker("rmi", "other", "third")


def test_of_a_network(docker: Containers, tmp_path: Path) -> None:
    told = replaced(docker, tmp_path, "network", "create", "blue")
    docker("network", "rm", "blue")
    assert told and all(told.values()), told
