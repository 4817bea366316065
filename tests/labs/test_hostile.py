"""A hostile submission reaches nothing of the machine: it tries (``probes``), and tells what works.

What it might find is put there by these tests: a secret, a process, sockets that everybody may use.
With one of the defences taken out, some of it works: that was seen for each of them.
"""

import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from labs.test_safety import judged

from mydocker.kernel.syscalls import MNT_DETACH, mount, umount2

pytestmark = pytest.mark.root

PROBES = "/tmp/repository/tests/labs/probes.py"


@pytest.fixture
def told(tmp_path: Path) -> Iterator[dict[str, str]]:
    """What is there to be found."""
    mark = f"7{secrets.randbelow(10**6):06}"
    secret = tmp_path / "secret"
    secret.write_text("of the machine")
    secret.chmod(0o644)
    path = Path(f"/tmp/mydocker-hostile-{mark}")
    abstract = f"mydocker-hostile-{mark}"
    with ExitStack() as stack:
        for address in (str(path), f"\0{abstract}"):
            one = stack.enter_context(socket.socket(socket.AF_UNIX))
            one.bind(address)
            one.listen()
        path.chmod(0o666)
        stack.callback(path.unlink)
        port = stack.enter_context(socket.socket())
        port.bind(("127.0.0.1", 0))
        port.listen()
        # Where programs of the machine are, a file that everybody may write
        mount("hostile", "/opt", "tmpfs", 0, "mode=755", why="for a test")
        stack.callback(umount2, "/opt", MNT_DETACH)
        everybodys = Path("/opt/everybodys")
        everybodys.touch()
        everybodys.chmod(0o666)
        sleeper = stack.enter_context(subprocess.Popen(["sleep", mark]))
        stack.callback(sleeper.kill)
        yield {
            "secret": str(secret), "mark": mark, "path": str(path), "abstract": abstract,
            "port": str(port.getsockname()[1]), "everybodys": str(everybodys),
        }  # fmt: skip


def attempted(told: dict[str, str], expression: str) -> str:
    body = f"""
    probes = {{}}
    exec(compile(open({PROBES!r}).read(), "probes", "exec"), probes)
    told = {told!r}
    raise ValueError(f"told: {{{expression}}}")
"""
    ((_, outcome, observed, _),) = judged(body, seconds=100)
    assert outcome == "crash" and "told: " in observed[0], observed
    return str(observed[0].partition("told: ")[2].rpartition(" (steps/")[0])


def test_nothing_of_the_machine_can_be_had(told: dict[str, str]) -> None:
    before = time.clock_gettime(time.CLOCK_REALTIME) - time.clock_gettime(time.CLOCK_BOOTTIME)
    assert attempted(told, "probes['worked'](told)") == "[]"
    after = time.clock_gettime(time.CLOCK_REALTIME) - time.clock_gettime(time.CLOCK_BOOTTIME)
    assert abs(after - before) < 1


def test_the_probes_would_tell() -> None:
    """What is permitted, they find: a mount, a file that can be written."""
    words = "probes['attempt'](lambda: probes['mount']('none', '/mnt', 'tmpfs') == 0)"
    words += ", probes['attempt'](lambda: probes['writable']('/proc/sys/net', ()))"
    words += ", probes['opens']('/tmp/told'), probes['tried']() > 60"
    assert attempted({}, words) == "(True, True, True, True)"
