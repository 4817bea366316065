"""``--device HOST[:CONTAINER[:rwm]]``: devices of the host for a container.

Two things belong together: a node, a file that says "device 10:229", and the leave of the
container's control group to use 10:229; the node alone opens nothing (``cgroups.devices``).
"""

import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

from mydocker.kernel.errors import Invalid
from mydocker.overlay2.plan import Device
from mydocker.security.specification import DeviceMapping

_FORMS = "Write --device HOST[:CONTAINER[:rwm]], as /dev/fuse or /dev/sdb:/dev/xvdc:r"
# What of the host's /dev is no device of the machine: the container has its own
_OWN = ("/dev/pts", "/dev/shm", "/dev/mqueue", "/dev/console", "/dev/.lxc", "/dev/fd")


class Given(NamedTuple):
    """A device, and what the control group shall allow of it, as ``c 10:229 rwm``."""

    device: Device
    rule: str


def given(mapping: DeviceMapping) -> list[Given]:
    """The devices of one ``--device``; a directory stands for all in it. Raises Failure."""
    source, target, access = mapping.source, mapping.target, mapping.access
    text = source if target == source else f"{source}:{target}"
    if os.path.isdir(source):
        found = list(_below(source, target, access))
        if not found:
            raise Invalid(f"--device {text}: no device in this directory")
        return found
    try:
        status = os.stat(source)
    except OSError as error:
        raise Invalid(f"--device {text}: {error.strerror}", "See: ls -l /dev") from None
    if not _is_device(status):
        raise Invalid(f"--device {text}: not a device node", "Files and directories: use -v")
    return [_given(source, target, access, status)]


def parse(text: str) -> DeviceMapping:
    """``HOST[:CONTAINER[:rwm]]``. Raises Failure for another form."""
    source, _, rest = text.partition(":")
    target, _, access = rest.partition(":")
    if not access and target and not target.startswith("/"):
        target, access = "", target
    target, access = target or source, access or "rwm"
    valid = set(access) <= set("rwm") and len(set(access)) == len(access)
    if not valid or not source.startswith("/") or not target.startswith("/"):
        raise Invalid(f"--device {text}: not a device", _FORMS)
    return DeviceMapping(source, os.path.normpath(target), access)


def everything() -> list[Device]:
    """All devices of the host, for ``--privileged``."""
    return [given.device for given in _below("/dev", "/dev", "rwm")]


def _below(source: str, target: str, access: str) -> Iterator[Given]:
    try:
        with os.scandir(source) as entries:
            inside = sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return  # it went away meanwhile, or is not ours to read
    for entry in inside:
        if entry.path in _OWN:
            continue
        name = f"{target}/{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            yield from _below(entry.path, name, access)
        elif _is_device(status := entry.stat(follow_symlinks=False)):
            yield _given(entry.path, name, access, status)


def _is_device(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)


def _given(source: str, target: str, access: str, status: os.stat_result) -> Given:
    number, kind = status.st_rdev, "c" if stat.S_ISCHR(status.st_mode) else "b"
    device = Device(target, source, status.st_mode, number, status.st_uid, status.st_gid)
    return Given(device, f"{kind} {os.major(number)}:{os.minor(number)} {access}")
