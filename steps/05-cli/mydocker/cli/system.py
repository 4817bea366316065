"""``mydocker system``: the machine as a whole."""

import click

from mydocker.container.commandline import default_root, default_run
from mydocker.container.leftovers import prune as prune_containers
from mydocker.kernel.errors import Failure


@click.group()
def system() -> None:
    """Clean up after mydocker."""


@system.command()
def prune() -> None:
    """Release what killed runs left behind: cgroups, mounts, links, layers of theirs.

    A container that is in use is left alone.
    """
    gone, failures = prune_containers(default_run())
    for identifier in gone:
        click.echo(f"released: {identifier[:12]}")
    if failures:
        raise Failure("; ".join(str(failure) for failure in failures))
