"""A fresh Debian of any release, as mmdebstrap(1) makes it, with the repository in it.

Its commands run in a mount namespace of their own, with this root as ``/``. They reach packages as
the machine itself does: by its mirror, its settings of apt and pip, its certificates, its resolver.

Their pids are the machine's: the suite that runs in there names its control groups by its pid, and
every other suite on the machine takes away those whose owner is dead (``machine.sweep``).
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from sandbox.machine import Sandbox, remove

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from vm import pip_configuration, repository  # noqa: E402

PLACE = "/srv/mydocker"  # of the repository, inside
PACKAGES = "python3,ca-certificates"  # what README asks for, and what TLS needs
_OUTPUT = 3000  # characters of a failed command that are shown
_ENDLESS = 3600  # seconds: no mirror is that slow

# /dev, /sys and its control groups are the machine's. A root that is only chroot(2)ed into would
# be no mount point, and the old root would be in reach: so pivot_root(2), as a container does.
_ENTER = """
set -e
root=$1; shift
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
while [ "$1" != -- ]; do
    if [ -d "$1" ]; then mkdir -p "$root$1"
    else mkdir -p "$root${1%/*}"; [ -e "$root$1" ] || : >"$root$1"; fi
    mount --bind -o ro "$(readlink -f "$1")" "$root$1"
    shift
done
shift
cd "$root"
pivot_root . .
umount -l .
cd "$PLACE"
exec "$@"
"""
# What apt says when a release is not on the mirror, or the mirror out of reach.
_OUT_OF_REACH = (
    "does not have a Release file",
    "resolving",
    "Could not connect",
    "Unable to connect",
)


class Debian:
    """A root directory, and how to run commands in it."""

    def __init__(self, sandbox: Sandbox, release: str) -> None:
        self.root = sandbox.directory / release
        self.outside = sandbox.outside
        self.cgroup_parent = sandbox.cgroup_parent

    def make(self, release: str) -> None:
        """Unpack the release, and the repository as it is in the working tree."""
        settings = [f"--aptopt={line}" for line in _apt_settings()]
        wanted = ["--variant=minbase", f"--include={PACKAGES}", release, str(self.root), _mirror()]
        done = self._outside("mmdebstrap", *settings, *wanted)
        if done.returncode != 0:
            for line in done.stderr.splitlines():
                if any(word in line for word in _OUT_OF_REACH):
                    pytest.skip(f"no {release} to be had here: {line.strip()}")
            pytest.fail(done.stderr[-_OUTPUT:])
        (self.root / PLACE[1:]).mkdir(parents=True)
        archive = repository.pack()
        unpack = ["tar", "-C", f"{self.root}{PLACE}", "-xf", f"/proc/self/fd/{archive}"]
        subprocess.run(unpack, pass_fds=[archive], check=True)
        os.close(archive)

    def run(self, *command: str, outside: bool) -> subprocess.CompletedProcess[str]:
        """Run a command in the repository in there. ``outside``: on the machine's own network."""
        bound = [*pip_configuration.to_bind(os.environ), "/etc/resolv.conf", "/etc/hosts"]
        settings = pip_configuration.environment(os.environ) | {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "LANG": "C.UTF-8",
            "PLACE": PLACE,
            "MYDOCKER_CGROUP_PARENT": self.cgroup_parent,
        }
        apart = ["unshare", "--mount", "--propagation=private", "--fork", "--kill-child=KILL"]
        apart += ["env", "-i", *(f"{k}={v}" for k, v in settings.items())]
        whole = [*apart, "sh", "-c", _ENTER, "sh", str(self.root), *bound, "--", *command]
        return self._outside(*whole) if outside else _run(*whole)

    def end(self) -> None:
        """Kill what still runs in there: its root directory is ours, whatever its parents were."""
        if not self.root.exists():
            return
        ours = self.root.stat()
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if os.path.samestat((entry / "root").stat(), ours):
                    os.kill(int(entry.name), signal.SIGKILL)

    def _outside(self, *command: str) -> subprocess.CompletedProcess[str]:
        return _run("nsenter", f"--net=/proc/{os.getpid()}/fd/{self.outside}", *command)


@contextmanager
def debian(sandbox: Sandbox, release: str) -> Iterator[Debian]:
    """A fresh Debian, which is removed afterwards. Skips the test where none can be made."""
    made = Debian(sandbox, release)
    try:
        made.make(release)
        yield made
    finally:
        made.end()
        remove(made.root)


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=_ENDLESS,
    )


def _mirror() -> str:
    """Where this machine has its Debian from."""
    form = "$(REPO_URI) $(CODENAME) $(ORIGIN)"
    lines = _run("apt-get", "indextargets", "--format", form, "Created-By: Packages").stdout
    for line in lines.splitlines():
        uri, _, rest = line.partition(" ")
        if rest.endswith(" Debian") and "security" not in line and "updates" not in line:
            return uri
    return "http://deb.debian.org/debian"


def _apt_settings() -> list[str]:
    """How this machine's apt reaches its mirror: proxies, certificates, patience."""
    lines = _run("apt-config", "dump", "Acquire").stdout.splitlines()
    names = ("Acquire::http::", "Acquire::https::", "Acquire::Check-", "Acquire::Retries")
    return [line for line in lines if line.startswith(names)]
