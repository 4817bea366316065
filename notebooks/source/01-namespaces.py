# %% [markdown]
# # 01 · Namespaces: a process that sees another machine
#
# A container has its own host name, its own processes, its own files, its own network. None of
# these is "in" the container: the kernel keeps several of each, and a process has eight pointers
# that say which one it sees. Here you look at the pointers.
# [Chapter 01](../chapters/01-namespaces.md) tells the rest.

# %%
from workbench import apart, check, exercise, guess, room, shell, start, stop, wait_for

room

# %% [markdown]
# ## Eight links
#
# Each process has a directory with a link for each kind of namespace. The number in brackets is an
# inode: two processes are in the same namespace if, and only if, they have the same number.

# %%
from mydocker.namespaces import survey
from mydocker.namespaces.kinds import KINDS
from rich import print as show
from rich.table import Table

mine = survey.memberships("self")
table = Table("kind", "this kernel is in", "what it gives a process of its own")
for kind in KINDS:
    table.add_row(kind.name, str(mine.get(kind.name, "-")), kind.isolates)
show(table)

# %% [markdown]
# ## The matrix
#
# Five processes, made by step 01's own `main.py`, each with other options. The first row is this
# kernel. A grey field is the same namespace as the kernel's, a coloured one is another.
#
# In how many fields of the row `run --uts --net` will the colour be another than grey? And of the
# row `run`, without any option?

# %%
my_guess = ...  # (fields of `run --uts --net`, fields of `run`)

# %%
# needs root
import psutil

from workbench.pictures import matrix

STEP = "python3 steps/01-namespaces/main.py"


def inside(run):
    """The pid of the command that a started run is the parent of."""
    children = psutil.Process(run.pid).children
    return wait_for(lambda: next(child.pid for child in children() if child.name() == "sleep"))


commands = ["run --uts", "run --uts --net", "run --pid --mount", "run --user", "run"]
pids = {command: inside(start(f"{STEP} {command} sleep 100")) for command in commands}
rows = [("this kernel", mine)]
rows += [(command, survey.memberships(pid)) for command, pid in pids.items()]
matrix(rows, "the last five digits of the inode: the same colour is the same namespace")

# %% tags=["matrix"]
# needs root
own = {
    command: [kind for kind in mine if inodes[kind] != mine[kind]] for command, inodes in rows[1:]
}
for command, kinds in own.items():
    print(f"{command}: {len(kinds)} of its own: {' '.join(kinds)}")
guess(my_guess, (len(own["run --uts --net"]), len(own["run"])))
stop()

# %% [markdown]
# Nobody has to have all of them. A container is a habit, not a thing. `docker run` makes five by
# default: mnt, uts, ipc, pid and net; on cgroup v2 also a cgroup namespace, and since Docker 29.5 a
# time namespace. `docker run --net host` is the same with one field left grey.
#
# ## One namespace, by hand
#
# What `main.py run --uts` does is this: a list of parts, and a process around which they are put.
# The events are what the kernel was asked for.

# %% tags=["hostname"]
# needs root
import os
import socket

from mydocker.container.process import Process
from mydocker.container.running import run
from mydocker.kernel import syscalls, trace, words
from mydocker.namespaces.parts import HostName


def in_a_container():
    events = []
    command, parts = Process(("/bin/busybox", "hostname")), [HostName("box")]
    with trace.listening(events.append):
        run(command, syscalls.CLONE_NEWUTS, parts, run_directory=os.environ["MYDOCKER_RUN"])
    return events


events = apart(in_a_container)
print("and outside:", socket.gethostname())
table = Table("side", "request", "why")
for event in events:
    table.add_row(event.side, words.call(event.call, event.arguments), event.why)
show(table)

# %% [markdown]
# Five requests. The host name is changed by the same `sethostname` that your machine calls when it
# boots; only the name that it changes is another one, since `clone3` was given `CLONE_NEWUTS`.
#
# ## Who is number one?
#
# A shell in a PID namespace starts two more programs. Each of the processes has *two* numbers: one
# inside, one outside. What are the three inside?

# %%
my_guess = ...  # as [1, …, …]

# %%
# needs root
box = start(f"{STEP} run sh -c 'sleep 100 & sleep 101 & wait'")
wait_for(lambda: len(psutil.Process(box.pid).children(recursive=True)) == 3)
table = Table("program", "outside", "inside", "parent outside")
numbers, outside = [], []
for process in psutil.Process(box.pid).children(recursive=True):
    with open(f"/proc/{process.pid}/status") as status:
        inner = survey.parse_inner_pid(status.read())
    numbers.append(inner)
    outside.append(process.pid)
    table.add_row(" ".join(process.cmdline()), str(process.pid), str(inner), str(process.ppid()))
show(table)

# %% tags=["pids"]
# needs root
guess(my_guess, sorted(numbers))
psutil.Process(outside[0]).kill()  # the one that is number one inside
box.wait(10)
print("left of the three:", [pid for pid in outside if psutil.pid_exists(pid)] or "none")

# %% [markdown]
# PID 1 is the only one that a PID namespace cannot live without: when it ends, the kernel kills
# everybody else. That is why a container ends with its first process, and why `docker stop` has
# to talk to one process only.
#
# ## Files: what is mounted inside stays inside
#
# Inside, a filesystem in memory is mounted over an empty directory, and a file is made in it.

# %% tags=["mounts"]
# needs root
place = f"{room.directory}/place"
os.makedirs(place, mode=0o777, exist_ok=True)
script = f"mount -t tmpfs none {place}; touch {place}/note; ls {place}"
shell(f"{STEP} run --mount sh -c '{script}'")
print("The same directory here:", os.listdir(place) or "empty")

# %% [markdown]
# ## Users: root in there, nobody out here
#
# A user namespace has a table that translates user ids. Below, ids 0 to 999 inside are 100000 to
# 100999 outside. Root inside makes a file. Whose is it, seen from outside?

# %%
my_guess = ...  # a user id

# %% tags=["users"]
# needs root
os.chmod(place, 0o777)
script = f"id -u; cat /proc/self/uid_map; touch {place}/file"
shell(f"{STEP} run --user --uid-map 0:100000:1000 --gid-map 0:100000:1000 sh -c '{script}'")
guess(my_guess, os.stat(f"{place}/file").st_uid)

# %% [markdown]
# So a process that breaks out of such a container is user 100000 of your machine, who owns nothing
# and may do nothing. It was root only of things that are themselves inside.
#
# ## Time: a machine that was started long ago
#
# The clocks that count from the start of the machine can be moved, for a namespace. The time of day
# cannot.

# %% tags=["time"]
# needs root
import subprocess

from workbench.stacked import ROOT


def seconds_since_boot(run=""):
    printed = subprocess.check_output(f"{run} cat /proc/uptime", shell=True, cwd=ROOT)
    return float(printed.split()[0])


days = (seconds_since_boot(f"{STEP} run --boottime 86400000") - seconds_since_boot()) / 86400
print(f"The machine inside was started {days:.0f} days earlier than the one outside.")

# %% [markdown]
# ## What have you seen?
#
# A process has eight pointers. Everything else, a host name, a table of mounts, a list of
# processes, hangs on them. The next notebook is about what they do *not* do: a process with eight
# namespaces of its own can still eat all of your memory.

# %% [markdown]
# ## Your turn
#
# A piece of mydocker's own source has been cut out, and you write it. The tests are the project's.

# %%
exercise("1.2")

# %% tags=["exercise"]
# needs root
check("1.2")
