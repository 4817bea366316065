"""Project quotas: a directory tree may take so many bytes of its filesystem, and no more.

A *project* is a number that files carry beside owner and group. A directory hands it down to what
is made in it, so a whole tree can be counted and limited. ioctl_fssetxattr(2) gives a directory its
project; quotactl_fd(2), Linux 5.14, sets what all files of a project may take together. xfs and
ext4 can do this, where they are mounted with the option ``prjquota``.

Privileges: CAP_SYS_ADMIN.
"""

import ctypes
import errno
import fcntl
import os
import struct
from ctypes import c_uint

from mydocker.kernel import syscalls, trace

_SYS_quotactl_fd = 443
_PRJQUOTA = 2  # <linux/quota.h>
_XQM = ord("X") << 8  # <linux/dqblk_xfs.h>: xfs's own commands, which ext4 knows, too
_Q_XGETQUOTA, _Q_XSETQLIM, _Q_XGETQSTAT = _XQM + 3, _XQM + 4, _XQM + 5
_ENFORCED = 1 << 5  # FS_QUOTA_PDQ_ENFD of struct fs_quota_stat
_UNIT = 512  # bytes: what struct fs_disk_quota counts in

_FS_IOC_FSGETXATTR, _FS_IOC_FSSETXATTR = 0x801C581F, 0x401C5820  # <linux/fs.h>
_FS_XFLAG_PROJINHERIT = 0x200
#  struct fsxattr: xflags, extsize, nextents, projid, cowextsize, padding
_FSXATTR = struct.Struct("=5I8x")
#  struct fs_disk_quota: version, flags, which of the fields are set, id, hard and soft limit of
#  blocks; 16 bytes of limits of files; blocks in use; the rest
_DISK_QUOTA = struct.Struct("=bbHIQQ16xQ64x")
_BSOFT_BHARD = 1 << 2 | 1 << 3
_PROJECT = 2


def _quotactl(fd: int, command: int, identifier: int, data: ctypes.Array[ctypes.c_char]) -> int:
    raw = (c_uint(fd), c_uint(command << 8 | _PRJQUOTA), c_uint(identifier), data)
    return syscalls._syscall(syscalls._number(_SYS_quotactl_fd), *raw)


def enforced(path: str) -> bool:
    """True if the filesystem that ``path`` is on keeps projects to their limits."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    answer = ctypes.create_string_buffer(256)  # struct fs_quota_stat, which is smaller
    try:
        _quotactl(fd, _Q_XGETQSTAT, 0, answer)
    except OSError:
        return False  # ENOSYS: neither this filesystem nor this kernel has quotas, or they are off
    finally:
        os.close(fd)
    return bool(struct.unpack_from("=xxH", answer)[0] & _ENFORCED)


def _set_project(path: str, project: int) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        now = fcntl.ioctl(fd, _FS_IOC_FSGETXATTR, bytes(_FSXATTR.size))
        flags, size, extents, _, copied = _FSXATTR.unpack(now)
        wanted = _FSXATTR.pack(flags | _FS_XFLAG_PROJINHERIT, size, extents, project, copied)
        fcntl.ioctl(fd, _FS_IOC_FSSETXATTR, wanted)
    finally:
        os.close(fd)


def set_project(path: str, project: int, *, why: str = "") -> None:
    """Make the directory ``path``, and what will be made in it, part of ``project``."""
    told = ("FS_IOC_FSSETXATTR", path, project)
    trace.request("ioctl", told, why, _set_project, path, project)


def _set_limit(path: str, project: int, size: int) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    blocks = -(-size // _UNIT)
    data = _DISK_QUOTA.pack(1, _PROJECT, _BSOFT_BHARD, project, blocks, 0, 0)
    try:
        _quotactl(fd, _Q_XSETQLIM, project, ctypes.create_string_buffer(data, len(data)))
    finally:
        os.close(fd)


def set_limit(path: str, project: int, size: int, *, why: str = "") -> None:
    """All files of ``project``, on the filesystem of ``path``, may take ``size`` bytes; 0: any."""
    told = (path, "Q_XSETQLIM", "PRJQUOTA", project, size)
    trace.request("quotactl_fd", told, why, _set_limit, path, project, size)


def usage(path: str, project: int) -> tuple[int, int]:
    """``(bytes in use, limit or 0)`` of ``project``."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    answer = ctypes.create_string_buffer(_DISK_QUOTA.size)
    try:
        _quotactl(fd, _Q_XGETQUOTA, project, answer)
    except OSError as error:
        if error.errno == errno.ENOENT:
            return 0, 0  # nobody ever heard of it
        raise
    finally:
        os.close(fd)
    _, _, _, _, hard, _, used = _DISK_QUOTA.unpack(answer.raw)
    return used * _UNIT, hard * _UNIT
