"""Which device nodes the processes of a group may open or make.

Root in a container could otherwise ``mknod`` the machine's disk and read it. Docker's rules: any
node may be *made*, but only the harmless ones may be opened.

v1 keeps a list in each group (``devices.deny``, ``devices.allow``: devices.rst). v2 has no files
for it: a program decides each time, written in eBPF and hung on the group (cgroup-v2.rst, "Device
controller").
"""

import errno
import os

from mydocker.cgroups.cgroup import Cgroup
from mydocker.kernel import files, syscalls
from mydocker.kernel.errors import Failure, hints
from mydocker.namespaces import users

DOCKERS_RULES = (
    "c *:* m",  # make any character or
    "b *:* m",  # block device, but not open it
    "c 1:3 rwm",  # /dev/null
    "c 1:5 rwm",  # /dev/zero
    "c 1:7 rwm",  # /dev/full
    "c 1:8 rwm",  # /dev/random
    "c 1:9 rwm",  # /dev/urandom
    "c 5:0 rwm",  # /dev/tty
    "c 5:2 rwm",  # /dev/ptmx
    "c 136:* rwm",  # /dev/pts/*
)
ALL = "a *:* rwm"

_PROGRAM = {
    errno.EPERM: "Needs root, outside of any user namespace (CAP_BPF or CAP_SYS_ADMIN)",
    errno.EINVAL: "The kernel must be built with CONFIG_CGROUP_BPF",
    errno.ENOSYS: "The kernel must be built with CONFIG_BPF_SYSCALL",
}
_LIST = {errno.EPERM: "The group above does not allow this device, so none below it can"}


def restrict(group: Cgroup, extra: tuple[str, ...]) -> None:
    """Allow the processes of ``group`` Docker's devices and ``extra``; before anyone is in it.

    Who is not the machine's root, or root of a user namespace only, may set no such rules, and
    needs none: it can make no device, and what it may open the group decides that we are in
    already. Raises Failure if the machine can do it in neither world.
    """
    if ALL in extra:
        return
    rules = tuple(dict.fromkeys((*DOCKERS_RULES, *extra)))
    if not users.of_the_machine() or (os.geteuid() != 0 and not extra):
        return
    if group.machine.holding("devices") is not None:
        _list(group, rules)
    elif group.machine.unified is not None:
        _program(group.machine.unified.directory(group.path), rules)
    else:
        raise Failure(
            "this machine cannot restrict devices: no devices controller and no cgroup v2",
            "mkdir -p /sys/fs/cgroup/devices; mount -t cgroup -o devices cgroup "
            "/sys/fs/cgroup/devices",
        )


def _list(group: Cgroup, rules: tuple[str, ...]) -> None:
    with hints(_LIST):
        files.write(group.file("devices.deny"), "a", why="no device at all, and then, one by one,")
        for rule in rules:
            files.write(group.file("devices.allow"), rule, why="a device that containers may use")


def _program(directory: str, rules: tuple[str, ...]) -> None:
    from mydocker.cgroups import ebpf  # not needed, and not loaded, with v1

    with hints(_PROGRAM):
        program = syscalls.bpf_prog_load(
            syscalls.BPF_PROG_TYPE_CGROUP_DEVICE,
            ebpf.device_filter(rules),
            why=f"a program that allows {len(rules)} kinds of devices and refuses the others",
        )
        target = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # From now on the group holds the program; it goes when the group is removed.
            syscalls.bpf_prog_attach(
                syscalls.BPF_CGROUP_DEVICE,
                program,
                target,
                shown=directory,
                why="the kernel asks it each time a process of the group opens or makes a device",
            )
        finally:
            os.close(target)
            os.close(program)
