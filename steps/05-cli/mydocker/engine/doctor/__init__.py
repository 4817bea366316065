"""``mydocker doctor``: is this machine good for containers, and if not, what is the fix?

One module for each subject. A check *tries* the thing rather than asking who we are and how old the
kernel is: it makes the namespace, mounts the overlay, gives nft our table. Where that would change
the machine, it happens in a child with namespaces of its own, which end with it. Nothing is left
behind, and nothing is repaired: the reader decides about that.
"""

from collections.abc import Iterator

from mydocker.engine.cleaning.leftover import Place
from mydocker.engine.doctor.check import Check, State

__all__ = ["Check", "State", "examine"]


def examine(place: Place, *, full: bool = False) -> Iterator[tuple[str, list[Check]]]:
    """Each subject with its checks, when they are done. ``full`` reads all of the images again."""
    from mydocker.engine.doctor.groups import groups
    from mydocker.engine.doctor.kernel import kernel
    from mydocker.engine.doctor.machine import machine
    from mydocker.engine.doctor.network import network
    from mydocker.engine.doctor.storage import storage

    yield "Kernel", list(kernel())
    yield "Control groups", list(groups())
    yield "Images and layers", list(storage(place, full))
    yield "Network", list(network())
    yield "Machine", list(machine(place.root))
