# %% [markdown]
# # /proc: the kernel, as a directory
#
# There is no list of containers in the kernel. There are processes, and `/proc` has a directory for
# each, with files that the kernel makes up in the moment when you read them. `ps`, `top`, `lsns`,
# `docker top`, and all of mydocker's looking around, are readers of these files. Here you read them
# yourself; `man 5 proc` is the whole story.

# %%
from workbench import check, exercise, guess, room, shell, start, stop, wait_for

room

# %% [markdown]
# ## A process and its life
#
# `status` tells about a process in lines. Some are worth knowing:

# %%
import os

from rich import print as show
from rich.table import Table

WORTH = {
    "Name": "the program's, 15 letters of it",
    "State": "R runs, S sleeps, D waits for a disk, T stopped, Z zombie",
    "PPid": "the parent's process id",
    "NSpid": "its id in each PID namespace that it is in, from outside to inside",
    "Uid": "real, effective, saved and filesystem user id",
    "VmSize": "addresses that it has been given",
    "VmRSS": "memory that it really uses",
    "CapEff": "what it may do, a bit for each of root's powers",
    "Seccomp": "0: no filter, 2: its system calls are filtered",
    "voluntary_ctxt_switches": "how often it gave the CPU away by itself",
}


def status(pid):
    """The lines of /proc/PID/status."""
    with open(f"/proc/{pid}/status") as file:
        return {key: value.strip() for key, _, value in (line.partition(":") for line in file)}


sleeper = start("busybox sleep 1000")
wait_for(lambda: status(sleeper.pid)["Name"] == "busybox")
lines = status(sleeper.pid)
table = Table("line", "of a sleeper", "meaning")
for name, meaning in WORTH.items():
    table.add_row(name, " ".join(lines[name].split()), meaning)
show(table)

# %% [markdown]
# Now it is stopped, continued and killed. Its parent, this notebook, does not wait for it at once.
# Which letters will `State` show, one after the other?

# %%
my_guess = ...  # four letters, as "STSZ"

# %% tags=["states"]
import signal

seen = lines["State"][0]
for number in (signal.SIGSTOP, signal.SIGCONT, signal.SIGKILL):
    os.kill(sleeper.pid, number)
    wait_for(lambda: status(sleeper.pid)["State"][0] not in (seen[-1], "R"))
    seen += status(sleeper.pid)["State"][0]
guess(my_guess, seen)
sleeper.wait()
print("after wait(2), its directory is there:", os.path.exists(f"/proc/{sleeper.pid}"))

# %% [markdown]
# A **zombie** is nothing but a line in a table: the exit code, kept until the parent asks for it.
# A container's PID 1 is the parent of all orphans in it; one that never asks collects zombies. That
# is what `--init` is for.
#
# ## Memory: a map of addresses
#
# `maps` lists which addresses of a process mean something. busybox is a small program without
# libraries: you can see all of it.

# %% tags=["maps"]
from workbench import drawings

sleeper = start("busybox sleep 1000")
wait_for(lambda: status(sleeper.pid)["Name"] == "busybox")
areas = []
with open(f"/proc/{sleeper.pid}/maps") as file:
    for line in file:
        # 00400000-004d5000 r-xp 00001000 08:01 1234   /usr/bin/busybox
        addresses, permissions, _, _, _, *name = line.split()
        begin, end = (int(address, 16) for address in addresses.split("-"))
        shown = name[0] if name else "(of no file)"
        areas.append((shown, permissions, end - begin))
drawings.address_space(areas)
print(len(areas), "areas; executable:", [name for name, rights, _ in areas if "x" in rights])

# %% [markdown]
# Nothing is writable *and* executable: whoever smuggles data into a program cannot run it. `[vdso]`
# is a page of the kernel's own, which answers "what time is it?" without a system call.
#
# ## Open files
#
# `fd` has a link for each descriptor. Even what is not a file has a name here.

# %% tags=["fd"]
import socket

reader, writer = os.pipe()
listener = socket.create_server(("127.0.0.1", 0))
for fd in (0, reader, writer, listener.fileno()):
    shown = os.readlink(f"/proc/self/fd/{fd}")
    print(f"{fd:3} → {shown.split(':')[0]}{': and a number' if ':' in shown else ''}")
both = {os.readlink(f"/proc/self/fd/{fd}") for fd in (reader, writer)}
print("the two ends of a pipe have the same number:", len(both) == 1)

# %% [markdown]
# ## The network, in hexadecimal
#
# `/proc/net/tcp` is the table of TCP sockets of *this network namespace*. The socket above listens
# on 127.0.0.1, at some port. Which line is it?

# %% tags=["tcp"]
port = listener.getsockname()[1]
with open("/proc/net/tcp") as file:
    heading, *rows = file.read().splitlines()
(row,) = [row for row in rows if row.split()[1].endswith(f":{port:04X}")]
address, number = row.split()[1].split(":")
print(heading[:40].strip(), "…")
print(row[:40].strip(), "…")
read = ".".join(str(byte) for byte in reversed(bytes.fromhex(address)))
print("it reads:", read, "and the port is ours:", int(number, 16) == port)
print("state", row.split()[3], "is LISTEN")
for opened in (reader, writer):
    os.close(opened)
listener.close()

# %% [markdown]
# The address stands there from its last byte to its first, as it lies in the memory of most
# machines.
#
# ## Which machine does it see?
#
# `ns` has eight links. Two processes that have the same number in a line share that view.

# %%
from mydocker.namespaces import survey

table = Table("namespace", "this kernel", "the sleeper", "the same")
here, there = survey.memberships("self"), survey.memberships(sleeper.pid)
for kind in here:
    same = "yes" if here[kind] == there[kind] else "no"
    table.add_row(kind, str(here[kind]), str(there[kind]), same)
show(table)
stop()

# %% [markdown]
# ## What a container sees of all this
#
# The same files, read by a process in a container. How many processes are there in `/proc` inside,
# when the container runs nothing but a shell that calls `ls`?

# %%
my_guess = ...  # how many

# %% tags=["inside"]
# needs root
printed = shell("mydocker run --rm busybox sh -c 'ls /proc >seen; grep -c ^[1-9] seen'")
guess(my_guess, int(printed.split()[-1]))

# %% [markdown]
# The shell and `ls`: two, as `grep` starts when `ls` has ended. Outside there are hundreds. The
# others were not hidden: a `/proc` shows the PID namespace in which it was *mounted*, and they have
# no number there by which they could be called.

# %% tags=["views"]
# needs root
script = """
echo name: $(cat /proc/sys/kernel/hostname)
echo user ids: $(cat /proc/self/uid_map)
echo mounts: $(wc -l < /proc/self/mountinfo)
echo links: $(ls /sys/class/net)
echo group: $(tail -n 1 /proc/self/cgroup)
echo powers: $(grep CapEff /proc/self/status)
"""
with open(f"{room.directory}/look", "w") as file:
    file.write(script)
print("--- here")
shell(f"sh {room.directory}/look | grep -v -e mounts -e links")
print("--- in a container")
shell(f"mydocker run --rm --hostname box -v {room.directory}/look:/look busybox sh /look")

# %% [markdown]
# And as a tree: where the container's `/` begins, and what is mounted in it.

# %% tags=["mounts"]
# needs root
from rich.tree import Tree

mountinfo = os.popen("mydocker run --rm busybox cat /proc/self/mountinfo").read()
branches = {}
for line in mountinfo.splitlines():
    # 812 770 0:64 / /proc rw,nosuid - proc proc rw
    left, _, right = line.partition(" - ")
    number, parent, _, _, point, options, *_ = left.split()
    if point.startswith(("/proc/", "/sys/")):
        continue  # what is covered there: see --explain
    text = f"[bold]{point}[/] {right.split()[0]} {options.split(',')[0]}"
    above = branches.get(parent)
    branches[number] = above.add(text) if above else Tree(text)
show(next(iter(branches.values())))

# %% [markdown]
# Some files in `/proc` are not about any namespace: `/proc/meminfo`, `/proc/cpuinfo`, `/proc/stat`
# tell about the whole machine, in a container too. A program that asks them how much memory there
# is will be wrong in a container with a limit. Where the right answer stands is in the
# [notebook about control groups](cgroup.ipynb).

# %% [markdown]
# ## Your turn
#
# A piece of mydocker's own source has been cut out, and you write it. The tests are the project's.

# %%
exercise("1.5")

# %% tags=["exercise"]
# needs root
check("1.5")
