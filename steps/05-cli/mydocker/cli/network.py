"""``mydocker network``: step 04's commands, and those that speak Docker's templates and filters."""

from typing import Any

import click

from mydocker.cli.pruning import agreed, prune_options, report
from mydocker.container.commandline import (
    LazyGroup,
    default_root,
    default_run,
    explain_option,
)
from mydocker.container.exit_codes import DOCKERS
from mydocker.container.flags import command
from mydocker.container.private import close
from mydocker.network.commands import all_networks, inspected
from mydocker.network.store import Store

_FILTERS = ("driver", "id", "label", "name", "scope", "type")
_TITLES = {
    "ID": "NETWORK ID",
    "Name": "NAME",
    "Driver": "DRIVER",
    "Scope": "SCOPE",
    "IPv6": "IPV6",
    "Internal": "INTERNAL",
    "Labels": "LABELS",
    "CreatedAt": "CREATED AT",
}

network = LazyGroup(
    "network",
    codes=DOCKERS,
    help="Networks: make, list, remove them; put containers on them.",
    lazy={
        "ls": "mydocker.cli.network:list_networks",
        "inspect": "mydocker.cli.network:inspect",
        "prune": "mydocker.cli.network:prune",
        **{
            name: f"mydocker.network.commands:{name.replace('map', 'map_command')}"
            for name in ("connect", "create", "disconnect", "heal", "map", "rm")
        },
    },
)


@command("ls")
@click.option("-q", "--quiet", is_flag=True, help="Only the ids.")
@click.option("--no-trunc", is_flag=True, help="Whole ids.")
@click.option("-f", "--filter", "written", multiple=True, metavar="KEY=VALUE",
              help="As name=lab, driver=bridge, label=x, type=custom.")  # fmt: skip
@click.option("--format", "form", default="", metavar="FORMAT",
              help="table, json, or a template as '{{.Name}} {{.Driver}}'.")  # fmt: skip
def list_networks(quiet: bool, no_trunc: bool, written: tuple[str, ...], form: str) -> None:
    """List the networks.

    Example: mydocker network ls --filter driver=bridge --format '{{.ID}} {{.Name}}'
    """
    from mydocker.cli.output import formatted
    from mydocker.engine.words.filters import parse

    chosen = parse(written, _FILTERS)
    rows = [_row(one, no_trunc) for one in all_networks(_store()) if _passes(one, chosen)]
    if quiet and not form:
        click.echo("".join(f"{row['ID']}\n" for row in rows), nl=False)
        return
    formatted(form, rows, _TITLES, ["ID", "Name", "Driver", "Scope"])


def _store() -> Store:
    return Store(close(default_root()), default_run())


def _passes(one: dict[str, Any], chosen: dict[str, list[str]]) -> bool:
    from mydocker.engine.words.filters import any_of, has_labels, matches_name

    kind = "builtin" if one["Name"] in ("bridge", "host", "none") else "custom"
    return (
        any_of(chosen.get("name"), lambda text: matches_name(text, one["Name"]))
        and any_of(chosen.get("id"), lambda text: one["Id"].startswith(text))
        and any_of(chosen.get("driver"), lambda text: text == one["Driver"])
        and any_of(chosen.get("scope"), lambda text: text == one["Scope"])
        and any_of(chosen.get("type"), lambda text: text == kind)
        and has_labels(chosen.get("label", ()), one["Labels"])
    )


def _row(one: dict[str, Any], whole: bool) -> dict[str, Any]:
    return {
        "ID": one["Id"] if whole else one["Id"][:12],
        "Name": one["Name"],
        "Driver": one["Driver"],
        "Scope": one["Scope"],
        "IPv6": str(one["EnableIPv6"]).lower(),
        "Internal": str(one["Internal"]).lower(),
        "Labels": ",".join(f"{key}={value}" for key, value in one["Labels"].items()),
        "CreatedAt": one["Created"],
    }


@command("prune")
@prune_options("until=24h, label=, label!=.")
@explain_option
def prune(force: bool, written: tuple[str, ...]) -> None:
    """Remove all networks without containers, and repair the others."""
    from mydocker.engine.words.filters import PRUNING, parse, passes
    from mydocker.network import networks

    chosen = parse(written, PRUNING)
    if not agreed(
        "This will remove all custom networks not used by at least one container.", force
    ):
        return
    removed = networks.prune(_store(), lambda one: passes(chosen, one.created, one.labels))
    report("Networks", [one.name for one in removed])


@command("inspect")
@click.option("-f", "--format", "form", default="", metavar="TEMPLATE", help="As '{{.Driver}}'.")
@click.argument("names", nargs=-1, required=True, metavar="NETWORK [NETWORK...]")
def inspect(names: tuple[str, ...], form: str) -> int:
    """Show all about networks, as JSON in Docker's shape."""
    from mydocker.cli.shown import show

    store = _store()
    return show(names, lambda name: inspected(store, name), form, "Network")
