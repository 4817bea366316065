# %% [markdown]
# # /sys/fs/cgroup: the trees of control groups
#
# Namespaces say what a process sees; control groups say what it gets. They, too, are directories:
# `mkdir` makes a group, `rmdir` removes it, a write to a file sets a limit, a read tells what was
# used. There are two worlds of them, v1 and v2, and machines with both.
# The cells here work in each.

# %%
from workbench import check, exercise, guess, room, start, stop

room

# %% [markdown]
# ## What is here?
#
# A **controller** can limit one thing: memory, CPU, the number of processes. In v1 each of them may
# have a tree of its own, in v2 all share one. Which controller is where, on this machine?

# %% tags=["world"]
from mydocker.cgroups import controllers, hierarchy
from rich import print as show
from rich.table import Table

machine = hierarchy.read()
print("This machine's world is", machine.world)
table = Table("controller", "what it does", "here in")
for controller in controllers.CONTROLLERS:
    where = machine.holding(controller.name) or machine.holding(controller.v2 or "-")
    _, here = controllers.presence(machine, controller)
    table.add_row(controller.name, controller.does, f"{here} {where.mountpoint if where else ''}")
show(table)

# %% [markdown]
# ## Make a group
#
# One call of step 02 makes the group in every tree that this machine has. In v1 that is one
# directory for each, in v2 it is one. How many directories will it be here?

# %%
my_guess = ...  # directories

# %%
# needs root
import os

from mydocker.cgroups.limits import Limits
from rich.columns import Columns
from rich.tree import Tree
from workbench import sampling

group = sampling.group("first", Limits(pids=12))


def tree_of(hierarchy):
    """This notebook's part of one tree, with how many processes are in each group."""
    top = hierarchy.directory(os.path.dirname(group.path))
    tree = Tree(f"[bold]{hierarchy.label}[/] (v{hierarchy.version})")
    branches = {}
    for directory, _, _ in os.walk(top):
        above = branches.get(os.path.dirname(directory), tree)
        with open(f"{directory}/cgroup.procs") as file:
            count = len(file.read().split())
        name = "this notebook's" if directory == top else os.path.basename(directory)
        branches[directory] = above.add(f"{name}: {count} in it")
    return tree


show(Columns([tree_of(each) for each in machine.usable], padding=(1, 4)))

# %% tags=["made"]
# needs root
print("in:", " ".join(each.label for each in machine.usable))
guess(my_guess, len(group.directories))

# %% [markdown]
# `kernel` is the group that this notebook's own process is in: it moved there when it began. With
# everything that it starts, since children are born into their parent's group; which is how all of
# it is found, and ended, when the notebook is closed.
#
# ## The files of a group
#
# A directory that you have just made, and it is full: each file is a question that you can ask, or
# an answer that you can give. The names begin with the controller that they belong to.

# %%
# needs root
EXPLAINED = {
    "cgroup.procs": "who is in it; write a process id to move one here",
    "cgroup.controllers": "v2: what the group above has handed on",
    "cgroup.subtree_control": "v2: what it hands on to the groups below",
    "cgroup.events": "v2: is anybody in it? is it frozen?",
    "cgroup.freeze": "v2: 1 stops all",
    "cgroup.kill": "v2: 1 kills all",
    "cpu.max": "v2: quota and period, in microseconds",
    "cpu.weight": "v2: its part when CPUs are short, 100 is usual",
    "cpu.shares": "v1: its part when CPUs are short, 1024 is usual",
    "cpu.cfs_quota_us": "v1: so many microseconds in each period",
    "cpu.stat": "how often it had to wait",
    "cpuset.cpus": "which CPUs it may use",
    "freezer.state": "v1: FROZEN stops all",
    "memory.max": "v2: the limit",
    "memory.current": "v2: used now",
    "memory.events": "v2: how often the limit was hit, and the OOM killer came",
    "memory.limit_in_bytes": "v1: the limit",
    "memory.usage_in_bytes": "v1: used now",
    "memory.oom_control": "v1: how often the OOM killer came",
    "pids.current": "tasks now",
    "pids.max": "tasks at most",
    "io.stat": "v2: read and written, for each disk",
}
found = {
    name: f"{directory}/{name}" for directory in group.directories for name in os.listdir(directory)
}
table = Table("file", "says now", "meaning")
for name in sorted(EXPLAINED.keys() & found.keys()):
    try:
        with open(found[name]) as file:
            text = file.read().split("\n")[0]
    except OSError:
        text = "(only to be written)"
    table.add_row(name, text[:30] or "(empty)", EXPLAINED[name])
show(table)
print(f"and {len(found) - table.row_count} more")

# %% [markdown]
# ## A limit, watched
#
# The group may have 12 tasks. A process in it forks as fast as it can, and its children stay. What
# does `fork` say at the end: does it wait, does the process die, or does it fail? And how many
# children are there?

# %%
my_guess = ...  # children

# %%
# needs root
import json
import sys

from workbench.pictures import Live, canvas, level

FORKER = """
import errno, json, os, sys, time
sys.stdin.read(1)
children = 0
try:
    while children < 100:
        time.sleep(0.05)
        if os.fork() == 0:
            time.sleep(1000)
        children += 1
except OSError as error:
    print(json.dumps([children, errno.errorcode[error.errno]]), flush=True)
    time.sleep(1000)
"""
forker = start(f"{sys.executable} -c '{FORKER}'", stdin=-1, stdout=-1)
group.attach(forker.pid)
curve = sampling.Watch(lambda: sampling.look(group).pids)
forker.stdin.write(b"!")
forker.stdin.flush()
figure, axes = canvas(2.6)
axes.set(xlabel="seconds", ylabel="tasks in the group", ylim=(0, 14))
level(axes, 12, "pids.max")
(line,) = axes.plot([], [], linewidth=2, drawstyle="steps-post")
with Live(figure, "The number of tasks rises to the limit and stays there") as live:
    while curve.seconds < 1.2 or (not sampling.look(group).pids_refused and curve.seconds < 20):
        line.set_data(curve.so_far())
        axes.set_xlim(0, curve.seconds)
        live.redraw()
    line.set_data(curve.stop())

# %% tags=["pids"]
# needs root
children, answer = json.loads(forker.stdout.readline())
print("fork failed with", answer)
print("refused by the controller:", sampling.look(group).pids_refused)
guess(my_guess, children)

# %% [markdown]
# Twelve tasks: the process and its eleven children. `EAGAIN`, "try again", is what `fork` says, and
# what it means is "there are too many".
#
# ## Weights: who gets the CPU when two want it
#
# A limit takes away even when nobody else wants. A **weight** only counts when there is somebody
# else. Two groups, bound to the same CPU, one with four times the weight of the other.

# %%
my_guess = ...  # how many times as much CPU time the heavy one gets

# %%
# needs root
import time

from mydocker.cgroups import freezer
from workbench.pictures import BLUE, ORANGE
from workbench.pictures import show as draw

SPINNER = (
    "import os, sys; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); sys.stdin.read(1)\n"
    "while True: pass"
)
groups = {}
for name, shares in (("heavy", 4096), ("light", 1024)):
    groups[name] = sampling.group(name, Limits(cpu_shares=shares))
    spinner = start(f"{sys.executable} -c '{SPINNER}'", stdin=-1)
    groups[name].attach(spinner.pid)
    spinner.stdin.write(b"!")
    spinner.stdin.flush()
began = {name: sampling.look(each).cpu for name, each in groups.items()}
time.sleep(1.5)
used = {name: (sampling.look(each).cpu - began[name]) / 1e9 for name, each in groups.items()}
for each in groups.values():
    freezer.kill(each)

figure, axes = canvas(1.5)
axes.barh(["light", "heavy"], [used["light"], used["heavy"]], color=[BLUE, ORANGE])
axes.set_xlabel("seconds of CPU time in 1.5 s, both on the same CPU")
draw(figure, f"CPU time of two groups: {used}")

# %% tags=["weights"]
# needs root
for name, each in groups.items():
    print(name, "has the weight", each.read_or("cpu.weight") or each.read_or("cpu.shares"))
guess(my_guess, round(used["heavy"] / used["light"], 1))

# %% [markdown]
# v1 calls it *shares*, and 1024 is usual; v2 calls it *weight*, and 100 is usual. runc, and so
# Docker and mydocker, translate one into the other.
#
# ## What a container knows of its own limit
#
# `free` in a container asks `/proc/meminfo`. The container may have 64 MiB. What does `free` say:
# 64, or what the whole machine has?

# %%
my_guess = ...  # "64" or "machine"

# %% tags=["inside"]
# needs root
import subprocess

run = ["mydocker", "run", "--rm", "-m", "64M", "busybox", "free", "-m"]
said = int(
    subprocess.check_output(run, text=True, stderr=subprocess.DEVNULL).split("Mem:")[1].split()[0]
)
guess(my_guess, "64" if said <= 64 else "machine")

# %% [markdown]
# `/proc/meminfo` is about the machine. A program that sizes its caches by it will be killed in a
# container. Java, Go and others learnt to read the limit from the files of their control group
# instead; now you can, too.

# %%
stop()

# %% [markdown]
# ## Your turn
#
# A piece of mydocker's own source has been cut out, and you write it. The tests are the project's.

# %%
exercise("2.2")

# %% tags=["exercise"]
# needs root
check("2.2")
