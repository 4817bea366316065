"""``diff``: what a container changed in its files, without what was made for it to start.

The three files of /etc that the engine mounts in every container need something to be mounted on:
where the image has none, an empty file in the container's own layer.
"""

import os
import stat

from mydocker.engine.store import Store
from mydocker.network.etc import NAMES
from mydocker.overlay2.diff import ADDED, CHANGED, Change, changes
from mydocker.overlay2.layers import LayerStore


def changed(store: Store, word: str) -> list[Change]:
    """The changes of a container, sorted by path. Raises NoSuchContainer."""
    identifier, layers = store.find(word), LayerStore(store.root)
    if not layers.exists(identifier):
        return []  # never started
    top, *below = (layer.diff for layer in layers.stack(identifier))
    places = {f"/etc/{name}" for name in NAMES if _is_place(f"{top}/etc/{name}")}
    found = changes(top, below)
    kept = [one for one in found if one.kind != ADDED or one.path not in places]
    if len(kept) < len(found) and not any(one.path.startswith("/etc/") for one in kept):
        kept = [one for one in kept if one != Change("/etc", CHANGED) or _differs(top, below)]
    return kept


def _is_place(path: str) -> bool:
    """An empty file: a program that writes to ``/etc/hosts`` writes to what is mounted there."""
    try:
        status = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size == 0


def _differs(top: str, below: list[str]) -> bool:
    """Was /etc itself changed too, its owner or its mode?"""
    before = next((f"{one}/etc" for one in below if os.path.isdir(f"{one}/etc")), "")
    if not before:
        return False
    one, other = os.lstat(f"{top}/etc"), os.lstat(before)
    return (one.st_mode, one.st_uid, one.st_gid) != (other.st_mode, other.st_uid, other.st_gid)
