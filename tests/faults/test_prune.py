"""``system prune`` beside containers that run, that begin, and that are killed at any time."""

import os
import random
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sandbox.before import Before, at_rest
from sandbox.launcher import Launcher, eventually
from sandbox.machine import Sandbox
from sandbox.patience import patience

from mydocker.cgroups.limits import Limits
from mydocker.cgroups.part import cgroup_part
from mydocker.container import state

pytestmark = pytest.mark.root

# Of step 04: there, the program itself looks after its container.
RUN = ("run", "-m", "40M", "--pids-limit", "30", "-p", "8766:80", "busybox")

SIX_TIMES = 'for i in 1 2 3 4 5 6; do "$@" || exit 1; done'


@pytest.fixture
def before(sandbox: Sandbox, mydocker: Launcher) -> Before:
    mydocker(4, *RUN, "true")
    eventually(at_rest, what="the end of what outlives a run")
    return Before(sandbox)


def test_killed_at_any_time(mydocker: Launcher, before: Before) -> None:
    moments = random.Random()
    seed = random.randrange(1 << 30)
    moments.seed(seed)
    for _ in range(12):
        started = mydocker.start(4, *RUN, "sleep", "60")
        delay = moments.random() * 0.4  # before anything is made, and until it runs
        time.sleep(delay)
        started.kill()
        started.wait()
        mydocker(5, "system", "prune")
        assert before.changes() == [], f"seed {seed}: killed after {delay} s"


def test_killed_while_it_runs(mydocker: Launcher, before: Before) -> None:
    started = mydocker.start(4, *RUN, "sh", "-c", "echo there > /file; sleep 60 & sleep 61")
    pid = mydocker.inside(started, "sleep")
    started.kill()
    started.wait()
    told = mydocker(5, "system", "prune").stdout.splitlines()
    assert before.changes() == []
    assert not os.path.exists(f"/proc/{pid}")
    assert len(told) == 2 and told[0].startswith("released: container ")
    assert told[1].startswith("Total reclaimed space: ") and told[1].split()[-1] != "0B"
    assert mydocker(5, "system", "prune").stdout == "Total reclaimed space: 0B\n"


def test_what_runs_is_left_alone(mydocker: Launcher, before: Before) -> None:
    started = mydocker.start(
        4, "run", "-i", *RUN[1:], "sh", "-c", "read line; echo $line > /file; cat /file"
    )
    mydocker.inside(started, "sh")
    assert mydocker(5, "system", "prune").stdout == "Total reclaimed space: 0B\n"
    output, error = started.communicate("alive\n", timeout=patience(30))
    assert (started.returncode, output, error) == (0, "alive\n", "")


def test_what_begins_is_left_alone(mydocker: Launcher, before: Before) -> None:
    """Prunes, several at once and without a pause, while containers come and go."""
    runs = [
        subprocess.Popen(
            ["sh", "-c", SIX_TIMES, "sh", *mydocker.argv(step, *arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for step, arguments in (
            (3, ("run", "-m", "40M", "busybox", "true")),
            (5, ("run", "--rm", "-m", "40M", "busybox", "true")),
        )
    ]
    with ThreadPoolExecutor(2) as pool:
        while any(run.poll() is None for run in runs):
            for pruned in pool.map(lambda _: mydocker(5, "system", "prune"), range(2)):
                assert pruned.stderr == ""
    for run in runs:
        said, _ = run.communicate()
        assert (run.returncode, said) == (0, "")


def test_two_at_once_after_many_kills(mydocker: Launcher, before: Before) -> None:
    runs = [mydocker.start(4, *RUN[:-3], "busybox", "sleep", "60") for _ in range(4)]
    for run in runs:
        mydocker.inside(run, "sleep")
    for run in runs:
        run.send_signal(signal.SIGKILL)
        run.wait()
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: mydocker(5, "system", "prune").stdout, range(2)))
    assert sum(text.count("released: container") for text in both) == 4, both
    assert before.changes() == []


def kill_with_monitor(run: subprocess.Popen[str], sandbox: Sandbox) -> None:
    """Kill -9 a ``mydocker run`` and the monitor that it made, whose record names it."""
    (identifier,) = state.identifiers(str(sandbox.run))
    record = state.read(str(sandbox.run), identifier)
    assert record is not None and record.owner.pid != run.pid
    run.kill()
    run.wait()
    os.kill(record.owner.pid, signal.SIGKILL)


def test_a_container_without_rm_keeps_its_layer(
    mydocker: Launcher, sandbox: Sandbox, before: Before
) -> None:
    started = mydocker.start(5, "run", "busybox", "sh", "-c", "echo kept > /kept; sleep 60")
    mydocker.inside(started, "sleep")
    kill_with_monitor(started, sandbox)
    mydocker(5, "system", "prune")
    assert mydocker(5, "system", "prune").stdout == "Total reclaimed space: 0B\n"
    kept = [*sandbox.root.glob("overlay2/*/diff/kept")]
    assert len(kept) == 1 and kept[0].read_text() == "kept\n"
    assert not os.path.ismount(kept[0].parent.parent / "merged")
    mydocker(5, "rm", kept[0].parent.parent.name)
    assert before.changes() == []


def test_a_container_with_rm_goes_whole(
    mydocker: Launcher, sandbox: Sandbox, before: Before
) -> None:
    started = mydocker.start(5, *RUN[:1], "--rm", *RUN[1:], "sleep", "60")
    mydocker.inside(started, "sleep")
    kill_with_monitor(started, sandbox)
    assert "released: container" in mydocker(5, "system", "prune").stdout
    assert before.changes() == []


def test_without_root(mydocker: Launcher, sandbox: Sandbox, before: Before) -> None:
    started = mydocker.start(4, *RUN, "sleep", "60")
    mydocker.inside(started, "sleep")
    started.kill()
    started.wait()
    done = mydocker(5, "system", "prune", code=125, user=65534)
    assert done.stderr.startswith("mydocker: ") and done.stderr.count("\n") == 1
    mydocker(5, "system", "prune")
    assert before.changes() == []


def test_a_group_that_another_root_is_just_making_stays(mydocker: Launcher) -> None:
    """Its record lies in another run directory: to us it looks like what a killed run left."""
    part = cgroup_part(os.urandom(32).hex(), Limits())
    part.prepare()
    refused = mydocker(5, "system", "prune", "-f", code=None)
    assert "somebody is just making groups" in refused.stderr
    mine = subprocess.Popen(["sleep", "60"])
    try:
        part.group().attach(mine.pid)
        part.attach(mine.pid)
        mydocker(5, "system", "prune", "-f")
        assert part.group().processes() == [mine.pid]
    finally:
        mine.kill()
        mine.wait()
    eventually(lambda: not part.group().processes())
    mydocker(5, "system", "prune", "-f")
    assert not part.group().exists, "what nobody has and nobody is making goes"


def test_in_a_storm_of_runs_of_one_root_the_prune_of_another_takes_nothing(
    mydocker: Launcher, before: Before, sandbox: Sandbox
) -> None:
    place = sandbox.directory / "other"
    other = {"MYDOCKER_RUN": str(place / "run"), "MYDOCKER_ROOT": str(place / "root")}
    storm = ["sh", "-c", SIX_TIMES, "sh", *mydocker.argv(4, *QUIET)]
    started = [subprocess.Popen(storm, env=mydocker.environment(), text=True) for _ in range(2)]
    for one in started:
        mydocker.adopt(one)
    while any(one.poll() is None for one in started):
        mydocker(5, "system", "prune", "-f", env=other, code=None)
    assert [one.wait(60) for one in started] == [0, 0]


QUIET = ("run", "--net", "none", "busybox", "true")
