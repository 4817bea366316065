"""``mydocker inspect``: all that is known of containers, images, networks."""

from typing import Any

import click

from mydocker.cli.completion import container_names
from mydocker.cli.store import containers
from mydocker.container.flags import command


@command()
@click.option("-f", "--format", "form", default="", metavar="TEMPLATE",
              help="As '{{.State.Pid}}' or '{{json .Config}}'.")  # fmt: skip
@click.option("-s", "--size", is_flag=True, help="The sizes of a container too.")
@click.option(
    "--type", "kind", default="", metavar="KIND", help="container, image, network or volume."
)
@click.argument(
    "names", nargs=-1, required=True, metavar="NAME|ID [NAME|ID...]", shell_complete=container_names
)
def inspect(names: tuple[str, ...], form: str, size: bool, kind: str) -> int:
    """Show all that is known of containers, images, networks or volumes, as JSON in Docker's shape.

    Example: mydocker inspect -f '{{range $n, $e := .NetworkSettings.Networks}}{{$n}}{{end}}' web
    """
    from mydocker.cli.shown import show
    from mydocker.engine.looking.inspection import inspect_any
    from mydocker.engine.words.gotypes import typed

    store = containers()

    def find(name: str) -> dict[str, Any]:
        which, told = inspect_any(store, name, kind, size=size)
        found: dict[str, Any] = typed(told, which.capitalize()) if form else told
        return found

    return show(names, find, form)
