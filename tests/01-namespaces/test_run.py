"""Running a command in new namespaces, looked at from outside."""

import os

import psutil
import pytest
from sandbox.launcher import Launcher

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
