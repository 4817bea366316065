"""The part of a container in which a student's code is tried: nothing of the machine is in reach.

The suite has a sandbox of its own; but it is entered with the student's modules on the import path,
and the student's code runs as root, which it needs: it mounts, makes groups and networks. So the
suite runs in a container made by *our* code, and there are two ideas in it:

* **Nobody's ids.** Root inside is a user of the machine whom nobody knows and who owns nothing:
  a user namespace (user_namespaces(7)) with a map to ids from 2000000000 on. Whatever belongs to
  the whole machine (its clock, its switches in /proc/sys and /sys, modules, devices, disks) asks
  for power over the machine, and root inside has power over its own namespaces only. There is
  nothing to hide and nothing to lock that one could unlock again.
* **A root of its own**, of what the suite needs: the machine's programs and libraries, read-only.
  /run with its sockets, /home, /root and all else are not there. It is built by root of the
  machine, *before* the user namespace: what was mounted then is locked for those inside
  (mount_namespaces(7)), who can neither take it away nor make it writable.

:class:`Workplace` builds the root, :class:`Nobody` makes the namespaces and becomes that user,
:class:`Delegated` gives the group of the container to it. The rest is in ``confinement``.
"""

import errno
import os
import socket
import stat
import time
from collections.abc import Iterator
from typing import NoReturn

from mydocker.cgroups import hierarchy
from mydocker.cgroups.cgroup import Cgroup
from mydocker.cgroups.hierarchy import V1, V2, Hierarchy
from mydocker.container.parts import Part
from mydocker.kernel import files, syscalls
from mydocker.kernel.errors import Failure, KernelError, hints
from mydocker.kernel.records import record
from mydocker.overlay2 import rootfs
from mydocker.overlay2.plan import DEVICES, LINKS

PREFIX = "mydocker-lab-"
# Ids inside count from 0, and are these outside. No user of a machine has so high a number.
FIRST_ID = 2_000_000_000
_IDS = 2_200_000_000  # more than 2^31, the most that some switches of the kernel take

_OWN = ("/tmp", "/var/tmp")  # and where in our directory they are: ``tmp``, ``var/tmp``
# Of the machine, read-only: where programs, libraries and their settings are
_PROGRAMS = ("bin", "etc", "gnu", "lib", "lib32", "lib64", "libx32", "nix", "opt", "sbin", "usr")
_EMPTY = ("home", "media", "mnt", "proc", "root", "run", "srv", "sys", "tmp", "var", "var/tmp")
_ATTEMPTS = 20  # to remove what a process writes that was killed just now
_BIND = syscalls.MS_BIND | syscalls.MS_REC


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
        for place in ("/root", *_OWN):
            os.makedirs(self.directory + place, 0o755, exist_ok=True)
        for place in _OWN:
            os.chmod(self.directory + place, 0o1777)
            os.chown(self.directory + place, FIRST_ID, FIRST_ID)

    def enter(self) -> None:
        umask = os.umask(0)
        root = f"{self.directory}/root"
        why = "a root that has nothing in it yet"
        syscalls.mount("tmpfs", root, "tmpfs", syscalls.MS_NOSUID, "mode=755,size=16m", why=why)
        for name in _EMPTY:
            os.mkdir(f"{root}/{name}")
        os.symlink("/run", f"{root}/var/run")
        for name in _PROGRAMS:
            _show(f"/{name}", f"{root}/{name}")
        for place in _interpreter(self.venv):
            os.makedirs(root + place, 0o755, exist_ok=True)
            _bind(place, root + place, "Python, wherever it lies")
            _make_read_only(root + place)
        for place in _OWN:
            _bind(self.directory + place, root + place, "a place to write, which goes afterwards")
        for place in ("/run", "/root"):
            options = f"mode=755,size=64m,uid={FIRST_ID},gid={FIRST_ID}"
            flags = syscalls.MS_NOSUID | syscalls.MS_NODEV
            why = "not the machine's"
            syscalls.mount("tmpfs", root + place, "tmpfs", flags, options, why=why)
        self._suite(f"{root}/tmp")
        _devices(f"{root}/dev")
        # Those inside may mount /proc and /sys of their own namespaces, if they see these whole.
        for kind in ("proc", "sysfs"):
            target = f"{root}/{'proc' if kind == 'proc' else 'sys'}"
            syscalls.mount(kind, target, kind, _SAFE, why=f"a {kind}, below those of inside")
        log = os.open(f"{root}/tmp/log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for fd in (1, 2):
            os.dup2(log, fd)
        os.close(log)
        os.umask(umask)
        rootfs.pivot(root)
        flags = syscalls.MS_REMOUNT | syscalls.MS_BIND | syscalls.MS_RDONLY
        syscalls.mount("none", "/", None, flags, why="nothing is to be written beside /tmp")

    def _suite(self, tmp: str) -> None:
        needed = {
            f"{tmp}/repository": self.repository,
            f"{tmp}/venv": self.venv,
            f"{tmp}/steps": f"{self.repository}/steps",
        }
        for place, path in needed.items():
            os.mkdir(place)
            _bind(path, place, "what the suite needs, wherever it lies")
        for path in self.changed:
            why = "a file that is judged, in place of ours"
            target = f"{tmp}/steps/{path}"
            syscalls.mount(f"{tmp}/changed/{path}", target, None, syscalls.MS_BIND, why=why)
        for place in needed:
            _make_read_only(place)

    def release(self) -> None:
        # It was written by who may have wished us ill: any depth, and links lead nowhere.
        for _ in range(_ATTEMPTS):
            try:
                files.remove_tree(self.directory, why="all that the check has written")
                return
            except KernelError as error:
                if error.errno == errno.ENOENT:
                    return
                time.sleep(0.05)  # one that is dying has still written


_SAFE = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC


def _show(source: str, target: str) -> None:
    """A directory of the machine, read-only; a link stays one: /bin is usr/bin on most machines."""
    if os.path.islink(source):
        os.symlink(os.readlink(source), target)
    elif os.path.isdir(source):
        os.mkdir(target)
        _bind(source, target, "the machine's programs")
        _make_read_only(target)


def _bind(source: str, target: str, why: str) -> None:
    syscalls.mount(source, target, None, _BIND, why=f"{why} ({source})")


def _make_read_only(path: str) -> None:
    attributes = syscalls.MOUNT_ATTR_RDONLY
    why = "nothing of the machine can be written"
    syscalls.mount_setattr(path, syscalls.AT_RECURSIVE, attributes, why=why)


def _interpreter(venv: str) -> Iterator[str]:
    """The directories that Python of ``venv`` lies in, if it is not among the programs: each that
    a link on the way to it is in, and the one that has its library."""
    places = []
    path = f"{venv}/bin/python3"
    while os.path.islink(path):
        path = os.path.join(os.path.dirname(path), os.readlink(path))
        places.append(os.path.normpath(os.path.dirname(path)))
    places.append(os.path.dirname(os.path.dirname(os.path.realpath(path))))
    known = [f"/{name}" for name in _PROGRAMS]
    for place in dict.fromkeys(places):
        inside = any(f"{place}/".startswith(f"{top}/") for top in (*known, venv))
        if not inside and place != "/":
            yield place


def _devices(directory: str) -> None:
    """The devices that do no harm, and places for what is each namespace's own."""
    os.mkdir(directory)
    for name, (major, minor) in DEVICES.items():
        path, device = f"{directory}/{name}", os.makedev(major, minor)
        files.mknod(path, stat.S_IFCHR | 0o666, device, why="a device that does no harm")
        os.chown(path, FIRST_ID, FIRST_ID)
    for name, target in LINKS.items():
        os.symlink(target, f"{directory}/{name}")
    for name in ("pts", "shm", "mqueue"):
        os.mkdir(f"{directory}/{name}")
    shared = "mode=1777,size=64m"
    syscalls.mount("shm", f"{directory}/shm", "tmpfs", _SAFE, shared, why="memory for shm_open(3)")


# ---------------------------------------------------------------- who they are


_NAMESPACES = (
    syscalls.CLONE_NEWUSER
    | syscalls.CLONE_NEWNS
    | syscalls.CLONE_NEWPID
    | syscalls.CLONE_NEWNET
    | syscalls.CLONE_NEWIPC
    | syscalls.CLONE_NEWUTS
    | syscalls.CLONE_NEWCGROUP
)
_HINTS = {
    errno.ENOSPC: "User namespaces are switched off: see /proc/sys/user/max_user_namespaces",
    errno.EPERM: "A check makes a user namespace: it cannot run in a chroot, or in most containers",
}


@record
class Nobody(Part):
    """Namespaces that belong to a user namespace, and to be root there, and nobody outside.

    What follows happens in a new process, PID 1 of the new PID namespace, beginning with ``parts``.
    The old one, in the outer, waits for its end. Both are the same nobody.
    """

    parts: tuple[Part, ...]
    hierarchies: tuple[Hierarchy, ...]

    def enter(self) -> None:
        go, ready = os.pipe()
        mapper = syscalls.fork(why="it stays outside, and says who those inside are")
        if mapper == 0:
            _map(os.getppid(), go, ready)
        with hints(_HINTS):
            syscalls.unshare(_NAMESPACES, why="root inside is nobody outside")
        os.write(ready, b"go")
        for fd in (go, ready):
            os.close(fd)
        _, status = os.waitpid(mapper, 0)
        if status != 0:
            raise Failure("the ids of the check's user namespace cannot be mapped")
        syscalls.setgroups((), why="no group of the machine's")
        syscalls.setresgid(0, 0, 0, why="root inside, nobody outside")
        syscalls.setresuid(0, 0, 0, why="root inside, nobody outside")
        why = "if mydocker dies, the kernel ends the check"
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, 9, why=why)
        inner, outer = socket.socketpair()
        if child := syscalls.fork(why="only a child is in the new PID namespace"):
            inner.close()
            _wait(child, outer, [one for one in self.hierarchies if one.version == V2])
        outer.close()
        why = "a change of user closed our files in /proc; open them again (proc(5))"
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 1, why=why)
        for part in self.parts:
            part.enter()
        with inner:
            inner.send(b"here")
            if inner.recv(4) != b"here":
                raise Failure("the process around the check could not follow into its group")


def _map(pid: int, go: int, ready: int) -> NoReturn:
    """The process that stays outside: it waits for the namespace, and writes its maps."""
    try:
        os.close(ready)
        if os.read(go, 2) == b"go":
            for name in ("uid_map", "gid_map"):
                text = f"0 {FIRST_ID} {_IDS}"
                files.write(f"/proc/{pid}/{name}", text, why="who root inside is: nobody")
            os._exit(0)
    finally:
        os._exit(1)


def _wait(child: int, outer: socket.socket, unified: list[Hierarchy]) -> NoReturn:
    """Outside of the PID namespace: end as the process in it ends. It holds nothing open.

    The mounts are the same, and so are the groups: it goes where the others went, for v2 lets a
    group hand on controllers only if no process at all is in it.
    """
    try:
        if outer.recv(4) == b"here":
            for one in unified:
                path = f"{_mountpoint(one)}/{_SUITE}/cgroup.procs"
                files.write(path, "0", why="no process may stay in the group above")
            outer.send(b"here")
    except OSError:
        os._exit(1)
    syscalls.close_range(3, 0xFFFFFFFF, 0)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


# ---------------------------------------------------------------- their part of the kernel


@record
class Delegated(Part):
    """The group ``path`` is theirs: they may make groups in it, and set no limit of its own."""

    path: str
    hierarchies: tuple[Hierarchy, ...]

    def prepare(self) -> None:
        for one in self.hierarchies:
            directory = one.directory(self.path)
            for name in _delegated(one):
                if os.path.exists(f"{directory}/{name}"):
                    why = "they may make groups in here"
                    files.chown(f"{directory}/{name}", FIRST_ID, FIRST_ID, why=why)


@record
class OwnGroups(Part):
    """Inside, each hierarchy is mounted anew: its root is now the group that we are in.

    Then aside, into a group below. With it come the other filesystems that show a namespace.
    """

    hierarchies: tuple[Hierarchy, ...]

    def enter(self) -> None:
        for kind, target, flags, options in _FILESYSTEMS:
            why = f"a {kind} of their own namespaces"
            syscalls.mount(kind, target, kind, flags, options, why=why)
        if any(one.version == V1 for one in self.hierarchies):
            top = "mode=755,size=1m"
            syscalls.mount("tmpfs", _GROUPS, "tmpfs", _SAFE, top, why="places to mount on")
        for one in self.hierarchies:
            _mount_groups(one)
        suite = Cgroup(_SUITE, hierarchy.read())
        suite.create()
        suite.attach(os.getpid())


_GROUPS = "/sys/fs/cgroup"
_SUITE = "suite"
_FILESYSTEMS = (
    ("sysfs", "/sys", _SAFE, None),
    ("mqueue", "/dev/mqueue", _SAFE, None),
    ("devpts", "/dev/pts", syscalls.MS_NOSUID | syscalls.MS_NOEXEC,
     "newinstance,ptmxmode=0666,mode=0620,gid=5"),
)  # fmt: skip


def _delegated(one: Hierarchy) -> tuple[str, ...]:
    """What a group is handed over by (cgroups(7), "Delegation"): not the files of its limits."""
    if one.version == V2:
        return ("", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control")
    return ("", "cgroup.procs", "tasks")


def _mount_groups(one: Hierarchy) -> None:
    kind, options = "cgroup2", None
    if one.version == V1:
        kind, options = "cgroup", ",".join(one.controllers)
    target = _mountpoint(one)
    os.makedirs(target, exist_ok=True)
    why = "only what is below our own group can be seen, and changed"
    syscalls.mount(kind, target, kind, _SAFE, options, why=why)


def _mountpoint(one: Hierarchy) -> str:
    """Where it is mounted inside: as outside, unless that is anywhere else than usual."""
    usual = f"{one.mountpoint}/".startswith(f"{_GROUPS}/")
    return one.mountpoint if usual else f"{_GROUPS}/{one.label}"
