"""Bundles of busybox, and a runtime with a root directory of the test's own."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import psutil
from sandbox.launcher import Completed, Launcher, eventually
from sandbox.patience import patience

BUSYBOX = ("sh", "sleep", "cat", "ls", "id", "env", "mount", "true", "grep", "ps", "stat", "mkdir",
           "hostname", "tty", "readlink", "kill", "touch", "rm", "echo")  # fmt: skip
Change = Callable[[dict[str, Any]], None]


class Bundle:
    """A directory with a root of busybox and a ``config.json``; ``group``: of the test's own."""

    def __init__(self, directory: Path, group: str) -> None:
        self.directory, self.group = directory, group
        self.rootfs = directory / "rootfs"
        (self.rootfs / "bin").mkdir(parents=True)
        shutil.copy("/bin/busybox", self.rootfs / "bin")
        for name in BUSYBOX:
            (self.rootfs / "bin" / name).symlink_to("busybox")
        for name in ("proc", "sys", "dev", "tmp", "etc"):
            (self.rootfs / name).mkdir()

    def write(self, *args: str, change: Change | None = None, **process: Any) -> dict[str, Any]:
        """Its config.json: what ``spec`` gives, for this command; ``change`` makes it another."""
        from mydocker.runtime.looking import default_spec

        told = default_spec()
        told["process"] |= {"terminal": False, "args": list(args), **process}
        told["root"]["readonly"] = False
        told["linux"]["cgroupsPath"] = f"/{self.group}/box"
        if change is not None:
            change(told)
        (self.directory / "config.json").write_text(json.dumps(told))
        return told


class Runtime:
    """``runtime("state", "box")`` calls ours."""

    def __init__(self, launcher: Launcher, root: Path, bundle: Bundle) -> None:
        self.launcher, self.root, self.bundle = launcher, root, bundle

    def argv(self, *words: str) -> list[str]:
        return self.launcher.argv(8, "--root", str(self.root), *words)

    def __call__(
        self, *words: str, code: int | None = 0, env: dict[str, str] | None = None, typed: str = ""
    ) -> Completed:
        """Run one command to its end. What it says goes to files: a container holds a pipe open."""
        with TemporaryFile("w+") as stdin, TemporaryFile("w+") as out, TemporaryFile("w+") as err:
            stdin.write(typed)
            stdin.seek(0)
            done = subprocess.run(
                self.argv(*words), cwd=self.bundle.directory, stdin=stdin, stdout=out, stderr=err,
                env=self.launcher.environment(env), timeout=patience(60), check=False,
            )  # fmt: skip
            out.seek(0)
            err.seek(0)
            completed = Completed(done.args, done.returncode, out.read(), err.read())
        if code is not None:
            assert completed.returncode == code, completed
        return completed

    @property
    def started(self) -> list[int]:
        """The pids of what the test started and waits for itself."""
        return [one.pid for one in self.launcher._started]

    def start(self, *words: str, **options: Any) -> "subprocess.Popen[str]":
        """Leave one command running."""
        options.setdefault("cwd", self.bundle.directory)
        return self.launcher.start(8, "--root", str(self.root), *words, **options)

    def create(self, *args: str, identifier: str = "box", **options: Any) -> int:
        """Write the bundle and create a container of it, which writes to a file: its pid."""
        self.bundle.write(*args, **options)
        with open(self.bundle.directory / "said", "w") as said:
            words = {"stdin": subprocess.DEVNULL, "stdout": said, "stderr": said}
            created = self.start("create", identifier, **words)
            assert created.wait(60) == 0, self.said()
        return int(self.state(identifier)["pid"])

    def run(self, *args: str, code: int | None = 0, **options: Any) -> Completed:
        """Write the bundle and run it to its end."""
        self.bundle.write(*args, **options)
        return self("run", "box", code=code)

    def said(self) -> str:
        """What the container that ``create`` made has written so far."""
        return (self.bundle.directory / "said").read_text()

    def state(self, identifier: str = "box") -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self("state", identifier).stdout)
        return told

    def status(self, identifier: str = "box") -> str:
        """The word in its state; orphans of the test are reaped, as a shim would."""
        reap(self.started)
        return str(self.state(identifier)["status"])

    def comes_to(self, status: str, identifier: str = "box") -> None:
        eventually(lambda: self.status(identifier) == status, what=f"{identifier} is {status}")

    def clear(self) -> None:
        """Nothing is left, whatever the test left."""
        for identifier in os.listdir(self.root) if self.root.is_dir() else []:
            self("delete", "--force", identifier)
        reap(self.started)
        assert not self.root.is_dir() or os.listdir(self.root) == []


def reap(ours: Iterable[int] = ()) -> None:
    """Take away our dead children: the first processes of containers become ours, as a shim's.

    But those that a test has started itself, ``ours``: it waits for them.
    """
    for child in psutil.Process().children():
        with suppress(psutil.Error, ChildProcessError):
            if child.pid not in ours and child.status() == psutil.STATUS_ZOMBIE:
                os.waitpid(child.pid, 0)
