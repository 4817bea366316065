"""Running a command in new namespaces, looked at from outside."""

import os
import subprocess
import sys

import psutil
import pytest
from sandbox.launcher import Launcher
from sandbox.machine import Sandbox

from mydocker.namespaces.kinds import KINDS

pytestmark = pytest.mark.root

NAMES = {kind.option: kind.name for kind in KINDS}


def namespaces(pid: int | str) -> dict[str, str]:
    """Each kind's identity, as ``/proc/PID/ns`` has it: ``pid:[4026531836]``."""
    return {name: os.readlink(f"/proc/{pid}/ns/{name}") for name in NAMES.values()}


def test_all_namespaces_are_new(mydocker: Launcher) -> None:
    started = mydocker.start(1, "run", "sleep", "60")
    inside = namespaces(mydocker.inside(started, "sleep"))
    outside = namespaces("self")
    assert {kind for kind in inside if inside[kind] != outside[kind]} == set(NAMES.values())


def test_the_init_is_in_all_of_them_too(mydocker: Launcher) -> None:
    started = mydocker.start(1, "run", "--init", "sleep", "60")
    inside = mydocker.inside(started, "sleep")
    assert namespaces(inside) == namespaces(psutil.Process(inside).ppid())


@pytest.mark.parametrize("option", NAMES)
def test_one_namespace_alone(mydocker: Launcher, option: str) -> None:
    started = mydocker.start(1, "run", f"--{option}", "sleep", "60")
    inside = namespaces(mydocker.inside(started, "sleep"))
    outside = namespaces("self")
    assert [kind for kind in inside if inside[kind] != outside[kind]] == [NAMES[option]]


API = """
import sys
from pathlib import Path
sys.path[:0] = [str(step) for step in sorted(Path(sys.argv[1]).glob("[0-9][0-9]-*"))]
from mydocker.container.process import Process
from mydocker.container.running import run
process = Process(("env",), {"PATH": "/usr/bin:/bin", "GIVEN": "1"}, input=False)
sys.exit(run(process, 0, [], run_directory=sys.argv[2]).exit_code)
"""


def test_the_command_gets_the_variables_that_it_is_given_and_no_others(
    mydocker: Launcher, sandbox: Sandbox
) -> None:
    """What our caller has in his environment, a password say, is for us at most."""
    command = [sys.executable, "-ISc", API, str(mydocker.steps), str(sandbox.run)]
    environment = mydocker.environment({"SECRET": "word"})
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert sorted(done.stdout.split()) == ["GIVEN=1", "PATH=/usr/bin:/bin"], done.stderr
