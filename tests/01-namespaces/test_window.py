"""No signal is lost, whenever it comes: also in the moment before a wait (see sandbox.window)."""

import os
import signal
import subprocess
from collections.abc import Iterator

import pexpect
import pytest
from sandbox import window
from sandbox.launcher import Launcher
from sandbox.patience import patience
from sandbox.windows import Windows, asleep, heard

TRAP = "trap 'exit 43' TERM; echo ready; while :; do sleep 0.05; done"


@pytest.fixture
def windows(mydocker: Launcher) -> Windows:
    return Windows(mydocker)


# ---------------------------------------------------------------- run


@pytest.mark.root
@pytest.mark.parametrize("init", [[], ["--init"]], ids=["", "init"])
def test_while_the_command_runs(windows: Windows, init: list[str]) -> None:
    started = windows.start(1, "run", *init, "sh", "-c", TRAP)
    assert started.stdout and started.stdout.readline() == "ready\n"
    assert heard(started, signal.SIGTERM) == 43


@pytest.fixture
def terminal(mydocker: Launcher) -> Iterator["pexpect.spawn[str]"]:
    python, flags, *rest = mydocker.argv(1, "run", "-it", "sh", "-c", TRAP)
    child = pexpect.spawn(
        python, [flags, window.__file__, *rest], encoding="utf-8", timeout=patience(20),
        dimensions=(31, 97),
    )  # fmt: skip
    yield child
    child.close(force=True)


@pytest.mark.root
def test_while_a_terminal_is_relayed(terminal: "pexpect.spawn[str]") -> None:
    terminal.expect("ready")
    assert terminal.pid
    os.kill(terminal.pid, signal.SIGTERM)
    terminal.expect(pexpect.EOF)
    terminal.wait()
    assert terminal.exitstatus == 43


# ---------------------------------------------------------------- each wait, one by one

HANDLER = """
import os, signal
from mydocker.kernel import signals
def handle(number, frame):
    raise SystemExit(44)
signal.signal(signal.SIGUSR1, handle)
reader, writer = os.pipe()
print("waits", flush=True)
"""
WAITS = {
    "ready": "signals.ready(reader)",
    "ready, for a time": "signals.ready(reader, 600)",
    "pause": "signals.pause(600)",
    "read": "signals.read(reader, 1)",
    "write": "signals.write(writer, bytes(1 << 20))",
    "reap": """
child = os.fork()
if child == 0:
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    os.close(writer)
    os.read(reader, 1)
    os._exit(0)
signals.reap(child)""",
    "reap, by pidfd": """
child = os.fork()
if child == 0:
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    os.close(writer)
    os.read(reader, 1)
    os._exit(0)
signals.reap(child, os.pidfd_open(child))""",
    "lock": """
import fcntl, tempfile
with tempfile.NamedTemporaryFile() as file, open(file.name) as again:
    fcntl.flock(file, fcntl.LOCK_EX)
    signals.lock(again.fileno())""",
    "what the container's side says": """
from mydocker.container import channel
from mydocker.container.running import Container
ours, theirs = channel.pair()
Container("", None, 0, [], "")._listen(ours)""",
    "what the monitor says": """
import socket
from mydocker.engine.monitor import launch
ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
launch.hear(ours)""",
    "the monitor's last word": """
import socket
from mydocker.engine import connection
ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
connection.wait_end(ours)""",
    "a command for the network": """
from mydocker.kernel import programs
programs.find = lambda name: "/usr/bin/tail"  # which ends with us
programs._run(["tail", "-f", f"--pid={os.getpid()}", "/dev/null"], "")""",
    "an archive": """
from mydocker.overlay2 import importing
os.chdir(os.environ["MYDOCKER_ROOT"])
def pieces():
    yield os.read(reader, 1)
importing.Landing(pieces(), f"landing-{os.getpid()}").wait(0)""",
    "the end of an archive": """
from mydocker.overlay2 import importing
os.chdir(os.environ["MYDOCKER_ROOT"])
def pieces():
    yield os.read(reader, 1)
importing.Landing(pieces(), f"landing-{os.getpid()}").finish()""",
}


@pytest.mark.parametrize("code", WAITS.values(), ids=WAITS)
def test_a_handler_runs_whatever_is_waited_for(windows: Windows, code: str) -> None:
    os.makedirs(os.environ["MYDOCKER_ROOT"], exist_ok=True)
    # The last word of each: a wait of another thread must not keep the program.
    code = f"try:\n{indented(code)}\nexcept SystemExit as end:\n    os._exit(end.code)"
    assert heard(windows.script(HANDLER + code), signal.SIGUSR1) == 44


def indented(code: str) -> str:
    return "\n".join(f"    {line}" for line in code.strip().splitlines())


def test_the_window_is_there(windows: Windows) -> None:
    """The test of the tests: in a wait that is not protected, the signal is lost."""
    for code in ("os.read(reader, 1)", "select.select([reader], [], [])", "time.sleep(600)"):
        started = windows.script(HANDLER + "import select, time\n" + code)
        asleep(started)
        started.send_signal(signal.SIGUSR1)
        with pytest.raises(subprocess.TimeoutExpired):
            subprocess.Popen.wait(started, 0.5)
        started.kill()


# ---------------------------------------------------------------- nothing is left behind


def do(mydocker: Launcher, code: str) -> str:
    """What a program prints that sees all steps."""
    before = f"import sys; sys.path[:0] = [{str(mydocker.steps)!r}]\n"
    before += "from layers import stack; stack(5)\n"
    before += "import os, signal\nfrom mydocker.kernel import signals\n"
    argv = [mydocker.argv(1)[0], "-ESs", "-c", before + code]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=patience(60), check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


LEFT = """
def state():
    fd = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(fd)
    handlers = [signal.getsignal(n) for n in signal.valid_signals()]
    return fd, handlers, signal.pthread_sigmask(signal.SIG_BLOCK, ()), sorted(os.listdir("/proc/self/fd"))
before = state()
reader, writer = os.pipe()
signals.ready(reader, 0.01)
signals.pause(0.01)
signals.write(writer, b"data")
signals.read(reader, 4)
signals.reap(os.spawnv(os.P_NOWAIT, "/bin/true", ["true"]))
signals.lock(reader)
def stop(number, frame):
    raise KeyboardInterrupt
signal.signal(signal.SIGALRM, stop)
signal.alarm(1)
try:
    signals.ready(reader)
except KeyboardInterrupt:
    print("interrupted")
signal.signal(signal.SIGALRM, signal.SIG_DFL)
os.close(reader)
os.close(writer)
print(state() == before or (state(), before))
"""  # noqa: E501


def test_a_wait_leaves_nothing_behind(mydocker: Launcher) -> None:
    assert do(mydocker, LEFT) == "interrupted\nTrue\n"


TOLD = """
reader, writer = os.pipe2(os.O_NONBLOCK)
signal.set_wakeup_fd(writer)
signal.signal(signal.SIGUSR1, lambda number, frame: None)
with signals.Poll() as poll:
    os.kill(os.getpid(), signal.SIGUSR1)
    with signals.Poll() as inner:
        os.kill(os.getpid(), signal.SIGUSR1)
        print(inner.wait(600), poll.wait(0))
print(list(os.read(reader, 100)), signal.set_wakeup_fd(-1) == writer)
"""


def test_an_event_loop_of_our_caller_is_told_what_came(mydocker: Launcher) -> None:
    ten = int(signal.SIGUSR1)
    assert do(mydocker, TOLD) == f"{{}} {{}}\n[{ten}, {ten}] True\n"


THREAD = """
import threading
def work():
    reader, writer = os.pipe()
    print(signals.ready(reader, 0.01), signals.reap(os.spawnv(os.P_NOWAIT, "/bin/true", ["true"])))
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


def test_another_thread_may_wait_too(mydocker: Launcher) -> None:
    assert do(mydocker, THREAD) == "False 0\n"


CHILD = """
from mydocker.engine.monitor import launch
reader, writer = os.pipe2(os.O_NONBLOCK)
signal.set_wakeup_fd(writer)
for number in (signal.SIGUSR1, signal.SIGCHLD, signal.SIGWINCH):
    signal.signal(number, lambda number, frame: None)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
child = os.fork()
if child == 0:
    launch._detach(1)
    with open("/proc/self/status") as file:
        told = dict(line.rstrip().split(":\\t", 1) for line in file if line.startswith("Sig"))
    ignored = signal.SIGPIPE, signal.SIGXFSZ
    print(int(told["SigIgn"], 16) == sum(1 << number - 1 for number in ignored))
    print(told["SigBlk"], told["SigCgt"], signal.set_wakeup_fd(-1), flush=True)
    os._exit(0)
signals.reap(child)
"""


def test_a_process_of_our_own_begins_with_clean_signals(mydocker: Launcher) -> None:
    """Else a signal would be written into whatever file gets the number of its parent's pipe. And
    whoever hears no more does not end a monitor, or the server of names, by SIGPIPE."""
    assert do(mydocker, CHILD) == f"True\n{0:016x} {0:016x} -1\n"
