"""How tests call mydocker's commands for containers."""

import os
import subprocess
from typing import Any

from sandbox.launcher import Completed, Launcher, eventually


class Containers:
    """Calls ``mydocker``; the containers that a test leaves are removed after it."""

    def __init__(self, launcher: Launcher) -> None:
        self.launcher = launcher

    def __call__(self, *arguments: str, **options: Any) -> Completed:
        return self.launcher(5, *arguments, **options)

    def need_image(self) -> None:
        """Make the image busybox, if no test did: the first run would tell of it."""
        if not os.path.isdir(f"{os.environ['MYDOCKER_ROOT']}/containers"):
            self("run", "--rm", "--net", "none", "busybox", "true")

    def run(self, *arguments: str, net: bool = False) -> str:
        """``run -d`` of an image with a command, without a network unless it is wanted; its id."""
        network = () if net else ("--net", "none")
        return self("run", "-d", *network, *arguments).stdout.strip()

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Leave a command running."""
        return self.launcher.start(5, *arguments, **options)

    def get(self, name: str, template: str) -> str:
        """``inspect -f``."""
        return self("inspect", "-f", template, name).stdout.rstrip("\n")

    def until(self, name: str, template: str, value: str) -> None:
        """Wait until ``inspect`` says so."""
        eventually(lambda: self.get(name, template) == value, what=f"{template} = {value}")

    def pid(self, name: str) -> int:
        return int(self.get(name, "{{.State.Pid}}"))

    def clear(self) -> None:
        for name in self("ps", "-aq").stdout.split():
            self("rm", "-f", name)
