# %% [markdown]
# # 02 · Control groups: a process that gets only so much
#
# A limit is easy to read about and hard to believe. Here three of them are watched while they work:
# memory that runs into its limit, a processor that is taken away ten times a second, and a
# process that is stopped in the middle of a sum without ever knowing.
# [Chapter 02](../chapters/02-cgroups.md) tells how it is done.
#
# **Guess first, then run.** Wherever a cell says `...`, put your guess in its place; it is drawn
# beside what really happens.

# %%
from workbench import check, exercise, guess, room, shell, start, stop, wait_for

room

# %% [markdown]
# ## What a limit is: a number in a file
#
# Nobody "calls" a control group. A number is written into a file, and the kernel keeps to it. The
# two worlds, v1 and v2, have different files for the same wish; `plan` knows both. It only
# computes: nothing is written yet, so this needs no root.

# %%
from mydocker.cgroups import hierarchy, settings
from mydocker.cgroups.hierarchy import V1, V2, Hierarchy, Machine
from mydocker.cgroups.limits import Limits
from rich import print as show
from rich.table import Table

V1_NAMES = ("memory", "cpu", "pids")
old = Machine(tuple(Hierarchy(V1, f"/sys/fs/cgroup/{name}", "/", (name,)) for name in V1_NAMES), ())
new = Machine((Hierarchy(V2, "/sys/fs/cgroup", "/", V1_NAMES),), ())

table = Table("you say", "v1 writes", "v2 writes", show_lines=True)
for said, limits in {
    "-m 64M": Limits(memory=64 << 20),
    "--cpus 0.5": Limits(cpus=0.5),
    "--pids-limit 20": Limits(pids=20),
}.items():
    both = [
        "\n".join(f"{setting.file} ← {setting.value}" for setting in settings.plan(limits, machine))
        for machine in (old, new)
    ]
    table.add_row(said, *both)
show(table)
print("This machine:", hierarchy.read().world)

# %% [markdown]
# ## Memory: a curve, and a wall
#
# The eater takes 2 MiB, waits a moment, takes 2 MiB more. Its group may have 64 MiB, and no swap.
#
# What happens at the limit? Does `malloc` say no, as it does when an address space is full? Does
# the eater become slow? And how much has it got by then?

# %%
MEBI = 1 << 20
my_guess = ...  # MiB that the eater holds at its end

# %%
# needs root
import sys

from workbench import sampling
from workbench.pictures import GREEN, Live, canvas, level

EATER = """
import sys, time
sys.stdin.read(1)  # go on when we are in the group
held = []
while True:
    held.append(b"x" * (2 << 20))
    print(len(held) * 2, flush=True)
    time.sleep(0.03)
"""

group = sampling.group("eater", Limits(memory=64 * MEBI, memory_swap=64 * MEBI))
with open(f"{room.directory}/eater", "wb") as output:
    eater = start(f"{sys.executable} -c '{EATER}'", stdin=-1, stdout=output)
group.attach(eater.pid)
eater.stdin.write(b"!")
eater.stdin.flush()

figure, axes = canvas(3)
axes.set(xlabel="seconds", ylabel="MiB in the group", ylim=(0, 80))
level(axes, 64, "the limit")
level(axes, my_guess, "your guess", GREEN)
(line,) = axes.plot([], [], linewidth=2)
curve = sampling.Watch(lambda: sampling.look(group).memory / MEBI)
with Live(
    figure, "The group's memory rises step by step to its limit, and falls to nothing"
) as live:
    while eater.poll() is None:
        line.set_data(curve.so_far())
        axes.set_xlim(0, curve.seconds + 0.1)
        live.redraw()
    line.set_data(curve.stop())
    axes.set_xlim(0, curve.seconds)

# %% tags=["eaten"]
# needs root
counted = sampling.look(group)
with open(f"{room.directory}/eater") as output:
    eaten = int(output.read().split()[-1])
print("the eater was ended by signal", -eater.returncode)
print("the OOM killer came:", counted.oom_kills)
print("most that the group had:", counted.memory_peak // MEBI, "MiB")
guess(my_guess, eaten, "MiB eaten")

# %% [markdown]
# Nobody said no. `malloc` hands out addresses, and there are plenty of them; the page behind an
# address is taken at the first touch, and a touch has no return value that could say no. So when
# the group is full, and the kernel can find nothing in it to give back, only one thing is left:
# **SIGKILL**, from the OOM killer.
#
# Why did it hold a little less than 64 MiB? The kernel's own work for the group, page tables and
# stacks, is on the bill too.
#
# This is what it looks like for a container:

# %% tags=["oom"]
# needs root
shell("mydocker run --rm -m 64M --memory-swap 64M busybox tail -c 100m /dev/zero")

# %% [markdown]
# 137 is 128 + 9: ended by signal 9. Ask the same of a real Docker, and you get the same number.
#
# ## CPU: half of one, beside two
#
# The same program, two loops that do nothing but count, in a group with `--cpus 0.5` and in one
# with as many as there are, at most 2.
#
# How much CPU time does the first one get in 1.5 seconds?

# %%
my_guess = ...  # seconds of CPU time in 1.5 s, with --cpus 0.5

# %%
# needs root
import os

from mydocker.cgroups import freezer
from workbench.pictures import BLUE, CYCLE, ORANGE

SPINNER = "import os, sys; sys.stdin.read(1); os.fork()\nwhile True: pass"
allowed = {"--cpus 0.5": 0.5, f"--cpus {min(2, os.cpu_count())}": float(min(2, os.cpu_count()))}


def throttled(group):
    return sampling.look(group).throttled


figure, (left, right) = canvas(3, columns=2, width_ratios=(2, 1))
left.set(xlabel="seconds", ylabel="CPU seconds used", xlim=(0, 1.5))
level(left, my_guess, "your guess", GREEN)
throttling = {}
with Live(figure, "CPU time of two groups: a gentle slope and a steep one") as live:
    for (name, cpus), colour in zip(allowed.items(), CYCLE, strict=False):
        group = sampling.group(f"spinner-{cpus}", Limits(cpus=cpus))
        spinner = start(f"{sys.executable} -c '{SPINNER}'", stdin=-1)
        group.attach(spinner.pid)
        spinner.stdin.write(b"!")
        spinner.stdin.flush()
        (line,) = left.plot([], [], color=colour, label=name, linewidth=2)
        left.legend(frameon=False)
        curve = sampling.Watch(lambda: sampling.look(group).cpu / 1e9)
        # On a machine that is busy with other things, it takes longer to use up half a CPU.
        while curve.seconds < 1.5 or (cpus == 0.5 and not throttled(group) and curve.seconds < 20):
            line.set_data(curve.so_far())
            left.set_ylim(0, max([0.8, left.get_ylim()[1], *curve.values]))
            live.redraw()
        throttling[name] = sampling.look(group)
        freezer.kill(group)
        line.set_data(curve.stop())
        right.bar(name, throttling[name].throttled, color=colour)
        right.set(title="periods cut short", ylim=(0, 17))

# %% tags=["cpu"]
# needs root
for name, counted in throttling.items():
    print(
        f"{name}: {counted.cpu / 1e9:.2f} s of CPU time; in {counted.throttled} of "
        f"{counted.periods} periods it had to wait, {counted.throttled_time / 1e9:.2f} s in all"
    )
guess(my_guess, round(throttling["--cpus 0.5"].cpu / 1e9, 2), "s")

# %% [markdown]
# "Half a CPU" does not exist. What exists is a **period** of 100 ms, and a quota of 50 ms in it.
# Two loops on two CPUs use up 50 ms of CPU time in 25 ms of yours; then both stand still for 75 ms.
# Look closely at the blue line: it is a staircase. A web server under such a limit answers most
# requests at once, and some 75 ms late, which is why people see "throttled" in their graphs and
# wonder.
#
# ## The freezer: a sum with a hole in it
#
# A process counts, and notes with each step how long ago the last step was. We stop it for half a
# second with the freezer, and let it go on.
#
# What does the process notice?
# 1. a signal, 2. an error from a system call, 3. nothing but the clock

# %%
my_guess = ...  # 1, 2 or 3

# %%
# needs root
import mmap
import struct

COUNTER = """
import mmap, struct, sys, time
with open(sys.argv[1], "r+b") as file:
    memory = mmap.mmap(file.fileno(), 16)
count, gap, last = 0, 0.0, time.monotonic()
while True:
    now = time.monotonic()
    count, gap, last = count + 1, max(gap, now - last), now
    memory[:] = struct.pack("Qd", count, gap)
"""
place = f"{room.directory}/counter"
with open(place, "wb") as file:
    file.write(bytes(16))
counter = start(f"{sys.executable} -c '{COUNTER}' {place}")
group = sampling.group("counter")
group.attach(counter.pid)
with open(place, "r+b") as file:
    memory = mmap.mmap(file.fileno(), 16)


def steps():
    return struct.unpack("Qd", memory[:])[0]


wait_for(steps)

figure, axes = canvas(2.8)
axes.set(xlabel="seconds", ylabel="thousand steps")
(line,) = axes.plot([], [], color=ORANGE, linewidth=2)
curve = sampling.Watch(lambda: steps() / 1000)
with Live(figure, "A count that rises, stands still for half a second, and rises again") as live:

    def draw_for(seconds):
        end = curve.seconds + seconds
        while curve.seconds < end:
            line.set_data(curve.so_far())
            axes.set(xlim=(0, curve.seconds), ylim=(0, max([1, *curve.values])))
            live.redraw()

    draw_for(0.5)
    freezer.freeze(group)
    frozen_at, count_then = curve.seconds, steps()
    draw_for(0.5)
    counted_meanwhile = steps() - count_then
    axes.axvspan(frozen_at, curve.seconds, color=BLUE, alpha=0.15, label="frozen")
    axes.legend(frameon=False, loc="upper left")
    freezer.thaw(group)
    draw_for(0.5)
    line.set_data(curve.stop())
    axes.set(xlim=(0, curve.seconds), ylim=(0, steps() / 1000))

# %% tags=["freezer"]
# needs root
_, gap = struct.unpack("Qd", memory[:])
print("steps while it was frozen:", counted_meanwhile)
print(f"the longest time between two steps, by its own clock: {gap:.2f} s")
print("it runs:", counter.poll() is None)
guess(my_guess, 3)
stop()

# %% [markdown]
# It was not sent a signal that it could catch, as `kill -STOP` would have told its parent. It just
# was not given the CPU. `docker pause` is this, and nothing else.
#
# ## Processes: the bomb that does not go off
#
# Each task counts, and a limit on tasks is what stands between a fork bomb and your machine. The
# shell below wants to start eight programs in a group that may have five tasks, itself included.

# %% tags=["pids"]
# needs root
shell("""mydocker run --rm --pids-limit 5 busybox sh -c '
for n in 1 2 3 4 5 6 7 8; do sleep 5 & echo started $n; done'""")

# %% [markdown]
# `fork` fails with EAGAIN, "try again": the shell gives up, and with it, as PID 1, the container.

# %% [markdown]
# ## Your turn
#
# A piece of mydocker's own source has been cut out, and you write it. The tests are the project's.

# %%
exercise("2.6")

# %% tags=["exercise"]
# needs root
check("2.6")
