"""Signals reach the command, ends are told, and nobody is left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from subprocess import Popen
from typing import Any

import psutil
import pytest
from sandbox.launcher import Launcher, eventually
from sandbox.machine import Sandbox
from sandbox.patience import patience

pytestmark = pytest.mark.root

HANDED_ON = ["TERM", "INT", "HUP", "QUIT", "USR1", "USR2"]
TRAP = "trap 'echo got; exit 43' {}; echo ready; while :; do sleep 0.05; done"


def default_signals() -> None:
    """As a shell leaves them for a foreground job, however the suite was started."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


FOREGROUND: dict[str, Any] = {"preexec_fn": default_signals}


def line(started: Popen[str]) -> str:
    assert started.stdout
    return started.stdout.readline().strip()


@pytest.mark.parametrize("name", HANDED_ON)
@pytest.mark.parametrize("init", [[], ["--init"]], ids=["", "init"])
def test_a_signal_for_us_is_for_the_command(mydocker: Launcher, name: str, init: list[str]) -> None:
    started = mydocker.start(1, "run", *init, "sh", "-c", TRAP.format(name), **FOREGROUND)
    assert line(started) == "ready"
    started.send_signal(signal.Signals[f"SIG{name}"])
    assert started.wait(20) == 43
    assert line(started) == "got"


def test_a_plain_command_as_pid_1_does_not_hear_sigterm(mydocker: Launcher) -> None:
    """The kernel drops it: what --init is for. The test of the one below."""
    started = mydocker.start(1, "run", "sleep", "60")
    pid = mydocker.inside(started, "sleep")
    started.terminate()
    caught = [x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if "SigCgt" in x]
    assert int(caught[0].split()[1], 16) == 0
    time.sleep(0.3)
    assert started.poll() is None


@pytest.mark.parametrize("name, code", [("TERM", 143), ("INT", 130), ("HUP", 129)])
def test_with_init_it_does(mydocker: Launcher, name: str, code: int) -> None:
    started = mydocker.start(1, "run", "--init", "sleep", "60", **FOREGROUND)
    mydocker.inside(started, "sleep")
    started.send_signal(signal.Signals[f"SIG{name}"])
    assert started.wait(20) == code


def test_without_a_pid_namespace_sigterm_needs_no_init(mydocker: Launcher) -> None:
    started = mydocker.start(1, "run", "--uts", "sleep", "60")
    mydocker.inside(started, "sleep")
    started.terminate()
    assert started.wait(20) == 143


def test_what_our_caller_ignores_stays_ignored(mydocker: Launcher) -> None:
    """As under nohup(1)."""

    def ignore() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    script = TRAP.format("HUP").replace("sleep", "sleep 0.3; exit 44; sleep")
    started = mydocker.start(1, "run", "sh", "-c", script, preexec_fn=ignore)
    assert line(started) == "ready"
    started.send_signal(signal.SIGHUP)
    assert started.wait(20) == 44


def test_the_command_begins_with_clean_signals(mydocker: Launcher) -> None:
    def dirty() -> None:
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGTSTP):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGWINCH})

    for init in ([], ["--init"]):
        status = mydocker(1, "run", *init, "cat", "/proc/self/status", preexec_fn=dirty).stdout
        found = dict(x.split(":\t", 1) for x in status.splitlines() if x.startswith("Sig"))
        assert {k: int(found[k], 16) for k in ("SigBlk", "SigIgn")} == {"SigBlk": 0, "SigIgn": 0}


def test_exit_codes_though_our_caller_ignores_sigchld(mydocker: Launcher) -> None:
    def ignore() -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)

    for init in ([], ["--init"]):
        mydocker(1, "run", *init, "sh", "-c", "exit 45", code=45, preexec_fn=ignore)


EARLY = """
import os, signal, sys
sys.path.insert(0, STEPS)
from layers import stack
stack(1)
os.kill(os.getpid(), signal.SIGINT)
"""


def test_ctrl_c_before_all_is_imported_needs_no_traceback(sandbox: Sandbox) -> None:
    command = [sys.executable, "-ESs", "-c", EARLY.replace("STEPS", repr(str(sandbox.steps)))]
    done = subprocess.run(command, check=False, capture_output=True, text=True, **FOREGROUND)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


def opened(trace: Path) -> list[str]:
    return [line for line in trace.read_text().splitlines() if "open" in line]


def test_ctrl_c_at_any_moment_of_the_start_needs_no_traceback(
    mydocker: Launcher, tmp_path: Path
) -> None:
    """At each file that is opened from our own first module on; strace(1) sends the signal."""
    trace, calls = tmp_path / "trace", "trace=openat,open"
    command = mydocker.argv(5, "version")
    strace = ["strace", "-qq", "-o", str(trace), "-e", calls]
    subprocess.run([*strace, *command], check=True, stdout=subprocess.DEVNULL)
    lines = opened(trace)
    first = next(number for number, line in enumerate(lines, 1) if "/packages." in line)
    assert first + 10 < len(lines)
    told = []
    for number in range(first + 1, len(lines) + 1, int(os.environ.get("EVERY", "2"))):
        inject = ["-e", f"inject=openat,open:signal=SIGINT:when={number}"]
        done = subprocess.run(
            [*strace, *inject, *command], check=False, capture_output=True, text=True, **FOREGROUND
        )
        assert done.returncode in (-signal.SIGINT, 130), number
        if done.stderr.strip():
            told.append((number, lines[number - 1], done.stderr))
    assert told == []


LATER = """
import click
from mydocker.container.commandline import main
main(click.command()(lambda: signal.raise_signal(signal.SIGINT)))
"""


def test_ctrl_c_later_is_130(sandbox: Sandbox) -> None:
    code = EARLY.replace("STEPS", repr(str(sandbox.steps))).rpartition("os.kill")[0] + LATER
    command = [sys.executable, "-ESs", "-c", code]
    done = subprocess.run(command, check=False, capture_output=True, text=True, **FOREGROUND)
    assert (done.returncode, done.stderr.strip()) == (130, "")  # click ends the line of the ^C


# ---------------------------------------------------------------- the ends


@pytest.mark.parametrize("options", [[], ["--init"], ["--uts", "--init"]], ids=" ".join)
def test_if_we_are_killed_the_container_goes(mydocker: Launcher, options: list[str]) -> None:
    started = mydocker.start(1, "run", *options, "sleep", "60")
    mydocker.inside(started, "sleep")
    below = psutil.Process(started.pid).children(recursive=True)
    started.kill()
    _, alive = psutil.wait_procs(below, timeout=patience(20))
    left = [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]
    assert left == []


def test_if_we_are_killed_the_commands_children_go(mydocker: Launcher) -> None:
    script = "trap '' TERM HUP; sleep 60 & setsid sleep 60 & wait"
    started = mydocker.start(1, "run", "sh", "-c", script)
    below = eventually(lambda: three_below(started.pid))
    started.kill()
    _, alive = psutil.wait_procs(below, timeout=patience(20))
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []


def three_below(pid: int) -> list[psutil.Process]:
    found = psutil.Process(pid).children(recursive=True)
    return found if len([p for p in found if p.name() == "sleep"]) == 2 else []


# It waits until the file is there: its parent, the brackets, is gone long before.
ORPHAN = "(sh -c 'while [ ! -e {file} ]; do sleep 0.02; done' &) ; exec sleep 60"


def orphan_of(first: psutil.Process) -> psutil.Process | None:
    """The orphan, once it is a child of the container's first process."""
    found = [child for child in first.children() if child.name() == "sh"]
    return found[0] if found else None


@pytest.mark.parametrize("options", [["--init"], ["--uts", "--init"]], ids=" ".join)
def test_init_collects_orphans(mydocker: Launcher, sandbox: Sandbox, options: list[str]) -> None:
    file = sandbox.directory / f"orphan-{os.urandom(4).hex()}"
    started = mydocker.start(1, "run", *options, "sh", "-c", ORPHAN.format(file=file))
    (init,) = eventually(lambda: psutil.Process(started.pid).children())
    eventually(lambda: ["sleep", "60"] in [child.cmdline() for child in init.children()])
    orphan = eventually(lambda: orphan_of(init))
    file.touch()
    eventually(lambda: not psutil.pid_exists(orphan.pid))
    eventually(lambda: [child.name() for child in init.children(recursive=True)] == ["sleep"])
    started.terminate()  # and the container's end is that of the command, not that of an orphan
    assert started.wait(patience(20)) == 143


THREE = "for n in 1 2 3; do " + ORPHAN.format(file="{file}").replace("; exec", "; done; exec")


def test_one_sigchld_may_stand_for_several_deaths(mydocker: Launcher, sandbox: Sandbox) -> None:
    """Signals are not counted: three die while PID 1 stands still, and it hears of it once."""
    file = sandbox.directory / f"orphan-{os.urandom(4).hex()}"
    started = mydocker.start(1, "run", "--init", "sh", "-c", THREE.format(file=file))
    (init,) = eventually(lambda: psutil.Process(started.pid).children())
    eventually(lambda: ["sleep", "60"] in [child.cmdline() for child in init.children()])
    orphans = eventually(lambda: three_orphans(init))
    init.suspend()
    eventually(lambda: init.status() == psutil.STATUS_STOPPED)
    file.touch()
    eventually(lambda: {orphan.status() for orphan in orphans} == {psutil.STATUS_ZOMBIE})
    init.resume()
    eventually(lambda: not any(psutil.pid_exists(orphan.pid) for orphan in orphans))
    started.terminate()
    assert started.wait(patience(20)) == 143


def three_orphans(first: psutil.Process) -> list[psutil.Process]:
    found = [child for child in first.children() if child.name() == "sh"]
    return found if len(found) == 3 else []


def test_without_init_an_orphan_stays_a_zombie(mydocker: Launcher, sandbox: Sandbox) -> None:
    file = sandbox.directory / f"orphan-{os.urandom(4).hex()}"
    started = mydocker.start(1, "run", "sh", "-c", ORPHAN.format(file=file))
    (first,) = eventually(lambda: psutil.Process(started.pid).children())
    eventually(lambda: first.cmdline() == ["sleep", "60"])
    orphan = eventually(lambda: orphan_of(first))
    file.touch()
    eventually(lambda: orphan.status() == psutil.STATUS_ZOMBIE)


def test_init_does_not_wait_for_the_rest(mydocker: Launcher) -> None:
    """The command's end is the container's end, whoever else still runs."""
    done = mydocker(1, "run", "--init", "sh", "-c", "sleep 60 & exit 46", code=46)
    assert done.stderr == ""
