"""What the tests of step 04 share: real packets, and a store to look into."""

from collections.abc import Iterator

import pytest
from sandbox.launcher import Launcher
from sandbox.machine import Sandbox
from sandbox.wires import Wires


@pytest.fixture
def wires(mydocker: Launcher) -> Iterator[Wires]:
    """Clients, servers and containers; they end with the test."""
    made = Wires(mydocker)
    yield made
    made.stop()


@pytest.fixture
def network(wires: Wires, mydocker: Launcher) -> Iterator[Launcher]:
    """For tests that make networks: removes them afterwards."""
    # not above: this file is read before the steps are on the import path
    from mydocker.container import leftovers
    from mydocker.container.commandline import default_run

    yield mydocker
    wires.stop()
    leftovers.prune(default_run())
    mydocker(4, "network", "prune", "-f")


@pytest.fixture(scope="session", autouse=True)
def image(sandbox: Sandbox) -> None:
    """The busybox image, made once."""
    if sandbox.private:
        Launcher(sandbox.steps)(4, "run", "--net", "none", "busybox", "true")
