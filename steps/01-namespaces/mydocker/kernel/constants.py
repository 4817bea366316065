"""The kernel's numbers by their names, each group under the header that it comes from.

Here, below everything else, so that whoever needs only a name (an error's text, a line of shell)
does not need the calls. :mod:`~mydocker.kernel.syscalls` has them all as well: who makes a call
writes ``syscalls.mount(…, syscalls.MS_BIND)``.
"""

import os

# <linux/sched.h>: what a new process, or this one, gets a copy of its own of
CLONE_NEWTIME = 0x00000080
CLONE_PIDFD = 0x00001000
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
CLONE_INTO_CGROUP = 0x200000000

# <sys/mount.h>
MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_SYNCHRONOUS = 16
MS_REMOUNT = 32
MS_DIRSYNC = 128
MS_NOATIME = 1024
MS_NODIRATIME = 2048
MS_BIND = 4096
MS_MOVE = 8192
MS_REC = 16384
MS_UNBINDABLE = 1 << 17
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20
MS_RELATIME = 1 << 21
MS_STRICTATIME = 1 << 24
MNT_DETACH = 2
UMOUNT_NOFOLLOW = 8

# <linux/mount.h>: the mount calls by file descriptor
OPEN_TREE_CLONE = 1
AT_RECURSIVE = 0x8000
AT_EMPTY_PATH = 0x1000
AT_FDCWD = -100
FSCONFIG_SET_FLAG = 0
FSCONFIG_SET_STRING = 1
FSCONFIG_CMD_CREATE = 6
MOVE_MOUNT_F_EMPTY_PATH = 4
MOVE_MOUNT_T_EMPTY_PATH = 0x40
MOUNT_ATTR_RDONLY = 1
MOUNT_ATTR_NOSUID = 2
MOUNT_ATTR_NODEV = 4
MOUNT_ATTR_NOEXEC = 8
MOUNT_ATTR_RELATIME = 0
MOUNT_ATTR_NOATIME = 0x10
MOUNT_ATTR_STRICTATIME = 0x20
MOUNT_ATTR__ATIME = 0x70  # all three: one of them is set by clearing this
MOUNT_ATTR_NODIRATIME = 0x80

# <linux/magic.h>: what fstatfs(2) calls the kernel's own filesystems
PROC_SUPER_MAGIC = 0x9FA0
SYSFS_MAGIC = 0x62656572
CGROUP_SUPER_MAGIC = 0x27E0EB
CGROUP2_SUPER_MAGIC = 0x63677270

# <linux/openat2.h>: how far a path may lead
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_IN_ROOT = 0x10

# <linux/prctl.h>, <linux/close_range.h>
PR_SET_PDEATHSIG = 1
PR_GET_DUMPABLE = 3
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
AMBIENT_RAISE = 2  # PR_CAP_AMBIENT_RAISE
AMBIENT_CLEAR_ALL = 4
CLOSE_RANGE_CLOEXEC = 4

# <linux/capability.h>, <linux/keyctl.h>, <linux/seccomp.h>
LINUX_CAPABILITY_VERSION_3 = 0x20080522
KEYCTL_JOIN_SESSION_KEYRING = 1
SECCOMP_SET_MODE_FILTER = 1

# <linux/bpf.h>
BPF_PROG_LOAD = 5
BPF_PROG_ATTACH = 8
BPF_PROG_TYPE_CGROUP_DEVICE = 15
BPF_CGROUP_DEVICE = 6
BPF_F_ALLOW_MULTI = 2

# Calls without a function in libc, by number (<asm/unistd.h>): those added since 2019 have the same
# number on every machine, the older ones do not.
SYS_pidfd_send_signal = 424
SYS_open_tree = 428
SYS_move_mount = 429
SYS_fsopen = 430
SYS_fsconfig = 431
SYS_fsmount = 432
SYS_pidfd_open = 434
SYS_clone3 = 435
SYS_close_range = 436
SYS_openat2 = 437
SYS_mount_setattr = 442
SYS_getcwd = {"x86_64": 79, "aarch64": 17}.get(os.uname().machine, -1)
SYS_setgroups = {"x86_64": 116, "aarch64": 159}.get(os.uname().machine, -1)
SYS_setresuid = {"x86_64": 117, "aarch64": 147}.get(os.uname().machine, -1)
SYS_setresgid = {"x86_64": 119, "aarch64": 149}.get(os.uname().machine, -1)
SYS_seccomp = {"x86_64": 317, "aarch64": 277}.get(os.uname().machine, -1)
SYS_keyctl = {"x86_64": 250, "aarch64": 219}.get(os.uname().machine, -1)
SYS_ioprio_set = {"x86_64": 251, "aarch64": 30}.get(os.uname().machine, -1)
SYS_personality = {"x86_64": 135, "aarch64": 92}.get(os.uname().machine, -1)
SYS_sched_setattr = {"x86_64": 314, "aarch64": 274}.get(os.uname().machine, -1)
SYS_bpf = {"x86_64": 321, "aarch64": 280}.get(os.uname().machine, -1)
SYS_pivot_root = {"x86_64": 155, "aarch64": 41}.get(os.uname().machine, -1)
