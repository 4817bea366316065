"""A runtime is started five times for each container: what a command does not need, it does not
import. Names of modules are compared, as ``-X importtime`` tells them, and never times."""

import os
import subprocess
import sys

import pytest
from sandbox.bundles import Runtime

from house.programs import STEPS
from house.test_startup import imported, unwanted

pytestmark = pytest.mark.root
MAIN = os.fspath(STEPS / "08-runtime/main.py")
ABOVE = ("click", "rich", "mydocker.cli", "mydocker.engine", "argparse", "socket")


def modules_of(runtime: Runtime, *words: str) -> set[str]:
    python = [sys.executable, "-E", "-s", "-S", "-X", "importtime", MAIN]
    with open(runtime.bundle.directory / "imports", "w+") as file:  # a container holds a pipe open
        done = subprocess.run(
            [*python, "--root", str(runtime.root), *words], cwd=runtime.bundle.directory,
            env=runtime.launcher.environment({"MYDOCKER_VENV": "/-"}), check=False,
            stdin=subprocess.DEVNULL, stdout=file, stderr=file,
        )  # fmt: skip
        file.seek(0)
        text = file.read()
    assert done.returncode == 0, text
    return imported(text)


def test_each_command_imports_only_what_it_needs(runtime: Runtime) -> None:
    runtime.bundle.write("sleep", "1000")
    for words in (("create", "box"), ("start", "box"), ("state", "box"), ("kill", "box", "9"),
                  ("delete", "--force", "box")):  # fmt: skip
        modules = modules_of(runtime, *words)
        above = {name for name in modules if name.startswith(ABOVE)}
        assert not above and not unwanted(modules), words
        if words[0] in ("start", "state", "kill"):
            assert not {name for name in modules if name.startswith("mydocker.overlay2")}, words
