"""What can be asked about layers: ``layers``, ``diff``, ``trace-file``."""

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from mydocker.container.flags import command
from mydocker.container.printing import shown
from mydocker.overlay2 import lookup
from mydocker.overlay2.diff import Contents, changes, contents
from mydocker.overlay2.image_list import size
from mydocker.overlay2.lookup import Sighting
from mydocker.overlay2.root_option import root_option
from mydocker.overlay2.stacks import Stack, container_stack, find_stack, readable
from mydocker.overlay2.trace_file import Trace, trace

if TYPE_CHECKING:
    from rich.console import Console


def _console() -> "Console":
    from mydocker.container.printing import console

    # In a pipe there is no terminal to ask: 80 columns, and no colours.
    return console(highlight=False, width=None if sys.stdout.isatty() else 80)


@command("layers")
@click.argument("name")
@root_option
@readable()
def layers(name: str, root: str) -> None:
    """Show the layers of NAME, a container or an image, as they lie on each other."""
    from rich import box
    from rich.table import Table

    stack = find_stack(root, name)
    shape = box.ROUNDED if sys.stdout.isatty() else None
    table = Table(
        box=shape,
        title=stack.title,
        title_justify="left",
        title_style="bold",
        pad_edge=shape is not None,
    )
    for heading in ("layer", "use"):
        table.add_column(heading, no_wrap=True)
    for heading in ("files", "size", "whiteouts", "opaque"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("link", no_wrap=True)
    for number, layer in enumerate(stack.layers):
        own = stack.writable and number == 0
        use, style = ("writable", "bold yellow") if own else ("read-only", "")
        table.add_row(
            layer.id[:12], use, *_row(contents(layer.diff)), f"{layer.short[:8]}…", style=style
        )
    console = _console()
    console.print(table)
    console.print("Read from the top down: the first layer that has a name decides.", style="dim")


def _row(found: Contents) -> list[str]:
    return [str(found.files), size(found.size), str(found.whiteouts), str(found.opaque)]


@command("diff")
@click.argument("container")
@root_option
@readable()
def diff(container: str, root: str) -> None:
    """List what CONTAINER changed: A added, C changed, D deleted."""
    directories = container_stack(root, container).directories
    for change in changes(directories[0], directories[1:]):
        _print_raw(str(change))


def _print_raw(line: str) -> None:
    """Print a line that holds names of files: any bytes but zero, UTF-8 or not."""
    sys.stdout.buffer.write(shown(line).encode(errors="surrogateescape") + b"\n")


@command("trace-file")
@click.argument("name")
@click.argument("path")
@root_option
@readable()
def trace_file(name: str, path: str, root: str) -> None:
    """Tell which layer of NAME, a container or an image, the file PATH comes from."""
    stack = find_stack(root, name)
    found = trace(path, stack.directories, stack.writable)
    console = _console()
    for line, style in _story(stack, found):
        console.print(line, style=style, markup=False, soft_wrap=True)


def _story(stack: Stack, found: Trace) -> Iterable[tuple[str, str]]:
    yield f"{found.path} in {stack.title}", "bold"
    for link in found.links:
        yield f"  by the link {link}", "dim"
    sightings = {sighting.layer: sighting for sighting in found.sightings}
    for number, layer in enumerate(stack.layers):
        role = ", writable" if stack.writable and number == 0 else ""
        told, style = _told(sightings.get(number), found.visible)
        yield f"  {number}  {layer.id[:12]}{role}: {told}", style
    for parent, places in found.way:
        for place in places:
            if place.opaque and not place.hidden:
                shown = f"{parent} is opaque in layer {place.layer}: nothing below it shows through"
                yield f"  {shown}", "magenta"
    yield from _copy_up(stack, found)


def _told(sighting: Sighting | None, seen: Sighting | None) -> tuple[str, str]:
    if sighting is None:
        return "-", "dim"
    what = f"{sighting.kind}, {size(sighting.size)}" if sighting.size else sighting.kind
    if sighting.opaque:
        what += ", opaque"
    if sighting.metacopy:
        what += ", only owner and mode: the data is below"
    if sighting.hidden:
        return f"{what}, hidden", "dim"
    if sighting.kind == lookup.WHITEOUT:
        return f"{what}: the name is gone, whatever lies below", "red"
    if sighting is seen:
        return f"{what}  <- what the container sees", "bold green"
    return f"{what}, merged with those above", "green"


def _copy_up(stack: Stack, found: Trace) -> Iterable[tuple[str, str]]:
    if found.visible is None:
        yield "The container does not see it. To write there would make a new file.", ""
    elif found.copy_up is None:
        yield "It is in the writable layer already: a write changes it there.", ""
    else:
        where = stack.layers[0].id[:12] if stack.writable else "a container's writable layer"
        directories = "".join(f" {directory}" for directory in found.copy_up.directories)
        made = f", with the directories on the way:{directories}" if directories else ""
        yield f"A write would copy {size(found.copy_up.size)} up to {where}{made}.", ""
        if found.copy_up.breaks_links:
            yield "The file has other names; they would keep the old contents.", "yellow"
