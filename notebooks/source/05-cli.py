# %% [markdown]
# # 05 · The command line: the life of a container
#
# `mydocker run` looks like one thing. It is a hundred requests to the kernel, a process that looks
# after the container, and some files. Here they come to light: how long each request takes, which
# states a container goes through, and what is left when everybody is gone.
# [Chapter 05](../chapters/05-cli.md) tells the rest.

# %%
from workbench import apart, check, exercise, guess, room, shell, wait_for

room

# %% [markdown]
# ## Where the time goes
#
# Each request passes one of three doors, and at each door somebody may listen. A listener that
# notes the time is a stop-watch for every request.
#
# How long does it take from `run` to the first instruction of the container's command? And which
# one request takes longest?

# %%
my_guess = ...  # milliseconds

# %%
# needs root
import os
import time

from mydocker.kernel import trace, words

shell("mydocker run --rm busybox echo the image is there now")


def measured():
    """When one run began, and each of its requests with its time, in milliseconds."""
    from mydocker.cli.main import group

    times = []
    begin = time.perf_counter() * 1000
    with trace.listening(lambda event: times.append((time.perf_counter() * 1000, event))):
        try:
            group.main(["run", "--rm", "busybox", "true"], standalone_mode=False)
        except SystemExit:
            pass
    return begin, times


begin, events = apart(measured)
print(len(events), "requests")
begin, events = min((apart(measured) for _ in range(5)), key=lambda run: run[1][-1][0] - run[0])
until = next(n for n, (_, event) in enumerate(events) if event.call == "execve")

# %%
# needs root
import re
from itertools import pairwise

from workbench.pictures import BLUE, GREEN, GREY, ORANGE, PINK, SKY, merged, waterfall

COLOURS = {
    "Python": GREY,
    "cgroups": ORANGE,
    "layers": GREEN,
    "network": BLUE,
    "process": PINK,
    "inside": SKY,
}


def kind_of(event):
    """Which part of a container a request belongs to."""
    told = f"{event.call} {event.arguments}"
    if event.side == "container":
        return "inside"
    if "cgroup" in told and event.call != "clone3":
        return "cgroups"
    if event.call in ("ip", "nft", "ioctl") or "/net/" in told or "/network" in told:
        return "network"
    return "layers" if "overlay" in told or "/root/" in told else "process"


def label_of(event):
    """The request without what is different each time."""
    label = words.call(event.call, event.arguments).replace(os.environ["MYDOCKER_ROOT"], "…")
    label = re.sub(r"[0-9a-f]{64}", "ID", label.replace(os.environ["MYDOCKER_CGROUP_PARENT"], "…"))
    label = label.replace("\t", " ")
    return label if len(label) < 62 else f"{label[:60]}…"


steps = [("Python reads the options, finds the image", 0, events[0][0] - begin, "Python")]
for (before, _), (moment, event) in pairwise(events[: until + 1]):
    steps.append((label_of(event), before - begin, moment - begin, kind_of(event)))
waterfall(merged(steps, 0.8), COLOURS)

# %% tags=["start"]
# needs root
longest = max(steps[1:], key=lambda step: step[2] - step[1])
print("requests until the command runs:", until + 1)
print("the longest:", longest[0])
guess(my_guess, round(steps[-1][2]), "ms")

# %% [markdown]
# A bar is the time since the request before, so Python's own work is in it. Short ones of a kind
# are drawn as one: namespaces, mounts and limits cost the kernel next to nothing. What costs is to
# start another program (`ip`, `nft`), and to load our own.
#
# ## The states of a container
#
# `events` tells everything that happens to a container. Which words will it use for this life:
# create, start, pause, unpause, stop, start again, kill, remove? Guess how many events it will be.

# %%
my_guess = ...  # how many events

# %% tags=["life"]
# needs root
import json
import subprocess

since = str(time.time())
life = ["create --name life busybox sleep 1000", "start life", "pause life", "unpause life"]
life += ["stop -t 0 life", "start life", "kill life", "rm -f life"]
states = []
for command in life:
    subprocess.run(["mydocker", *command.split()], check=True, stdout=subprocess.DEVNULL)
    told = subprocess.run(["mydocker", "inspect", "life"], capture_output=True, check=False).stdout
    state = json.loads(told or "[]")
    states.append((command, state[0]["State"]["Status"] if state else "gone"))
    print(f"{command:40} → {states[-1][1]}")
command = f"mydocker events --since {since} --until {time.time()} --filter type=container"
told = subprocess.check_output([*command.split(), "--format", "{{json .}}"])
happened = [json.loads(line)["Action"] for line in told.splitlines()]
print("events:", " ".join(happened))
guess(my_guess, len(happened))

# %%
# needs root
from workbench.pictures import RED, canvas
from workbench.pictures import show as draw

LOOKS = {"created": GREY, "running": GREEN, "paused": BLUE, "exited": ORANGE, "gone": RED}
figure, axes = canvas(1.7)
for number, (command, state) in enumerate(states):
    axes.barh(0, 0.97, left=number, color=LOOKS[state])
    text = command.split()[0]
    axes.text(number + 0.05, 0.5, text, fontsize=9, rotation=25, ha="left")
    axes.text(number + 0.48, 0, state, color="white", ha="center", va="center", fontsize=9)
axes.set(xlim=(0, len(states)), ylim=(-0.4, 1.2))
axes.set_axis_off()
draw(figure, "; ".join(f"after {command}: {state}" for command, state in states))

# %% [markdown]
# ## Who looks after it?
#
# `run -d` prints an id and returns. Somebody has to be there when the container ends, to note its
# exit code and to clean up. Look for the container's parent.

# %% tags=["monitor"]
# needs root
import psutil

shell("mydocker run -d --name guarded --restart on-failure:1 busybox sh -c 'sleep 0.3; exit 7'")
told = json.loads(subprocess.check_output(["mydocker", "inspect", "guarded"]))[0]
if pid := told["State"]["Pid"]:
    parent = psutil.Process(pid).parent()
    print(
        "parent of the container:", parent.name(), "- not this kernel:", parent.pid != os.getpid()
    )
shell("mydocker wait guarded")
shell("mydocker ps -a --format '{{.Names}}: {{.Status}}' | sed 's/).*/)/'")
shell("mydocker rm guarded")

# %% [markdown]
# ## An x-ray
#
# All that a container is made of, on one page.

# %% tags=["xray"]
# needs root
shell("mydocker run -d --name patient -m 64M --cpus 0.5 -p 8080:80 busybox sleep 1000")
shell("mydocker xray patient", lines=80)

# %% [markdown]
# ## When the doctor is killed
#
# We kill the process that looks after the container, with SIGKILL, so that it can do nothing any
# more. What becomes of the container? What is left?

# %%
my_guess = ...  # is the container's process alive afterwards? True or False

# %% tags=["killed"]
# needs root
told = json.loads(subprocess.check_output(["mydocker", "inspect", "patient"]))[0]
process = psutil.Process(told["State"]["Pid"])
process.parent().kill()
wait_for(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)
guess(my_guess, process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
shell("mydocker ps -a --format '{{.Names}}: {{.State}}'")
shell("mydocker system prune -f | tail -1 | cut -d: -f1; mydocker ps -aq | wc -l")

# %% [markdown]
# ## Your turn
#
# A piece of mydocker's own source has been cut out, and you write it. The tests are the project's.

# %%
exercise("5.3")

# %% tags=["exercise"]
# needs root
check("5.3")
