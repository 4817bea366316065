"""Find a running container by its name or the beginning of its id, from the networks' own records.

Step 05 has containers with a life of their own, and finds them there; here only the running ones
are known, by their records below the run directory.
"""

import os
from collections.abc import Callable
from typing import Any

import click

from mydocker.container import state
from mydocker.kernel.errors import Failure
from mydocker.network.options import Shared, check_host_name
from mydocker.network.store import Store


def name_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--name``: what other containers call this one."""

    def checked(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
        if value:
            check_host_name("--name", value)
        return value

    option = click.option(
        "--name", metavar="NAME", callback=checked, help="What others call it. Default: the id."
    )
    return option(command)


def find_container(store: Store, word: str) -> str:
    """The id of the running container called ``word``, or whose id begins so. Raises Failure."""
    endpoints = [e for network in store.up() for e in store.endpoints(network)]
    named = {e.container for e in endpoints if e.name == word}
    found = named or {c for c in running(store) if word and c.startswith(word)}
    if len(found) == 1:
        return found.pop()
    if found:
        raise Failure(f"container '{word}': several are called so", "Use the id")
    raise Failure(f"container '{word}': no such container is running")


def running(store: Store) -> list[str]:
    """The ids of the containers that have a record."""
    found = state.identifiers(store.run)
    return [name for name in found if os.path.exists(f"{store.run}/{name}/state.json")]


def find_shared(root: str, run: str) -> Callable[[str], Shared]:
    """For ``--net container:NAME``: looks a container up by its name or id."""

    def find(word: str) -> Shared:
        identifier = find_container(Store(root, run), word)
        record = state.read(run, identifier)
        if record is None:
            raise Failure(f"container '{word}': ended just now")
        return Shared(word, record.process, f"{root}/containers/{identifier}")

    return find
