"""What the tests of step 02 have in common."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from sandbox.groups import Outside
from sandbox.machine import Sandbox

if TYPE_CHECKING:  # the steps are on the import path only when pytest has been configured
    from mydocker.cgroups.cgroup import Cgroup


@pytest.fixture(scope="session")
def outside() -> Outside:
    return Outside()


@pytest.fixture
def group(sandbox: Sandbox, request: pytest.FixtureRequest) -> "Iterator[Cgroup]":
    """A group of the test's own, not made yet; removed afterwards with what is in it."""
    from mydocker.cgroups import freezer, hierarchy
    from mydocker.cgroups.cgroup import Cgroup

    made = Cgroup(f"{sandbox.cgroup_parent}/{os.urandom(4).hex()}", hierarchy.read())
    yield made
    freezer.kill(made)
    made.remove(Cgroup(sandbox.cgroup_parent, made.machine).directories)
