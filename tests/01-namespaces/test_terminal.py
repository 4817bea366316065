"""Interactive terminals: what a person at a keyboard does, done by pexpect."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, cast

import pexpect
import psutil
import pytest
from sandbox.launcher import Launcher, eventually
from sandbox.patience import patience

pytestmark = pytest.mark.root

Spawn = Callable[..., "pexpect.spawn[str]"]
PROMPT = "ready> "


@pytest.fixture
def spawn(mydocker: Launcher) -> Iterator[Spawn]:
    """Start ``main.py`` at a terminal of 31 lines and 97 columns."""
    started: list[pexpect.spawn[str]] = []

    def start(*arguments: str, **options: Any) -> "pexpect.spawn[str]":
        program, *rest = mydocker.argv(1, *arguments)
        environment: Any = {**os.environ, "PS1": PROMPT, "TERM": "dumb", "ENV": "/dev/null"}
        child = pexpect.spawn(
            program, rest, env=environment, dimensions=(31, 97), encoding="utf-8",
            timeout=patience(20), preexec_fn=default_signals, **options,
        )  # fmt: skip
        started.append(child)
        return child

    yield start
    for child in started:
        if child.pid and psutil.pid_exists(child.pid):
            for process in psutil.Process(child.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):  # with its PID 1, one after the other
                    process.kill()
        child.close(force=True)


def default_signals() -> None:
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def shell(spawn: Spawn, *options: str) -> "pexpect.spawn[str]":
    child = spawn("run", *options, "bash", "--norc", "--noprofile", "-i")
    child.expect_exact(PROMPT)
    return child


def below(child: "pexpect.spawn[str]", name: str) -> psutil.Process:
    """The process of that name below ``main.py``, once it is there."""

    def find() -> psutil.Process | None:
        for process in psutil.Process(child.pid).children(recursive=True):
            if process.name() == name:
                return process
        return None

    return eventually(find)


INIT = pytest.mark.parametrize("init", [[], ["--init"]], ids=["", "init"])


def test_the_size_is_there_from_the_start(spawn: Spawn) -> None:
    child = spawn("run", "stty", "size")
    child.expect_exact("31 97")
    child.expect(pexpect.EOF)


OPEN = """
import os
from mydocker.container import channel, child
ours, theirs = channel.pair()
os.setsid()
child._open_terminal(theirs)
print(*os.get_terminal_size(0), flush=True)
_, master = ours.receive()
os.write(REPORT, os.read(master, 99))
"""


def test_the_size_is_set_before_the_command_runs() -> None:
    """The test above would mostly pass if the host's side set it: it is fast, too."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 31, 97, 0, 0))
    read, write = os.pipe()
    code = OPEN.replace("REPORT", str(write))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code]
    subprocess.run(
        command, stdin=slave, pass_fds=[write], env=environment, check=True, timeout=patience(20)
    )
    assert os.read(read, 99).split() == [b"97", b"31"]
    for descriptor in (master, slave, read, write):
        os.close(descriptor)


def test_a_terminal_of_its_own(spawn: Spawn) -> None:
    child = shell(spawn)
    child.sendline("tty; echo to-the-terminal >/dev/tty")
    child.expect(r"(/dev/pts/\d+)\r\n")
    assert isinstance(child.match, re.Match)
    assert child.match[1] != os.ttyname(child.child_fd)
    child.expect_exact("to-the-terminal\r\n")


@INIT
def test_a_new_size_reaches_the_inside(spawn: Spawn, init: list[str]) -> None:
    child = shell(spawn, *init)
    child.sendline("trap 'echo changed' WINCH; echo set")
    child.expect_exact("\r\nset")
    child.setwinsize(20, 50)
    child.expect_exact("changed")
    child.sendline("stty size")
    child.expect_exact("20 50")


@INIT
def test_ctrl_c_stops_the_foreground_and_nothing_else(spawn: Spawn, init: list[str]) -> None:
    child = shell(spawn, *init)
    child.sendline("sleep 300")
    below(child, "sleep")
    child.sendintr()
    child.expect_exact(PROMPT)
    child.sendline("echo code=$?")
    child.expect_exact("code=130")
    assert child.isalive()


@INIT
def test_ctrl_z_and_fg(spawn: Spawn, init: list[str]) -> None:
    child = shell(spawn, *init)
    child.sendline("sleep 300")
    sleep = below(child, "sleep")
    child.send("\x1a")
    child.expect_exact("Stopped")
    assert sleep.status() == psutil.STATUS_STOPPED
    assert psutil.Process(child.pid).status() != psutil.STATUS_STOPPED, "it is us that stopped"
    child.sendline("fg")
    child.expect_exact("sleep 300\r\n")
    eventually(lambda: sleep.status() == psutil.STATUS_SLEEPING)
    child.sendintr()
    child.expect_exact(PROMPT)
    child.sendline("echo code=$?")
    child.expect_exact("code=130")


def test_job_control_in_sh(spawn: Spawn) -> None:
    child = spawn("run", "sh", "-i")
    child.expect_exact(PROMPT)
    assert "job control" not in (child.before or "")
    child.sendline("sleep 300")
    below(child, "sleep")
    child.send("\x1a")
    child.expect_exact("Stopped")
    child.sendline("bg; jobs")
    child.expect_exact("Running")


@INIT
def test_exit_ends_with_its_code(spawn: Spawn, init: list[str]) -> None:
    child = shell(spawn, *init)
    child.sendline("exit 48")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 48


def test_ctrl_d_ends_the_shell(spawn: Spawn) -> None:
    child = shell(spawn)
    child.sendeof()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


@INIT
def test_ctrl_c_with_init_stops_a_plain_command(spawn: Spawn, init: list[str]) -> None:
    child = spawn("run", *init, "sleep", "300")
    sleep = below(child, "sleep")
    eventually(lambda: not termios.tcgetattr(child.child_fd)[3] & termios.ICANON)
    child.sendintr()
    if init:
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 130
    else:  # PID 1 without a handler: the kernel drops the signal
        with pytest.raises(psutil.TimeoutExpired):
            sleep.wait(0.3)


COUNT = """
import signal, time
counted = []
signal.signal(signal.SIGINT, lambda number, frame: counted.append(number))
print("set", flush=True)
while not counted:
    time.sleep(0.01)
time.sleep(0.2)
print("counted", len(counted), flush=True)
"""


@INIT
def test_ctrl_c_comes_once(spawn: Spawn, init: list[str]) -> None:
    """And not from the terminal and from the init as well."""
    child = spawn("run", *init, sys.executable, "-c", COUNT)
    child.expect_exact("set")
    eventually(lambda: not termios.tcgetattr(child.child_fd)[3] & termios.ICANON)
    child.sendintr()
    child.expect_exact("counted 1\r\n")


def test_much_output(spawn: Spawn) -> None:
    script = "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo end"
    child = spawn("run", "sh", "-c", script, maxread=65536)
    seen = 0
    while chunk := read(child):
        seen += chunk.count("x")
    child.close()
    assert (seen, child.exitstatus) == (3000000, 0)


def read(child: "pexpect.spawn[str]") -> str:
    try:
        return child.read_nonblocking(65536, timeout=patience(20))
    except pexpect.EOF:
        return ""


@pytest.mark.parametrize("command", ["bash", "cat"])
def test_when_the_window_is_closed_the_container_ends(spawn: Spawn, command: str) -> None:
    """bash hears SIGHUP; cat, as PID 1, does not, and finds its input at an end."""
    child = spawn("run", command)
    below(child, command)
    eventually(lambda: not termios.tcgetattr(child.child_fd)[3] & termios.ICANON)
    inside = psutil.Process(child.pid).children(recursive=True)
    program = psutil.Process(child.pid)
    cast(Any, child).ptyproc.fileobj.close()
    eventually(lambda: program.status() == psutil.STATUS_ZOMBIE)
    assert not any(process.is_running() for process in inside)


def test_a_pipe_as_output_means_no_terminal(mydocker: Launcher, spawn: Spawn) -> None:
    child = spawn("run", "sh", "-c", "test -t 1 && echo terminal || echo pipe")
    child.expect_exact("terminal")
    assert mydocker(1, "run", "sh", "-c", "test -t 1 || echo pipe").stdout == "pipe\n"


# ---------------------------------------------------------------- afterwards


@pytest.mark.parametrize("end", ["exit", "killed", "fails"])
def test_the_readers_terminal_is_as_before(mydocker: Launcher, end: str) -> None:
    """On a terminal whose other end we hold too, to look at it when all is over."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 31, 97, 0, 0))
    before = termios.tcgetattr(slave)
    command = {"exit": ["true"], "killed": ["sleep", "60"], "fails": ["nosuch"]}[end]
    started = mydocker.start(
        1, "run", *command, stdin=slave, stdout=slave, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    if end == "killed":
        pid = mydocker.inside(started, "sleep")
        eventually(lambda: not termios.tcgetattr(slave)[3] & termios.ICANON)
        os.kill(pid, signal.SIGKILL)
    assert started.wait(20) == {"exit": 0, "killed": 137, "fails": 127}[end]
    assert termios.tcgetattr(slave) == before
    os.close(master)
    os.close(slave)


def test_the_unprivileged_have_a_terminal_too(mydocker: Launcher) -> None:
    argv = mydocker.argv(1, "run", "sh", "-c", "stty size; id -u; tty")
    if subprocess.run(["setpriv", "--reuid=65534", "test", "-r", argv[2]], check=False).returncode:
        pytest.skip("the steps are in a folder that only root may read")
    options = ["--reuid=65534", "--regid=65534", "--clear-groups"]
    child = pexpect.spawn(
        "setpriv",
        [*options, *argv],
        dimensions=(31, 97),
        encoding="utf-8",
        timeout=patience(20),
        cwd="/",
    )
    child.expect(r"31 97\r\n0\r\n/dev/pts/\d+\r\n")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
