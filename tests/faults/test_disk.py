"""The disk refuses, or takes only half, at every write of what mydocker remembers.

``MYDOCKER_FAULT=full:K`` (from the K-th write on), ``broken:K`` (EIO) and ``short:K`` let it
happen. The command ends with one clear line, nothing is half made, and the next one works. Each
time the suite runs, it takes two of these faults for each command; ``MYDOCKER_TEST_EVERY=1`` takes
all.
"""

import os
import random
from collections.abc import Iterator

import pytest
from sandbox.containers import Containers
from sandbox.launcher import Launcher
from sandbox.machine import Sandbox

from mydocker.engine.records.store import Store
from mydocker.engine.truth import look
from mydocker.engine.volumes.store import VolumeStore
from mydocker.network.store import Store as Networks
from mydocker.overlay2.images import ImageStore

pytestmark = pytest.mark.root
SLEEP = ("busybox", "sleep", "1000")
WRITES = 12  # more than any command makes
FAULTS = [(kind, k) for kind in ("full", "broken", "short") for k in range(1, WRITES + 1)]
ALL = os.environ.get("MYDOCKER_TEST_EVERY") == "1"
COMMANDS = {
    "create": ["create", "--name", "new", "--net", "none", *SLEEP],
    "run": ["run", "-d", "--name", "new", *SLEEP],
    "start": ["start", "down"],
    "stop": ["stop", "-t", "0", "up"],
    "kill": ["kill", "up"],
    "pause": ["pause", "up"],
    "unpause": ["unpause", "still"],
    "rm": ["rm", "down"],
    "rm -f": ["rm", "-f", "up"],
    "rename": ["rename", "down", "renamed"],
    "network create": ["network", "create", "other"],
    "network connect": ["network", "connect", "blue", "up"],
    "volume create": ["volume", "create", "vol"],
    "commit": ["commit", "up", "committed"],
    "tag": ["tag", "busybox", "tagged"],
}
ENDING = ("stop", "kill", "unpause", "rm", "rm -f")


@pytest.fixture
def docker(mydocker: Launcher) -> Iterator[Containers]:
    containers = Containers(mydocker)
    containers.need_image()
    yield containers
    clear(containers)


def clear(docker: Containers) -> None:
    docker.clear()
    for image in ("committed", "tagged"):
        docker("rmi", image, code=None)
    docker("volume", "rm", "-f", "vol", code=None)
    for network in ("other", "blue"):
        docker("network", "rm", network, code=None)


def prepare(docker: Containers) -> None:
    have = docker("ps", "-a", "--format", "{{.Names}} {{.State}}").stdout.split("\n")
    if "blue" not in docker("network", "ls", "--format", "{{.Name}}").stdout.split():
        docker("network", "create", "blue")
    if "up running" not in have:
        docker("rm", "-f", "up")
        docker.run("--name", "up", *SLEEP, net=True)
    if "still paused" not in have:
        docker("rm", "-f", "still")
        docker.run("--name", "still", *SLEEP)
        docker("pause", "still")
    if "down created" not in have:
        docker("rm", "-f", "down", "renamed")
        docker("create", "--name", "down", "--net", "none", *SLEEP)


def remembered(sandbox: Sandbox) -> dict[str, object]:
    """What the commands say that there is, and files that nobody should see."""
    store = Store(str(sandbox.root), str(sandbox.run))
    containers = [(store.config(one).name, look(store, one).status) for one in store.ids()]
    tops = (sandbox.root / "containers", sandbox.root / "image", sandbox.root / "network",
            sandbox.root / "volumes", sandbox.root / "tmp", sandbox.run)  # fmt: skip
    return {
        "containers": sorted(containers),
        "images": sorted(name for one in ImageStore(store.root).all() for name in one.names),
        "volumes": VolumeStore(store.root).names(),
        "networks": sorted(one.name for one in Networks(store.root, store.run).networks()),
        "drafts": [str(path) for top in tops for path in top.rglob("*.new")],
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_a_refused_write(docker: Containers, sandbox: Sandbox, name: str) -> None:
    words = COMMANDS[name]
    clear(docker)
    for kind, k in FAULTS if ALL else [("full", 1), random.choice(FAULTS)]:
        prepare(docker)
        before = remembered(sandbox)
        done = docker(*words, code=None, env={"MYDOCKER_FAULT": f"{kind}:{k}"})
        where = f"{kind}:{k}: {done.stderr}"
        assert "Traceback" not in done.stderr and "internal error" not in done.stderr, where
        after = remembered(sandbox)
        assert after["drafts"] == [], where
        if kind == "short" or name in ENDING:
            assert done.returncode == 0, where
        elif (kind, k) == ("full", 1):
            assert done.returncode, where
        if done.returncode:
            assert done.stderr.count("\n") == 1 and done.stderr.startswith("mydocker: "), where
            assert ("No space left" if kind == "full" else "Input/output") in done.stderr
            if name == "run":  # as in Docker, the container was made, and could not be started
                docker("rm", "-f", "new")
                after = remembered(sandbox)
            assert after == before, where
            docker(*words)
        assert remembered(sandbox) != before or name == "network connect", where
        clear_made(docker, name)


def clear_made(docker: Containers, name: str) -> None:
    """What the command made, or changed."""
    if name in ("stop", "kill", "rm -f", "pause"):
        docker("rm", "-f", "up")
    elif name in ("start", "rename"):
        docker("rm", "-f", "down", "renamed")
    elif name == "unpause":
        docker("rm", "-f", "still")
    elif name in ("create", "run"):
        docker("rm", "-f", "new")
    elif name == "network connect":
        docker("network", "disconnect", "blue", "up")
    elif name == "network create":
        docker("network", "rm", "other")
    elif name == "volume create":
        docker("volume", "rm", "vol")
    elif name in ("commit", "tag"):
        docker("rmi", "committed" if name == "commit" else "tagged")
