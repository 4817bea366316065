"""Where the commands find the containers, and how they go through several of them."""

import sys
from collections.abc import Callable, Iterable
from functools import partial

import click

from mydocker.container.commandline import default_root, default_run, one_failed
from mydocker.container.private import close
from mydocker.engine.errors import NoSuchContainer
from mydocker.engine.records.store import Store
from mydocker.kernel.errors import Failure


def containers(root: str = "") -> Store:
    """The containers of this machine, or of another ``root``.

    What could not be written down is told when the command ends.
    """
    store = Store(close(root or default_root()), default_run())
    if context := click.get_current_context(silent=True):
        context.call_on_close(partial(_tell_unwritten, store))
    return store


def _tell_unwritten(store: Store) -> None:
    if isinstance(sys.exc_info()[1], Failure):
        return  # which is told, and says more
    for failure in {str(failure): failure for failure in store.unwritten}.values():
        failure.hint = "What was asked for is done, but not written down"
        print(f"mydocker: {failure}", file=sys.stderr)


def for_each(
    words: Iterable[str], action: Callable[[str], object], *, or_gone: bool = False
) -> int:
    """Do it for every name and print the name, whatever becomes of the others; the exit code.

    ``or_gone``: that there is no such container is told, and no failure.
    """
    code = 0
    for word in words:
        try:
            action(word)
        except Failure as failure:
            failed = one_failed(failure)
            code = max(code, 0 if or_gone and isinstance(failure, NoSuchContainer) else failed)
        else:
            print(word)
    return code
