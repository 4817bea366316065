"""``mydocker system``: the machine as a whole."""

import click

from mydocker.container.commandline import default_run, explain_option
from mydocker.kernel.errors import Failure
from mydocker.overlay2.root_option import root_option


@click.group()
def system() -> None:
    """Clean up after mydocker."""


@system.command()
@root_option
@explain_option
def prune(root: str) -> None:
    """Release what killed commands left behind: cgroups, mounts, links, rules, half-made layers.

    A container that is in use is left alone, and so is what a container without --rm wrote.
    """
    from mydocker.engine import pruning
    from mydocker.engine.leftover import Place
    from mydocker.overlay2.listing import size

    pruned = pruning.prune(Place(root, default_run()))
    for leftover in pruned.released:
        click.echo(f"released: {leftover}")
    click.echo(f"Total reclaimed space: {size(pruned.space)}")
    if pruned.failures:
        raise Failure("; ".join(str(failure) for failure in pruned.failures))
