"""What can be done with networks: ``network …``, ``port``, ``ladder``."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from mydocker.container.commandline import (
    LazyGroup,
    default_root,
    default_run,
    explain_option,
    one_failed,
)
from mydocker.container.exit_codes import DOCKERS
from mydocker.container.flags import command
from mydocker.container.private import close
from mydocker.kernel.errors import Failure, Invalid, NotFound
from mydocker.network import addresses, bridges, drawing, membership, networks
from mydocker.network.attachment import Attachment
from mydocker.network.endpoints import published
from mydocker.network.finding import find_container
from mydocker.network.store import Store

if TYPE_CHECKING:
    from rich.console import Console


def _store() -> Store:
    return Store(close(default_root()), default_run())


def _console() -> "Console":
    from mydocker.container.printing import console

    # In a pipe there is no terminal to ask: 80 columns, and no colours.
    return console(highlight=False, width=None if sys.stdout.isatty() else 120)


@click.group("network", cls=LazyGroup, codes=DOCKERS)
def network() -> None:
    """Networks: make, list, remove them; put containers on them."""


def _pairs(option: str, written: tuple[str, ...]) -> dict[str, str]:
    for pair in written:
        if "=" not in pair and option != "--label":
            raise Invalid(f"{option} {pair}: not KEY=VALUE")
    return dict(pair.partition("=")[::2] for pair in written)


@network.command("create")
@click.argument("name")
@click.option("-d", "--driver", default="bridge", show_default=True, help="There is only bridge.")
@click.option("--subnet", "subnets", multiple=True, metavar="ADDRESS/BITS")
@click.option("--gateway", "gateways", multiple=True, metavar="ADDRESS")
@click.option("--ip-range", default="", metavar="ADDRESS/BITS", help="Give addresses from here.")
@click.option("--internal", is_flag=True, help="No way out, and none in.")
@click.option("--ipv6", is_flag=True, help="IPv6, too; the subnet is chosen if none is named.")
@click.option("-o", "--opt", "options", multiple=True, metavar="KEY=VALUE", help="bridge.name, mtu")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE")
@explain_option
def create(name: str, driver: str, **asked: Any) -> None:
    """Make the network NAME and bring it up; prints its id."""
    if driver != "bridge":
        raise NotFound(f"--driver {driver}: unknown driver", "There is one: bridge")
    asked["options"] = _pairs("-o", asked["options"])
    asked["labels"] = _pairs("--label", asked["labels"])
    click.echo(networks.create(_store(), name, **asked).id)


@network.command("ls")
@click.option("-q", "--quiet", is_flag=True, help="Only the ids.")
@click.option("--no-trunc", is_flag=True, help="Whole ids.")
def ls(quiet: bool, no_trunc: bool) -> None:
    """List the networks."""
    rows = [(n["Id"], n["Name"], n["Driver"], n["Scope"]) for n in all_networks(_store())]
    rows = [(row[0] if no_trunc else row[0][:12], *row[1:]) for row in rows]
    if quiet:
        for row in rows:
            click.echo(row[0])
        return
    titles = ("NETWORK ID", "NAME", "DRIVER", "SCOPE")
    widths = [max(len(row[i]) for row in (titles, *rows)) + 3 for i in range(3)]
    for row in (titles, *rows):
        columns = [word.ljust(width) for word, width in zip(row, widths, strict=False)]
        click.echo("".join([*columns, row[3]]))


def all_networks(store: Store) -> list[dict[str, Any]]:
    """Those that were made and those that are built in, in Docker's shape, by name."""
    made = [networks.inspect(store, n) for n in store.networks()]
    shown = [*made, *(networks.built_in(name) for name in ("host", "none"))]
    if not any(n["Name"] == "bridge" for n in made):
        shown.append(networks.built_in("bridge"))
    return sorted(shown, key=lambda n: str(n["Name"]))


@network.command("inspect")
@click.argument("names", nargs=-1, required=True)
def inspect(names: tuple[str, ...]) -> None:
    """Show all about networks, as JSON in Docker's shape."""
    import json

    store = _store()
    found = [inspected(store, name) for name in names]
    click.echo(json.dumps(found, indent=4))


def inspected(store: Store, name: str) -> dict[str, Any]:
    """All about one network, in Docker's shape. Raises Failure if there is none."""
    if name in networks.BUILT_IN and not store.named(name):
        return networks.built_in(name)
    return networks.inspect(store, store.find(name))


@network.command("rm")
@click.argument("names", nargs=-1, required=True)
@explain_option
def rm(names: tuple[str, ...]) -> int:
    """Remove networks that nobody is on."""
    return _each(names, lambda name: networks.remove(_store(), name).name)


def _each(names: tuple[str, ...], action: Callable[[str], str]) -> int:
    """Do it for every name, whatever becomes of the others."""
    code = 0
    for name in names:
        try:
            click.echo(action(name))
        except Failure as failure:
            code = one_failed(failure)
    return code


@network.command("prune")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@explain_option
def prune(force: bool) -> None:
    """Remove all networks without containers, and repair the others."""
    if not force:
        click.confirm("This removes all networks that no container is on. Go on?", abort=True)
    for removed in networks.prune(_store()):
        click.echo(removed.name)


@network.command("connect")
@click.argument("name", metavar="NETWORK")
@click.argument("container")
@click.option("--alias", "aliases", multiple=True, metavar="NAME")
@click.option("--ip", default="", metavar="ADDRESS")
@click.option("--ip6", default="", metavar="ADDRESS")
@explain_option
def connect(name: str, container: str, aliases: tuple[str, ...], ip: str, ip6: str) -> None:
    """Put a running container on one more network."""
    store = _store()
    for address in (ip, ip6):
        if address:
            addresses.number(address)
    wants = Attachment(name, tuple(aliases), ip, ip6)
    membership.connect(store, find_container(store, container), wants)


@network.command("disconnect")
@click.argument("name", metavar="NETWORK")
@click.argument("container")
@click.option("-f", "--force", is_flag=True, help="Accepted as in Docker.")
@explain_option
def disconnect(name: str, container: str, force: bool) -> None:
    """Take a container off a network."""
    store = _store()
    membership.disconnect(store, find_container(store, container), store.find(name))


@network.command("map")
@click.option("--svg", "form", flag_value="svg", help="As SVG.")
@click.option("--mermaid", "form", flag_value="mermaid", help="As a Mermaid flowchart.")
def map_command(form: str | None) -> None:
    """Draw bridges, cables, addresses, published ports and containers."""
    drawn = drawing.look(_store())
    if form == "svg":
        click.echo(drawing.svg(drawn), nl=False)
    elif form == "mermaid":
        click.echo(drawing.mermaid(drawn), nl=False)
    else:
        _console().print(drawing.tree(drawn))


@network.command("heal")
@explain_option
def heal() -> None:
    """Make again what of the networks somebody else has removed: bridges, cables, rules."""
    store = _store()
    with store.lock():
        bridges.heal(store)


@command("port")
@click.argument("container")
@click.argument("private", required=False, metavar="[PORT[/udp]]")
def port(container: str, private: str | None) -> None:
    """Show the published ports of a container."""
    store = _store()
    number, _, protocol = (private or "").partition("/")
    found = published(store, find_container(store, container))
    if private:
        wanted = (number, protocol or "tcp")
        found = [p for p in found if (str(p.container), p.protocol) == wanted]
        if not found:
            raise NotFound(f"port {private} of {container}: not published")
    for one in found:
        where = f"[{one.ip}]" if ":" in one.ip else one.ip or "0.0.0.0"
        left = "" if private else f"{one.container}/{one.protocol} -> "
        click.echo(f"{left}{where}:{one.host}")


@command("ladder")
@click.argument("number", type=int, required=False)
@explain_option
def ladder(number: int | None) -> None:
    """Climb rung NUMBER: built by hand in a private machine, shown, and taken down."""
    from mydocker.network.climbing import climb
    from mydocker.network.ladder import RUNGS, Step

    if number is None:
        for count, rung in enumerate(RUNGS, 1):
            click.echo(f"{count}  {rung.title}")
        return
    if not 1 <= number <= len(RUNGS):
        raise NotFound(f"ladder {number}: no such rung", f"There are 1 to {len(RUNGS)}")
    console = _console()

    def tell(step: Step, typed: str, output: str) -> None:
        from rich.markup import escape

        program = {"ip": "ip -batch -", "nft": "nft -f -", "write": "echo"}.get(step.kind, "")
        mark = "[red]✗[/]" if step.fails else "[green]✓[/]"
        console.print(f"\n{mark} [dim]{step.why}[/]")
        lines = typed.splitlines()
        first, rest = f"{program} {lines[0]}".strip(), lines[1:]
        if step.kind in ("ip", "nft") and (rest or step.kind == "nft"):
            first, rest = f"{program} <<END", [*lines, "END"]
        elif step.kind == "ip":
            first = f"ip {lines[0]}"
        console.print(f"[bold]{step.where}[/] $ {escape(first)}", soft_wrap=True)
        for line in rest:
            console.print(f"    {escape(line)}", soft_wrap=True)
        for line in output.splitlines():
            console.print(f"  [cyan]{escape(line)}[/]", soft_wrap=True)

    console.print(f"[bold]Rung {number}: {RUNGS[number - 1].title}[/]")
    climb(RUNGS[number - 1], tell)
    console.print("\n[dim]All of it is gone now.[/]")
