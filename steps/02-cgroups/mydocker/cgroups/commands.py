"""The commands about groups: in step 02's ``main.py``, and as ``mydocker cgroup …``.

They look at every group of the machine, and change only those below our own parent: a group that
somebody else made, systemd's or another container engine's, is none of our business.
"""

import os
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click

from mydocker.cgroups import (
    changing,
    controllers,
    devices,
    freezer,
    hierarchy,
    protection,
    rules,
    settings,
    statistics,
)
from mydocker.cgroups.cgroup import Cgroup, names_below
from mydocker.cgroups.limits import Limits
from mydocker.cgroups.options import limit_options, limits_from, told
from mydocker.cgroups.part import disposable_above, own_parent, parent_path
from mydocker.container.commandline import LazyGroup, explain_option
from mydocker.kernel import files
from mydocker.kernel.errors import Conflict, Invalid, KernelError, NotFound, NotPermitted
from mydocker.kernel.records import replace
from mydocker.kernel.sizes import parse_size, size_text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.tree import Tree


@click.group("cgroup", cls=LazyGroup)
def cgroup_command() -> None:
    """Look at control groups, and make, set and remove groups of your own."""


def _command(name: str) -> Callable[[Callable[..., None]], click.Command]:
    return cgroup_command.command(name)


def _console() -> "Console":
    from mydocker.container.printing import console

    return console(highlight=False, emoji=False, markup=False)


def _table(*columns: str) -> "Table":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    # In a pipe no lines are drawn: what reads it wants the words alone.
    box = SIMPLE_HEAD if sys.stdout.isatty() else None
    table = Table(box=box, pad_edge=False, header_style="bold", show_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


# ---------------------------------------------------------------- which group is meant


def _path(name: str) -> str:
    """``demo`` is the group demo below our parent; ``/a/b`` is a path from the root."""
    if name.startswith("/"):
        return parent_path(name) if name.strip("/") else ""
    parent = own_parent()
    path = parent_path(name)
    return path if path == parent or path.startswith(f"{parent}/") else f"{parent}/{path}"


def _readable(name: str) -> Cgroup:
    """A group that is there, anybody's."""
    group = Cgroup(_path(name), hierarchy.read())
    if not group.exists:
        raise NotFound(f"no such group: /{group.path}", "The command tree shows the groups")
    return group


def _ours(name: str) -> Cgroup:
    """A group that we may change, there or not."""
    path, parent = _path(name), own_parent()
    if not path.startswith(f"{parent}/"):
        raise NotPermitted(
            f"/{path} is not below /{parent}, so it is not ours to change",
            "Groups made by others may be looked at; with MYDOCKER_CGROUP_PARENT you choose "
            "another parent of your own",
        )
    return Cgroup(path, hierarchy.read())


def _our_living(name: str) -> Cgroup:
    group = _ours(name)
    return _readable(f"/{group.path}")


# ---------------------------------------------------------------- the machine


@_command("hierarchies")
def hierarchies_command() -> None:
    """Show who sits where, and check the four rules."""
    machine, console = hierarchy.read(), _console()
    title = {
        "v1": "cgroup v1: several hierarchies",
        "v2": "cgroup v2: one hierarchy for all",
        "hybrid": "hybrid: v1 and v2 side by side",
    }
    console.print(title.get(machine.world, "no cgroup hierarchy is mounted"))
    console.print()
    table = _table("VERSION", "MOUNTED ON", "SUBSYSTEMS", "SHOWS")
    for found in machine.hierarchies:
        name = f"(name={found.name})" if found.name else "(none)"
        table.add_row(
            f"v{found.version}", found.mountpoint, ", ".join(found.controllers) or name, found.root
        )
    console.print(table)
    console.print()
    for number, finding in enumerate(rules.check(machine), 1):
        holds = not finding.exceptions
        console.print(f"{number}. {finding.rule}: {'holds' if holds else 'broken'}", style="bold")
        found_text = finding.evidence if holds else f"except {'; '.join(finding.exceptions)}"
        console.print(f"   {found_text}")


@_command("subsystems")
def subsystems_command() -> None:
    """Show what each subsystem does, and is it here."""
    machine = hierarchy.read()
    table = _table("SUBSYSTEM", "HERE", "WHAT IT DOES, AND ITS FILES")
    for controller in controllers.CONTROLLERS:
        here, where = controllers.presence(machine, controller)
        v2 = ", ".join(controller.v2_files) or controller.built_in
        v1 = ", ".join(controller.v1_files)
        lines = [controller.does, f"v1: {v1}" if v1 else "", f"v2: {v2}" if v2 else ""]
        name = controller.name
        if controller.v2 not in ("", name):
            name = f"{name} (v2: {controller.v2})"
        table.add_row(name, where, "\n".join(filter(None, lines)), style="" if here else "dim")
    _console().print(table)


@_command("tree")
@click.argument("name", default="/")
@click.option("--in", "label", metavar="SUBSYSTEM", help="Only the hierarchy that has it.")
@click.option("-p", "--processes", is_flag=True, help="Name the processes in each group.")
def tree_command(name: str, label: str | None, processes: bool) -> None:
    """Show the groups, and how many processes they hold.

    Those below NAME, by default all, in each hierarchy.
    """
    group, console = Cgroup(_path(name), hierarchy.read()), _console()
    wanted = group.machine.hierarchies
    if label is not None:
        found = group.hierarchy_of("cgroup" if label in ("unified", "v2") else label)
        if found is None:
            raise controllers.missing(group.machine, controllers.named(label), f"--in {label}")
        wanted = (found,)
    wanted = tuple(h for h in wanted if os.path.isdir(h.directory(group.path)))
    if not wanted:
        raise NotFound(f"no such group: /{group.path}", "The command tree shows the groups")
    for one in wanted:
        title = f"{one.label} on {one.mountpoint}"
        console.print(_tree(one, group.path, title, processes))


def _tree(where: hierarchy.Hierarchy, path: str, title: str, processes: bool) -> "Tree":
    from rich.text import Text
    from rich.tree import Tree

    tree = Tree(Text(title, style="bold"), guide_style="dim")
    _grow(tree, where.directory(path), f"/{path}", processes)
    return tree


def _grow(tree: "Tree", directory: str, name: str, processes: bool) -> None:
    from rich.text import Text

    try:
        pids = [int(pid) for pid in files.read(f"{directory}/cgroup.procs").split()]
    except KernelError:
        return  # removed meanwhile, or a threaded group of v2
    many = f"{len(pids)} process{'' if len(pids) == 1 else 'es'}"
    branch = tree.add(Text(f"{name}  ({many})"))
    if processes:
        for pid in sorted(pids):
            branch.add(Text(f"{pid} {_command_line(pid)}"[:100], style="cyan"))
    for each in names_below(directory) or ():
        _grow(branch, f"{directory}/{each}", each, processes)


def _command_line(pid: int) -> str:
    try:
        text = files.read(f"/proc/{pid}/cmdline").replace("\0", " ").strip()
        return text or f"[{files.read(f'/proc/{pid}/comm')}]"
    except KernelError:
        return "(gone)"


# ---------------------------------------------------------------- make, set, get, remove


@_command("create")
@click.argument("name")
@limit_options
@explain_option
def create_command(name: str, **options: Any) -> None:
    """Make a group in every hierarchy, with limits."""
    group, limits = _ours(name), _limits(options)
    if group.exists:
        raise Conflict(f"/{group.path} is there already", "Change it with the command set")
    plan = settings.plan(limits, group.machine)
    above = disposable_above(os.path.dirname(group.path), group.machine)
    try:
        group.create(frozenset(setting.controller for setting in plan))
        group.apply(plan)
        if limits.devices is not None:
            devices.restrict(group, limits.devices)
        if limits.memory_reservation is not None:
            protection.pass_down(group, own_parent())
    except BaseException:
        group.remove(above)
        raise
    click.echo(f"/{group.path}")


@_command("set")
@click.argument("name")
@click.argument("values", nargs=-1, metavar="[FILE=VALUE]...")
@limit_options
@explain_option
def set_command(name: str, values: tuple[str, ...], **options: Any) -> None:
    """Change the limits of a group.

    By options, or file by file: a size in VALUE may be written as 100M. Example: set demo
    memory.max=100M
    """
    group, asked = _our_living(name), told(options)
    if not values and not asked:
        raise Invalid("nothing to set", "Say a limit, as -m 100M, or FILE=VALUE: pids.max=20")
    if absent := _to_hand_on(group, values):
        group.create(absent)
    pairs = [_pair(group, text) for text in values]
    allowed = asked.pop("devices", None)
    before = changing.held(group)
    changing.change(group, before, before.changed(asked), own_parent())
    if allowed:
        devices.restrict(group, allowed)
    for path, value in pairs:
        files.write(path, value, why="a limit, set by hand")


def _limits(options: dict[str, Any]) -> Limits:
    limits = limits_from(options)
    return limits if limits.devices else replace(limits, devices=None)


def _to_hand_on(group: Cgroup, values: tuple[str, ...]) -> frozenset[str]:
    """v2: the controllers of the files in ``values`` that the groups above shall hand on first."""
    names = {text.partition("=")[0].partition(".")[0] for text in values}
    unified = group.machine.unified
    return frozenset(names & set(unified.controllers if unified else ()))


def _pair(group: Cgroup, text: str) -> tuple[str, str]:
    file, equals, value = text.partition("=")
    if not equals or not value or "/" in file or "." not in file:
        raise Invalid(f"'{text}' is not FILE=VALUE", "Write it as pids.max=20 or memory.max=100M")
    path = group.file(file)
    if not os.path.exists(path):
        raise NotFound(f"group /{group.path} has no file {file}", f"ls {os.path.dirname(path)}")
    if value[:1].isdigit() and value[-1:].lower() in "kmgt" and value[:-1].isdigit():
        value = str(parse_size(value))
    return path, value


@_command("get")
@click.argument("name")
@click.argument("wanted", nargs=-1, metavar="[FILE]...")
def get_command(name: str, wanted: tuple[str, ...]) -> None:
    """Show a group's files.

    Without FILE, those that the command subsystems names.
    """
    group = _readable(name)
    if len(wanted) == 1:
        click.echo(group.read(wanted[0]))
        return
    for file in wanted or dict.fromkeys(_known_files(group)):
        text = group.read(file) if wanted else group.read_or(file, "\0")
        if text != "\0":
            click.echo(f"{file}: {' | '.join(text.split(chr(10)))}")


def _known_files(group: Cgroup) -> Iterable[str]:
    for controller in controllers.CONTROLLERS:
        version = controllers.version_here(group.machine, controller)
        yield from controller.v1_files if version == hierarchy.V1 else controller.v2_files


@_command("attach")
@click.argument("name")
@click.argument("pids", nargs=-1, type=click.IntRange(min=1), required=True, metavar="PID...")
@explain_option
def attach_command(name: str, pids: tuple[int, ...]) -> None:
    """Move processes into a group.

    Their later children are born there.
    """
    group = _our_living(name)
    if 1 in pids:
        raise NotPermitted(
            "process 1 stays where it is", "Without it the machine stops; its group can be killed"
        )
    for pid in pids:
        group.attach(pid)


@_command("freeze")
@click.argument("name")
@explain_option
def freeze_command(name: str) -> None:
    """Stop all processes of a group, until thaw."""
    freezer.freeze(_our_living(name))


@_command("thaw")
@click.argument("name")
@explain_option
def thaw_command(name: str) -> None:
    """Let the processes of a group go on."""
    freezer.thaw(_our_living(name))


@_command("kill")
@click.argument("name")
@explain_option
def kill_command(name: str) -> None:
    """Kill all processes of a group; none can fork away."""
    killed = freezer.kill(_our_living(name))
    click.echo(f"killed: {len(killed)}")


@_command("remove")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@explain_option
def remove_command(names: tuple[str, ...]) -> None:
    """Remove groups without processes."""
    for name in names:
        group = _our_living(name)
        pids = group.processes()
        if pids:
            shown = ", ".join(map(str, pids[:5])) + (", …" if len(pids) > 5 else "")
            raise Conflict(
                f"/{group.path} is not empty: {shown}", "End its processes first: the command kill"
            )
        group.remove(Cgroup(own_parent(), group.machine).directories)
        protection.pass_down(group, own_parent())


# ---------------------------------------------------------------- statistics


@_command("stats")
@click.argument("names", nargs=-1, metavar="[NAME]...")
def stats_command(names: tuple[str, ...]) -> None:
    """Show what groups used, and which limits they hit.

    Without NAME, all groups of ours.
    """
    console = _console()
    for name in names or _all_ours():
        group = _readable(name)
        console.print(f"/{group.path}", style="bold", soft_wrap=True)
        table = _table("", "")
        table.show_header = False
        for row in _rows(statistics.of(group)):
            table.add_row(*row)
        console.print(table)


def _all_ours() -> list[str]:
    parent = Cgroup(own_parent(), hierarchy.read())
    found = {name for directory in parent.directories for name in names_below(directory) or ()}
    return [f"/{parent.path}/{name}" for name in sorted(found)]


def _rows(stats: statistics.Statistics) -> Iterable[tuple[str, str]]:
    if stats.memory is not None:
        limit = size_text(stats.memory_limit) if stats.memory_limit is not None else "no limit"
        yield "memory", f"{size_text(stats.memory)} of {limit}"
        if stats.memory_peak is not None:
            yield "memory, at most", size_text(stats.memory_peak)
        if stats.memory_cache is not None:
            yield "memory, unused cache", size_text(stats.memory_cache)
        yield "memory limit reached", f"{stats.memory_failures or 0} times"
        yield "killed for memory", str(stats.oom_kills)
    if stats.cpu is not None:
        yield "cpu", _seconds(stats.cpu)
        yield "cpu in user, kernel", f"{_seconds(stats.cpu_user)}, {_seconds(stats.cpu_system)}"
    if stats.periods is not None:
        of_all = f"{stats.throttled} of {stats.periods} periods"
        yield "cpu throttled", f"{of_all}, {_seconds(stats.throttled_time)} in all"
    if stats.pids is not None:
        limit = "no limit" if stats.pids_limit is None else str(stats.pids_limit)
        yield "tasks", f"{stats.pids} of {limit}; refused {stats.pids_refused or 0} times"
    if stats.read_bytes is not None and stats.written_bytes is not None:
        yield "read from disks", f"{size_text(stats.read_bytes)} in {stats.reads} requests"
        yield "written to disks", f"{size_text(stats.written_bytes)} in {stats.writes} requests"
    for line in stats.pressure:
        averages = f"{line.ten:g}, {line.sixty:g}, {line.three_hundred:g} %"
        yield f"{line.resource} pressure, {line.kind}", f"{averages} of the last 10, 60, 300 s"


def _seconds(nanoseconds: int | None) -> str:
    return "-" if nanoseconds is None else f"{nanoseconds / 1e9:.3f} s"
