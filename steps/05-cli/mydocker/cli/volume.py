"""``mydocker volume``: directories that outlive containers."""

from collections.abc import Sequence
from typing import Any

import click

from mydocker.cli.pruning import agreed, prune_options, report, report_space
from mydocker.cli.store import containers, for_each
from mydocker.container.commandline import LazyGroup, explain_option
from mydocker.container.exit_codes import DOCKERS
from mydocker.kernel.errors import Invalid, NotFound
from mydocker.overlay2.root_option import root_option

_FILTERS = ("dangling", "driver", "label", "name")
_HEADINGS = {"Driver": "DRIVER", "Name": "VOLUME NAME", "Mountpoint": "MOUNTPOINT"}


@click.group(cls=LazyGroup, codes=DOCKERS)
def volume() -> None:
    """Make, list and remove volumes.

    Example: mydocker volume create data; mydocker run -v data:/var/lib/data busybox
    """


@volume.command()
@click.argument("name", metavar="[VOLUME]", default="")
@click.option("--name", "named", default="", hidden=True)
@click.option("-d", "--driver", default="local", help="local is the only one.")
@click.option("--label", "labels", multiple=True, metavar="KEY[=VALUE]", help="A label.")
@root_option
@explain_option
def create(name: str, named: str, driver: str, labels: Sequence[str], root: str) -> None:
    """Make a volume; prints its name, a random one if none is given."""
    from mydocker.engine.volumes.store import VolumeStore

    if named and name:
        raise NotFound(
            "conflicting options: cannot specify a volume-name through both --name and as a "
            "positional arg"
        )
    name = name or named
    if driver != "local":
        raise NotFound(f'create {name}: error looking up volume plugin {driver}: plugin "{driver}" '
                       "not found")  # fmt: skip
    told = {text.partition("=")[0]: text.partition("=")[2] for text in labels}
    click.echo(VolumeStore(root).create(name, told).name)


@volume.command("ls")
@click.option("-q", "--quiet", is_flag=True, help="Only the names.")
@click.option("-f", "--filter", "written", multiple=True, metavar="KEY=VALUE",
              help="dangling=true|false, label=, name=, driver=.")  # fmt: skip
@click.option("--format", "template", default="", help="table, json, or as '{{.Name}}'.")
@root_option
def list_volumes(quiet: bool, written: Sequence[str], template: str, root: str) -> None:
    """List volumes."""
    from mydocker.cli.output import formatted

    rows = _rows(root, written)
    if quiet:
        click.echo("".join(f"{row['Name']}\n" for row in rows), nl=False)
        return
    formatted(template, rows, _HEADINGS, ["Driver", "Name"])


def _rows(root: str, written: Sequence[str]) -> list[dict[str, Any]]:
    from mydocker.engine.volumes.points import users
    from mydocker.engine.volumes.store import VolumeStore
    from mydocker.engine.words.filters import any_of, has_labels, parse

    chosen, store = parse(written, _FILTERS), VolumeStore(root)
    used = users(containers(root)) if "dangling" in chosen else {}
    dangling = {"true": True, "1": True, "false": False, "0": False}
    for value in chosen.get("dangling", ()):
        if value not in dangling:
            raise Invalid(f"invalid filter 'dangling={value}'")
    rows = []
    for name in store.names():
        labels = store.get(name).labels
        if (
            any_of(chosen.get("name"), lambda text, name=name: text in name)  # type: ignore[misc]
            and any_of(chosen.get("driver"), lambda text: text == "local")
            and has_labels(chosen.get("label", ()), labels)
            and all(dangling[value] == (name not in used) for value in chosen.get("dangling", ()))
        ):
            told = ",".join(f"{key}={value}" for key, value in labels.items())
            row = {"Driver": "local", "Name": name, "Labels": told, "Scope": "local"}
            rows.append(row | {"Mountpoint": store.data(name), "Links": "N/A", "Size": "N/A"})
    return rows


@volume.command()
@click.argument("names", metavar="VOLUME [VOLUME...]", nargs=-1, required=True)
@click.option("-f", "--format", "template", default="", help="As '{{.Mountpoint}}'.")
@root_option
def inspect(names: Sequence[str], template: str, root: str) -> int:
    """Show all that is known about volumes, as JSON."""
    from mydocker.cli.shown import show
    from mydocker.engine.volumes.store import VolumeStore

    store = VolumeStore(root)

    return show(names, store.inspect, template, "Volume")


@volume.command()
@click.argument("names", metavar="VOLUME [VOLUME...]", nargs=-1, required=True)
@click.option("-f", "--force", is_flag=True, help="It is no error if there is no such volume.")
@root_option
@explain_option
def rm(names: Sequence[str], force: bool, root: str) -> int:
    """Remove volumes with their data."""
    from mydocker.engine.volumes.removing import remove

    store = containers(root)
    return for_each(names, lambda name: remove(store, name, force=force))


@volume.command()
@click.option("-a", "--all", "every", is_flag=True, help="Those with a name too.")
@prune_options("label=, label!=, all=true.")
@root_option
@explain_option
def prune(every: bool, force: bool, written: Sequence[str], root: str) -> None:
    """Remove the volumes that no container uses."""
    from mydocker.engine.volumes import removing
    from mydocker.engine.words.filters import parse

    chosen = parse(written, removing.FILTERS)
    which = "all local volumes" if every else "anonymous local volumes"
    if not agreed(f"This will remove {which} not used by at least one container.", force):
        return
    removed, space = removing.prune(containers(root), every=every, chosen=chosen)
    report("Volumes", removed)
    report_space(space)
