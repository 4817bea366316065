"""A start in two halves: a process waits in its namespaces, and another process says go."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sandbox.halving import ID, Halves
from sandbox.launcher import eventually
from sandbox.machine import Sandbox
from sandbox.patience import patience

pytestmark = pytest.mark.root

PLAIN = json.dumps({})


@pytest.fixture
def halves(sandbox: Sandbox) -> Iterator[Halves]:
    made = Halves(sandbox)
    yield made
    if made.directory.exists():
        made("delete", "force")


def namespaces(process: Path) -> set[str]:
    return {os.readlink(one) for one in (process / "ns").iterdir()}


def test_created_it_waits_inside_and_another_process_starts_it(
    halves: Halves, tmp_path: Path
) -> None:
    script = "echo $$ $(hostname) > {0}.new; mv {0}.new {0}; exec sleep 60"
    out = tmp_path / "said"
    halves("create", PLAIN, "sh", "-c", script.format(out))
    process = halves.process()
    assert halves.status() == "created"
    assert os.path.realpath(process / "exe") == os.path.realpath(sys.executable), "it has executed"
    assert not namespaces(process) & (namespaces(Path("/proc/self")) - users())
    assert f"NSpid:\t{process.name}\t1\n" in (process / "status").read_text()
    assert not out.exists()

    halves("start")
    eventually(out.exists, what="the command")
    assert out.read_text().split() == ["1", ID[:12]]
    assert halves.status() == "running"
    assert os.path.basename(os.path.realpath(process / "exe")) == "sleep"
    refused = halves("delete", code=125)
    assert "not stopped: running" in refused.stderr and halves.status() == "running"
    halves("delete", "force")
    assert gone(process) and not halves.directory.exists()


def gone(process: Path) -> bool:
    """Ended; that nobody has waited for it yet is not ours to see to."""
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0] in "XZ"
    except (FileNotFoundError, ProcessLookupError):
        return True


def users() -> set[str]:
    return {os.readlink("/proc/self/ns/user")}


def test_who_waits_has_nothing_open_of_who_made_it(halves: Halves, tmp_path: Path) -> None:
    """A pipe that it kept would let others wait for its end; a directory would be a way out."""
    reading, writing = os.pipe()
    outside = os.open("/", os.O_RDONLY)
    argv = halves.argv("create", PLAIN, "sh", "-c", f"ls -l /proc/self/fd > {tmp_path}/open")
    creating = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        pass_fds=[writing, outside],
    )  # fmt: skip
    assert creating.wait() == 0
    os.close(writing)
    os.close(outside)
    assert os.read(reading, 1) == b"", "the pipe is still open"
    os.close(reading)
    opened = {os.readlink(one) for one in (halves.process() / "fd").iterdir()}
    assert opened == {"/dev/null", f"{halves.directory}/go", f"{halves.directory}/told"}
    halves("start")
    eventually(lambda: halves.status() == "stopped", what="the end of ls")
    lines = (tmp_path / "open").read_text().splitlines()[1:]
    assert {line.split(" -> ")[1] for line in lines} - {"/dev/null", f"{tmp_path}/open"} == {
        line.split(" -> ")[1] for line in lines if "/proc/" in line
    }


def test_a_shell_can_say_go(halves: Halves, tmp_path: Path) -> None:
    """Nothing but the FIFO is needed, as the line of --explain shows."""
    halves("create", PLAIN, "sh", "-c", f"exec sleep 60 > {tmp_path}/out")
    subprocess.run(["sh", "-c", f"echo '{{}}' > {halves.directory}/go"], check=True)
    eventually((tmp_path / "out").exists, what="the command")
    assert halves.status() == "running"


@pytest.mark.parametrize("options", [{}, {"init": True}])
def test_a_command_that_cannot_be_executed_is_an_error_of_the_start(
    halves: Halves, tmp_path: Path, options: dict[str, bool]
) -> None:
    (tmp_path / "text").write_text("no program")
    for command, code, said in (
        ("nonsense", 127, 'exec: "nonsense": executable file not found in $PATH'),
        ("/nowhere/x", 127, 'exec: "/nowhere/x": no such file or directory'),
        (f"{tmp_path}/text", 126, "permission denied"),
    ):
        halves("create", json.dumps(options), command)
        failed = halves("start", code=code)
        assert failed.stderr.startswith(said) or said in failed.stderr
        assert failed.stderr.count("\n") == 1
        assert halves.status() == "stopped"
        again = halves("start", code=125)
        assert "cannot start a container that is stopped" in again.stderr
        halves("delete")
        assert not halves.directory.exists()


def test_only_one_starts_it(halves: Halves, tmp_path: Path) -> None:
    for _ in range(3):
        halves("create", PLAIN, "sh", "-c", f"echo once >> {tmp_path}/out; exec sleep 60")
        starting = [
            subprocess.Popen(halves.argv("start"), stderr=subprocess.PIPE, text=True)
            for _ in range(3)
        ]
        ended = [(one.communicate(timeout=patience(60))[1], one.returncode) for one in starting]
        assert sorted(code for _, code in ended) == [0, 125, 125], ended
        for said, code in ended:
            assert not code or "running" in said or "just now" in said
        halves("start", code=125)
        halves("delete", "force")
    assert (tmp_path / "out").read_text().split() == ["once"] * 3


def test_who_is_killed_before_it_says_go_has_started_nothing(halves: Halves) -> None:
    halves("create", PLAIN, "sleep", "60")
    killed = halves("start", code=-signal.SIGKILL, env={"MYDOCKER_FAULT": "kill:1"})
    assert not killed.stderr and halves.status() == "created"
    halves("start")
    assert halves.status() == "running"


def test_who_is_killed_while_it_starts_leaves_nothing_behind(halves: Halves) -> None:
    halves("create", PLAIN, "sleep", "60")
    halves("start", code=-signal.SIGKILL, env={"MYDOCKER_FAULT": "kill:2"})
    eventually(lambda: halves.status() == "stopped", what="the end of the process")
    halves("delete")


def test_one_that_is_refused_its_execve(halves: Halves) -> None:
    halves("create", PLAIN, "sleep", "60")
    failed = halves("start", code=126, env={"MYDOCKER_FAULT": "fail:2"})
    assert "execve" in failed.stderr and halves.status() == "stopped"


def test_deleted_while_it_waits(halves: Halves) -> None:
    halves("create", PLAIN, "sleep", "60")
    process = halves.process()
    halves("delete")
    assert gone(process) and not halves.directory.exists()
    for verb in ("start", "status", "delete"):
        assert f"container {ID} does not exist" in halves(verb, code=125).stderr


def test_killed_while_it_waits(halves: Halves) -> None:
    from mydocker.container import leftovers

    halves("create", PLAIN, "sleep", "60")
    run = str(halves.sandbox.run)
    assert leftovers.dead(run) == [], "what waits has an owner"
    os.kill(int(halves.process().name), signal.SIGKILL)
    eventually(lambda: halves.status() == "stopped", what="its end")
    assert "stopped" in halves("start", code=125).stderr
    assert leftovers.prune(run) == ([ID], [])
    assert not halves.directory.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_what_waits(halves: Halves, number: int) -> None:
    """Though it is PID 1; and its command has no handler from us."""
    halves("create", PLAIN, "sleep", "60")
    os.kill(int(halves.process().name), number)
    eventually(lambda: halves.status() == "stopped", what="its end")
    halves("delete")
    halves("create", PLAIN, "sh", "-c", "exec sleep 60")
    halves("start")
    caught = next(
        line for line in (halves.process() / "status").read_text().splitlines() if "SigCgt" in line
    )
    assert int(caught.split()[1], 16) == 0


def test_an_id_that_is_taken(halves: Halves) -> None:
    halves("create", PLAIN, "sleep", "60")
    process = halves.process()
    refused = halves("create", PLAIN, "sleep", "60", code=125)
    assert f"container with id {ID} exists" in refused.stderr
    assert halves.status() == "created" and halves.process() == process


def test_both_halves_tell_what_a_run_tells(halves: Halves, sandbox: Sandbox) -> None:
    first = halves.events("create", PLAIN, "true")
    second = halves.events("start")
    for told in (first, second):
        assert [number for number, *_ in told] == list(range(1, len(told) + 1))
    fifos = [arguments[0] for _, side, call, arguments in first if call == "mknod"]
    assert fifos == [f"{halves.directory}/{name}" for name in ("go", "told")]
    (_, side, call, arguments), *rest = second
    assert (side, call, arguments[0]) == ("host", "write", fifos[0])
    assert json.loads(arguments[1]) == {"go": 1, "observed": True}
    (execve,) = rest
    assert execve[1:3] == ["container", "execve"]

    story = sandbox.directory / "story"
    (main,) = sandbox.steps.glob("01-*/main.py")
    kinds = [f"--{kind}" for kind in ("mount", "uts", "ipc", "pid", "net", "cgroup", "time")]
    argv = [sys.executable, "-ESs", str(main), "run", *kinds, f"--explain=json:{story}", "true"]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
    run = [json.loads(line) for line in story.read_text().splitlines()]
    death = "PR_SET_PDEATHSIG"  # nobody has to stay beside one that was created
    whole = [(one["side"], one["call"]) for one in run if one["arguments"][:1] != [1]]
    assert len(run) == len(whole) + 1, death
    assert [(side, call) for _, side, call, _ in first[2:] + rest] == whole


def test_a_terminal_is_handed_to_who_creates_it(sandbox: Sandbox, halves: Halves) -> None:
    """And that may hand it on: here it reads it, while another process starts the command."""
    from sandbox.halving import PROGRAM

    program = PROGRAM.replace(
        "            halves.create(",
        """            import subprocess
            made = halves.create(""",
        1,
    ).replace(
        '        elif verb == "start":',
        """            same = [sys.executable, "-ISc", os.environ["PROGRAM"], *sys.argv[1:4]]
            subprocess.run([*same, "start"], check=True)
            try:
                while data := os.read(made.terminal, 4096):
                    os.write(1, data)
            except OSError:
                pass
        elif verb == "start":""",
        1,
    )
    argv = halves.argv("create", json.dumps({"terminal": True}), "tty")
    argv[2] = program
    env = {**os.environ, "PROGRAM": PROGRAM}
    done = subprocess.run(argv, capture_output=True, text=True, env=env, timeout=patience(60))
    assert done.stdout.startswith("/dev/pts/"), done


def test_who_creates_and_starts_in_one_process_keeps_nothing(halves: Halves) -> None:
    program = """
import json, os, sys
layers, run, tests = sys.argv[1:4]
sys.path[:0] = [*layers.split(":"), tests]
from sandbox.oneself import changed, myself
from mydocker.container import halves
from mydocker.container.process import Process
from mydocker.namespaces.specification import Namespaces, namespace_parts
asked = Namespaces()
def once():
    process = Process(("true",), {"PATH": "/bin"})
    parts = namespace_parts(asked, "x")
    made = halves.create(process, asked.clone_flags, parts, run_directory=run)
    halves.start(run, made.id)
    while halves.status(run, made.id) != "stopped":
        pass
    halves.delete(run, made.id)
    made = halves.create(process, asked.clone_flags, parts, run_directory=run)
    halves.delete(run, made.id)
once()
before = myself()
for _ in range(3):
    once()
print(json.dumps(changed(before, myself())))
"""
    tests = Path(__file__).parents[1]
    layers = ":".join(map(str, sorted(halves.sandbox.steps.glob("[0-9][0-9]-*"))))
    own = [layers, str(halves.sandbox.run), str(tests)]
    done = subprocess.run(
        [sys.executable, "-c", program, *own], capture_output=True, text=True, timeout=patience(60)
    )
    assert json.loads(done.stdout or "null") == {}, done


def test_killed_at_any_moment_of_its_creation(halves: Halves) -> None:
    """By the clock this time: it is wholly created, or nothing stays that prune does not take."""
    from mydocker.container import leftovers

    run, outcomes = str(halves.sandbox.run), set()
    for round_ in range(12):
        creating = subprocess.Popen(
            halves.argv("create", PLAIN, "sleep", "60"),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        until = time.monotonic() + patience(30)
        while not halves.directory.exists() and creating.poll() is None:
            assert time.monotonic() < until
        time.sleep(round_ * 0.0007)
        creating.kill()
        creating.wait()
        eventually(lambda: halves.status() != "creating", what="an owner")
        now = halves.status()
        outcomes.add(now)
        if now == "created":
            halves("start")
            assert halves.status() == "running"
            halves("delete", "force")
        elif now:
            eventually(lambda: leftovers.dead(run) == [ID], what="the end of the process")
            assert leftovers.prune(run) == ([ID], [])
        assert not halves.directory.exists()
    assert outcomes <= {"", "created", "stopped"}
