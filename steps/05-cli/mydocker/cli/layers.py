"""``layers`` and ``trace-file`` of step 03, which knows ids, for containers that have names."""

import click

from mydocker.cli.store import containers
from mydocker.engine.errors import NoSuchContainer
from mydocker.overlay2 import commands


def _identifier(root: str, name: str) -> str:
    """The id of the container called so, else the word itself: an image, or a layer's id."""
    try:
        return containers(root).find(name)
    except NoSuchContainer:
        return name


class _Named(click.Command):
    """A command of step 03 whose argument ``name`` may be a container's name."""

    def __init__(self, original: click.Command) -> None:
        super().__init__(original.name, help=original.help, params=original.params)
        self._original = original

    def invoke(self, ctx: click.Context) -> None:
        ctx.params["name"] = _identifier(ctx.params["root"], ctx.params["name"])
        self._original.invoke(ctx)


layers = _Named(commands.layers)
trace_file = _Named(commands.trace_file)
