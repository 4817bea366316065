"""The place where every test runs: the suite enters it once, and nothing gets out of it.

New mount and network namespaces with a loopback of their own, root and run directories in a
temporary place, one cgroup parent of its own, and the rest of the disk read-only. What an orphan
of a test becomes is our child (a subreaper), so that the contract sees it.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

_PREFIX = "mydocker-test-"


class Sandbox:
    """``directory`` is the temporary place; ``environment`` is what our programs must be given."""

    def __init__(self, steps: Path) -> None:
        self.steps = steps
        self.private = False
        # The machine's own network, for a test that has to reach others by it.
        self.outside = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        # On the disk and not on a tmpfs: readers keep their images on a disk too.
        prefix = f"{_PREFIX}{os.getpid()}-"
        self.directory = Path(tempfile.mkdtemp(prefix=prefix, dir="/var/tmp"))
        self.directory.chmod(0o755)  # for tests that run as another user
        self.cgroup_parent = f"{_PREFIX}{os.getpid()}"
        self.root = self.directory / "root"
        self.run = self.directory / "run"
        self.environment = {
            "MYDOCKER_ROOT": str(self.root),
            "MYDOCKER_RUN": str(self.run),
            "MYDOCKER_CGROUP_PARENT": self.cgroup_parent,
        }

    def enter(self, sweeping: bool = True) -> None:
        """Leave the machine's namespaces; without the rights, unprivileged tests go on.

        ``sweeping``: not from a PID namespace of our own, where every other suite seems dead.
        """
        from mydocker.kernel import loopback, syscalls
        from mydocker.kernel.errors import KernelError

        if sweeping:
            sweep()
        os.environ.update(self.environment)
        syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
        try:
            syscalls.unshare(syscalls.CLONE_NEWNS | syscalls.CLONE_NEWNET)
        except KernelError:
            return
        syscalls.mount("none", "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
        self._protect()
        self._open()
        loopback.set_up("lo")
        begin_network()
        self.private = True

    def _protect(self) -> None:
        """Make the machine's own files read-only, but for places where tests may write.

        The code under test may be a student's, with the defence that the test asks for left out: an
        unpacked link to ``/usr/bin`` would then be followed.
        """
        from mydocker.kernel import syscalls

        for place in ("/tmp", "/var/tmp", sys.prefix, str(self.steps.parent)):
            syscalls.mount(place, place, None, syscalls.MS_BIND | syscalls.MS_REC)
        flags = syscalls.MS_REMOUNT | syscalls.MS_BIND | syscalls.MS_RDONLY
        syscalls.mount("none", "/", None, flags)

    def _open(self) -> None:
        """Show the steps and the interpreter at a path that every user may read.

        The checkout may lie in root's home, and some tests are another user.
        """
        from mydocker.kernel import syscalls

        learn = str(Path(__file__).parents[2] / "learn")
        for name, place in (("steps", str(self.steps)), ("learn", learn), ("venv", sys.prefix)):
            (self.directory / name).mkdir()
            # MS_REC: single files of a student's copy may be mounted over ours
            flags = syscalls.MS_BIND | syscalls.MS_REC
            syscalls.mount(place, str(self.directory / name), None, flags)
        self.steps = self.directory / "steps"
        sys.executable = str(self.directory / "venv" / "bin" / "python3")
        os.environ["MYDOCKER_VENV"] = str(self.directory / "venv")

    def containers(self) -> list[str]:
        """The ids of step 05's containers that are there, running or not."""
        try:
            names = os.listdir(self.root / "containers")
        except FileNotFoundError:
            return []
        return sorted(name for name in names if name != "names")

    def start_over(self, left_behind: list[int]) -> None:
        """After a test that broke the contract: what it left must not fail all that follow.

        ``left_behind``: pids of its processes. Root and run directories begin anew, empty.
        """
        for pid in left_behind:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for group in _groups():
            if _owner(group) == str(os.getpid()):
                _remove_group(group)
        _reap(left_behind)
        if self.private:
            _remove_network()
            begin_network()
        remove(self.root)
        remove(self.run)

    def leave(self) -> None:
        """Remove the temporary place. The namespaces end with the last process in them."""
        remove(self.directory)


def begin_network() -> None:
    """A new network namespace has the host's switches (ip_sysctl: devconf_inherit_init_net), and
    where Docker runs forwarding is on: each test begins where it is off."""
    for switch in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        path = Path("/proc/sys/net", switch)
        if path.exists():  # a kernel without IPv6
            path.write_text("0")


def _remove_network() -> None:
    """Remove our programs' bridges and rules. In a network namespace of our own only."""
    for _, link in socket.if_nameindex():  # /sys/class/net shows the machine's own
        if link == "mydocker0" or link.startswith("md-"):
            subprocess.run(["ip", "link", "delete", link], check=False)
    subprocess.run(["nft", "delete", "table", "inet", "mydocker"], capture_output=True, check=False)


def remove(directory: Path) -> None:
    """Remove a directory with all that is in it, but for what is only mounted there.

    A mounted directory would be emptied where it comes from: so everything is unmounted first, and
    nothing is removed if that fails.
    """
    from mydocker.kernel import files, syscalls
    from mydocker.kernel.errors import KernelError

    for point in reversed(_mounted_below(directory)):
        with suppress(KernelError):
            syscalls.umount2(point, syscalls.MNT_DETACH)
    if not _mounted_below(directory):
        with suppress(OSError):  # at any depth, which rmtree cannot
            files.remove_tree(str(directory))
        shutil.rmtree(directory, ignore_errors=True)


def _mounted_below(directory: Path) -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [line.split()[4] for line in lines]
    return [
        point for point in points if point.startswith(f"{directory}/") or point == str(directory)
    ]


def sweep() -> None:
    """Take away what suites left behind that were killed: groups with their processes, files."""
    for group in _groups():
        if _owner_is_dead(group):
            _remove_group(group)
    for directory in Path("/var/tmp").glob(f"{_PREFIX}*"):
        if _owner_is_dead(directory):
            remove(directory)


def _reap(pids: list[int], patience: float = 10.0) -> None:
    """Wait for killed processes; they are our children, at the latest when their parents died."""
    end = time.monotonic() + patience
    while (left := [pid for pid in pids if Path(f"/proc/{pid}").exists()]) and (
        time.monotonic() < end
    ):
        for pid in left:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        time.sleep(0.01)


def _groups() -> list[Path]:
    """The top groups of all suites: in v1 below each hierarchy, in v2 below the one tree."""
    tree = Path("/sys/fs/cgroup")
    return [*tree.glob(f"*/{_PREFIX}*"), *tree.glob(f"{_PREFIX}*")]


def _owner(path: Path) -> str:
    """Names are mydocker-test-PID, and more after a further dash: whose they are."""
    return path.name.removeprefix(_PREFIX).partition("-")[0]


def _owner_is_dead(path: Path) -> bool:
    pid = _owner(path)
    return pid.isdigit() and not Path(f"/proc/{pid}").exists()


def _remove_group(top: Path) -> None:
    for directory, _, _ in os.walk(top, topdown=False):
        for pid in _processes(Path(directory)):
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        for thaw in ("freezer.state", "cgroup.freeze"):  # what is frozen does not die
            with suppress(OSError):
                Path(directory, thaw).write_text("THAWED" if thaw == "freezer.state" else "0")
        with suppress(OSError):  # those that are dying still go at the next sweep
            os.rmdir(directory)


def _processes(group: Path) -> list[int]:
    try:
        return [int(pid) for pid in (group / "cgroup.procs").read_text().split()]
    except OSError:
        return []
