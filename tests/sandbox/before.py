"""The machine before and after, with what is in the root and run directories: for faults."""

import os
import re
import time

from sandbox import contract
from sandbox.machine import Sandbox

from mydocker.engine.cleaning import leftovers
from mydocker.engine.cleaning.leftover import Place


def files_of(sandbox: Sandbox) -> list[str]:
    """All that is below the root and run directories, but for what images consist of.

    And but for the events: what happened, happened.
    """
    found = []
    for top in (sandbox.root, sandbox.run):
        for directory, below, names in os.walk(top):
            if os.path.basename(directory) in ("diff", "blobs"):
                below.clear()
                continue
            found += [f"{directory}/{name}" for name in (*below, *names)]
    events = f"{sandbox.root}/events.json"
    return sorted(path for path in found if path not in (events, f"{events}.1"))


class Before:
    """The machine as it was when this was made, and how it differs from that now."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.place = Place(str(sandbox.root), str(sandbox.run))
        self.photograph = _photograph()
        self.files = files_of(sandbox)

    def changes(self, patience: float = 3.0) -> list[str]:
        """What came and what went, once it stays so."""
        end = time.monotonic() + patience
        while (found := self._changes()) and time.monotonic() < end:
            time.sleep(0.02)
        return found

    def _changes(self) -> list[str]:
        now = files_of(self.sandbox)
        changed = contract.differences(self.photograph, _photograph())
        changed += [f"left behind: {path}" for path in now if path not in self.files]
        # A socket of an earlier test's server may go late; what images and containers are stays.
        kept = [path for path in self.files if path.startswith(f"{self.sandbox.root}/")]
        return changed + [f"gone: {path}" for path in kept if path not in now]

    def nobody_dies(self) -> bool:
        """No process more than before: one that is dying has closed its sockets, and counts."""
        return contract.photograph()["processes"] <= self.photograph["processes"]

    def prune(self) -> None:
        """Release all leftovers; then there are none."""
        pruned = leftovers.prune(self.place)
        assert pruned.failures == (), [str(failure) for failure in pruned.failures]
        found = leftovers.find(self.place)
        assert found == [], [str(leftover) for leftover in (*pruned.released, *found)]


def _photograph() -> contract.Photograph:
    """Without what a link tells of its cable: a bridge notes the end of its last port late."""
    found = contract.photograph()
    cable = re.compile(r"<\S*>|\bstate \w+")
    found["links and addresses"] = {cable.sub("", line) for line in found["links and addresses"]}
    return found


def at_rest() -> bool:
    """No process of ours is left: the default network goes a moment after its last container."""
    return not any("main.py" in line for line in contract.photograph()["processes"])
