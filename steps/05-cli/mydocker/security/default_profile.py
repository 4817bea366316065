"""The default seccomp profile: which system calls a container has, the same in effect as Docker's.

An allow-list: what is not on it is "not permitted" (EPERM), and a call that the kernel's makers add
next year is not on it. Some 300 of the 360 calls are on it, for programs need them. The others are
those that change the whole machine (modules, clocks, swap, reboot), that make new surroundings
(mounts, namespaces, and with them a way to be root in one of one's own), or that have a history of
holes and few users (bpf, userfaultfd, io_uring, keyctl).

Calls that a capability is for come with it: who is given CAP_SYS_ADMIN may mount.
"""

from collections.abc import Collection

from mydocker.security.profile import ALLOW, ERRNO, Condition, Profile, Rule

_EPERM, _ENOSYS = 1, 38

_FILES = """
open openat openat2 creat close close_range read write readv writev pread64 pwrite64 preadv pwritev
preadv2 pwritev2 lseek sendfile copy_file_range splice tee vmsplice readahead fadvise64 fallocate
truncate ftruncate sync syncfs fsync fdatasync sync_file_range cachestat
stat fstat lstat newfstatat statx statfs fstatfs access faccessat faccessat2
mkdir mkdirat rmdir link linkat symlink symlinkat readlink readlinkat unlink unlinkat rename
renameat renameat2 mknod mknodat getdents getdents64 getcwd chdir fchdir umask
chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat utime utimes futimesat utimensat
getxattr lgetxattr fgetxattr setxattr lsetxattr fsetxattr listxattr llistxattr flistxattr
removexattr lremovexattr fremovexattr getxattrat setxattrat listxattrat removexattrat
dup dup2 dup3 fcntl flock ioctl pipe pipe2 memfd_create memfd_secret name_to_handle_at
inotify_init inotify_init1 inotify_add_watch inotify_rm_watch fanotify_mark statmount listmount
"""
_WAITING = """
select pselect6 poll ppoll epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_wait
epoll_wait_old epoll_pwait epoll_pwait2 eventfd eventfd2 signalfd signalfd4 timerfd_create
timerfd_settime timerfd_gettime io_setup io_destroy io_submit io_cancel io_getevents io_pgetevents
"""
_MEMORY = """
brk mmap munmap mremap mprotect madvise mincore msync mlock mlock2 mlockall munlock munlockall
remap_file_pages pkey_alloc pkey_free pkey_mprotect mseal map_shadow_stack membarrier
"""
_PROCESSES = """
fork vfork execve execveat exit exit_group wait4 waitid kill tkill tgkill pidfd_open
pidfd_send_signal process_mrelease
getpid getppid gettid getpgid getpgrp setpgid getsid setsid
getuid geteuid getgid getegid getresuid getresgid getgroups setuid setgid setreuid setregid
setresuid setresgid setfsuid setfsgid setgroups capget capset prctl seccomp
landlock_create_ruleset landlock_add_rule landlock_restrict_self
getrlimit setrlimit prlimit64 getrusage times getpriority setpriority ioprio_get ioprio_set
sched_yield sched_getaffinity sched_setaffinity sched_getattr sched_setattr sched_getparam
sched_setparam sched_getscheduler sched_setscheduler sched_get_priority_max sched_get_priority_min
sched_rr_get_interval getcpu
futex futex_wait futex_wake futex_waitv futex_requeue get_robust_list set_robust_list
set_tid_address get_thread_area set_thread_area rseq restart_syscall
ptrace process_vm_readv process_vm_writev
"""
_SIGNALS = """
rt_sigaction rt_sigprocmask rt_sigpending rt_sigsuspend rt_sigtimedwait rt_sigqueueinfo
rt_tgsigqueueinfo rt_sigreturn sigaltstack pause alarm getitimer setitimer
"""
_TIME = """
time gettimeofday clock_gettime clock_getres clock_nanosleep nanosleep adjtimex clock_adjtime
timer_create timer_settime timer_gettime timer_getoverrun timer_delete
"""
_NETWORK = """
socketpair bind listen accept accept4 connect shutdown getsockname getpeername getsockopt setsockopt
sendto recvfrom sendmsg recvmsg sendmmsg recvmmsg
"""
_BETWEEN_PROCESSES = """
msgget msgsnd msgrcv msgctl semget semop semtimedop semctl shmget shmat shmdt shmctl
mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr
"""
_MACHINE = "uname sysinfo getrandom arch_prctl modify_ldt uretprobe"

_ALWAYS = " ".join(
    (
        _FILES, _WAITING, _MEMORY, _PROCESSES, _SIGNALS, _TIME, _NETWORK, _BETWEEN_PROCESSES,
        _MACHINE,
    )
)  # fmt: skip

_WITH_CAPABILITY = {
    "CAP_DAC_READ_SEARCH": "open_by_handle_at",
    "CAP_SYS_ADMIN": "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie "
    "lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree "
    "perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount2 unshare",
    "CAP_SYS_BOOT": "reboot",
    "CAP_SYS_CHROOT": "chroot",
    "CAP_SYS_MODULE": "delete_module init_module finit_module",
    "CAP_SYS_PACCT": "acct",
    "CAP_SYS_PTRACE": "kcmp pidfd_getfd process_madvise",
    "CAP_SYS_RAWIO": "iopl ioperm",
    "CAP_SYS_TIME": "settimeofday clock_settime",
    "CAP_SYS_TTY_CONFIG": "vhangup",
    "CAP_SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "CAP_SYSLOG": "syslog",
    "CAP_BPF": "bpf",
    "CAP_PERFMON": "perf_event_open",
}

# <linux/socket.h>: families of sockets up to AF_NFC, but for two. AF_ALG is the kernel's own
# cryptography, of no use to most and with a hole that let every user become root (CVE-2026-31431);
# AF_VSOCK speaks past all network namespaces with the hypervisor and other virtual machines.
_AF_ALG, _AF_NFC, _AF_VSOCK, _AF_LAST = 38, 39, 40, 45
_FAMILIES = (
    Condition(0, "LT", _AF_ALG),
    Condition(0, "EQ", _AF_NFC),
    *(Condition(0, "EQ", family) for family in range(_AF_VSOCK + 1, _AF_LAST + 1)),
)
# <linux/personality.h>: PER_LINUX, PER_LINUX32, each also with UNAME26; and "which is it?"
_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
# <linux/sched.h>: all CLONE_NEW* flags that clone(2) takes
_NAMESPACES = 0x7E020000


def default_profile(capabilities: Collection[str]) -> Profile:
    """The default profile of a container with ``capabilities``."""
    rules = [Rule(tuple(_ALWAYS.split()), ALLOW)]
    rules += [Rule(("socket",), ALLOW, (family,)) for family in _FAMILIES]
    rules += [
        Rule(("personality",), ALLOW, (Condition(0, "EQ", value),)) for value in _PERSONALITIES
    ]
    rules += [
        Rule(tuple(names.split()), ALLOW)
        for capability, names in _WITH_CAPABILITY.items()
        if capability in capabilities
    ]
    if "CAP_SYS_ADMIN" not in capabilities:
        # Processes and threads, and no namespaces. clone3 has its flags in memory, where no filter
        # can look; told that there is none, every libc takes clone.
        rules += [
            Rule(("clone",), ALLOW, (Condition(0, "MASKED_EQ", _NAMESPACES, 0),)),
            Rule(("clone3",), ERRNO | _ENOSYS),
        ]
    return Profile(ERRNO | _EPERM, tuple(rules))
