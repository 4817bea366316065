"""``--explain=script`` writes a script that builds the same container: run both, and compare them.

From outside, while their command runs: namespaces, mounts, cgroups and their values, links,
addresses, ids, host name, clocks, the command and its environment.
"""

import os
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from sandbox.launcher import Launcher, eventually
from sandbox.machine import Sandbox
from sandbox.patience import patience

from mydocker.kernel.script import with_variable
from mydocker.namespaces.kinds import KINDS

pytestmark = pytest.mark.root

RUNS = {
    "all namespaces": (1, ["--hostname", "box", "--domainname", "lab"]),
    "two namespaces": (1, ["--uts", "--mount", "--hostname", "box"]),
    "other ids, other clocks": (
        1,
        ["--uid-map", "0:100000:500", "--gid-map", "0:100000:500", "--boottime", "86400"],
    ),
    "limits": (2, ["-m", "50M", "--cpus", "0.5", "--pids-limit", "30", "--cpu-shares", "512"]),
    "an image": (3, ["-m", "64M", "-e", "COLOUR=dark blue", "-w", "/tmp", "busybox"]),
    "volumes": (3, ["-v", "{volume}:/data:ro", "--tmpfs", "/scratch:size=1m", "busybox"]),
    "no writing": (3, ["--read-only", "--hostname", "box", "busybox"]),
    "a network": (4, ["-p", "18080:80", "busybox"]),
    "the whole": (5, ["--rm", "-m", "64M", "-p", "18080:80", "busybox"]),
}
# Files of a group that say what it is limited to, in v1 and v2, and not what it has used so far
_LIMITS = re.compile(
    r"memory\.(limit_in_bytes|memsw\.limit_in_bytes|soft_limit_in_bytes|max|high|low|swap\.max)|"
    r"cpu\.(cfs_quota_us|cfs_period_us|shares|max|weight)|pids\.max|devices\.list|"
    r"cpuset\.(cpus|mems)|blkio\.weight|io\.(max|weight)|freezer\.state|cgroup\.freeze"
)


def facts(pid: int) -> dict[str, Any]:
    """What the container of ``pid`` is, without what differs from run to run."""
    own = {kind.name: os.readlink(f"/proc/self/ns/{kind.name}") for kind in KINDS}
    new = [name for name, link in own.items() if os.readlink(f"/proc/{pid}/ns/{name}") != link]
    status = Path(f"/proc/{pid}/status").read_text()
    environment = set(Path(f"/proc/{pid}/environ").read_text().split("\0")) - {""}
    return {
        "new namespaces": new,
        "mounts": _mounts(pid),
        "cgroups": Path(f"/proc/{pid}/cgroup").read_text().splitlines(),
        "limits": _limits(pid),
        "links": _inside(pid, "net", ["ip", "-oneline", "-details", "link"])
        if "net" in new
        else "",
        "addresses": _inside(pid, "net", ["ip", "-brief", "address"]) if "net" in new else "",
        "routes": _inside(pid, "net", ["ip", "route"]) if "net" in new else "",
        "uts": _inside(pid, "uts", ["sh", "-c", "hostname; cat /proc/sys/kernel/domainname"]),
        "maps": [Path(f"/proc/{pid}/{name}_map").read_text().split() for name in ("uid", "gid")],
        "ids": re.findall(r"^(?:Uid|Gid):.*", status, re.MULTILINE),
        "pid inside": re.findall(r"^NSpid:\s*(.*)", status, re.MULTILINE)[0].split()[1:],
        "command": psutil.Process(pid).cmdline(),
        "environment": {line for line in environment if not line.startswith(("_=", "PWD="))},
        "directory": os.readlink(f"/proc/{pid}/cwd"),
        "clocks": Path(f"/proc/{pid}/timens_offsets").read_text().split(),
    }


def _mounts(pid: int) -> list[tuple[str, ...]]:
    """Where, what and how: without ids, and devices, which are numbered anew for each mount."""
    found = []
    for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        root, point, options, *propagation = before.split()[3:]
        found.append((root, point, options, *propagation, *after.split()))
    return found


def _limits(pid: int) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        top = f"/sys/fs/cgroup/{names.removeprefix('name=') or 'unified'}"
        group = Path((top if os.path.isdir(top) else "/sys/fs/cgroup") + path)
        if path != "/":
            files = [f for f in group.iterdir() if _LIMITS.fullmatch(f.name)]
            found |= {str(file): file.read_text() for file in files}
    return found


def _inside(pid: int, kind: str, command: list[str]) -> str:
    seen = subprocess.run(
        ["nsenter", f"--{kind}=/proc/{pid}/ns/{kind}", *command], capture_output=True, text=True
    )
    # A veth's index and its own random address differ from pair to pair
    return re.sub(
        r"^\d+: |@if\d+|link/ether \S+|link-netns\S* \S+|fe80\S+", "", seen.stdout, flags=re.M
    )


def sleeper(starter: subprocess.Popen[str]) -> psutil.Process:
    """The container's command below ``starter``, once it is no longer somebody else on the way."""

    def find() -> psutil.Process | None:
        assert starter.poll() is None, starter.stderr and starter.stderr.read()
        for child in psutil.Process(starter.pid).children(recursive=True):
            if child.cmdline()[-1:] == ["54321"] and child.name() in ("sleep", "busybox"):
                return child
        return None

    found: psutil.Process = eventually(find, what="the container's sleep")
    time.sleep(0.05)
    return found


@pytest.mark.parametrize("name", RUNS)
def test_the_script_builds_the_same_container(
    mydocker: Launcher, sandbox: Sandbox, tmp_path: Path, name: str
) -> None:
    step, options = RUNS[name]
    options = [option.format(volume=tmp_path) for option in options]
    script = tmp_path / "script"
    run = ["run", f"--explain=script:{script}", *options, "sleep", "54321"]
    original = mydocker.start(step, *run)
    process = sleeper(original)
    told = facts(process.pid)
    process.kill()
    assert original.wait(20) == 137

    copy = mydocker.adopt(subprocess.Popen(["sh", str(script)], stderr=subprocess.PIPE, text=True))
    process = sleeper(copy)
    built = facts(process.pid)
    process.kill()
    copy.wait(20)
    for fact, value in told.items():
        assert built[fact] == value, fact


@pytest.mark.parametrize(
    ("step", "words"),
    [(2, ["-m", "64M"]), (3, ["-m", "64M", "busybox"]), (5, ["--rm", "busybox"])],
)
def test_the_id_is_said_once(
    mydocker: Launcher, tmp_path: Path, step: int, words: list[str]
) -> None:
    script = tmp_path / "script"
    mydocker(step, "run", *words, "true")  # from now on there is the image, whose ids are not told
    mydocker(step, "run", f"--explain=script:{script}", *words, "true")
    text = script.read_text()
    (said,) = re.findall(r"^.*\b[0-9a-f]{64}\b.*$", text, re.MULTILINE)
    assert said.startswith("id=") and "/$id/" in text


def test_the_shell_puts_the_id_in_where_it_was() -> None:
    own = "5e" * 32
    text = f"""\
printf '%s\\n' {own} a/{own}.new "x {own}" 'y '"'"'{own}' '{own}' \\
    'it is
{own}' # the container's, {own}
# it's a 'comment {own}
cat <<END
the cat's {own}
END
echo '$id' {own}"""
    changed = with_variable(text, own)
    assert own not in changed
    ran = [
        subprocess.run(["sh", "-euc", f"id={own}\n{shell}"], capture_output=True, text=True)
        for shell in (text, changed)
    ]
    assert ran[0].stdout == ran[1].stdout
    assert ran[0].stdout.count(own) == 8, ran[0]


def test_the_exit_code_comes_back(mydocker: Launcher, tmp_path: Path) -> None:
    script = tmp_path / "script"
    mydocker(1, "run", f"--explain=script:{script}", "sh", "-c", "exit 5", code=5)
    assert (
        subprocess.run(
            ["sh", str(script)], stdin=subprocess.DEVNULL, timeout=patience(20)
        ).returncode
        == 5
    )


def test_what_cannot_be_written_is_one_line(mydocker: Launcher, tmp_path: Path) -> None:
    failed = mydocker(1, "run", f"--explain=script:{tmp_path}", "true", code=125)
    assert failed.stderr == f'mydocker: open("{tmp_path}"): Is a directory (21)\n'
    failed = mydocker(1, "run", "--explain=poem", "true", code=125)
    assert failed.stderr.startswith("mydocker: --explain=poem: write --explain, --explain=script[")
