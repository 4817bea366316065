"""``mydocker inspect``: all that is known of containers, images, networks."""

import json
import sys

import click

from mydocker.cli.completion import container_names
from mydocker.cli.store import containers


@click.command()
@click.option("-f", "--format", "form", default="", metavar="TEMPLATE",
              help="As '{{.State.Pid}}' or '{{json .Config}}'.")  # fmt: skip
@click.option("-s", "--size", is_flag=True, help="The sizes of a container too.")
@click.option("--type", "kind", default="", metavar="KIND", help="container, image or network.")
@click.argument("names", nargs=-1, required=True, metavar="NAME…", shell_complete=container_names)
def inspect(names: tuple[str, ...], form: str, size: bool, kind: str) -> int:
    """Show all that is known of containers, images or networks, as JSON in Docker's shape.

    Example: mydocker inspect -f '{{range $n, $e := .NetworkSettings.Networks}}{{$n}}{{end}}' web
    """
    from mydocker.engine.errors import REFUSED
    from mydocker.engine.inspection import inspect_any
    from mydocker.engine.templates import Template
    from mydocker.kernel.errors import Failure

    template = Template(form) if form and form != "json" else None
    store, found, code = containers(), [], 0
    complaints = []
    for name in names:
        try:
            shown = inspect_any(store, name, kind, size=size)
            if template:
                print(template(shown))
            else:
                found.append(shown)
        except Failure as failure:
            complaints.append(f"mydocker: {failure}")
            code = REFUSED
    if not template:
        print(json.dumps(found, ensure_ascii=False, indent=None if form else 4))
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return code
