"""``mydocker ps``: list the containers."""

from typing import TYPE_CHECKING, Any

import click

from mydocker.cli.output import command_text, formatted, shorten
from mydocker.cli.store import containers
from mydocker.container.flags import command

if TYPE_CHECKING:
    from mydocker.engine.words.govalues import Row

_TITLES = {
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "CreatedAt": "CREATED AT",
    "RunningFor": "CREATED",
    "Status": "STATUS",
    "State": "STATE",
    "Ports": "PORTS",
    "Names": "NAMES",
    "Size": "SIZE",
    "Labels": "LABELS",
    "Mounts": "MOUNTS",
    "LocalVolumes": "LOCAL VOLUMES",
    "Networks": "NETWORKS",
}
_COLUMNS = ["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names"]


@command()
@click.option("-a", "--all", "all_", is_flag=True, help="Those that do not run too.")
@click.option("-q", "--quiet", is_flag=True, help="Only the ids.")
@click.option("-s", "--size", is_flag=True, help="What each has written, and with its image.")
@click.option("-n", "--last", type=int, default=-1, metavar="N", help="The N youngest.")
@click.option("-l", "--latest", is_flag=True, help="The youngest.")
@click.option("-f", "--filter", "written", multiple=True, metavar="KEY=VALUE",
              help="As status=exited, name=web, label=x, ancestor=IMAGE, network=NET.")  # fmt: skip
@click.option("--format", "form", default="", metavar="FORMAT",
              help="table, json, or a template as '{{.ID}} {{.Status}}'.")  # fmt: skip
@click.option("--no-trunc", is_flag=True, help="Cut nothing.")
def ps(
    all_: bool,
    quiet: bool,
    size: bool,
    last: int,
    latest: bool,
    written: tuple[str, ...],
    form: str,
    no_trunc: bool,
) -> None:
    """List containers.

    Example: mydocker ps -a --filter status=exited --format '{{.Names}}: {{.Status}}'
    """
    from mydocker.engine.looking import listing
    from mydocker.engine.words.filters import parse

    store = containers()
    filters = parse(written, listing.KNOWN)
    found = listing.containers(store, filters, all_=all_, last=1 if latest else max(last, 0))
    if quiet and not form:
        for one in found:
            print(one.config.id if no_trunc else one.config.short_id)
        return
    size = size or ".Size" in form or "json" in form
    rows = [_row(store, one, no_trunc, size) for one in found]
    formatted(form, rows, _TITLES, [*_COLUMNS, *(["Size"] if size else [])])


def _row(store: Any, one: Any, whole: bool, size: bool) -> "Row":
    import time

    from mydocker.engine.words.functions import quoted
    from mydocker.engine.words.govalues import Row as Columns
    from mydocker.engine.words.times import number, span

    config = one.config
    command = command_text(config.process.arguments)
    ago = span(time.time() - number(config.created) / 1e9) if config.created else "?"
    points = _mounts(config)
    names = [point.get("Name") or point["Source"] for point in points]
    columns = {
        "ID": config.id if whole else config.short_id,
        "Image": config.image,
        "Command": quoted(command if whole else shorten(command, 20)),
        "CreatedAt": f"{config.created[:10]} {config.created[11:19]} +0000 UTC",
        "RunningFor": f"{ago} ago",
        "Status": one.status,
        "State": one.state.status,
        "Ports": one.ports,
        "Names": config.name,
        "Size": _size(store, config) if size else "0B",
        "Labels": ",".join(f"{key}={value}" for key, value in config.labels.items()),
        "Mounts": ",".join(names if whole else [shorten(name, 15) for name in names]),
        "LocalVolumes": str(sum(point.get("Driver") == "local" for point in points)),
        "Networks": ",".join(name for name, _ in one.endpoints) or _asked(config),
        "Platform": None,
    }
    return Columns(
        "*formatter.ContainerContext", columns, Label=lambda name: config.labels.get(name, "")
    )


def _asked(config: Any) -> str:
    return ",".join(config.network.networks)


def _mounts(config: Any) -> list[dict[str, Any]]:
    if not config.rootfs.volumes:
        return []
    from mydocker.engine.looking.views import mounts

    return mounts(config)


def _size(store: Any, config: Any) -> str:
    from mydocker.engine.looking.sizes import sizes
    from mydocker.overlay2.image_list import size

    own, whole = sizes(store, config)
    return f"{size(own)} (virtual {size(whole)})"
