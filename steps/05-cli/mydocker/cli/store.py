"""Where the commands find the containers, and how they go through several of them."""

import sys
from collections.abc import Callable, Iterable

from mydocker.container.commandline import default_root, default_run
from mydocker.container.private import close
from mydocker.engine.errors import REFUSED, NoSuchContainer
from mydocker.engine.store import Store
from mydocker.kernel.errors import Failure


def containers(root: str = "") -> Store:
    """The containers of this machine, or of another ``root``."""
    return Store(close(root or default_root()), default_run())


def for_each(
    words: Iterable[str], action: Callable[[str], object], *, missing: int = REFUSED
) -> int:
    """Do it for every name and print the name, whatever becomes of the others; the exit code.

    ``missing``: the exit code where the only trouble is that there is no such container.
    """
    code = 0
    for word in words:
        try:
            action(word)
        except Failure as failure:
            print(f"mydocker: {failure}", file=sys.stderr)
            code = max(code, missing if isinstance(failure, NoSuchContainer) else REFUSED)
        else:
            print(word)
    return code
