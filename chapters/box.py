"""A container from nothing. `python3 box.py --help`; forty-lines.md explains each line."""

import argparse
import ctypes
import os
import select
import signal
import subprocess  # 2
import sys
from pathlib import Path  # 2

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWPID = 0x20000, 0x4000000, 0x8000000, 0x20000000
CLONE_NEWNET = 0x40000000  # 4
MS_REC, MS_PRIVATE, PR_SET_PDEATHSIG = 0x4000, 0x40000, 1
MNT_DETACH = 2  # 3
MS_RDONLY, MS_REMOUNT, MS_BIND, PR_CAPBSET_DROP, KEPT = 1, 0x20, 0x1000, 24, 0xA00425FB  # 5
libc = ctypes.CDLL(None, use_errno=True)
sys.excepthook = lambda kind, error, place: print(f"box: {error}:", *sys.argv[1:], file=sys.stderr)
for number in (signal.SIGINT, signal.SIGPIPE):
    signal.signal(number, signal.SIG_DFL)


def call(name: str, *arguments: object) -> int:
    values = [os.fsencode(value) if isinstance(value, str) else value for value in arguments]
    result: int = libc[name](*values)
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{name}{arguments}: {os.strerror(ctypes.get_errno())}")
    return result


parser = argparse.ArgumentParser()
parser.add_argument("--hostname", default="box")
parser.add_argument("-m", "--memory", type=int, default=100, help="in megabytes")  # 2
parser.add_argument("image", help="a directory, or several with : between them")  # 3
parser.add_argument("command", nargs=argparse.PARSER)
asked = parser.parse_args()

flags = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID
flags |= CLONE_NEWNET  # 4
clone_args = (ctypes.c_uint64 * 8)(flags, 0, 0, 0, signal.SIGCHLD)
wait, go = os.pipe()
pid = call("syscall", 435, ctypes.byref(clone_args), ctypes.sizeof(clone_args))
if pid == 0:
    os.close(go)
    os.read(wait, 1)
    call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL)
    if select.select([wait], [], [], 0)[0]:
        sys.exit(1)
    call("mount", "none", "/", None, MS_REC | MS_PRIVATE, None)
    call("mount", "tmpfs", "/mnt", "tmpfs", 0, None)  # 3
    os.mkdir("/mnt/upper")  # 3
    os.mkdir("/mnt/work")  # 3
    layers = f"lowerdir={asked.image},upperdir=/mnt/upper,workdir=/mnt/work"  # 3
    call("mount", "overlay", "/mnt", "overlay", 0, layers)  # 3
    os.chdir("/mnt")  # 3
    call("pivot_root", ".", ".")  # 3
    call("umount2", ".", MNT_DETACH)  # 3
    call("mount", "proc", "/proc", "proc", 0, None)
    call("sethostname", asked.hostname, len(os.fsencode(asked.hostname)))
    for path in filter(os.path.exists, ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq")):  # 5
        call("mount", path, path, None, MS_BIND, None)
        call("mount", None, path, None, MS_BIND | MS_REMOUNT | MS_RDONLY, None)
    for capability in range(64):  # 5
        if not KEPT >> capability & 1:
            libc.prctl(PR_CAPBSET_DROP, capability)
    os.environ.clear()  # 5
    os.environ.update(PATH="/usr/sbin:/usr/bin:/sbin:/bin", HOME="/")  # 5
    os.execvp(asked.command[0], asked.command)

v2 = os.path.exists("/sys/fs/cgroup/cgroup.controllers")  # 2
group = Path("/sys/fs/cgroup" if v2 else "/sys/fs/cgroup/memory") / f"box-{pid}"  # 2
TIDY = 'read end; while [ -d "$0" ] && ! rmdir "$0" 2>/dev/null; do sleep 0.1; done'  # 2
tidier = subprocess.Popen(["sh", "-c", TIDY, group], stdin=subprocess.PIPE, process_group=0)  # 2
if v2:  # 2
    (group.parent / "cgroup.subtree_control").write_text("+memory")
group.mkdir()  # 2
(group / ("memory.max" if v2 else "memory.limit_in_bytes")).write_text(f"{asked.memory}M")  # 2
(group / ("memory.swap.max" if v2 else "memory.swappiness")).write_text("0")  # 2
(group / "cgroup.procs").write_text(str(pid))  # 2

host, guest = "198.19.0.1", f"198.18.{pid // 256 % 256}.{pid % 256}"  # 4
for line in (  # 4
    f"ip link add veth{pid} type veth peer name eth0 netns {pid}",
    f"ip address add {host} peer {guest} dev veth{pid}",
    f"ip link set veth{pid} up",
    f"nsenter --net --target {pid} ip link set lo up",
    f"nsenter --net --target {pid} ip address add {guest} peer {host} dev eth0",
    f"nsenter --net --target {pid} ip link set eth0 up",
):
    subprocess.run(line.split(), check=True)

signal.signal(signal.SIGTERM, lambda *_: (libc.kill(pid, signal.SIGTERM), signal.alarm(10)))  # 5
signal.signal(signal.SIGALRM, lambda *_: libc.kill(pid, signal.SIGKILL))  # 5

os.write(go, b"!")
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
tidier.communicate()  # 2
sys.exit(code if code >= 0 else 128 - code)
