"""What the tests of containers with a life of their own have in common."""

from collections.abc import Iterator

import pytest
from sandbox.containers import Containers
from sandbox.launcher import Launcher


@pytest.fixture
def docker(mydocker: Launcher) -> Iterator[Containers]:
    """``docker("ps", "-a")`` calls mydocker; the containers that a test leaves are removed."""
    containers = Containers(mydocker)
    containers.need_image()
    yield containers
    mydocker.stop()
    containers.clear()
