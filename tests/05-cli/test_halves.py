"""A whole container in two halves: all parts in place before go; killed and refused everywhere."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from sandbox.before import Before, at_rest
from sandbox.halving import Halves
from sandbox.launcher import Launcher, eventually
from sandbox.machine import Sandbox

from mydocker.container import leftovers

pytestmark = pytest.mark.root

OPTIONS = (
    "--net", "none", "-m", "40M", "--pids-limit", "30", "--tmpfs", "/run", "-u", "1000:1000",
    "--read-only", "--ulimit", "nofile=99",
)  # fmt: skip


def created(
    mydocker: Launcher, sandbox: Sandbox, *command: str, options: tuple[str, ...] = ()
) -> Halves:
    """One that step 05 knows, and has made nothing for yet."""
    done = mydocker(5, "create", *OPTIONS, *options, "busybox", *command)
    return Halves(sandbox, done.stdout.strip())


@pytest.fixture
def halves(mydocker: Launcher, sandbox: Sandbox) -> Iterator[Halves]:
    made = created(mydocker, sandbox, "sleep", "60")
    yield made
    if made.directory.exists():
        made("delete", "force")
    mydocker(5, "rm", made.id)


def fields(text: str) -> dict[str, str]:
    return dict(re.findall(r"^(\w+):\s*(.*?)\s*$", text, re.MULTILINE))


WHO = ("Uid", "Gid", "Groups", "CapEff", "CapBnd", "CapPrm", "Seccomp", "NoNewPrivs", "NSpid")


def seen(process: Path) -> dict[str, object]:
    """What is in place around a process, and is not the command itself."""
    status = fields((process / "status").read_text())
    mounts = (process / "mountinfo").read_text().splitlines()
    return {
        **{name: status[name] for name in WHO},
        "cgroup": (process / "cgroup").read_text(),
        "mounts": [line.split()[4:6] for line in mounts],
        "namespaces": {one.name: os.readlink(one) for one in (process / "ns").iterdir()},
        "files": (process / "limits").read_text().split("Max open files")[1].split()[:2],
        "root": sorted(os.listdir(process / "root")),
        "directory": os.readlink(process / "cwd"),
    }


def test_all_is_in_place_before_it_starts(halves: Halves) -> None:
    halves("create", "whole")
    process = halves.process()
    waiting = seen(process)
    assert waiting["Uid"].split()[0] == "1000" and waiting["Seccomp"] == "2"  # type: ignore[attr-defined]
    assert waiting["files"] == ["99", "99"] and "bin" in waiting["root"]  # type: ignore[operator]
    assert halves.id in str(waiting["cgroup"]) and ["/run"] in [m[:1] for m in waiting["mounts"]]  # type: ignore[attr-defined]
    assert "python" in os.path.basename(os.path.realpath(process / "exe"))
    assert (process / "environ").stat().st_uid == 0, (
        "who is inside could open its files (PR_SET_DUMPABLE)"
    )
    halves("start")
    assert os.path.basename(os.path.realpath(process / "exe")) == "busybox"
    assert (process / "environ").stat().st_uid == 1000
    assert seen(process) == waiting
    halves("delete", "force")


def test_a_command_that_is_not_in_the_image(mydocker: Launcher, sandbox: Sandbox) -> None:
    """By the tiny program that executes it: its answers come through the FIFO, too."""
    for command, code in (("nonsense", 127), ("/etc", 126), ("/bin/none", 127)):
        halves = created(mydocker, sandbox, command)
        halves("create", "whole")
        failed = halves("start", code=code)
        assert command in failed.stderr and failed.stderr.count("\n") == 1
        halves("delete")
        mydocker(5, "rm", halves.id)


@pytest.fixture
def before(sandbox: Sandbox, mydocker: Launcher, halves: Halves) -> Before:
    """The machine after both halves were once made and deleted."""
    for verb in (("create", "whole"), ("start",), ("delete", "force")):
        halves(*verb)
    eventually(at_rest, what="the end of what outlives a run")
    return Before(sandbox)


def test_killed_at_every_request_of_both_halves(before: Before, halves: Halves) -> None:
    run = str(halves.sandbox.run)
    last = len(halves.events("create", "whole"))
    halves("delete")
    assert last > 30
    for k in range(1, last + 1):
        halves("create", "whole", code=-signal.SIGKILL, env={"MYDOCKER_FAULT": f"kill:{k}"})
        eventually(before.nobody_dies, what="the end of what was killed")
        before.prune()
        assert before.changes() == [], f"killed at request {k} of create"
    halves("create", "whole")
    assert [side for _, side, *_ in halves.events("start")] == ["host", "container"]
    halves("delete", "force")
    for k, left in ((1, "created"), (2, "stopped")):
        halves("create", "whole")
        halves("start", code=-signal.SIGKILL, env={"MYDOCKER_FAULT": f"kill:{k}"})
        eventually(lambda: halves.status() == left, what=left)  # noqa: B023
        halves("delete")
        assert before.changes() == [], f"killed at request {k} of start"
    halves("create", "whole")
    deleting = len(halves.events("delete"))
    assert deleting > 3
    for k in range(1, deleting + 1):
        halves("create", "whole")
        halves("delete", code=-signal.SIGKILL, env={"MYDOCKER_FAULT": f"kill:{k}"})
        if k > 1:
            eventually(lambda: leftovers.dead(run) == [halves.id], what="a leftover")
            before.prune()
        else:
            halves("delete")
        assert before.changes() == [], f"killed at request {k} of delete"


def test_refused_at_every_request_of_the_first_half(before: Before, halves: Halves) -> None:
    last = len(halves.events("create", "whole"))
    halves("delete")
    for k in range(1, last + 1):
        done = halves("create", "whole", code=None, env={"MYDOCKER_FAULT": f"fail:{k}"})
        if done.returncode == 0:  # one that is not needed
            halves("delete")
        else:
            assert done.stderr.count("\n") == 1, done
        assert before.changes() == [], f"refused at request {k}: {done.stderr}"


def test_what_a_container_of_step_05_is_stays(mydocker: Launcher, halves: Halves) -> None:
    """`create` there makes no process, as Docker's."""
    assert not halves.directory.exists()
    assert "Created" in mydocker(5, "ps", "-a", "--format", "{{.Status}}").stdout
