"""The machine before and after, with what is in the root and run directories: for faults."""

import os

from sandbox import contract
from sandbox.machine import Sandbox

from mydocker.engine import pruning
from mydocker.engine.leftover import Place


def files_of(sandbox: Sandbox) -> list[str]:
    """All that is below the root and run directories, but for what images consist of."""
    found = []
    for top in (sandbox.root, sandbox.run):
        for directory, below, names in os.walk(top):
            if os.path.basename(directory) in ("diff", "blobs"):
                below.clear()
                continue
            found += [f"{directory}/{name}" for name in (*below, *names)]
    return sorted(found)


class Before:
    """The machine as it was when this was made, and how it differs from that now."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.place = Place(str(sandbox.root), str(sandbox.run))
        self.photograph = contract.photograph()
        self.files = files_of(sandbox)

    def changes(self) -> list[str]:
        """What came and what went, once it stays so."""
        now = files_of(self.sandbox)
        changed = contract.settled(self.photograph)
        changed += [f"left behind: {path}" for path in now if path not in self.files]
        return changed + [f"gone: {path}" for path in self.files if path not in now]

    def prune(self) -> None:
        """Release all leftovers; then there are none."""
        pruned = pruning.prune(self.place)
        assert pruned.failures == (), [str(failure) for failure in pruned.failures]
        assert pruning.find(self.place) == []


def at_rest() -> bool:
    """No process of ours is left, nor a bridge that has not yet seen its last cable go.

    The default network goes some moments after its last container.
    """
    now = contract.photograph()
    carried = [line for line in now["links and addresses"] if "state UP" in line]
    running = [line for line in now["processes"] if "main.py" in line]
    return not running and not any(line.startswith("md-") for line in carried)
