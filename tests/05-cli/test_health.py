"""Is it well? The tests of a container's health: what they are, who makes them, what is told."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from sandbox import contract
from sandbox.containers import Containers
from sandbox.groups import called
from sandbox.launcher import eventually
from sandbox.machine import Sandbox
from sandbox.patience import patience

from mydocker.engine.cleaning import leftovers
from mydocker.engine.cleaning.leftover import Place
from mydocker.engine.monitor.probes import Probes
from mydocker.engine.records.health import Health, Result
from mydocker.engine.records.store import Store
from mydocker.kernel.durations import duration_text
from mydocker.kernel.errors import Failure
from mydocker.overlay2.healthcheck import Healthcheck
from mydocker.overlay2.image import ImageConfig
from mydocker.overlay2.instructions import apply

SECOND = 10**9
SLEEP = ("busybox", "sleep", "1000")
SELDOM = ("--health-interval", "1h")  # whoever wants a test before asks a prober
OFTEN = ("--health-interval", "100ms")


# ---------------------------------------------------------------- what is asked for


@pytest.mark.parametrize(
    ("written", "check"),
    [
        ("NONE", Healthcheck(("NONE",))),
        ("CMD true", Healthcheck(("CMD-SHELL", "true"))),
        ('CMD ["a", "b c"]', Healthcheck(("CMD", "a", "b c"))),
        ('CMD ["/bin/sh", "-c", "x"]', Healthcheck(("CMD", "/bin/sh", "-c", "x"))),
        ("--interval=1m30s --retries=2 CMD a || b",
         Healthcheck(("CMD-SHELL", "a || b"), 90 * SECOND, retries=2)),
        ("--timeout=1s --start-period=2s --start-interval=10ms cmd a",
         Healthcheck(("CMD-SHELL", "a"), 0, SECOND, 2 * SECOND, 10**7)),
    ],
)  # fmt: skip
def test_a_line_of_a_dockerfile(written: str, check: Healthcheck) -> None:
    config = apply(ImageConfig(), [f"HEALTHCHECK {written}"])
    assert config.healthcheck == check
    assert ImageConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("true", 'Unknown type "TRUE" in HEALTHCHECK (try CMD)'),
        ("CMD", "Missing command after HEALTHCHECK CMD"),
        ("--interval=1s", 'Unknown type "" in HEALTHCHECK (try CMD)'),
        ("NONE x", "HEALTHCHECK NONE takes no arguments"),
        ("--interval=1us CMD x", 'Interval "interval" cannot be less than 1ms'),
        ("--interval=5 CMD x", 'invalid duration "5"'),
        ("--retries=x CMD x", "--retries must be a number"),
        ("--every=1s CMD x", "Unknown flag: every"),
    ],
)
def test_no_line_of_a_dockerfile(written: str, said: str) -> None:
    with pytest.raises(Failure, match="--change") as caught:
        apply(ImageConfig(), [f"HEALTHCHECK {written}"])
    assert said in caught.value.message


@pytest.mark.parametrize("told", [{}, {"Test": None}, {"Test": "x", "Interval": "x"}])
def test_an_images_own_object_may_be_anything(told: dict[str, Any]) -> None:
    config = ImageConfig.from_json({"Healthcheck": told})
    assert config.healthcheck is not None and config.healthcheck.arguments == ()
    assert ImageConfig.from_json({"Healthcheck": "x"}).healthcheck is None


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [(0, "0s"), (SECOND, "1s"), (90 * SECOND, "1m30s"), (1500 * 10**6, "1.5s"), (7, "7ns"),
     (3 * 10**8, "300ms"), (1500, "1.5µs"), (3600 * SECOND, "1h0m0s"),
     (3 * 10**9 + 1, "3.000000001s")],
)  # fmt: skip
def test_spans_as_go_writes_them(nanoseconds: int, text: str) -> None:
    assert duration_text(nanoseconds) == text


@pytest.mark.root
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--health-interval", "10us"], "Interval in Healthcheck cannot be less than 1ms"),
        (["--health-timeout", "1ns"], "Timeout in Healthcheck cannot be less than 1ms"),
        (["--health-start-period", "1ns"], "StartPeriod in Healthcheck cannot be less than 1ms"),
        (["--health-start-interval", "1ns"], "StartInterval in Healthcheck cannot be less than"),
        (["--health-retries", "-1"], "--health-retries cannot be negative"),
        (["--health-timeout", "-1s"], "--health-timeout cannot be negative"),
        (["--health-timeout", "soon"], 'invalid duration "soon"'),
        (["--no-healthcheck", "--health-cmd", "x"], "--no-healthcheck conflicts with --health-*"),
    ],
)
def test_refused(docker: Containers, options: list[str], said: str) -> None:
    done = docker("create", *options, "busybox", code=None)
    assert done.returncode in (1, 125) and said in done.stderr and done.stderr.count("\n") == 1
    assert docker("ps", "-aq").stdout == ""


@pytest.mark.root
def test_the_images_test_and_what_is_said_in_its_place(docker: Containers, tmp_path: Path) -> None:
    docker("create", "--name", "first", "busybox")
    line = "HEALTHCHECK --interval=1h --retries=7 CMD test -e /ok"
    docker("commit", "-c", line, "first", "tested")
    image = {"Test": ["CMD-SHELL", "test -e /ok"], "Interval": 3600 * SECOND, "Retries": 7}
    assert json.loads(docker.get("tested", "{{json .Config.Healthcheck}}")) == image

    def told(name: str, *options: str, of: str = "tested") -> Any:
        docker("create", "--name", name, *options, of)
        return json.loads(docker.get(name, "{{json .Config.Healthcheck}}"))

    assert told("as-it-is") == image
    assert told("one-thing", "--health-retries", "2") == image | {"Retries": 2}
    assert told("other", "--health-cmd", "a b") == image | {"Test": ["CMD-SHELL", "a b"]}
    assert told("without", "--no-healthcheck") == {"Test": ["NONE"]}
    docker("commit", "one-thing", "again")
    docker("save", "-o", str(tmp_path / "a.tar"), "again")
    docker("rmi", "again")
    docker("load", "-i", str(tmp_path / "a.tar"))
    assert told("loaded", of="again") == image | {"Retries": 2}


# ---------------------------------------------------------------- what follows from results


def result(code: int, at: int = 0) -> Result:
    return Result(f"2026-01-01T00:{at // 60:02}:{at % 60:02}.000000000Z", "", code, "")


def health(check: Healthcheck, *results: Result) -> Health:
    found = Health("2026-01-01T00:00:00.000000000Z")
    for one in results:
        found = found.after(one, check.with_defaults())
    return found


@pytest.mark.parametrize(
    ("codes", "status", "streak"),
    [
        ([], "starting", 0),
        ([1, 1], "starting", 2),
        ([1, 1, -1], "unhealthy", 3),
        ([1, 1, 0, 1, 2], "healthy", 2),
        ([0, 1, 1, 1], "unhealthy", 3),
        ([1, 1, 1, 0], "healthy", 0),
    ],
)
def test_what_follows(codes: list[int], status: str, streak: int) -> None:
    found = health(Healthcheck(("CMD", "x")), *map(result, codes))
    assert (found.status, found.failing_streak) == (status, streak)


def test_what_fails_in_the_start_period_does_not_count() -> None:
    check = Healthcheck(("CMD", "x"), start_period=60 * SECOND, retries=1)
    assert health(check, result(1, 1), result(1, 59)).failing_streak == 0
    assert health(check, result(1, 1), result(1, 60)).status == "unhealthy"
    assert health(check, result(0, 1), result(1, 2)).status == "unhealthy", "it was well already"


def test_the_last_five_results_are_kept() -> None:
    found = health(Healthcheck(("CMD", "x")), *map(result, range(9)))
    assert [one.exit_code for one in found.log] == [4, 5, 6, 7, 8]


# ---------------------------------------------------------------- when a test comes


def test_when_the_next_test_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is done in between: the monitor sleeps until then."""
    now = 100.0
    monkeypatch.setattr("mydocker.engine.monitor.probes.time.monotonic", lambda: now)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    known: dict[str, Any] = {"interval": 30.0, "start_interval": 5.0, "start_period": 12.0,
                             "timeout": 30.0, "began": now, "due": 0.0, "asked": False,
                             "pid": -1, "fd": ours.detach()}  # fmt: skip
    found = Probes({"health": known})
    assert (found.patience(-1), found.patience(100)) == (5000, 100)
    for answer, wait in ((b"s", 5000), (b"s", 5000), (b"s", 30000), (b".", 30000)):
        now = known["due"]
        assert found.patience(-1) == 0
        found.go_on(set())
        assert theirs.recv(1) == b"p" and found.patience(-1) == 60000, "as long as it may take"
        theirs.send(answer)
        found.go_on({found.fd})
        assert found.patience(-1) == wait
    now = known["due"]
    found.go_on(set())
    now += 100
    found.go_on(set())
    assert found.fd == -1 and found.patience(-1) == 30000, "it never answered: given up"
    theirs.close()


# ---------------------------------------------------------------- one test


class Prober:
    """A prober of our own, which tests when we say so."""

    def __init__(self, docker: Containers, name: str, fault: str = "") -> None:
        self.docker, self.name = docker, name
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(patience(60))
        steps = [path for path in sys.path if "/steps/" in path]
        program = f"import sys; sys.path += {steps!r}\n"
        program += "from mydocker.engine.life import probing; probing.main()"
        root, run = os.environ["MYDOCKER_ROOT"], os.environ["MYDOCKER_RUN"]
        identifier = Store(root, run).find(name)
        command = [sys.executable, "-ISE", "-c", program, root, run, identifier]
        environment = {**os.environ, "MYDOCKER_FAULT": fault}
        self.process = subprocess.Popen(command, stdin=theirs.fileno(), env=environment)
        theirs.close()

    def test(self) -> Any:
        """Make one; what ``inspect`` says after it."""
        assert self.made() in (b"s", b".")
        return self.told()

    def made(self) -> bytes:
        """Make one; its answer, b"" if it was killed."""
        self.socket.send(b"p")
        try:
            return self.socket.recv(1)
        except ConnectionResetError:
            return b""

    def told(self) -> Any:
        return json.loads(self.docker.get(self.name, "{{json .State.Health}}"))

    def close(self) -> None:
        self.socket.close()
        self.process.wait(patience(20))


@pytest.fixture
def prober(docker: Containers) -> Iterator[Callable[[str], Prober]]:
    made: list[Prober] = []

    def make(name: str) -> Prober:
        made.append(Prober(docker, name))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.root
def test_what_is_told(docker: Containers, prober: Callable[[str], Prober]) -> None:
    """Docker's names, in Docker's order, with Docker's types."""
    command = "echo $WHAT $(id -u) $PWD; echo bad >&2; test -e /ok"
    options = ("--health-cmd", command, "--health-retries", "2", "-e", "WHAT=who", "-u", "7")
    docker.run("--name", "one", *SELDOM, *options, "-w", "/tmp", *SLEEP)
    tests = prober("one")
    assert tests.told() == {"Status": "starting", "FailingStreak": 0, "Log": []}
    assert "(health: starting)" in docker("ps").stdout
    tests.test()
    told = tests.test()
    assert list(told) == ["Status", "FailingStreak", "Log"]
    assert (told["Status"], told["FailingStreak"], len(told["Log"])) == ("unhealthy", 2, 2)
    last = told["Log"][-1]
    assert list(last) == ["Start", "End", "ExitCode", "Output"]
    assert (last["ExitCode"], last["Output"]) == (1, "who 7 /tmp\nbad\n")
    assert last["Start"] <= last["End"] and last["End"].endswith("Z")
    assert "(unhealthy)" in docker("ps").stdout
    docker("exec", "-u", "0", "one", "touch", "/ok")
    told = tests.test()
    assert (told["Status"], told["FailingStreak"], len(told["Log"])) == ("healthy", 0, 3)
    assert "(healthy)" in docker("ps").stdout
    state = json.loads(docker.get("one", "{{json .State}}"))
    assert list(state)[-2:] == ["FinishedAt", "Health"]


@pytest.mark.root
def test_the_beginning_of_what_it_writes_is_kept(
    docker: Containers, prober: Callable[[str], Prober]
) -> None:
    script = "head -c 4096 /dev/zero | tr '\\0' x; test -e /more && head -c 300000 /dev/zero; true"
    docker.run("--name", "one", *SELDOM, "--health-cmd", script, *SLEEP)
    tests = prober("one")
    assert tests.test()["Log"][-1]["Output"] == "x" * 4096
    docker("exec", "one", "touch", "/more")
    last = tests.test()["Log"][-1]
    assert (last["ExitCode"], last["Output"]) == (0, "x" * 4096 + "...")


@pytest.mark.root
def test_one_that_cannot_be_run_has_failed(
    docker: Containers, prober: Callable[[str], Prober]
) -> None:
    docker("create", "--name", "first", "busybox", "sleep", "1000")
    docker("commit", "-c", 'HEALTHCHECK --interval=1h CMD ["/nothing"]', "first", "broken")
    docker.run("--name", "one", "broken")
    told = prober("one").test()
    assert told["FailingStreak"] == 1 and told["Log"][0]["ExitCode"] == -1
    assert "/nothing" in told["Log"][0]["Output"] and "no such file" in told["Log"][0]["Output"]


LEAVING = "setsid sleep 501 & (sleep 502 &) ; sleep 503 & echo begun; "


def processes(docker: Containers, name: str) -> list[str]:
    return [line.split()[-1] for line in docker("top", name).stdout.splitlines()[1:]]


@pytest.mark.root
@pytest.mark.parametrize("end", ["exit 0", "sleep 504"])
def test_nothing_is_left_of_a_test(
    docker: Containers, prober: Callable[[str], Prober], end: str
) -> None:
    """Also of one that is not over in time: all that it has started ends."""
    options = ("--health-cmd", LEAVING + end, "--health-timeout", "300ms")
    docker.run("--name", "one", *SELDOM, *options, *SLEEP)
    last = prober("one").test()["Log"][-1]
    if end == "exit 0" and last["ExitCode"] == 0:
        assert last["Output"] == "begun\n"
    else:
        assert last["ExitCode"] == -1
        assert last["Output"].startswith("Health check exceeded timeout (300ms)")
    assert processes(docker, "one") == ["1000"]
    group = Path(f"/proc/{docker.pid('one')}/cgroup").read_text()
    assert "/health" not in group, "its first process stays where it is"


@pytest.mark.root
def test_nothing_is_left_of_a_test_where_there_is_no_v2(docker: Containers) -> None:
    """On a machine with v1 alone the freezer's hierarchy knows the processes of a test."""
    unified = Path("/sys/fs/cgroup/unified")
    if not unified.is_dir() or shutil.which("unshare") is None:
        pytest.skip("needs v1's hierarchies beside that of v2")
    argv = docker.launcher.argv
    options = ("--health-cmd", LEAVING + "sleep 504", "--health-timeout", "300ms", *OFTEN)
    start = argv(5, "run", "-d", "--net", "none", "--name", "one", *options, *SLEEP)
    without = ["unshare", "-m", "sh", "-c", f'umount {unified} && exec "$@"', "sh"]
    subprocess.run([*without, *start], check=True)

    def two() -> bool:
        return len(json.loads(docker.get("one", "{{json .State.Health.Log}}"))) >= 2

    eventually(two, what="two tests")
    assert len(processes(docker, "one")) <= 5, "of one test at most"
    groups = Path(f"/proc/{docker.pid('one')}/cgroup").read_text()
    assert not [line for line in groups.splitlines() if line.endswith("/health")]
    subprocess.run([*without, *argv(5, "rm", "-f", "one")], check=True)


@pytest.mark.root
def test_a_prober_killed_at_a_request(docker: Containers, sandbox: Sandbox) -> None:
    """The next test finds the container as if nothing had been, and at the end nothing is left.

    Some of its requests, beginning anywhere; all with ``MYDOCKER_TEST_EVERY=1``.
    """
    every = int(os.environ.get("MYDOCKER_TEST_EVERY", "5"))
    options = ("--health-cmd", LEAVING + "exit 0", "--health-timeout", "1m")
    identifier = docker.run("--name", "one", *SELDOM, *options, *SLEEP)
    k, killed = random.randrange(1, every + 1), 0
    while True:
        tests = Prober(docker, "one", f"kill:{k}")
        answer = tests.made()
        tests.close()
        if answer:
            break
        killed += 1
        tests = Prober(docker, "one")
        last = tests.test()["Log"][-1]
        tests.close()
        assert (last["ExitCode"], last["Output"]) == (0, "begun\n"), f"after a kill at {k}"
        assert processes(docker, "one") == ["1000"], f"after a kill at {k}"
        assert docker("exec", "one", "echo", "there").stdout == "there\n"
        k += every
    assert killed > 25 // every
    docker("system", "prune", "-f")
    place = Place(str(sandbox.root), str(sandbox.run))
    assert (leftovers.find(place), docker.get("one", "{{.State.Status}}")) == ([], "running")
    tests = Prober(docker, "one", f"kill:{random.randrange(1, k)}")
    tests.made()
    tests.close()
    stopping = docker.start("stop", "-t", "0", "one")
    # What the killed one started is our orphan, and a container waits for the last of its own.
    eventually(lambda: contract.photograph() and stopping.poll() is not None)
    docker("rm", "one")
    docker("system", "prune", "-f")
    groups = called(f"{sandbox.cgroup_parent}/{identifier}")
    assert [*groups, *sandbox.run.glob(f"**/*{identifier}*"), *leftovers.find(place)] == []


@pytest.mark.root
def test_none_while_it_is_paused(docker: Containers, prober: Callable[[str], Prober]) -> None:
    docker.run("--name", "one", *SELDOM, "--health-cmd", "true", *SLEEP)
    tests = prober("one")
    docker("pause", "one")
    assert tests.test()["Log"] == []
    docker("unpause", "one")
    assert len(tests.test()["Log"]) == 1


@pytest.mark.root
def test_no_time_passes_while_it_is_paused(
    docker: Containers, prober: Callable[[str], Prober]
) -> None:
    """One that is being made when the container is paused goes on after that."""
    script = "touch /begun; until test -e /go; do sleep 0.1; done"
    options = ("--health-cmd", script, "--health-timeout", f"{patience(4)}s")
    docker.run("--name", "one", *SELDOM, *options, *SLEEP)
    tests = prober("one")
    tests.socket.send(b"p")
    eventually(lambda: docker("exec", "one", "test", "-e", "/begun", code=None).returncode == 0)
    docker("pause", "one")
    tests.socket.settimeout(patience(4) + 2)
    with pytest.raises(TimeoutError):
        tests.socket.recv(1)
    docker("unpause", "one")
    docker("exec", "one", "touch", "/go")
    tests.socket.settimeout(patience(60))
    assert tests.socket.recv(1) == b"."
    assert tests.told()["Log"][-1]["ExitCode"] == 0


# ---------------------------------------------------------------- its monitor


def log(docker: Containers, name: str = "one") -> list[Any]:
    found: list[Any] = json.loads(docker.get(name, "{{json .State.Health.Log}}"))
    return found


def own_prober(docker: Containers, name: str = "one") -> psutil.Process:
    monitor = psutil.Process(psutil.Process(docker.pid(name)).ppid())
    children = monitor.children()
    return next(one for one in children if "probing.main" in " ".join(one.cmdline()))


@pytest.mark.root
def test_its_monitor_sees_to_it_and_events_tell(docker: Containers) -> None:
    command = "test -e /ok"
    options = ("--health-cmd", command, "--health-retries", "2", *OFTEN)
    identifier = docker.run("--name", "one", *options, *SLEEP)
    docker.until("one", "{{.State.Health.Status}}", "unhealthy")
    assert docker("ps", "-q", "--no-trunc", "-f", "health=unhealthy").stdout.split() == [identifier]
    assert docker("ps", "-q", "-f", "health=healthy", "-f", "health=none").stdout == ""
    docker("exec", "one", "touch", "/ok")
    docker.until("one", "{{.State.Health.Status}}", "healthy")
    monitor = psutil.Process(psutil.Process(docker.pid("one")).ppid())
    eventually(lambda: "slim" in " ".join(monitor.cmdline()), what="a slim monitor")
    docker("exec", "one", "rm", "/ok")
    docker.until("one", "{{.State.Health.Status}}", "unhealthy")
    docker("rm", "-f", "one")
    containers = ("--filter", "type=container", "--format", "{{json .}}")
    told = docker("events", "--since", "0", "--until", "0s", *containers).stdout
    events = [json.loads(line) for line in told.splitlines()]
    mine = [event for event in events if event["id"] == identifier]
    actions = [event["Action"] for event in mine]
    statuses = [action for action in actions if action.startswith("health_status")]
    assert statuses == [f"health_status: {s}" for s in ("unhealthy", "healthy", "unhealthy")]
    first = actions.index(f"exec_create: /bin/sh -c {command}")
    words = [action.partition(":")[0] for action in actions[first : first + 3]]
    assert words == ["exec_create", "exec_start", "exec_die"]
    assert mine[first + 2]["Actor"]["Attributes"]["exitCode"] == "1"
    found = docker("events", "--since", "0", "--until", "0s", "-f", "event=health_status: healthy",
                   "-f", "container=one", "--format", "{{.Action}}").stdout  # fmt: skip
    assert set(found.splitlines()) == {"health_status: healthy"}


@pytest.mark.root
def test_a_filter_that_cannot_be(docker: Containers) -> None:
    done = docker("ps", "-f", "health=well", code=1)
    assert "Unrecognised filter value for health: well" in done.stderr


@pytest.mark.root
def test_one_without_tests_has_no_health(docker: Containers) -> None:
    docker("create", "--name", "first", "busybox", "sleep", "1000")
    docker("commit", "-c", "HEALTHCHECK --interval=1ms CMD true", "first", "tested")
    docker.run("--name", "one", "--no-healthcheck", "tested")
    docker.run("--name", "two", *SLEEP)
    for name in ("one", "two"):
        assert "Health" not in json.loads(docker.get(name, "{{json .State}}"))
    names = docker("ps", "-f", "health=none", "--format", "{{.Names}} {{.Status}}").stdout
    assert sorted(line.split()[0] for line in names.splitlines()) == ["one", "two"]
    assert "(" not in names


@pytest.mark.root
def test_a_restart_begins_anew(docker: Containers) -> None:
    options = ("--health-cmd", "false", "--health-retries", "1", *OFTEN)
    docker.run("--name", "one", *options, *SLEEP)
    eventually(lambda: len(log(docker)) == 5, what="five tests")
    docker("stop", "-t", "0", "one")
    assert docker.get("one", "{{.State.Health.Status}}") == "unhealthy"
    docker("start", "one")
    eventually(lambda: log(docker), what="a test")
    started = docker.get("one", "{{.State.StartedAt}}")
    assert all(one["Start"] > started for one in log(docker))
    docker("rm", "-f", "one")
    options = ("--health-cmd", "true", *SELDOM, "--restart", "always")
    docker.run("--name", "one", *options, *SLEEP)
    os.kill(docker.pid("one"), signal.SIGKILL)
    docker.until("one", "{{.RestartCount}} {{.State.Status}}", "1 running")
    assert docker.get("one", "{{.State.Health.Status}}") == "starting"


@pytest.mark.root
def test_a_killed_prober_is_missed(docker: Containers) -> None:
    docker.run("--name", "one", "--health-cmd", "true", *OFTEN, *SLEEP)
    docker.until("one", "{{.State.Health.Status}}", "healthy")
    first = own_prober(docker)
    first.kill()
    eventually(lambda: _other(docker, first.pid), what="another prober")
    assert docker.get("one", "{{.State.Health.Status}}") == "healthy", "it reads what was found"


@pytest.mark.root
@pytest.mark.parametrize("command", ["true", "sleep 1000"])
def test_the_prober_of_a_killed_monitor_ends(docker: Containers, command: str) -> None:
    """Also while it makes a test, which does not end with the container's first process."""
    options = ("--pid", "host", "--health-cmd", command, "--health-timeout", "10m", *OFTEN)
    docker.run("--name", "one", *options, *SLEEP)
    found = eventually(lambda: _other(docker, 0), what="a prober")
    if command != "true":
        eventually(found.children, what="a test")
    psutil.Process(psutil.Process(docker.pid("one")).ppid()).kill()
    eventually(lambda: not found.is_running() or found.status() == psutil.STATUS_ZOMBIE)


def _other(docker: Containers, pid: int) -> psutil.Process | None:
    try:
        found = own_prober(docker)
    except StopIteration:
        return None
    return found if found.pid != pid else None


@pytest.mark.root
def test_the_end_of_the_container_is_the_end_of_its_tests(docker: Containers) -> None:
    options = ("--health-cmd", "sleep 1000", *OFTEN)
    docker.run("--name", "one", *options, *SLEEP)
    found = eventually(lambda: _other(docker, 0), what="a prober")
    eventually(lambda: found.children(), what="a test")
    docker("stop", "-t", "0", "one")
    assert not found.is_running()
    docker("start", "one")
    docker("rm", "-f", "one")


@pytest.mark.root
def test_a_disk_that_takes_nothing_stops_no_test(docker: Containers) -> None:
    options = ("--health-cmd", "test -e /ok", "--health-retries", "3", *OFTEN)
    identifier = docker.run("--name", "one", *options, *SLEEP)
    file = Path(os.environ["MYDOCKER_ROOT"]) / "containers" / identifier / "health.json"
    eventually(lambda: file.is_file() or None)
    while not file.is_dir():  # nothing can be renamed over a directory
        file.unlink(missing_ok=True)
        try:
            file.mkdir()
        except FileExistsError:
            continue
    docker("exec", "one", "touch", "/ok")
    words = ("events", "--since", "0", "--until", "0s", "--format", "{{.Actor.ID}} {{.Action}}")
    eventually(lambda: f"{identifier} health_status: healthy" in docker(*words).stdout)
    docker("exec", "one", "rm", "/ok")
    docker("exec", "one", "touch", "/no")
    eventually(lambda: docker(*words).stdout.count(f"{identifier} health_status: unhealthy") >= 1)
    assert docker.get("one", "{{.State.Health.Status}}") == "starting", "nothing can be read"
    file.rmdir()
    docker.until("one", "{{.State.Health.Status}}", "unhealthy")
