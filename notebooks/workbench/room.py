"""A room for one kernel: what happens in a notebook stays in it, and goes when the kernel ends.

It has a mount, a network and a UTS namespace of its own (namespaces(7)), a control group that the
kernel and all its descendants are in, and directories for images and containers. Entering it needs
root; without, nothing is made, and cells that need it show what was recorded.

The namespaces are those of the main thread, in which cells run, and of whatever it starts. The
threads that talk to Jupyter stay where they were: their sockets are in the machine's network.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from mydocker.cgroups import hierarchy, settings
from mydocker.cgroups.cgroup import Cgroup
from mydocker.cgroups.hierarchy import Machine
from mydocker.cgroups.limits import Limits
from mydocker.container.processes import myself
from mydocker.kernel import loopback, syscalls
from mydocker.kernel.errors import Failure
from workbench import guardian, recorded
from workbench.stacked import ROOT

NAME = "mydocker-notebook"
HOST = "classroom"


@dataclass(frozen=True)
class Room:
    """``private``: it is there; else ``reason`` says why not."""

    private: bool
    reason: str
    directory: str = ""
    parent: str = ""

    def _repr_markdown_(self) -> str:
        if not self.private:
            return f"**No root here** ({self.reason}): cells that need it show recorded output."
        return (
            "This notebook has its own mounts, network and host name, its own control group, and "
            "its own images and containers. All of it goes when the kernel ends."
        )


def enter() -> Room:
    """Make the room and move this process into it."""
    if Path.cwd() != ROOT / "notebooks":
        os.chdir(ROOT / "notebooks")
    _prepare_shell()
    try:
        room = _enter()
    except Failure as failure:
        room = Room(False, str(failure.message))
    if not room.private:
        recorded.replace_cells(room.reason)
    return room


def _prepare_shell() -> None:
    """Commands of cells find ``mydocker``, and ip(8) and nft(8), as root's shell does."""
    places = [str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]
    os.environ["PATH"] = ":".join(places)
    own = f"{sys.prefix}/jupyter/matplotlib"  # its cache of fonts, not in anybody's home
    if os.access(sys.prefix, os.W_OK):
        os.makedirs(own, exist_ok=True)
        os.environ["MPLCONFIGDIR"] = own
    for name in ("FORCE_COLOR", "CLICOLOR_FORCE"):  # set by Jupyter: even into a file, then
        os.environ.pop(name, None)


def _enter() -> Room:
    if os.geteuid() != 0:
        return Room(False, "start it by sudo ./mydocker notebook")
    machine = hierarchy.read()
    if not machine.usable:
        raise Failure("no cgroup hierarchy is mounted")
    me = myself()
    label = f"{me.pid}-{me.start_time}"
    given = os.environ.get("MYDOCKER_CGROUP_PARENT")
    room = Room(
        True,
        "",
        f"/var/tmp/{NAME}-{label}",
        f"{given}/notebook-{label}" if given else f"{NAME}-{label}",
    )
    guardian.sweep(NAME, given or "")
    # Before anything is made: from here on, killing us at any moment leaves nothing behind. It
    # stays in the machine's namespaces, where the mounts of this room are not to be seen: so it
    # cannot remove anything through them.
    _start_guardian(room, given or "")
    os.mkdir(room.directory, 0o755)
    kernel = Cgroup(f"{room.parent}/kernel", machine)
    kernel.create()
    kernel.attach(me.pid)
    _weigh(room.parent, machine)
    syscalls.unshare(syscalls.CLONE_NEWNS | syscalls.CLONE_NEWNET | syscalls.CLONE_NEWUTS)
    syscalls.mount("none", "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
    syscalls.sethostname(HOST)
    loopback.set_up("lo")
    os.environ.update(
        MYDOCKER_ROOT=f"{room.directory}/root",
        MYDOCKER_RUN=f"{room.directory}/run",
        MYDOCKER_CGROUP_PARENT=room.parent,
    )
    _offer_mydocker(room)
    return room


def _weigh(path: str, machine: Machine) -> None:
    """Let the room have as much CPU as some more processes: it is one group among them now."""
    names = path.split("/")
    for count in range(1, len(names) + 1):
        group = Cgroup("/".join(names[:count]), machine)
        try:
            group.apply(settings.plan(Limits(cpu_shares=16384), machine))
        except Failure:
            return  # no cpu controller here: then it does not weigh less either


def _start_guardian(room: Room, disposable: str) -> None:
    program = str(Path(__file__).with_name("guardian.py"))
    null = subprocess.DEVNULL
    started = subprocess.Popen(
        [sys.executable, "-P", program, str(os.getpid()), room.directory, room.parent, disposable],
        stdin=null,
        stdout=subprocess.PIPE,
        stderr=null,
        start_new_session=True,  # an interrupt for the kernel's group of processes is not for it
    )
    assert started.stdout is not None
    if started.stdout.readline() != b"watching\n":
        raise Failure("the guardian of this room did not start")
    started.stdout.close()
    started.returncode = 0  # nobody here waits for it


def _offer_mydocker(room: Room) -> None:
    os.mkdir(f"{room.directory}/bin")
    # Not the launcher itself, which would look whether it is set up: here it is.
    with open(f"{room.directory}/bin/mydocker", "w") as file:
        file.write(f'#!/bin/sh\nexec "{sys.executable}" -ESs "{ROOT}/steps/05-cli/main.py" "$@"\n')
    os.chmod(file.name, 0o755)
    os.environ["PATH"] = f"{room.directory}/bin:{os.environ['PATH']}"
