"""``mydocker system``: the machine as a whole."""

from typing import TYPE_CHECKING

import click

from mydocker.cli.pruning import agreed, prune_options, report, report_space
from mydocker.container.commandline import LazyGroup, default_run, explain_option
from mydocker.container.exit_codes import DOCKERS
from mydocker.kernel.errors import Failure, Invalid
from mydocker.overlay2.root_option import root_option

if TYPE_CHECKING:
    from mydocker.engine.cleaning.space import Space


@click.group(
    cls=LazyGroup,
    codes=DOCKERS,
    lazy={"events": "mydocker.cli.looking:events", "info": "mydocker.cli.about:info"},
)
def system() -> None:
    """The disk and the machine as a whole: how much is used, and what can go."""


@system.command()
@click.option("-a", "--all", "every", is_flag=True, help="All images without a container.")
@click.option("--volumes", is_flag=True, help="Anonymous volumes, too.")
@prune_options("until=24h, label=, label!=.")
@root_option
@explain_option
def prune(every: bool, volumes: bool, force: bool, written: tuple[str, ...], root: str) -> None:
    """Release what killed commands left behind, and then, if you agree, remove what is not used.

    Left behind are cgroups, mounts, links, rules, half-made layers: nobody is asked about those.
    Not used are containers that do not run, networks without containers, images without a name and
    without a container. What is in use is never touched.
    """
    from mydocker.cli.store import containers
    from mydocker.engine.cleaning import leftovers, unused
    from mydocker.engine.cleaning.leftover import Place
    from mydocker.engine.words.filters import PRUNING, parse

    chosen = parse(written, PRUNING)
    if volumes and "until" in chosen:  # a volume is as old as its data, which nobody wrote down
        raise Invalid('The "until" filter is not supported with "--volumes"')
    wish = unused.Wish(every, volumes, chosen)
    pruned = leftovers.prune(Place(root, default_run()))
    for leftover in pruned.released:
        click.echo(f"released: {leftover}")
    space, store, failures = pruned.space, containers(root), list(pruned.failures)
    if _agreed(unused.candidates(store, wish), written, force):
        cleaned = unused.clean(store, wish)
        for kind, names in cleaned.kinds:
            report(kind, names)
        space += cleaned.space
        failures += cleaned.failures
    report_space(space)
    if failures:
        raise Failure("; ".join(str(failure) for failure in failures))


def _agreed(candidates: list[str], filters: tuple[str, ...], force: bool) -> bool:
    """Say what would be removed, and ask; without anything to remove there is no question."""
    if not candidates:
        return False
    lines = "".join(f"\n  - {line}" for line in candidates)
    if filters:
        lines += "\n\n  Items to be pruned will be filtered with:"
        lines += "".join(f"\n  - {text}" for text in filters)
    return agreed(f"This will remove:{lines}\n", force)


_TYPE = {"Type": "TYPE", "TotalCount": "TOTAL", "Active": "ACTIVE", "Size": "SIZE",
         "Reclaimable": "RECLAIMABLE"}  # fmt: skip


@system.command()
@click.option("-v", "--verbose", is_flag=True, help="Every image, container and volume.")
@click.option("--format", "template", default="", help="table, json, or as '{{.Type}}'.")
@root_option
def df(verbose: bool, template: str, root: str) -> None:
    """Show how much of the disk images, containers and volumes take."""
    from mydocker.cli.output import formatted
    from mydocker.cli.store import containers
    from mydocker.engine.cleaning.space import space
    from mydocker.overlay2.image_list import size

    found = space(containers(root))
    if verbose and not template:
        _every(found)
        return
    rows = []
    for line in found.sums():
        share = f" ({line.reclaimable * 100 // line.size}%)" if line.size else ""
        rows.append({"Type": line.kind, "TotalCount": str(line.total), "Active": str(line.active),
                     "Size": size(line.size),
                     "Reclaimable": size(line.reclaimable) + share})  # fmt: skip
    formatted(template, rows, _TYPE, list(_TYPE))


def _every(found: "Space") -> None:
    from mydocker.cli.output import table
    from mydocker.engine.looking.listing import status_words
    from mydocker.engine.words.times import now, number, span
    from mydocker.overlay2.image_list import since, size

    click.echo("Images space usage:\n")
    titles = ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE", "SHARED SIZE", "UNIQUE SIZE",
              "CONTAINERS"]  # fmt: skip
    table(titles, (
        [*name.rpartition(":")[::2], use.image.short_id, since(use.image.created), size(use.size),
         size(use.shared), size(use.unique), str(use.containers)]
        for use in found.images for name in use.image.names or ("<none>:<none>",)
    ))  # fmt: skip
    click.echo("\nContainers space usage:\n")
    titles = ["CONTAINER ID", "IMAGE", "COMMAND", "LOCAL VOLUMES", "SIZE", "CREATED", "STATUS",
              "NAMES"]  # fmt: skip
    table(titles, (
        [use.config.short_id, use.config.image, _command(use.config.process.arguments),
         str(use.volumes),
         size(use.size), f"{span((number(now()) - number(use.config.created)) / 1e9)} ago",
         status_words(use.state), use.config.name]
        for use in found.containers
    ))  # fmt: skip
    click.echo("\nLocal Volumes space usage:\n")
    rows = ([use.name, str(use.links), size(use.size)] for use in found.volumes)
    table(["VOLUME NAME", "LINKS", "SIZE"], rows)
    click.echo("\nBuild cache usage: 0B\n")


def _command(arguments: tuple[str, ...]) -> str:
    from mydocker.cli.output import command_text, shorten
    from mydocker.engine.words.functions import quoted

    return quoted(shorten(command_text(arguments), 20))
