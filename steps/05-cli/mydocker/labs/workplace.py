"""The part of a container in which a student's code is tried: nothing of the machine is in reach.

The suite has a sandbox of its own; but it is entered with the student's modules on the import path,
and the student's code runs as root. So the suite runs in a container made by *our* code, which is
all that a container is for:

* a PID namespace: ``kill -1`` ends the suite and not the machine, and its end is everybody's end;
* every mount read-only, but for a /tmp and a /var/tmp of its own, which go afterwards;
* the cgroup filesystems mounted anew in a cgroup namespace: whatever group the student's code makes
  or joins, it is below the one that we limit, and is removed with it;
* namespaces for network, IPC and host name: they are not the machine's either.
"""

import errno
import os
import shutil

from mydocker.cgroups import hierarchy
from mydocker.cgroups.cgroup import Cgroup
from mydocker.cgroups.hierarchy import V2, Hierarchy
from mydocker.container.parts import Part
from mydocker.kernel import syscalls
from mydocker.kernel.errors import KernelError
from mydocker.kernel.records import record

PREFIX = "mydocker-lab-"
_OWN = ("/tmp", "/var/tmp")  # and where in our directory they are: ``tmp``, ``var/tmp``
_LEFT_ALONE = ("/proc", "/sys", "/dev")


@record
class Workplace(Part):
    """``directory`` is ours on the disk; ``repository`` and ``venv`` are seen below /tmp, wherever
    they lie, and cannot be written; what is said goes to /tmp/log.

    /tmp/steps are the repository's, with the files ``changed`` (paths below steps/) in place of its
    own: they are waiting in ``directory``/tmp/changed.
    """

    directory: str
    repository: str
    venv: str
    changed: tuple[str, ...]

    def prepare(self) -> None:
        os.makedirs(self.directory, 0o755, exist_ok=True)
        for place in _OWN:
            os.makedirs(self.directory + place, exist_ok=True)
            os.chmod(self.directory + place, 0o1777)

    def enter(self) -> None:
        needed = {
            "/tmp/repository": self.repository,
            "/tmp/venv": self.venv,
            "/tmp/steps": f"{self.repository}/steps",
        }
        held = {place: os.open(path, os.O_PATH) for place, path in needed.items()}
        own = {place: os.open(self.directory + place, os.O_PATH) for place in _OWN}
        _close_all()
        for place, fd in own.items():
            _bind(fd, place, "a place to write, which goes afterwards")
            again = syscalls.MS_REMOUNT | syscalls.MS_BIND
            syscalls.mount("none", place, None, again, why="this one can be written")
        for place, fd in held.items():
            os.mkdir(place)
            _bind(fd, place, "what the suite needs, wherever it lies")
            _make_read_only(place)
        for path in self.changed:
            why = "a file that is judged, in place of ours"
            target = f"/tmp/steps/{path}"
            syscalls.mount(f"/tmp/changed/{path}", target, None, syscalls.MS_BIND, why=why)
        _own_groups()
        log = os.open("/tmp/log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for fd in (1, 2):
            os.dup2(log, fd)
        for fd in (log, *own.values(), *held.values()):
            os.close(fd)

    def release(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)


def _bind(fd: int, target: str, why: str) -> None:
    shown = os.readlink(f"/proc/self/fd/{fd}")
    syscalls.mount(f"/proc/self/fd/{fd}", target, None, syscalls.MS_BIND, why=f"{why} ({shown})")


def _make_read_only(path: str) -> None:
    flags = syscalls.MS_REMOUNT | syscalls.MS_BIND | syscalls.MS_RDONLY
    syscalls.mount("none", path, None, flags, why="nothing of the machine can be written")


def _close_all() -> None:
    """Make every mount read-only, but for those of the kernel's own filesystems."""
    with open("/proc/self/mountinfo", "rb") as file:
        lines = os.fsdecode(file.read()).splitlines()
    for line in lines:
        point = hierarchy.plain(line.split(" ")[4])
        if any(f"{point}/".startswith(f"{place}/") for place in _LEFT_ALONE):
            continue
        try:
            _make_read_only(point)
        except KernelError as error:
            # Hidden below another mount, or by the flags of a namespace that is not ours: then
            # nobody can write there by this name either.
            if error.errno not in (errno.EINVAL, errno.ENOENT, errno.EPERM, errno.EACCES):
                raise


def _own_groups() -> None:
    """Mount each hierarchy anew: its root is now our group. Then step aside, into a group below.

    v2 lets a group hand on controllers only if it holds no process itself.
    """
    for one in hierarchy.read().hierarchies:
        _mount_again(one)
    machine = hierarchy.read()
    suite = Cgroup("suite", machine)
    suite.create()
    suite.attach(os.getpid())


def _mount_again(one: Hierarchy) -> None:
    flags = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
    kind = "cgroup2" if one.version == V2 else "cgroup"
    options = None
    if one.version != V2:
        names = [*(one.controllers or ["none"]), *([f"name={one.name}"] if one.name else [])]
        options = ",".join(names)
    # The kernel refuses a filesystem on top of itself: what shows the whole tree has to go first.
    why = "the whole tree of groups is not for those inside"
    syscalls.umount2(one.mountpoint, syscalls.MNT_DETACH, why=why)
    why = "only what is below our own group can be seen, and changed"
    syscalls.mount(kind, one.mountpoint, kind, flags, options, why=why)
