"""The root directory of a bundle: its mounts as a plan, and how it becomes ``/``.

The plan is carried out by ``overlay2.rootfs``, as that of every container of ours. What a bundle
does not say and still expects (runtime-linux.md, "Dev symbolic links"; config-linux.md, "Default
Devices") is put into it here.
"""

import os
import stat

from mydocker.cgroups.hierarchy import V1, Machine
from mydocker.container.parts import Part
from mydocker.kernel import syscalls
from mydocker.kernel.errors import Failure
from mydocker.kernel.records import field, mutable_record, record, replace
from mydocker.overlay2.part import RootPart
from mydocker.overlay2.plan import DEVICES, LINKS, Device, Directory, Entry, Mount, Nodes, Plan
from mydocker.runtime import specification as oci
from mydocker.runtime.hooks import State, run

_KINDS = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}
_PROPAGATION = {
    "private": syscalls.MS_PRIVATE,
    "slave": syscalls.MS_SLAVE,
    "shared": syscalls.MS_SHARED,
    "unbindable": syscalls.MS_UNBINDABLE,
}
# What a new filesystem of the kernel is for, for the reader of what is told
_WHY = {
    "proc": "the processes of its PID namespace",
    "sysfs": "the machine's devices, of the network only its own",
    "tmpfs": "in memory, gone with the container",
    "devpts": "terminals of its own, apart from the host's",
    "mqueue": "queues of its IPC namespace",
    "cgroup2": "its own limits",
}


def propagation_of(word: str) -> int:
    """The flags of mount(2) for ``rootfsPropagation``; 0 for none. Raises Failure."""
    if not word:
        return 0
    kind = word if word in _PROPAGATION else word[1:]
    if kind not in _PROPAGATION or word not in (kind, f"r{kind}"):
        raise Failure(f"rootfsPropagation={word} is not supported")
    return _PROPAGATION[kind] | (syscalls.MS_REC if word != kind else 0)


def plan_of(spec: oci.Spec, bundle: str, machine: Machine, group: str) -> Plan:
    """The plan of a bundle; ``group`` is the path of the container's control group."""
    entries: list[Entry] = []
    for mount in spec.mounts:
        entries += _entries(mount, bundle, machine, group)
    own = _own_dev(spec.mounts)
    if own is not None:
        place = next(at for at, entry in enumerate(entries) if entry == own) + 1
        entries.insert(place, Nodes("/dev", DEVICES, LINKS))
    entries += [_device(device) for device in spec.linux.devices]
    if spec.process is not None and not spec.process.cwd.startswith(("/proc", "/sys")):
        entries.append(Directory(os.path.normpath(spec.process.cwd)))  # as runc makes it
    linux, readonly = spec.linux, spec.root is not None and spec.root.readonly
    closed = [one.destination for one in spec.mounts if _is_closed(one, machine)]
    return Plan(tuple(entries), (*closed, *linux.readonly_paths), linux.masked_paths, readonly)


def _is_closed(mount: oci.Mount, machine: Machine) -> bool:
    """A place for v1's hierarchies, which can be read-only when they are in it, and not before."""
    return mount.type == "cgroup" and machine.world != "v2" and "ro" in mount.options


def _entries(mount: oci.Mount, bundle: str, machine: Machine, group: str) -> list[Entry]:
    if mount.uid_mappings or mount.gid_mappings:
        raise Failure(f"mount {mount.destination}: idmapped mounts are not supported")
    if mount.type == "cgroup" and machine.world != "v2":
        return list(_hierarchies(mount, machine, group))
    return [_mount(mount, bundle)]


def _mount(mount: oci.Mount, bundle: str) -> Mount:
    destination = os.path.normpath(f"/{mount.destination.lstrip('/')}")
    kind = "cgroup2" if mount.type == "cgroup" else mount.type
    made = Mount(
        destination, kind, mount.source, mount.options, _WHY.get(kind, "as the bundle has it")
    )
    if made.asked.bind:
        source = os.path.normpath(os.path.join(bundle, mount.source))
        why = "the host's own directory or file"
        return replace(made, type="bind", source=source, why=why)
    return made


def _own_dev(mounts: tuple[oci.Mount, ...]) -> Mount | None:
    """The mount that makes a ``/dev`` for the container alone; the usual nodes go there."""
    found = [_mount(one, "/") for one in mounts if os.path.normpath(one.destination) == "/dev"]
    return found[-1] if found and not found[-1].asked.bind else None


def _hierarchies(mount: oci.Mount, machine: Machine, group: str) -> list[Entry]:
    """Of v1's hierarchies each shows the container's own group, in a directory of its name.

    Bound, and not mounted anew: a hierarchy without groups would end with that mount.
    """
    kept = [word for word in mount.options if word not in ("ro", "rw")]
    top = Mount(mount.destination, "tmpfs", "tmpfs", (*kept, "mode=755"), "a place for hierarchies")
    entries: list[Entry] = [top]
    for hierarchy in machine.usable:
        if hierarchy.version == V1:
            name = hierarchy.mountpoint.rpartition("/")[2]
            options = ("bind", *mount.options)
            why = f"its own limits in hierarchy {name}"
            source = hierarchy.directory(group)
            entries.append(Mount(f"{mount.destination}/{name}", "bind", source, options, why))
    return entries


def _device(device: oci.Device) -> Device:
    if device.type not in _KINDS:
        raise Failure(f"invalid device type {device.type!r} of {device.path}")
    mode = 0o666 if device.file_mode is None else stat.S_IMODE(device.file_mode)
    number = os.makedev(device.major, device.minor)
    kind = _KINDS[device.type]
    return Device(device.path, device.path, kind | mode, number, device.uid, device.gid)


@record
class HostsMounts(Part):
    """First of all in a mount namespace: what is mounted inside stays inside.

    What the host mounts meanwhile still appears in the binds of a bundle that asks for it
    (``rslave``), so the mounts become slaves of the host's, and not private.
    """

    stage = "mounts"

    propagation: int = syscalls.MS_SLAVE | syscalls.MS_REC

    def enter(self) -> None:
        why = "mounts made here must not reach the host"
        syscalls.mount("none", "/", None, self.propagation, why=why)


@mutable_record
class BundleRoot(RootPart):
    """The root of a bundle: with its hooks before it is ``/``, and its propagation after that."""

    hooks: tuple[oci.Hook, ...] = ()
    state: State = field(default_factory=dict)
    propagation: int = 0

    def mounted(self) -> None:
        run(self.hooks, {**self.state, "pid": os.getpid()})

    def enter(self) -> None:
        RootPart.enter(self)
        if self.propagation:
            why = "rootfsPropagation: how mounts made from now on spread"
            syscalls.mount("none", "/", None, self.propagation, why=why)
