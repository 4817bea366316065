"""What we tell is what the kernel saw: each request, in order, with its arguments, and no other.

A run is watched by strace(1) and tells its requests by ``--explain=json``. Both become lists of the
same form, for the host's process and the container's, up to its execve(2).
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from sandbox import strace
from sandbox.launcher import Launcher
from sandbox.machine import Sandbox
from sandbox.patience import patience
from sandbox.strace import Call, Process, number

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed"),
]

# Calls that change the machine wherever they are made, and calls that do so in certain places
_EVERYWHERE = """
clone3 clone fork vfork unshare setns mount umount2 mount_setattr pivot_root chroot chdir
sethostname setdomainname setsid setresuid setresgid setgroups capset keyctl execve bpf open_tree
move_mount fsopen fsconfig fsmount pidfd_send_signal kill prctl ioctl
"""
_IN_PLACES = """
mkdir mkdirat rmdir unlink unlinkat mknod mknodat symlink symlinkat link linkat rename renameat
renameat2 chmod fchmod fchmodat lchown chown fchown fchownat truncate ftruncate setxattr lsetxattr
fsetxattr write pwrite64 writev
"""
EVERYWHERE, IN_PLACES = _EVERYWHERE.split(), _IN_PLACES.split()
OPENING = ["open", "openat", "openat2"]

RUNS: dict[str, tuple[int, tuple[str, ...]]] = {
    "namespaces": (1, ("--hostname", "box", "--domainname", "ex", "true")),
    "user namespace": (1, ("--user", "--mount", "--net", "true")),
    "init": (1, ("--init", "true")),
    "cgroups": (2, ("-m", "40M", "--pids-limit", "30", "--cpus", "0.5", "true")),
    "layers": (
        3,
        ("-m", "40M", "--tmpfs", "/run", "-v", "/usr:/mnt:ro", "-w", "/new", "busybox", "true"),
    ),
    "user": (3, ("--read-only", "-u", "65534", "busybox", "true")),
    "no such command": (3, ("busybox", "nonsense")),
}

Request = tuple[object, ...]


@pytest.mark.parametrize("name", RUNS)
def test_told_is_seen(mydocker: Launcher, sandbox: Sandbox, tmp_path: Path, name: str) -> None:
    step, arguments = RUNS[name]
    if step >= 3:
        mydocker(3, "run", "busybox", "true")  # the image is made once, which is not the run
    traced = [*EVERYWHERE, *IN_PLACES, *OPENING]
    calls = ",".join(f"?{call}" for call in traced)  # ?: not every machine has every one
    story = tmp_path / "story"
    trace = tmp_path / "trace"
    command = ["strace", "-ff", "-y", "-s", "9999", "-o", str(trace), "-e", f"trace={calls}"]
    own = mydocker.argv(step, "run", f"--explain=json:{story}", *arguments)
    done = subprocess.run([*command, *own], capture_output=True, text=True, timeout=patience(120))
    assert done.returncode in (0, 127), done.stderr
    events = [json.loads(line) for line in story.read_text().splitlines()]
    assert [event["number"] for event in events] == list(range(1, len(events) + 1))
    processes = strace.read(trace)
    host = next(p for p in processes.values() if is_ours(p))
    born = next(call for call in host.calls if call.name == "clone3")
    container = processes.pop(int(born.result))
    processes.pop(host.pid)
    removed = [event["arguments"][0] for event in events if event["call"] == "remove_tree"]
    places = Places(("/proc/", "/sys/", f"{sandbox.root}/overlay2/"), removed)
    seen = list(requests(host.calls[1:], places))  # without its own execve
    assert seen == [request for e in events if e["side"] == "host" for request in said(e)]
    # --init forks inside: the child's requests come after the fork.
    inside = [container, *processes.values()]
    seen = [request for process in inside for request in requests(process.calls, places)]
    assert seen == [request for e in events if e["side"] == "container" for request in said(e)]


def is_ours(process: Process) -> bool:
    first = process.calls[0]
    return first.name == "execve" and first.arguments[0] == sys.executable


# ---------------------------------------------------------------- as told


def said(event: dict[str, Any]) -> Iterator[Request]:
    """An event in the form that both sides are brought to."""
    call, arguments = event["call"], event["arguments"]
    if call == "remove_tree":
        yield "rmdir", arguments[0]
    elif call in ("mkdir", "mknod", "chmod"):
        yield call, arguments[0], arguments[1] & 0o7777, *arguments[2:]
    elif call == "create":
        yield "write", arguments[0], arguments[1]
    elif call == "setns":
        yield call, arguments[1]
    elif call in ("clone3", "execve", "ioctl", "prctl"):
        yield call, arguments[0]
    elif call == "setgroups":
        yield call, len(arguments)
    elif call in ("capset", "keyctl", "bpf", "fsconfig", "fsmount", "open_tree", "move_mount"):
        yield (call,)
    elif call == "pidfd_send_signal":
        yield call, arguments[1]
    else:
        yield call, *arguments


# ---------------------------------------------------------------- as seen


@dataclass(frozen=True)
class Places:
    """Where a change of a file is a change of the machine.

    ``removed`` are trees that were removed, each in one request: what is in them goes name by name.
    """

    prefixes: tuple[str, ...]
    removed: list[str]

    def hold(self, path: str) -> bool:
        relative = not path.startswith("/") and ":[" not in path  # as is pipe:[4711]
        return relative or path.startswith(self.prefixes)

    def below_removed(self, path: str) -> bool:
        return any(path.startswith(f"{tree}/") for tree in self.removed)


def requests(calls: list[Call], places: Places) -> Iterator[Request]:
    """The calls that should have been told, in the same form, up to the command's start."""
    for call in calls:
        if call.name in EVERYWHERE:
            yield from change(call)
        elif call.name in IN_PLACES:
            yield from change_of_file(call, places)
        if call.name == "pivot_root":
            places = replace(places, prefixes=("/",))  # all that it sees is the container's root
        if call.name == "execve" and not call.error:
            return


def change(call: Call) -> Iterator[Request]:
    name, arguments = call.name, call.arguments
    if name == "clone3":
        given = re.search(r"flags=([A-Z_|0]+)", arguments[0])
        assert given is not None, call
        yield name, number(given.group(1)) & ~number("CLONE_PIDFD")  # how, not what
    elif name in ("clone", "fork", "vfork"):
        yield ("fork",)
    elif name == "unshare":
        yield name, number(arguments[0])
    elif name == "setns":
        yield name, number(arguments[1])
    elif name == "mount":
        source, target, kind, flags, data = arguments
        yield name, source, target, kind, number(flags), data
    elif name == "umount2":
        yield name, arguments[0], number(arguments[1])
    elif name == "mount_setattr":
        attributes = re.search(r"attr_set=([A-Z_|0]+)", arguments[3])
        assert attributes is not None, call
        # By descriptor, with AT_EMPTY_PATH: that is how, not what
        place, how = arguments[1] or call.paths[0], number(arguments[2])
        yield name, place, how & ~number("AT_EMPTY_PATH"), number(attributes.group(1))
    elif name in ("sethostname", "setdomainname", "chdir", "chroot", "fsopen"):
        yield name, arguments[0]
    elif name in ("pivot_root",):
        yield name, *arguments
    elif name in ("setresuid", "setresgid"):
        yield name, *map(int, arguments)
    elif name == "setgroups":
        yield name, int(arguments[0])
    elif name == "setsid":
        yield (name,)
    elif name == "execve":
        yield name, arguments[0]
    elif name == "prctl":
        if not re.match(r"PR_(GET|CAPBSET_READ)", arguments[0]):
            yield name, number(arguments[0])
    elif name == "ioctl":
        if arguments[1] in ("SIOCSIFFLAGS", "TIOCSCTTY"):
            yield name, arguments[1]
    elif name == "pidfd_send_signal":
        yield name, number(arguments[1])
    else:
        yield (name,)


def change_of_file(call: Call, places: Places) -> Iterator[Request]:
    name, arguments = call.name, list(call.arguments)
    at = name.endswith("at") or name == "renameat2"
    if at and name != "symlinkat":  # the directory first; a path from / has no need of it
        directory, path = call.paths[0], arguments[1]
        below = f"{directory.rstrip('/')}/{path}"
        whole = path if path.startswith("/") or not at else below
        arguments = [whole, *arguments[2:]]
    elif name == "symlinkat":
        arguments = [arguments[0], arguments[2]]
    elif name in ("write", "pwrite64", "writev") or name.startswith("f"):
        arguments = [call.paths[0], *arguments[1:]]
    path = arguments[1] if name.startswith("symlink") else arguments[0]
    if not places.hold(path) or (name == "unlinkat" and places.below_removed(path)):
        return
    plain = {"mkdirat": "mkdir", "mknodat": "mknod", "symlinkat": "symlink", "fchmodat": "chmod"}
    plain |= {"lchown": "chown", "fchownat": "chown"}
    verb = plain.get(name, name)
    if name == "unlinkat":
        verb = "rmdir" if "AT_REMOVEDIR" in arguments[-1] else "unlink"
    if verb in ("mkdir", "chmod"):
        yield verb, path, int(arguments[1], 8)
    elif verb == "mknod":
        mode = int(arguments[1].rpartition("|")[2], 8)
        device = re.match(r"makedev\((\w+), (\w+)\)", arguments[2]) if len(arguments) > 2 else None
        yield verb, path, mode, os.makedev(*(int(n, 0) for n in device.groups())) if device else 0
    elif verb == "symlink":
        yield verb, *arguments
    elif verb == "write":
        yield verb, path, arguments[1]
    elif verb == "chown":
        yield verb, path, int(arguments[1]), int(arguments[2])
    else:
        yield verb, path
