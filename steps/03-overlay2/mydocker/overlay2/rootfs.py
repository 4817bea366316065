"""What a plan says (``plan``) is mounted in a container's root, and it becomes ``/``.

Every target is looked up once, by openat2(2) with RESOLVE_IN_ROOT, and mounted on by descriptor:
the image decides what ``/proc`` or ``/data`` is, and if it says "a link to ../../../etc", then a
path would lead to the host's ``/etc``. What is bound is a descriptor too, and made read-only by the
new mount's own (see ``kernel.beneath``). That holds for every plan, whoever made it.

Man pages: mount(2), pivot_root(2), mount_namespaces(7), openat2(2), open_tree(2), move_mount(2),
mount_setattr(2).
"""

import errno
import os
import stat
from collections.abc import Callable, Iterable
from typing import Any

from mydocker.kernel import beneath, files, syscalls
from mydocker.kernel.errors import Failure, Invalid, KernelError, hints
from mydocker.overlay2.held import Held
from mydocker.overlay2.mount_options import Options
from mydocker.overlay2.plan import Device, Directory, Entry, Mount, Nodes, Plan
from mydocker.overlay2.volumes import OF_PROC

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_TREE = syscalls.MS_BIND | syscalls.MS_REC

# What tells of the whole machine: nothing is mounted there because a link of the image leads there
_KERNELS = (
    syscalls.PROC_SUPER_MAGIC,
    syscalls.SYSFS_MAGIC,
    syscalls.CGROUP_SUPER_MAGIC,
    syscalls.CGROUP2_SUPER_MAGIC,
)
_OF_MACHINE = ("proc", "sysfs", "cgroup", "cgroup2")
_PROC = ("/proc", "proc")
_NULL = os.makedev(1, 3)

_READ_ONLY = Options(True, True, recursive_attributes=syscalls.MOUNT_ATTR_RDONLY)
_NOT_ROOTS = {
    errno.EACCES: "The image's files belong to root, and --uid-map or --gid-map makes the "
    "container's root somebody else. Map 0 to 0, or use --userns private"
}
_OLD = {
    errno.ENOSYS: "This kernel is too old: a root directory needs Linux 5.12",
    errno.EPERM: "Mounting needs root: use sudo",
}


class Root:
    """A directory that is becoming a container's root; all targets are resolved inside it."""

    def __init__(self, directory: str, fd: int = -1) -> None:
        """``fd`` is its descriptor, if somebody has it: closed by whoever uses the object."""
        self.directory = directory
        self.fd = fd if fd >= 0 else os.open(directory, _DIRECTORY)

    @property
    def name(self) -> str:
        """What leads to it: its path, or where that is closed to our user, its descriptor."""
        open_to_us = os.path.isdir(self.directory)
        return self.directory if open_to_us else f"/proc/self/fd/{self.fd}"

    def find(self, path: str, *, links: bool = True) -> int:
        """A descriptor (O_PATH) for ``path`` inside the root; -1 if it is not there."""
        try:
            return beneath.find(self.fd, path, os.O_PATH, links=links)
        except KernelError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                return -1
            if error.errno == errno.ELOOP:
                hint = "The image's links go round in a circle"
                if not links:
                    hint = "The image has a link there, and must have a directory or nothing"
                raise Invalid(f"{path} in the container: {error.strerror}", hint) from None
            raise

    def provide(self, path: str, directory: bool = True, *, links: bool = True) -> int:
        """As ``find``, but makes what is missing: directories, and for a file an empty one."""
        fd = self.find(path, links=links)
        if fd >= 0:
            return self._checked(fd, path, directory)
        parent, _, name = path.rpartition("/")
        above = self.provide(parent or "/", links=links)
        try:
            if syscalls.fstatfs(above) in _KERNELS:  # to make a directory there may make a cgroup
                raise Invalid(f"{path} in the container: is in {_path(above)}, the kernel's", _AWAY)
            self._make(above, name, directory)
            fd = beneath.made(above, name, stat.S_IFDIR if directory else stat.S_IFREG)
        except KernelError as error:
            if error.errno != errno.EEXIST:
                raise
            hint = "The image has a link there that leads to nothing: mount on what it points to"
            raise Invalid(f"{path} in the container: cannot be made", hint) from None
        finally:
            os.close(above)
        return fd

    def place(self, path: str, directory: bool = True, kind: str = "") -> int:
        """As ``provide``, for what a plan says: not the root itself, and no place that tells of the
        machine, whatever links of the image lead there. Raises Failure.

        What *was found* is judged, not what was written. We read in ``/proc`` ourselves, and what
        is hidden in it must stay so (CVE-2019-16884, CVE-2019-19921). ``kind`` is the type of what
        is mounted there: behind a link, /proc could come to lie in a volume that others write to
        (CVE-2023-27561).
        """
        fd = self.provide(path, directory, links=kind not in _OF_MACHINE)
        if os.path.samestat(os.fstat(fd), os.fstat(self.fd)):
            os.close(fd)
            hint = "The image has a link there. Choose another directory"
            raise Invalid(f"{path} in the container: is the root itself", hint)
        inside = _path(fd).removeprefix(_path(self.fd).rstrip("/"))
        kernels = syscalls.fstatfs(fd) in _KERNELS or f"{inside}/".startswith(("/proc/", "/sys/"))
        its_own = path in OF_PROC or f"{path}/".startswith("/sys/") or (path, kind) == _PROC
        asked = inside == path and its_own
        if kernels and not asked:
            os.close(fd)
            raise Invalid(f"{path} in the container: is {inside}, the kernel's", _AWAY)
        return fd

    def _make(self, above: int, name: str, directory: bool) -> None:
        # By the descriptor of the directory above and one name: nothing is left to be followed.
        path, shown = beneath.path(above, name), f"{_path(above).rstrip('/')}/{name}"
        with hints(_NOT_ROOTS):
            if directory:
                files.mkdir(path, 0o755, why="a place to mount on", shown=shown)
            else:
                mode = stat.S_IFREG | 0o644
                files.mknod(path, mode, why="an empty file to mount a file on", shown=shown)

    def _checked(self, fd: int, path: str, directory: bool) -> int:
        if stat.S_ISDIR(os.fstat(fd).st_mode) != directory:
            os.close(fd)
            is_, wanted = ("a file", "directory") if directory else ("a directory", "file")
            raise Invalid(f"{path} in the container: is {is_}, and a {wanted} is mounted on it")
        return fd

    def mount(
        self, fd: int, source: str, kind: str | None, flags: int, data: str = "", *, why: str
    ) -> None:
        """Mount on the descriptor ``fd`` of a target, and close it."""
        try:
            target = beneath.path(fd)
            syscalls.mount(source, target, kind, flags, data or None, why=why, shown=_path(fd))
        finally:
            os.close(fd)

    def bind(self, fd: int, source: int, shown: str, *, why: str, recursive: bool = True) -> None:
        """Show the descriptor ``source``, with all that is mounted below it, on the target ``fd``.

        Closes both. ``shown``: the path of ``source``, for the reader.
        """
        try:
            flags = syscalls.MS_BIND | (syscalls.MS_REC if recursive else 0)
            from_, to = beneath.path(source), beneath.path(fd)
            told = {"shown": _path(fd), "source_shown": shown}
            syscalls.mount(from_, to, None, flags, why=why, **told)
        finally:
            os.close(source)
            os.close(fd)

    def bind_changed(
        self, fd: int, source: int, shown: str, asked: Options, *, why: str, change: str
    ) -> None:
        """As ``bind``, and the new mount has the attributes that are asked; ``change`` says why.

        By the descriptor of the new mount itself: a path to it, or a descriptor from before, which
        is what lies under it, would have to be looked up, and that could find another mount.
        """
        target = _path(fd)
        try:
            below = syscalls.AT_RECURSIVE if asked.recursive else 0
            flags = syscalls.OPEN_TREE_CLONE | below
            tree = syscalls.open_tree(source, flags, why=why, shown=shown)
            try:
                to = {"shown": target}
                syscalls.move_mount(tree, fd, why="to where it belongs", source_shown=shown, **to)
                for how, *changed in asked.changes:
                    syscalls.mount_setattr(tree, how, *changed, why=change, shown=target)
            finally:
                os.close(tree)
        finally:
            os.close(source)
            os.close(fd)

    def bind_read_only(self, fd: int, source: int, shown: str, *, why: str, forbid: str) -> None:
        """As ``bind``, and nothing can be written there; ``forbid`` says why."""
        self.bind_changed(fd, source, shown, _READ_ONLY, why=why, change=forbid)


_AWAY = "Nothing is mounted there or made there, it tells of the machine: choose another directory"


def _path(fd: int) -> str:
    """Where the descriptor's file is, with no link left in the path: what a student can type."""
    return os.readlink(f"/proc/self/fd/{fd}")


def mount_all(directory: str, plan: Plan, held: Held) -> Root:
    """Carry out ``plan`` below ``directory``, a container's future root; that root.

    Runs inside the container's mount namespace, whose propagation is private already: otherwise all
    this would appear on the host too. ``held`` has ``directory``, the one above it, and the sources
    of the plan. Raises Failure or KernelError.
    """
    umask = os.umask(0)  # devices are 666 by their nature
    with hints(_OLD):
        # pivot_root wants a mount point; and a mount that came from the host's namespace is locked
        # in a user namespace, while a bind of it made here is ours.
        own = held.descriptor(directory)
        why, told = "pivot_root(2) wants a mount point", {"shown": directory}
        path = beneath.path(own)
        syscalls.mount(path, path, None, _TREE, why=why, source_shown=directory, **told)
        # By name again, and from above: a descriptor from before is of what lies under the mount.
        above, _, name = directory.rpartition("/")
        fd = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=held.descriptor(above))
        root = Root(directory, fd)
        try:
            carry_out(root, plan.entries, held)
            if any(mount.destination == "/proc" for mount in plan.mounts):
                _check_proc(root)
            for path in plan.readonly_paths:
                _make_read_only(root, path)
            for path in plan.masked_paths:
                _mask(root, path)
            if plan.readonly:
                attribute = syscalls.MOUNT_ATTR_RDONLY
                why = "--read-only: the image too"
                syscalls.mount_setattr(
                    f"/proc/self/fd/{root.fd}", 0, attribute, why=why, shown=directory
                )
        except BaseException:
            os.close(root.fd)
            raise
        finally:
            os.umask(umask)
    return root


def carry_out(root: Root, entries: Iterable[Entry], held: Held) -> None:
    """Make each of the entries of a plan in ``root``; ``held`` has the sources of its binds."""
    for entry in entries:
        _ACTS[type(entry)](root, entry, held)


def _mount(root: Root, mount: Mount, held: Held) -> None:
    asked = mount.asked
    if asked.bind:
        _bind(root, mount, asked, held)
        return
    if asked.propagation & ~(syscalls.MS_PRIVATE | syscalls.MS_REC):
        hint = "Its mounts are private; only of a bind can they be shared, slave or unbindable"
        raise Invalid(f"{mount.destination}: a new {mount.type} has no propagation", hint)
    fd = root.place(mount.destination, kind=mount.type)
    try:
        with hints(_VALUES if mount.type == "tmpfs" else {}):
            root.mount(fd, mount.source, mount.type, asked.flags, asked.data, why=mount.why)
    except KernelError as error:
        if error.errno not in (errno.EPERM, errno.EACCES, errno.EBUSY) or not mount.host:
            raise
        fd, source = root.place(mount.destination, kind=mount.type), _of_host(mount.host)
        why = f"a user namespace gets no {mount.type} of its own here: the host's"
        if asked.flags & syscalls.MS_RDONLY:
            forbid = "and that only to look at"
            root.bind_read_only(fd, source, mount.host, why=why, forbid=forbid)
        else:
            root.bind(fd, source, mount.host, why=why)


_VALUES = {errno.EINVAL: "One of its values is not possible. Write size=64m, mode=700"}


def _bind(root: Root, mount: Mount, asked: Options, held: Held) -> None:
    source = os.dup(held.descriptor(mount.source))
    try:
        target = root.place(mount.destination, stat.S_ISDIR(os.fstat(source).st_mode))
    except BaseException:
        os.close(source)
        raise
    if asked.plain:
        root.bind(target, source, mount.source, why=mount.why, recursive=asked.recursive)
    else:
        change = "the volume is for reading only" if asked.read_only else "as its options say"
        root.bind_changed(target, source, mount.source, asked, why=mount.why, change=change)


def _of_host(path: str) -> int:
    """A descriptor for a path of the host, whose tree we still see."""
    try:
        return os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        raise KernelError("open", (path,), error.errno or 0) from None


def _check_proc(root: Root) -> None:
    """What is hidden and forbidden below is the kernel's /proc, and not something like it."""
    fd = root.find("/proc", links=False)
    try:
        if fd < 0 or syscalls.fstatfs(fd) != syscalls.PROC_SUPER_MAGIC:
            raise Invalid("/proc in the container: is not the kernel's", "Mount nothing over it")
    finally:
        if fd >= 0:
            os.close(fd)


def _fill(root: Root, nodes: Nodes, held: Held) -> None:
    fd = root.find(nodes.directory)
    path, shown = f"/proc/self/fd/{fd}", _path(fd)
    try:
        for name, (major, minor) in nodes.devices.items():
            _make_device(root, nodes.directory, name, fd, os.makedev(major, minor))
        for name, target in nodes.links.items():
            files.symlink(target, f"{path}/{name}", why="a usual name", shown=f"{shown}/{name}")
    finally:
        os.close(fd)


def _make_device(root: Root, directory: str, name: str, fd: int, device: int) -> None:
    mode, shown = stat.S_IFCHR | 0o666, f"{_path(fd)}/{name}"
    try:
        why = "a device that does no harm"
        files.mknod(beneath.path(fd, name), mode, device, why=why, shown=shown)
    except KernelError as error:
        if error.errno != errno.EPERM:
            raise
        target = root.provide(f"{directory}/{name}", directory=False)
        _bind_device(root, f"/dev/{name}", target)


def _bind_device(root: Root, source: str, fd: int) -> None:
    why = "devices cannot be made in a user namespace: the host's is bound"
    root.bind(fd, _of_host(source), source, why=why, recursive=False)


def _add_device(root: Root, device: Device, held: Held) -> None:
    """A device that was asked for. As in Docker, what is there under its name already stays."""
    if (there := root.find(device.target)) >= 0:
        os.close(there)
        return
    directory, _, name = device.target.rpartition("/")
    fd = root.place(directory) if directory else root.provide("/")
    path, shown = beneath.path(fd, name), f"{_path(fd).rstrip('/')}/{name}"
    try:
        why = "a device that was asked for"
        files.mknod(path, device.mode, device.number, why=why, shown=shown)
        if device.uid or device.gid:
            files.chown(path, device.uid, device.gid, why="its owner as on the host")
    except KernelError as error:
        if error.errno != errno.EPERM:
            raise
        _bind_device(root, device.source, root.place(device.target, directory=False))
    finally:
        os.close(fd)


def _provide(root: Root, directory: Directory, held: Held) -> None:
    os.close(root.provide(directory.path))


_ACTS: dict[type, Callable[[Root, Any, Held], None]] = {
    Mount: _mount,
    Nodes: _fill,
    Device: _add_device,
    Directory: _provide,
}


def _make_read_only(root: Root, path: str) -> None:
    fd = root.find(path, links=False)
    if fd < 0:
        return  # this kernel does not have it
    why, forbid = "a mount of its own", "it sets the whole kernel, not just this container"
    root.bind_read_only(fd, os.dup(fd), _path(fd), why=why, forbid=forbid)


def _mask(root: Root, path: str) -> None:
    fd = root.find(path, links=False)
    if fd < 0:
        return
    why = "hidden: it tells of the machine"
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        root.mount(fd, "tmpfs", "tmpfs", syscalls.MS_RDONLY, why=why)
        return
    null = _of_host("/dev/null")
    status = os.fstat(null)
    if not stat.S_ISCHR(status.st_mode) or status.st_rdev != _NULL:
        os.close(null)
        os.close(fd)
        hint = "Make it anew, with mknod -m 666 /dev/null c 1 3"
        raise Failure("/dev/null of this machine is not the null device", hint)
    root.bind(fd, null, "/dev/null", why=why, recursive=False)


def pivot(directory: str) -> None:
    """Make ``directory`` the root of this mount namespace, and let the old root go.

    Not chroot(2), which only moves where "/" is looked up: the host's files would still be mounted,
    and root could climb back to them.
    """
    # lab 3.3: another root, and no way back
    syscalls.chdir(directory, why="the new root")
    # Both names the same: the old root comes to lie on top of the new one, no directory is needed.
    syscalls.pivot_root(".", ".", why="the container's root is / now; the old one lies on it")
    syscalls.umount2(".", syscalls.MNT_DETACH, why="and away with the old: no way back to the host")
    syscalls.chdir("/", why="every command begins in the new root")
    # end lab
