"""Commands that look at containers: top, stats, events, diff, port."""

import sys
from typing import TYPE_CHECKING, Any

import click

from mydocker.cli.completion import container_names
from mydocker.cli.store import containers
from mydocker.container.flags import command
from mydocker.container.printing import shown

if TYPE_CHECKING:
    from mydocker.engine.looking.usage import Usage

_FORMAT = click.option("--format", "form", default="", metavar="FORMAT",
                       help="table, json, or a template.")  # fmt: skip


@command(context_settings={"allow_interspersed_args": False})
@click.argument("container", shell_complete=container_names)
@click.argument("options", nargs=-1, metavar="[PS OPTIONS]")
def top(container: str, options: tuple[str, ...]) -> None:
    """Show the processes of a container, by ps(1) on the host.

    Example: mydocker top web -eo pid,user,etime,args
    """
    from mydocker.cli.output import table
    from mydocker.engine.looking.processes import top as look

    table(*look(containers(), container, options))


_STATS = {
    "Container": "CONTAINER",
    "ID": "CONTAINER ID",
    "Name": "NAME",
    "CPUPerc": "CPU %",
    "MemUsage": "MEM USAGE / LIMIT",
    "MemPerc": "MEM %",
    "NetIO": "NET I/O",
    "BlockIO": "BLOCK I/O",
    "PIDs": "PIDS",
}


@command()
@click.option("-a", "--all", "all_", is_flag=True, help="Those that do not run too.")
@click.option("--no-stream", is_flag=True, help="Once, and not every second.")
@click.option("--no-trunc", is_flag=True, help="Cut nothing.")
@_FORMAT
@click.argument("names", nargs=-1, metavar="[CONTAINER...]", shell_complete=container_names)
def stats(names: tuple[str, ...], all_: bool, no_stream: bool, no_trunc: bool, form: str) -> None:
    """Show what containers use: CPU, memory, network, disk, tasks.

    Example: mydocker stats --no-stream --format '{{.Name}} {{.MemUsage}}'
    """
    from mydocker.cli.output import formatted
    from mydocker.engine.looking import usage

    store = containers()
    chosen = [store.find(name) for name in names] or (sorted(store.ids()) if all_ else None)
    columns = [name for name in _STATS if name != "Container"]
    for measured in usage.series(store, chosen):
        rows = [_stats_row(one, no_trunc) for one in measured]
        if not no_stream and sys.stdout.isatty() and form in ("", "table"):
            sys.stdout.write("\033[H\033[J")  # to the top, and away with the last ones
        formatted(form, rows, _STATS, columns)
        sys.stdout.flush()
        if no_stream:
            return


def _stats_row(one: "Usage", whole: bool) -> dict[str, Any]:
    from mydocker.overlay2.image_list import size

    config = one.config
    identifier = config.id if whole else config.short_id
    if not one.running:
        return {"Container": identifier, "ID": identifier, "Name": config.name, "CPUPerc": "--",
                "MemUsage": "-- / --", "MemPerc": "--", "NetIO": "--", "BlockIO": "--",
                "PIDs": "--"}  # fmt: skip
    return {
        "Container": identifier,
        "ID": identifier,
        "Name": config.name,
        "CPUPerc": f"{one.cpu:.2f}%",
        "MemUsage": f"{binary(one.memory)} / {binary(one.memory_limit)}",
        "MemPerc": f"{one.memory_percent:.2f}%",
        "NetIO": f"{size(one.received)} / {size(one.sent)}",
        "BlockIO": f"{size(one.read)} / {size(one.written)}",
        "PIDs": str(one.pids),
    }


def binary(number: float) -> str:
    """Bytes with a binary unit, as Docker shows memory: ``1.5MiB``, four digits at most."""
    units = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
    power = 0
    while number >= 1024 and power < len(units) - 1:
        number /= 1024
        power += 1
    return f"{number:.4g}{units[power]}"


@command()
@click.option("--since", metavar="TIME", help="Since then: a time, or 10m for ten minutes ago.")
@click.option("--until", metavar="TIME", help="Up to then, and then end.")
@click.option("-f", "--filter", "written", multiple=True, metavar="KEY=VALUE",
              help="type=, event=, container=, image=, network=, volume=, label=.")  # fmt: skip
@_FORMAT
def events(since: str | None, until: str | None, written: tuple[str, ...], form: str) -> None:
    """Show what happens to containers, images, networks and volumes, as it happens.

    Example: mydocker events --since 10m --until 0s --filter event=die --filter type=container
    """
    import time

    from mydocker.engine.records import events as log
    from mydocker.engine.words import filters as forms
    from mydocker.engine.words.templates import Template, compact
    from mydocker.engine.words.times import moment

    filters = forms.parse(written, log.FILTERS)
    begin = moment(since) if since else time.time_ns()
    end = moment(until) if until else 1 << 62
    template = Template(form) if form and form != "json" else None
    for event in log.read(containers(), begin, end):
        if not log.passes(event, filters):
            continue
        if template:
            print(shown(template(log.Message(event)), form))
        else:
            print(shown(compact(event) if form == "json" else log.line(event)))
        sys.stdout.flush()


@command()
@click.argument("container", shell_complete=container_names)
def diff(container: str) -> None:
    """List what CONTAINER changed in its files: A added, C changed, D deleted."""
    from mydocker.engine.looking.changes import changed

    for change in changed(containers(), container):
        # Names of files: any bytes but zero, UTF-8 or not
        sys.stdout.buffer.write(shown(str(change)).encode(errors="surrogateescape") + b"\n")


@command()
@click.argument("container", shell_complete=container_names)
@click.argument("private", required=False, metavar="[PORT[/udp]]")
def port(container: str, private: str | None) -> None:
    """Show the published ports of a container."""
    from mydocker.kernel.errors import NotFound
    from mydocker.network.endpoints import published
    from mydocker.network.store import Store as Networks

    store = containers()
    found = published(Networks(store.root, store.run), store.find(container))
    if private:
        number, _, protocol = private.partition("/")
        wanted = (number, protocol or "tcp")
        found = [p for p in found if (str(p.container), p.protocol) == wanted]
        if not found:
            shown = f"{number}/{protocol or 'tcp'}"
            raise NotFound(f"No public port '{shown}' published for {container}")
    for one in sorted(found, key=lambda p: (p.container, p.protocol)):
        where = f"[{one.ip}]" if ":" in one.ip else one.ip or "0.0.0.0"
        left = "" if private else f"{one.container}/{one.protocol} -> "
        click.echo(f"{left}{where}:{one.host}")
