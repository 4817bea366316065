# %% [markdown]
# # 03 · overlay2: a file system made of layers
#
# An image of a gigabyte, ten containers of it, and the disk is not ten gigabytes fuller. Here you
# pile up layers by hand, look through them from above, and see what happens when somebody writes.
# [Chapter 03](../chapters/03-overlay2.md) tells the rest.

# %%
from workbench import check, exercise, guess, room, shell, wait_for

room

# %% [markdown]
# ## A layer is a directory
#
# That is all it is. Three of them, in a store laid out as Docker's: two that belong to an image and
# are never written to again, and an empty one on top for a container.

# %%
# needs root
import os

from mydocker.overlay2.layers import LayerStore

store = LayerStore(os.environ["MYDOCKER_ROOT"])
base = store.create([])
update = store.create([base.id])
mine = store.create([base.id, update.id])

files = {
    base: {"motd": "hello", "colour": "red", "secret": "1234"},
    update: {"colour": "blue", "news": "faster"},
}
for layer, contents in files.items():
    for name, text in contents.items():
        with open(f"{layer.diff}/{name}", "w") as file:
            file.write(text)

shell(f"cd {store.path} && ls */diff && cat {mine.id}/lower")

# %% [markdown]
# The file `lower` names what lies below by short names, `l/…`: they are links, and the reason for
# them is in chapter 03.
#
# ## Looking from above
#
# `mount` with the type `overlay` shows all of them as one directory. Wherever two layers have the
# same name, which of them is seen? Which `colour`?

# %%
my_guess = ...  # "red" or "blue"

# %%
# needs root
from mydocker.overlay2 import lookup
from mydocker.overlay2.mounting import OverlayMount, mount_overlay
from workbench import drawings

lower = tuple(mine.lower)
os.mkdir(mine.merged)
mount_overlay(
    OverlayMount(store.path, lower, f"{mine.id}/diff", f"{mine.id}/work", f"{mine.id}/merged")
)


def text(layer, name):
    with open(f"{layer.diff}/{name}") as file:
        return file.read()


def layers_now():
    """What is in each layer, top first, as overlayfs reads it."""
    now = []
    for label, layer in (("container", mine), ("update", update), ("base", base)):
        names = sorted(os.listdir(layer.diff))
        kinds = {name: lookup.look(f"{layer.diff}/{name}", 0).kind for name in names}
        now.append((label, {n: k if k == "whiteout" else text(layer, n) for n, k in kinds.items()}))
    return now


before = layers_now()
drawings.stack([("a name is decided by the first layer, from above, that has it", before)])

# %% tags=["merged"]
# needs root
print("merged:", sorted(os.listdir(mine.merged)))
with open(f"{mine.merged}/colour") as file:
    guess(my_guess, file.read())

# %% [markdown]
# Green is what the container sees, grey is there and hidden.
#
# ## Writing: copy-up, whiteout
#
# Now the container appends to `motd`, which lies in the lowest layer, deletes `secret`, and makes a
# new file. The image may not change: other containers look through the same layers.
#
# What will the lowest layer look like afterwards? Which of its three files are still there?

# %%
my_guess = ...  # how many files are left in the lowest layer

# %%
# needs root
inode_below = os.stat(f"{base.diff}/motd").st_ino
with open(f"{mine.merged}/motd", "a") as file:
    file.write(" you")
os.remove(f"{mine.merged}/secret")
with open(f"{mine.merged}/new", "w") as file:
    file.write("mine")

drawings.stack([("before", before), ("after", layers_now())])

# %% tags=["copy-up"]
# needs root
inode_above = os.stat(f"{mine.diff}/motd").st_ino
for where, layer in (("below", base), ("in the container's layer", mine)):
    with open(f"{layer.diff}/motd") as file:
        print(f"motd {where}: {file.read()!r}, inode {os.stat(f'{layer.diff}/motd').st_ino}")
print("two files now:", inode_above != inode_below)
secret = os.lstat(f"{mine.diff}/secret")
print("secret is a character device", (os.major(secret.st_rdev), os.minor(secret.st_rdev)))
guess(my_guess, len(os.listdir(base.diff)))

# %% [markdown]
# Nothing below has changed. **Copy-up**: before the first write, the whole file is copied into the
# container's layer, and the copy is written to. **Whiteout**: since nothing can be deleted below,
# a mark is made above that says "there is no such name", a character device 0/0.
#
# So deleting a big file in a container, or in a later line of a Dockerfile, makes nothing smaller.
#
# ## What a byte costs
#
# Append *one byte* to a file of 32 MiB that lies in a layer below. How many bytes does the
# container's layer grow by?

# %%
my_guess = ...  # bytes

# %%
# needs root
import time

from workbench.pictures import BLUE, ORANGE, canvas
from workbench.pictures import show as draw

sizes, first, second = (1, 4, 16, 32), [], []
for size in sizes:
    with open(f"{base.diff}/big-{size}", "wb") as file:
        file.write(os.urandom(size << 20))
# Files that are put into a layer while it is mounted may not be seen: so mount it anew.
from mydocker.overlay2.part import unmount

unmount(mine.merged)
mount_overlay(
    OverlayMount(store.path, lower, f"{mine.id}/diff", f"{mine.id}/work", f"{mine.id}/merged")
)
for size in sizes:
    for times in (first, second):
        begin = time.perf_counter()
        with open(f"{mine.merged}/big-{size}", "ab") as file:
            file.write(b"!")
        times.append((time.perf_counter() - begin) * 1000)

figure, axes = canvas(2.6)
axes.bar([i - 0.2 for i in range(4)], first, 0.4, color=ORANGE, label="the first byte: copy-up")
axes.bar([i + 0.2 for i in range(4)], second, 0.4, color=BLUE, label="the second byte")
axes.set_xticks(range(4), [f"{size} MiB" for size in sizes])
axes.set_ylabel("milliseconds")
axes.legend(frameon=False)
draw(figure, f"milliseconds to append the first byte {first} and the second {second}")

# %% tags=["cost"]
# needs root
guess(my_guess, os.stat(f"{mine.diff}/big-32").st_size, "bytes")
unmount(mine.merged)

# %% [markdown]
# This is why a database does not belong into a container's layer, but onto a volume, which is a
# directory of the machine that no layer lies above.
#
# ## The same, in real containers
#
# Two containers of one image. Each writes; neither sees what the other has written. `diff` reads
# the difference from the layer alone.

# %% tags=["diff"]
# needs root
shell("mydocker run -d --name one busybox sh -c 'echo one > /etc/motd; rm /etc/passwd; sleep 100'")
shell("mydocker run -d --name two busybox sh -c 'mkdir /data; echo two > /data/file; sleep 100'")
wait_for(lambda: "/data/file" in os.popen("mydocker diff two").read())
wait_for(lambda: "/etc/passwd" in os.popen("mydocker diff one").read())
for name in ("one", "two"):
    shell(f"mydocker diff {name}")
shell("mydocker exec two ls -l /etc/passwd")

# %% [markdown]
# And as a tree: what the two have in common is stored once.

# %% tags=["tree"]
# needs root
import json
import subprocess

from mydocker.overlay2.diff import contents
from mydocker.overlay2.image_list import size as sized
from rich import print as show
from rich.tree import Tree

root = Tree("the store")
branches = {}
for name in ("one", "two"):
    told = json.loads(subprocess.check_output(["mydocker", "inspect", name]))[0]
    chain = store.stack(told["Id"])
    for depth, layer in enumerate(reversed(chain)):
        if layer.id not in branches:
            above = branches[chain[len(chain) - depth].id] if depth else root
            found = contents(layer.diff)
            what = f"container {name}" if layer is chain[0] else "image busybox"
            size = f"{found.files} files, {sized(found.size)}, {found.whiteouts} whiteouts"
            branches[layer.id] = above.add(f"[bold]{what}[/]: layer {layer.id[:12]}, {size}")
show(root)
shell("mydocker rm -f one two")

# %% [markdown]
# ## Your turn
#
# A piece of mydocker's own source has been cut out, and you write it. The tests are the project's.

# %%
exercise("3.5")

# %% tags=["exercise"]
# needs root
check("3.5")
