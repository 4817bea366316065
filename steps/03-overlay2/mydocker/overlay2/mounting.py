"""Mount a stack of layers with the overlay filesystem, in one of two ways.

Up to some 130 layers, mount(2) takes all of them as one text. It must fit into a page of memory,
and so the layers are written as short names relative to the store's directory, to which the
process changes for the moment: what Docker does. More layers, up to the 500 that overlayfs can
stack, are told one by one: fsconfig(2) with ``lowerdir+``, since Linux 6.5.

Kernel documentation: filesystems/overlayfs. Mounting needs CAP_SYS_ADMIN.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from mydocker.kernel import files, syscalls
from mydocker.kernel.errors import Failure, KernelError
from mydocker.kernel.records import record
from mydocker.overlay2 import notes

PAGE = 4096  # mount(2) copies one page of options, whatever the machine's page size may be
MAX_LOWER = 500  # OVL_MAX_STACK in the kernel's fs/overlayfs/params.h

# The kernel answers all of them with EINVAL, "wrong something".
_NO_UPPER = {
    "overlay": "an overlay itself, as the inside of a container is",
    "nfs": "a network filesystem",
    "nfs4": "a network filesystem",
    "cifs": "a network filesystem",
    "smb3": "a network filesystem",
    "9p": "a folder shared by the host of this virtual machine",
    "vboxsf": "a folder shared by the host of this virtual machine",
    "virtiofs": "a folder shared by the host of this virtual machine",
    "vfat": "without owners, permissions and extended attributes",
    "exfat": "without owners, permissions and extended attributes",
    "ntfs": "without Linux's extended attributes",
    "ntfs3": "without Linux's extended attributes",
    "fuseblk": "a FUSE filesystem",
    "ecryptfs": "an encrypting layer over another filesystem",
    "squashfs": "read-only",
    "erofs": "read-only",
    "iso9660": "read-only",
}


@record
class OverlayMount:
    """One overlay: what lies below, nearest first, what is written to, and where it appears.

    Paths are relative to ``directory``. Without ``upper`` and ``work`` it can only be read, and
    takes at least two layers. ``volatile``: the upper layer will be thrown away, so the kernel
    need not write it to the disk when it is unmounted (Linux 5.10).
    """

    directory: str
    lower: tuple[str, ...]
    upper: str
    work: str
    merged: str
    volatile: bool = False

    @property
    def options(self) -> str:
        """All options as mount(8)'s ``-o`` takes them."""
        # lab 3.2: the options of an overlay
        options = [f"lowerdir={':'.join(self.lower)}"]
        if self.upper:
            options += [f"upperdir={self.upper}", f"workdir={self.work}"]
        if self.volatile:
            options.append("volatile")
        return ",".join(options)
        # end lab

    @property
    def fits(self) -> bool:
        """True if mount(2) can take the options: with the zero byte at their end, in one page."""
        return len(os.fsencode(self.options)) < PAGE


def mount_overlay(overlay: OverlayMount) -> None:
    """Mount ``overlay`` at its ``merged`` directory, which must exist.

    Raises Failure for too many layers, and KernelError explained for what the machine cannot do.
    """
    if len(overlay.lower) > MAX_LOWER:
        raise Failure(
            f"{len(overlay.lower)} layers: overlayfs stacks at most {MAX_LOWER}",
            "Make them fewer: export a container of this image and import the tar as a new image",
        )
    with _inside(overlay.directory):
        try:
            if overlay.fits:
                why = "the layers as one directory: read from below, written on top"
                options = overlay.options + (",userxattr" if _as_user() else "")
                syscalls.mount("overlay", overlay.merged, "overlay", 0, options, why=why)
            else:
                _mount_one_by_one(overlay)
        except KernelError as error:
            error.hint = error.hint or explain(error.errno, overlay)
            raise


def _mount_one_by_one(overlay: OverlayMount) -> None:
    why = "so many layers that their names fill more than a page: tell them one by one"
    context = syscalls.fsopen("overlay", why=why)
    try:
        settings = [("lowerdir+", lower) for lower in overlay.lower]
        if overlay.upper:
            settings += [("upperdir", overlay.upper), ("workdir", overlay.work)]
        for key, value in settings:
            syscalls.fsconfig(context, syscalls.FSCONFIG_SET_STRING, key, value, why="a layer")
        if overlay.volatile:
            syscalls.fsconfig(context, syscalls.FSCONFIG_SET_FLAG, "volatile", None)
        if _as_user():
            syscalls.fsconfig(context, syscalls.FSCONFIG_SET_FLAG, "userxattr", None)
        create = syscalls.FSCONFIG_CMD_CREATE
        syscalls.fsconfig(context, create, None, None, why="all is set: make the filesystem")
        mount = syscalls.fsmount(context, why="a mount of it, attached nowhere yet")
    finally:
        os.close(context)
    try:
        syscalls.move_mount(mount, overlay.merged, why="the layers as one directory")
    finally:
        os.close(mount)


def _as_user() -> bool:
    """Whether overlayfs must keep its notes where root of a user namespace can write them."""
    return notes.prefix() == notes.USER


@contextmanager
def _inside(directory: str) -> Iterator[None]:
    """Do something with ``directory`` as the working directory, then come back."""
    before = os.open(".", os.O_PATH | os.O_CLOEXEC)
    try:
        syscalls.chdir(directory, why="short names of layers are relative to their store")
        yield
    finally:
        os.fchdir(before)
        os.close(before)


def explain(number: int | None, overlay: OverlayMount) -> str:
    """Why the kernel refused this overlay, judged by errno and the filesystem that it lies on."""
    kind, place = filesystem_of(overlay.directory)
    elsewhere = "keep the data elsewhere: --root DIRECTORY on ext4, xfs, btrfs or tmpfs"
    if number == errno.ENODEV:
        return "This kernel has no overlay filesystem: try modprobe overlay"
    if number == errno.EPERM:
        return "Mounting needs root: use sudo"
    if number == errno.ENOENT:
        return "A layer is missing from the store: remove the image and import it again"
    if number == errno.ENOSPC:
        return f"The filesystem of {place} is full"
    if number == errno.EROFS:
        return f"The filesystem of {place} is mounted read-only; {elsewhere}"
    if number in (errno.EINVAL, errno.EOPNOTSUPP, errno.ELOOP, errno.EXDEV) and kind in _NO_UPPER:
        return (
            f"{overlay.directory} lies on {kind} ({_NO_UPPER[kind]}), where overlayfs cannot"
            f" write; {elsewhere}"
        )
    if number == errno.EINVAL and not overlay.fits:
        return (
            f"{len(overlay.lower)} layers fill more than the page of options that mount(2) takes,"
            " and this kernel, older than Linux 6.5, has no other way: use an image of fewer layers"
        )
    if number == errno.EINVAL:
        return f"The kernel says more: dmesg | tail. The data lies on {kind}; you can {elsewhere}"
    return ""


def filesystem_of(path: str) -> tuple[str, str]:
    """Type and mount point of the filesystem that ``path`` is on, from /proc (see proc(5)).

    ("unknown", path) if /proc does not tell.
    """
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            told = files.read(f"/proc/self/fdinfo/{fd}").split()
        finally:
            os.close(fd)
        mount_id = told[told.index("mnt_id:") + 1]
        for line in files.read("/proc/self/mountinfo").splitlines():
            # 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
            fields = line.split()
            if fields[0] == mount_id:
                return fields[fields.index("-") + 1], fields[4]
    except (OSError, ValueError):
        pass
    return "unknown", path
