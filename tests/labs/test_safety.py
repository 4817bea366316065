"""Whatever a student's code does, the machine stays as it is: the host contract looks on.

The code that is tried here is bad on purpose. Each piece does its harm only where the host name is
``lab``, which is so nowhere but in the container that it is meant for.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from labs.patches import ROOT
from sandbox.launcher import Launcher, eventually
from sandbox.patience import patience

pytestmark = pytest.mark.root

# Judges `body`, as what stands in exercise 2.2, a parser that runs in the suite's own process.
JUDGE = """
import json, sys
sys.path.insert(0, sys.argv[1])
from layers import stack
stack(5, "learn")
from mydocker.container.commandline import default_run
from mydocker.labs import manifest, regions
from mydocker.labs.judging import Bounds, Suite
from mydocker.labs.verdicts import Judge

told = json.load(sys.stdin)
root = manifest.default_repository()
course = manifest.load(root)
bounds = Bounds(told["seconds"], memory=300 << 20, pids=80, disk=told["disk"])
judge = Judge(Suite(root, default_run(), bounds, canaries=told["canaries"]))
theirs = regions.bodies(judge.ours)
theirs = {k: (told["body"],) if k[0] == "2.2" else v for k, v in theirs.items()}
exercises = [course.exercise(name) for name in told["exercises"]]
print(json.dumps([
    [v.exercise.id, v.outcome, list(v.observed), v.hint] for v in judge.judge(exercises, theirs)
]))
"""
ONLY_THERE = """    import os
    assert os.uname().nodename == "lab"
"""


def judged(
    body: str,
    *exercises: str,
    seconds: float = 30,
    canaries: bool = False,
    disk: int = 2 << 30,
    **environment: str,
) -> list[list[Any]]:
    done = subprocess.run(
        [sys.executable, "-ESsc", JUDGE, str(ROOT / "steps")],
        input=json.dumps(
            {
                "body": ONLY_THERE + body,
                "exercises": exercises or ["2.2"],
                "seconds": patience(seconds),
                "canaries": canaries,
                "disk": disk,
            }
        ),
        capture_output=True,
        text=True,
        timeout=patience(300),
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    found: list[list[Any]] = json.loads(done.stdout)
    return found


def test_a_stray_mount_a_file_a_name_and_a_daemon(tmp_path: Path) -> None:
    """Nothing that it leaves, or changes, can be seen from here afterwards."""
    mark = f"6{secrets.randbelow(10**6)}"
    body = f"""
    import ctypes, subprocess, sys
    libc = ctypes.CDLL(None, use_errno=True)
    done = []
    def attempt(what, action):
        try:
            action()
            done.append(what)
        except OSError:
            pass
    libc.mount(b"none", b"/", None, 0x40000 | 1 << 20, None)  # shared again, with all below it
    if libc.mount(b"none", b"/mnt", b"tmpfs", 0, None) == 0:
        done.append("mount")
    for place in ("/usr/bin", "/etc", "/opt", "/tmp/repository", "/tmp/venv"):
        attempt(f"write {{place}}", lambda: open(f"{{place}}/mydocker-{mark}", "w").close())
    for kind in ("memory", "pids", "."):
        attempt("group", lambda: os.mkdir(f"/sys/fs/cgroup/{{kind}}/mydocker-{mark}"))
    libc.sethostname(b"evil", 4)
    subprocess.Popen(["setsid", "sleep", "{mark}"])
    if os.fork() == 0:
        os.setsid()
        os.execvp("sleep", ["sleep", "{mark}"])
    raise ValueError(" ".join(done))
"""
    name = os.uname().nodename
    ((_, outcome, observed, _),) = judged(body, TMPDIR=str(tmp_path))
    assert outcome == "crash"
    assert "mount" in observed[0] and "group" in observed[0]  # it could, in there
    assert "write" not in observed[0]
    assert os.uname().nodename == name
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        assert line.split()[4] != "/mnt"
    assert not list(Path("/sys/fs/cgroup").glob(f"*/mydocker-{mark}"))
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert mark.encode() not in process.read_bytes()
        except OSError:
            continue
    assert list(tmp_path.iterdir()) == []


def test_kill_all() -> None:
    ((_, outcome, _, hint),) = judged("    os.kill(-1, 9)\n    os.kill(os.getpid(), 9)\n")
    assert outcome == "crash"
    assert "The whole suite ended" in hint


def test_a_fork_bomb_ends_with_the_check() -> None:
    body = """
    while True:
        try:
            os.fork()
        except OSError:
            pass
"""
    ((_, outcome, *_),) = judged(body, seconds=4)
    assert outcome in ("timeout", "crash")


def test_what_hangs_is_named_and_the_others_are_judged() -> None:
    found = judged("    while True: pass\n", "2.1", "2.2", "2.4", seconds=5)
    assert [(name, outcome) for name, outcome, *_ in found] == [
        ("2.1", "passed"),
        ("2.2", "timeout"),
        ("2.4", "passed"),
    ]
    assert "loop" in found[1][3]


def test_who_eats_all_memory_is_stopped() -> None:
    body = "    eaten = []\n    while True:\n        eaten.append(bytearray(1 << 24))\n"
    ((_, outcome, *_),) = judged(body)
    assert outcome == "crash"


def test_who_fills_the_disk_is_stopped() -> None:
    body = """
    number = 0
    while True:
        number += 1
        with open(f"/var/tmp/{number}", "wb") as file:
            file.write(bytes(1 << 23))
            os.fsync(file.fileno())
"""
    ((_, outcome, observed, _),) = judged(body, disk=64 << 20)
    assert outcome == "crash"
    assert "its files filled the disk" in observed[-1]


def test_the_machine_keeps_a_processor_for_itself() -> None:
    body = """
    import glob
    def number(v1, v2, word=0):
        (path,) = glob.glob(f"/sys/fs/cgroup/*/{v1}") or [f"/sys/fs/cgroup/{v2}"]
        return int(open(path).read().split()[word])
    quota = number("cpu.cfs_quota_us", "cpu.max")
    period = number("cpu.cfs_period_us", "cpu.max", -1)
    memory = number("memory.limit_in_bytes", "memory.max")
    raise ValueError(f"told: {quota / period} {memory >> 20} {number('pids.max', 'pids.max')}!")
"""
    ((_, _, observed, _),) = judged(body)
    processors, memory, pids = observed[0].partition("told: ")[2].partition("!")[0].split()
    assert float(processors) == max(0.9, (os.cpu_count() or 1) - 1)
    assert (memory, pids) == ("300", "80")


def test_what_is_no_python_is_told_with_its_line() -> None:
    ((_, outcome, observed, _),) = judged("    groups = {\n")
    assert outcome == "crash"
    assert "SyntaxError" in observed[0]
    assert observed[0].endswith("hierarchy.py, line 3 of yours: groups = {)")


def test_a_check_that_was_killed_is_cleaned_up(tmp_path: Path, mydocker: Launcher) -> None:
    """Its container goes with it, and ``system prune`` takes away what is left on the disk."""
    checking = begun(tmp_path)
    checking.kill()
    checking.wait()
    mydocker(5, "system", "prune", "-f")
    assert list(tmp_path.iterdir()) == []


def test_a_check_that_is_asked_to_end_leaves_nothing(tmp_path: Path) -> None:
    checking = begun(tmp_path)
    checking.terminate()
    assert checking.wait() == 128 + signal.SIGTERM
    assert list(tmp_path.iterdir()) == []


def begun(tmp_path: Path) -> "subprocess.Popen[str]":
    """A check of what never ends, as soon as its suite runs."""
    told = {
        "body": f"{ONLY_THERE}    while True: pass\n",
        "exercises": ["2.2"],
        "seconds": 60,
        "canaries": False,
        "disk": 2 << 30,
    }
    checking = subprocess.Popen(
        [sys.executable, "-ESsc", JUDGE, str(ROOT / "steps")],
        stdin=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert checking.stdin is not None
    checking.stdin.write(json.dumps(told))
    checking.stdin.close()
    eventually(lambda: [path for path in tmp_path.glob("*/tmp/told") if path.stat().st_size])
    return checking
