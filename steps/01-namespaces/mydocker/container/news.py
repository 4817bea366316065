"""What was made and what went, told to whoever keeps it.

The stores of images and of networks say it here, in the moment in which it is so. In the steps that
bring them nobody listens; the engine of step 05 does, and keeps it as events.
"""

from collections.abc import Callable, Mapping

# Where (the root directory), what kind of thing, what happened to it, its id, and more about it
Listener = Callable[[str, str, str, str, Mapping[str, str]], None]

_listeners: list[Listener] = []


def listen(listener: Listener) -> None:
    """From now on ``listener`` hears all that this process changes."""
    _listeners.append(listener)


def tell(root: str, kind: str, action: str, identifier: str, attributes: Mapping[str, str]) -> None:
    """Say that ``action`` happened to the thing ``identifier`` under ``root``."""
    for listener in _listeners:
        listener(root, kind, action, identifier, attributes)
