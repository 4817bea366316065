"""The suite's sandbox, its host contract, and how tests call the book's programs."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from sandbox import contract
from sandbox.containers import Containers
from sandbox.launcher import Launcher
from sandbox.machine import Sandbox
from sandbox.planting import plant
from sandbox.telling import Teller

ROOT = Path(__file__).parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--steps", default=str(ROOT / "steps"), help="the copy of the steps to test")
    parser.addoption("--all", action="store_true", help="also the tests that take long")
    parser.addoption("--seed", default="", help="the values that tests plant come from this text")
    parser.addoption("--tell", default="", help="a file that tells what each test did, as it does")


def pytest_configure(config: pytest.Config) -> None:
    # A shell starts what it puts in the background with SIGINT ignored, and execve(2) would hand
    # that down to all whom tests interrupt.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # A test never asserts on time; by default Hypothesis would, with 0.2 s for an example.
    hypothesis.settings.register_profile("untimed", deadline=None)
    hypothesis.settings.load_profile("untimed")
    steps = Path(config.getoption("--steps")).resolve()
    layers = [*sorted(steps.glob("[0-9][0-9]-*")), ROOT / "learn"]
    sys.path[:0] = [str(layer) for layer in layers]
    config.addinivalue_line("markers", "root: needs root's privileges; skipped without them")
    config.addinivalue_line("markers", "long: takes minutes; left out without --all")
    if tell := config.getoption("--tell"):
        config.pluginmanager.register(Teller(Path(tell)))
    if not _hands_out(config):
        config.stash[SANDBOX] = Sandbox(steps)
        config.stash[SANDBOX].enter(sweeping=not tell)  # the suite of a lab is in a container


def _hands_out(config: pytest.Config) -> bool:
    """Several processes run the tests (pytest-xdist), and this is none of them."""
    return bool(getattr(config.option, "numprocesses", 0)) and not hasattr(config, "workerinput")


def pytest_unconfigure(config: pytest.Config) -> None:
    if not _hands_out(config):
        config.stash[SANDBOX].leave()


SANDBOX = pytest.StashKey[Sandbox]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--all"):
        long = [item for item in items if item.get_closest_marker("long")]
        items[:] = [item for item in items if item not in long]
        config.hook.pytest_deselected(items=long)
    if config.stash[SANDBOX].private:
        return
    skip = pytest.mark.skip(reason="cannot make namespaces here: run the suite as root")
    for item in items:
        if item.get_closest_marker("root"):
            item.add_marker(skip)


@pytest.fixture(scope="session")
def sandbox(pytestconfig: pytest.Config) -> Sandbox:
    """Where the tests run: directories, cgroup parent, environment."""
    return pytestconfig.stash[SANDBOX]


@pytest.fixture
def mydocker(sandbox: Sandbox) -> Iterator[Launcher]:
    """Calls the book's programs; what a test leaves running is ended after it."""
    launcher = Launcher(sandbox.steps)
    yield launcher
    launcher.stop()


@pytest.fixture(autouse=True)
def planted(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With ``--seed``, random values that can be had again."""
    if seed := request.config.getoption("--seed"):
        plant(seed, request.node.nodeid, monkeypatch)


@pytest.fixture(autouse=True)
def host_contract(request: pytest.FixtureRequest, sandbox: Sandbox) -> Iterator[None]:
    """Around every test: the machine afterwards is the machine before.

    Autouse fixtures are set up first and so torn down last: after the launcher has ended its runs.
    """
    if "house" in request.path.parts:  # documents and style: they start nothing that could stay
        yield
        return
    before, containers = contract.photograph(), sandbox.containers()
    yield
    found = contract.settled(before)
    found += [
        f"containers: left behind: {identifier}"
        for identifier in sandbox.containers()
        if identifier not in containers
    ]
    if found:
        sandbox.start_over(contract.newcomers(before))
        pytest.fail("the host contract is broken:\n" + "\n".join(found))


@pytest.fixture
def docker(mydocker: Launcher) -> Iterator[Containers]:
    """``docker("ps", "-a")`` calls mydocker; the containers that a test leaves are removed."""
    containers = Containers(mydocker)
    containers.need_image()
    yield containers
    mydocker.stop()
    containers.clear()
