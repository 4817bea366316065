"""README's two commands on a machine that has nothing yet: Debian 12 and 13, as they are installed.

Each test makes a Debian in a directory, which takes some minutes and the network; `./test --all`.
"""

import shutil
from subprocess import CompletedProcess

import pytest
from sandbox.debian import debian
from sandbox.machine import Sandbox

pytestmark = [pytest.mark.long, pytest.mark.root]


def text(done: CompletedProcess[str]) -> str:
    return f"exit code {done.returncode}\n{done.stdout[-6000:]}{done.stderr[-3000:]}"


@pytest.mark.parametrize(("release", "python"), [("bookworm", "3.11"), ("trixie", "3.13")])
def test_the_two_commands(sandbox: Sandbox, release: str, python: str) -> None:
    if not shutil.which("mmdebstrap"):
        pytest.skip("mmdebstrap is not installed (Debian's package mmdebstrap)")
    with debian(sandbox, release) as fresh:
        version = fresh.run("python3", "--version", outside=False)
        assert version.stdout.startswith(f"Python {python}."), text(version)

        # The set-up needs the network; the container of this run stays away from it.
        run = ["./mydocker", "run", "--rm"]
        first = fresh.run(*run, "--net", "none", "busybox", "echo", "hello", outside=True)
        assert (first.returncode, first.stdout) == (0, "hello\n"), text(first)
        assert "mydocker: making a virtual environment" in first.stderr

        second = fresh.run(*run, "busybox", "true", outside=False)
        assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
        listed = fresh.run("./mydocker", "ps", "-aq", outside=False)
        assert (listed.returncode, listed.stdout, listed.stderr) == (0, "", "")

        # All that there is for `run`, of each step.
        tests = ["./test", "01", "02", "03", "05", "--", "-q", "-k", "test_run"]
        suite = fresh.run(*tests, outside=True)
        assert suite.returncode == 0, text(suite)
        assert " passed" in suite.stdout.splitlines()[-1]
