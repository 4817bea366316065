"""A real dockerd of our own inside the suite's sandbox: a peer to compare with, no dependency."""

import shutil
import subprocess
import time
from pathlib import Path

from sandbox.machine import Sandbox
from sandbox.patience import patience

# Debian's docker before another: dockerd and client of one version, everywhere the same
PATH = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin"


def missing() -> str:
    """Which program is not installed; "" if all are."""
    wanted = ("dockerd", "containerd", "docker", "iptables")
    return next((name for name in wanted if not shutil.which(name, path=PATH)), "")


class Dockerd:
    """Started in a place of its own, with a busybox image that is ours to the file."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.place = sandbox.directory / "docker"
        self.place.mkdir()
        self._group = f"{sandbox.cgroup_parent}-docker"
        self.socket = f"unix://{self.place}/docker.sock"
        self._log = (self.place / "log").open("wb")
        for name in ("upper", "work"):
            (self.place / name).mkdir()
        # It writes a key to /etc/docker, and the machine's files are read-only here: so over /etc
        # lies a layer of its own, in a mount namespace of its own.
        layers = f"lowerdir=/etc,upperdir={self.place}/upper,workdir={self.place}/work"
        private = (
            f"mount -t overlay etc -o {layers} /etc && mount -t tmpfs run /run && "
            'ip link set lo up && exec "$@"'
        )
        self._daemon = subprocess.Popen(
            [
                *("unshare", "--mount", "--net", "sh", "-c", private, "sh"),
                *("dockerd", "--host", self.socket),
                *("--data-root", f"{self.place}/data", "--exec-root", f"{self.place}/exec"),
                *("--pidfile", f"{self.place}/pid"),
                *("--cgroup-parent", self._group),
                *("--exec-opt", "native.cgroupdriver=cgroupfs"),
            ],
            stdout=self._log,
            stderr=self._log,
            env={"PATH": PATH, "HOME": str(self.place)},
        )
        self._wait()

    def _wait(self) -> None:
        end = time.monotonic() + 60
        while self("version").returncode:
            if time.monotonic() > end or self._daemon.poll() is not None:
                raise RuntimeError((self.place / "log").read_text()[-2000:])
            time.sleep(0.1)

    def argv(self, *arguments: str) -> list[str]:
        """The command line of the docker client for our dockerd."""
        client = shutil.which("docker", path=PATH) or "docker"
        return [client, "--host", self.socket, *arguments]

    def __call__(self, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": PATH, "HOME": str(self.place)}
        command = self.argv(*arguments)
        return subprocess.run(  # type: ignore[call-overload,no-any-return]
            command,
            capture_output=True,
            text=True,
            env=environment,
            timeout=patience(60),
            **options,
        )

    def make_image(self, archive: Path) -> None:
        """The image ``busybox`` from a tar archive of its files, configured as ours is."""
        changes = ('CMD ["sh"]', f"ENV PATH={PATH}")
        options = [word for change in changes for word in ("--change", change)]
        subprocess.run(
            self.argv("import", *options, str(archive), "busybox"),
            check=True,
            stdout=subprocess.DEVNULL,
        )

    def stop(self) -> None:
        """End it with its containers."""
        running = self("ps", "-aq").stdout.split()
        if running:
            self("rm", "-f", *running)
        self._daemon.terminate()
        self._daemon.wait(30)
        self._log.close()
        for group in Path("/sys/fs/cgroup").glob(f"**/{self._group}"):
            group.rmdir()
