"""What only pure cgroup v2 can show: groups that a container manages by itself."""

from pathlib import Path

import pytest
from sandbox.containers import Containers

from mydocker.cgroups import hierarchy

pytestmark = pytest.mark.root
SLEEP = ("busybox", "sleep", "1000")


@pytest.fixture
def unified() -> Path:
    """Where the one tree of groups is."""
    machine = hierarchy.read()
    if machine.unified is None or len(machine.usable) > 1:
        pytest.skip("v1's hierarchies take processes in every group")
    return Path(machine.unified.mountpoint)


def test_exec_where_the_container_hands_its_controllers_on(
    docker: Containers, unified: Path
) -> None:
    """As systemd or Docker in a container do: processes are in the leaves only."""
    docker.run("--name", "one", *SLEEP)
    pid = docker.pid("one")
    group = unified / hierarchy.groups_of(pid)["unified"].strip("/")
    leaf = group / "init.scope"
    leaf.mkdir()
    (leaf / "cgroup.procs").write_text(str(pid))
    (group / "cgroup.subtree_control").write_text("+pids")
    assert docker("exec", "one", "cat", "/proc/self/cgroup").stdout == "0::/init.scope\n"
    docker("restart", "-t", "0", "one")
    assert docker("exec", "one", "cat", "/proc/self/cgroup").stdout == "0::/\n"
