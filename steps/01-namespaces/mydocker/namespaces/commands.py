"""The commands about namespaces that are there: ``list``, ``inspect``, ``enter``."""

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from mydocker.container.commandline import default_run, explain_option, finish
from mydocker.container.flags import command
from mydocker.kernel.errors import Failure
from mydocker.kernel.records import asdict
from mydocker.namespaces import joining, survey
from mydocker.namespaces.kinds import KINDS, flags_of
from mydocker.namespaces.options import (
    chosen_kinds,
    kind_options,
    process_from_here,
    process_options,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text
    from rich.tree import Tree

_json_option = click.option("--json", "as_json", is_flag=True, help="For programs to read.")


@command("list")
@click.option(
    "-t",
    "--type",
    "kinds",
    multiple=True,
    type=click.Choice([kind.name for kind in KINDS]),
    help="This kind only; may be given several times.",
)
@_json_option
def list_namespaces(kinds: tuple[str, ...], as_json: bool) -> None:
    """List the machine's namespaces: kind, inode, processes, lowest PID and its command."""
    found = [one for one in survey.machine() if not kinds or one.kind in kinds]
    if as_json:
        print(json.dumps([asdict(namespace) for namespace in found], indent=2))
        return
    table = _table("NS", "TYPE", "NPROCS", "PID", "USER", "COMMAND")
    for one in found:
        counted = str(len(one.processes)), str(one.processes[0])
        table.add_row(str(one.inode), one.kind, *counted, one.user, _short(one.command))
    for number in (0, 2, 3):
        table.columns[number].justify = "right"
    _console().print(table)


@command("inspect")
@click.argument("pid", type=click.IntRange(min=1))
@_json_option
def inspect(pid: int, as_json: bool) -> None:
    """Show the namespaces of the process PID, which processes share them, and what is in them."""
    portrait = survey.portrait(pid)
    try:
        host_name = joining.host_name(pid)
    except Failure:
        host_name = ""
    if as_json:
        print(json.dumps({**asdict(portrait), "host_name": host_name}, indent=2))
        return
    console = _console()
    console.print(f"process {pid}: {portrait.command}", soft_wrap=True)
    console.print(_facts(portrait, host_name))
    console.print()
    console.print(_namespaces(portrait))
    console.print()
    console.print(_processes(portrait))


def _facts(portrait: survey.Portrait, host_name: str) -> "Table":
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_row("user", portrait.user)
    table.add_row("host name inside", host_name or "(only root can ask)")
    table.add_row("root directory", portrait.root)
    table.add_row("uid map", _maps(portrait.uid_map))
    table.add_row("gid map", _maps(portrait.gid_map))
    return table


def _maps(mappings: tuple[Any, ...]) -> str:
    if not mappings:
        return "none: everybody inside is nobody"
    lines = [
        f"{m.inside} inside is {m.outside} outside, {m.count} id{'s' if m.count > 1 else ''}"
        for m in mappings
    ]
    return "\n".join(lines)


_WHOSE = {"host": "the host's", "yours": "yours", "own": "its own"}


def _namespaces(portrait: survey.Portrait) -> "Table":
    table = _table("TYPE", "NS", "WHOSE", "SHARED WITH")
    for one in portrait.namespaces:
        pids = " ".join(map(str, one.others))
        shared = f"{len(one.others)}: {pids}" if one.others else "nobody"
        table.add_row(one.kind, str(one.inode), _WHOSE[one.whose], _short(shared))
    table.columns[1].justify = "right"
    return table


def _processes(portrait: survey.Portrait) -> "Tree":
    """The processes of the PID namespace as a tree; its roots are those whose parent is outside."""
    from rich.tree import Tree

    tree = Tree("processes in its PID namespace (PID inside, outside, user, memory, command)")
    nodes: dict[int, Tree] = {}
    waiting = {member.pid: member for member in portrait.members}

    def place(member: survey.Member) -> Tree:
        if member.pid not in nodes:
            parent = waiting.get(member.parent)
            above = place(parent) if parent else tree
            memory = f"{member.memory / 2**20:.1f}M"
            numbers = f"{member.inside} ({member.pid})"
            text = f"{numbers} {member.user} {memory} {member.command}"
            nodes[member.pid] = above.add(_short(text))
        return nodes[member.pid]

    for member in portrait.members:
        place(member)
    return tree


@command("enter", context_settings={"allow_interspersed_args": False})
@kind_options
@process_options
@explain_option
@click.argument("pid", type=click.IntRange(min=1))
@click.argument("command", nargs=-1, required=True)
def enter(pid: int, command: tuple[str, ...], **options: Any) -> None:
    """Run COMMAND in the namespaces of the process PID: those named, or all that differ."""
    named = chosen_kinds(options)
    process = process_from_here(options, command)
    flags = flags_of(named) if named else None
    finish(joining.enter(pid, process, flags, run_directory=default_run()))


def _console() -> "Console":
    from mydocker.container.printing import console

    # Names of processes are not ours: no markup, no emoji. In a pipe, 80 columns.
    width = None if sys.stdout.isatty() else 80
    return console(highlight=False, emoji=False, markup=False, width=width)


def _table(*columns: str) -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns[:-1]:
        table.add_column(column, no_wrap=True)
    table.add_column(columns[-1])  # what does not fit is taken from here
    return table


def _short(text: str) -> "Text":
    """Text that stays on one line and is cut where the line ends."""
    from rich.text import Text

    return Text(text, no_wrap=True, overflow="ellipsis")
