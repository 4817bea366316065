"""The host contract: after a test the machine is what it was before.

A photograph holds mounts, links, addresses, nftables rules, cgroups and processes, and the files
below the test's root and run directories are the test's own affair.
"""

import os
import shutil
import subprocess
import time
from pathlib import Path

import psutil
from sandbox.patience import patience as longer

Photograph = dict[str, set[str]]


def photograph(cgroup_names: str = f"mydocker-test-{os.getpid()}") -> Photograph:
    """The machine now, each kind of thing as a set of lines.

    Of the cgroups: those below this suite's own parent, and beside it with its name.
    """
    return {
        "mounts": _mounts(Path("/proc/self/mountinfo")),
        "mounts of the host": {m for m in _mounts(Path("/proc/1/mountinfo")) if "mydocker" in m},
        "links and addresses": _addresses(),
        "nftables rules": _rules(),
        "cgroups": _cgroups(cgroup_names),
        "processes": _processes(),
    }


def differences(before: Photograph, now: Photograph) -> list[str]:
    """What came and what went, one line each."""
    lines = []
    for kind, lines_before in before.items():
        lines += [f"{kind}: left behind: {line}" for line in sorted(now[kind] - lines_before)]
        lines += [f"{kind}: gone: {line}" for line in sorted(lines_before - now[kind])]
    return lines


def settled(before: Photograph, patience: float = 3.0) -> list[str]:
    """The differences once they stop changing: the kernel takes a dead process's things away after
    its parent was told of its end, some of them much later."""
    end = time.monotonic() + max(patience, longer(patience))  # what is clean is not waited for
    while (found := differences(before, photograph())) and time.monotonic() < end:
        time.sleep(0.05)
    return found


def newcomers(before: Photograph) -> list[int]:
    """The pids of the processes that were not there before."""
    return [int(line.split()[0]) for line in _processes() - before["processes"]]


def _mounts(path: Path) -> set[str]:
    try:
        lines = path.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return set()
    return {" ".join(line.split()[3:]) for line in lines}  # without the ids, which count up


def _addresses() -> set[str]:
    if not shutil.which("ip"):
        return set(os.listdir("/sys/class/net"))
    shown = subprocess.run(["ip", "-oneline", "address"], capture_output=True, text=True)
    links = subprocess.run(["ip", "-oneline", "link"], capture_output=True, text=True)
    return {" ".join(line.split()[1:]) for line in (shown.stdout + links.stdout).splitlines()}


def _rules() -> set[str]:
    nft = shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if nft is None or os.geteuid() != 0:
        return set()
    shown = subprocess.run([nft, "list", "ruleset"], capture_output=True, text=True)
    return set(shown.stdout.splitlines())


def _cgroups(names: str) -> set[str]:
    """Our own groups only: others come and go on a living machine, another suite's too."""
    found = set()
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, kind = line.partition(" - ")
        if kind.split()[0] in ("cgroup", "cgroup2"):
            top = Path(fields.split()[4])
            for ours in (*top.glob(names), *top.glob(f"{names}-*")):  # 2 is not 22
                found |= {directory for directory, _, _ in os.walk(ours)}
    return found


def _processes() -> set[str]:
    """Our descendants: an orphan becomes the child of the suite, which is a subreaper."""
    found = set()
    for child in psutil.Process().children(recursive=True):
        try:
            if child.status() == psutil.STATUS_ZOMBIE and child.ppid() == os.getpid():
                os.waitpid(child.pid, os.WNOHANG)  # an orphan that we inherited and that ended
                continue
            found.add(f"{child.pid} {' '.join(child.cmdline())}")
        except (psutil.Error, ChildProcessError):
            continue
    return found
