"""What the tests of step 08 have in common."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from sandbox.bundles import Bundle, Runtime
from sandbox.launcher import Launcher
from sandbox.machine import Sandbox


@pytest.fixture
def bundle(tmp_path: Path, sandbox: Sandbox) -> Iterator[Bundle]:
    from mydocker.cgroups import hierarchy
    from mydocker.cgroups.cgroup import Cgroup

    yield Bundle(tmp_path / "bundle", sandbox.cgroup_parent)
    parent = Cgroup(sandbox.cgroup_parent, hierarchy.read())
    for directory in parent.directories:  # which is ours for the whole suite, and made when needed
        with suppress(OSError):
            os.rmdir(directory)


@pytest.fixture
def runtime(mydocker: Launcher, tmp_path: Path, bundle: Bundle) -> Iterator[Runtime]:
    made = Runtime(mydocker, tmp_path / "run", bundle)
    yield made
    made.clear()
