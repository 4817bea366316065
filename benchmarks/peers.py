"""The other tools that we are measured beside: each made ready in the benchmark's private place.

Everything runs in a place of its own (``private.py``), with data below one temporary directory and
control groups below one group, so that neither a dockerd that runs on this machine nor anything of
ours is touched.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from private import PATH, ROOT

from mydocker.kernel import loopback, syscalls


class Peer:
    """A tool, by the words of its ``run``. ``command`` is what comes before them, ``beside`` a word
    of the process that stays beside each container."""

    name = ""
    beside = ""
    always: tuple[str, ...] = ()  # options of each run

    def __init__(self, place: Path) -> None:
        self.place = place
        self.command: list[str] = []
        self.settings: dict[str, str] = {}  # variables of its environment
        self.group = f"/{place.name}"

    def available(self) -> bool:
        """Is it installed here?"""
        return shutil.which(self.name, path=PATH) is not None

    def start(self, rootfs: Path, stack: ExitStack) -> None:
        """Make it ready, with an image ``busybox`` made from the directory ``rootfs``."""

    def run(self, *, network: bool, detach: bool = False) -> list[str] | None:
        """The command that runs ``true``; None if the tool has no such thing."""
        mode = [] if network else ["--net", "none"]
        kind = ["-d"] if detach else ["--rm"]
        return self.begin(*kind, *mode, "busybox", "true")

    def begin(self, *words: str) -> list[str]:
        """The command that runs a container as ``words`` say."""
        return [*self.command, "run", *self.always, *words]

    def load(self, archive: Path) -> list[str] | None:
        """The command that imports a root file system from a tar archive."""
        return [*self.command, "import", str(archive), "big"]

    def enter(self) -> None:
        """Go where its commands are to be run, before the clock starts."""

    def call(self, *arguments: str) -> str:
        """Run one of its commands and give back what it prints."""
        self.enter()
        command, variables = [*self.command, *arguments], os.environ | self.settings
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
        return done.stdout


class Mydocker(Peer):
    """Ours."""

    name = "mydocker"
    beside = "supervisor"

    def __init__(self, place: Path, directory: Path = ROOT) -> None:
        super().__init__(place)
        self.directory = directory
        self.command = [str(directory / "mydocker")]

    def main(self, step: int) -> Path:
        """The program of a step."""
        (main,) = self.directory.glob(f"steps/{step:02d}-*/main.py")
        return main

    def available(self) -> bool:
        return True

    def start(self, rootfs: Path, stack: ExitStack) -> None:
        self.call("run", "--rm", "--net", "none", "busybox", "true")  # makes its own image


class Checkout(Mydocker):
    """A checkout of ours, to be measured beside another: the same Python, the same packages.

    Each has a network namespace of its own, as their bridges and rules have the same names.
    """

    def __init__(self, place: Path, directory: Path) -> None:
        super().__init__(place, directory)
        self.name = directory.name
        self.command = [sys.executable, "-E", "-s", "-S", str(self.main(5))]
        data, running = f"{place}/root-{self.name}", f"{place}/run-{self.name}"
        self.settings = {"MYDOCKER_ROOT": data, "MYDOCKER_RUN": running}
        syscalls.unshare(syscalls.CLONE_NEWNET)
        loopback.set_up("lo")
        self._network = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def enter(self) -> None:
        syscalls.setns(self._network, syscalls.CLONE_NEWNET)


class Docker(Peer):
    """Debian's dockerd with its own data-root and socket."""

    name = "dockerd"
    beside = "containerd-shim"

    def start(self, rootfs: Path, stack: ExitStack) -> None:
        socket = f"unix://{self.place}/docker.sock"
        self.command = ["docker", "-H", socket]
        log = stack.enter_context((self.place / "dockerd.log").open("wb"))
        options = {"--data-root": "docker", "--exec-root": "docker-exec", "--pidfile": "docker.pid"}
        given = [
            word for option, name in options.items() for word in (option, f"{self.place}/{name}")
        ]
        given += ["--cgroup-parent", self.group]
        daemon = subprocess.Popen(["dockerd", "-H", socket, *given], stdout=log, stderr=log)
        stack.callback(daemon.wait, 30)
        stack.callback(daemon.terminate)
        _wait_for(lambda: self.call("version"))
        _import(self.command, rootfs)


class Podman(Peer):
    """Podman with its own storage; by runc, as crun refuses the hybrid of cgroup v1 and v2."""

    name = "podman"

    def start(self, rootfs: Path, stack: ExitStack) -> None:
        options = {"--root": "podman", "--runroot": "podman-run", "--tmpdir": "podman-tmp"}
        given = [
            word for option, name in options.items() for word in (option, f"{self.place}/{name}")
        ]
        self.command = [
            "podman",
            *given,
            "--cgroup-manager",
            "cgroupfs",
            "--events-backend",
            "none",
            *(("--runtime", "runc") if shutil.which("runc", path=PATH) else ()),
        ]
        # Its default is to raise these limits, which takes CAP_SYS_RESOURCE
        limits = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096")
        self.always = ("--cgroup-parent", self.group, *limits)
        _import(self.command, rootfs)


class Runc(Peer):
    """runc alone, with a bundle: no image, no network."""

    name = "runc"

    def start(self, rootfs: Path, stack: ExitStack) -> None:
        bundle = self.place / "bundle"
        bundle.mkdir()
        subprocess.run(["cp", "-a", rootfs, bundle / "rootfs"], check=True)
        subprocess.run([self.name, "spec"], cwd=bundle, check=True)
        config = json.loads((bundle / "config.json").read_text())
        config["process"] |= {"terminal": False, "args": ["true"], "rlimits": []}
        config["linux"]["cgroupsPath"] = f"{self.group}/{self.name}"
        (bundle / "config.json").write_text(json.dumps(config))
        self.command = [self.name, "--root", f"{self.place}/{self.name}"]

    def run(self, *, network: bool, detach: bool = False) -> list[str] | None:
        if network or detach:
            return None
        return [*self.command, "run", "-b", str(self.place / "bundle"), "benchmark"]

    def load(self, archive: Path) -> list[str] | None:
        return None


class Crun(Runc):
    """crun: the same in C."""

    name = "crun"

    def start(self, rootfs: Path, stack: ExitStack) -> None:
        bundle = self.place / "bundle"
        if not bundle.exists():
            super().start(rootfs, stack)
        self.command = [self.name, "--root", f"{self.place}/{self.name}"]


PEERS: tuple[type[Peer], ...] = (Mydocker, Docker, Podman, Runc, Crun)


def _import(command: list[str], rootfs: Path) -> None:
    tar = subprocess.Popen(["tar", "-C", rootfs, "-c", "."], stdout=subprocess.PIPE)
    subprocess.run(
        [*command, "import", "-", "busybox"],
        stdin=tar.stdout,
        check=True,
        capture_output=True,
        text=True,
    )
    tar.wait()


def _wait_for(attempt: object, patience: float = 30) -> None:
    end = time.monotonic() + patience
    while True:
        try:
            assert callable(attempt)
            attempt()
            return
        except subprocess.CalledProcessError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
