"""``diff``: what a container changed in its files, without what was made for it to start.

The three files of /etc that the engine mounts in every container need something to be mounted on:
where the image has none, an empty file in the container's own layer.
"""

from mydocker.engine.records.store import Store
from mydocker.network.etc import NAMES
from mydocker.overlay2 import lookup
from mydocker.overlay2.diff import ADDED, CHANGED, Change, changes
from mydocker.overlay2.layers import LayerStore
from mydocker.overlay2.lookup import Sighting


def changed(store: Store, word: str) -> list[Change]:
    """The changes of a container, sorted by path. Raises NoSuchContainer."""
    identifier, layers = store.find(word), LayerStore(store.root)
    if not layers.exists(identifier):
        return []  # never started
    top, *below = (layer.diff for layer in layers.stack(identifier))
    upper, *lower = lookup.roots([top, *below])
    places = {f"/etc/{name}" for name in NAMES if _is_place(f"{upper.path}/etc/{name}")}
    found = changes(top, below)
    kept = [one for one in found if one.kind != ADDED or one.path not in places]
    if len(kept) < len(found) and not any(one.path.startswith("/etc/") for one in kept):
        kept = [one for one in kept if one != Change("/etc", CHANGED) or _differs(upper, lower)]
    return kept


def _is_place(path: str) -> bool:
    """An empty file: a program that writes to ``/etc/hosts`` writes to what is mounted there."""
    there = lookup.look(path, 0)
    return there is not None and there.kind == lookup.FILE and there.size == 0


def _differs(upper: Sighting, lower: list[Sighting]) -> bool:
    """Was /etc itself changed too, its owner or its mode?"""
    now = lookup.look(f"{upper.path}/etc", 0)
    before = lookup.visible(lookup.step(lower, "etc", lower))
    if now is None or before is None or before.kind != lookup.DIRECTORY:
        return False
    return now.access != before.access
