"""``mydocker xray``: one picture of a running container, from its namespaces to its processes."""

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from mydocker.cli.completion import container_names
from mydocker.cli.store import containers
from mydocker.container import printing
from mydocker.container.flags import command

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.panel import Panel
    from rich.text import Text

Json = dict[str, Any]
_WIDE = 120  # columns from which on the panels stand side by side
_WHOSE = {"own": ("its own", "green"), "host": ("the host's", "red"), "yours": ("yours", "yellow")}
_WORTHY = ("proc", "sysfs", "tmpfs", "devpts", "mqueue", "overlay", "cgroup", "cgroup2")


@command()
@click.option("--json", "as_json", is_flag=True, help="For programs to read.")
@click.argument("container", shell_complete=container_names)
def xray(container: str, as_json: bool) -> None:
    """Show what CONTAINER is made of: namespaces, limits, layers, mounts, cables, powers.

    Everything is asked of the kernel at this moment, and nothing of what was once configured.
    """
    from mydocker.engine.looking.xray import xray as look

    shown = look(containers(), container)
    if as_json:
        print(json.dumps(shown, indent=2))
        return
    _draw(shown)


def _draw(shown: Json) -> None:
    from rich.console import Group
    from rich.table import Table

    # In a pipe there is no terminal to ask: 100 columns. Names in a container are not ours: no
    # markup, no emoji.
    width = None if sys.stdout.isatty() else 100
    console = printing.console(highlight=False, emoji=False, markup=False, width=width)
    console.print(_head(shown))
    left = [_namespaces(shown), _security(shown), _processes(shown)]
    right = [_cgroup(shown), _layers(shown), _network(shown), _mounts(shown)]
    if console.width < _WIDE:
        for panel in (left[0], right[0], right[1], right[2], right[3], left[1], left[2]):
            console.print(panel)
        return
    grid = Table.grid(expand=True, padding=(0, 1, 0, 0))
    grid.add_column(ratio=1)
    grid.add_column(ratio=1)
    grid.add_row(Group(*left), Group(*right))
    console.print(grid)


def _panel(title: str, hint: str, body: "RenderableType", colour: str) -> "Panel":
    from rich.panel import Panel
    from rich.text import Text

    heading = Text.assemble((title, f"bold {colour}"), (f"  {hint}" if hint else "", "dim"))
    return Panel(body, title=heading, title_align="left", border_style=colour, padding=(0, 1))


def _rows(*columns: str) -> Any:
    from rich.table import Table

    table = Table.grid(padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(
            justify="right" if column == "number" else "left",
            no_wrap=column != "wrap",
            overflow="ellipsis" if column != "wrap" else "fold",
            ratio=1 if column == "rest" else None,
        )
    table.expand = "rest" in columns
    return table


def _text(text: object, style: str = "") -> "Text":
    from rich.text import Text

    return Text(str(text), style=style)


def _head(shown: Json) -> "RenderableType":
    from rich.text import Text

    style = "green" if shown["status"] == "running" else "yellow"
    return Text.assemble(
        (f" {shown['name']} ", f"bold reverse {style}"),
        f"  {shown['id'][:12]}  ",
        (f"{shown['status']} ", style),
        ("of image ", "dim"),
        f"{shown['image']}",
        (", command ", "dim"),
        " ".join(shown["command"]),
        (f", PID {shown['pid']} on the host, monitor {shown['monitor']}", "dim"),
    )


def _namespaces(shown: Json) -> "Panel":
    table = _rows("kind", "number", "whose", "rest")
    for one in shown["namespaces"]:
        whose, style = _WHOSE[one["whose"]]
        others = [pid for pid in one["others"] if pid != shown["pid"]]
        shared = f"with {len(others)} more: {' '.join(map(str, others[:6]))}" if others else ""
        shared = "" if one["whose"] == "host" else shared
        table.add_row(
            _text(one["kind"], "bold"), str(one["inode"]), _text(whose, style), _text(shared, "dim")
        )
    return _panel("namespaces", f"ls -l /proc/{shown['pid']}/ns", table, "cyan")


def _cgroup(shown: Json) -> "Panel":
    table = _rows("what", "number", "number", "rest")
    for one in shown["cgroup"]["use"]:
        used, limit = _number(one["used"], one["unit"]), one["limit"]
        bar = _bar(one["used"], limit) if limit else _text("")
        told = f"of {_number(limit, one['unit'])}" if limit else ""
        table.add_row(_text(one["what"], "bold"), used, _text(told, "dim"), bar)
    path = shown["cgroup"]["path"] or "none"
    return _panel("control group", path[:-52] if len(path) > 64 else path, table, "yellow")


def _number(value: int, unit: str) -> str:
    from mydocker.cli.looking import binary

    if unit == "bytes":
        return binary(value)
    if unit == "nanoseconds":
        return f"{value / 1e9:.2f} s"
    return str(value)


def _bar(used: int, limit: int) -> "Text":
    share = min(1.0, used / limit)
    full = round(share * 16)
    style = "red" if share > 0.9 else "yellow" if share > 0.7 else "green"
    return _text("█" * full + "░" * (16 - full) + f" {100 * share:.0f}%", style)


def _layers(shown: Json) -> "Panel":
    from mydocker.overlay2.image_list import size

    table = _rows("use", "id", "number", "number", "rest")
    table.add_row(
        _text("merged", "bold"),
        _text("what it sees as /", "dim"),
        "",
        "",
        _text("↓ read from", "dim"),
    )
    for one in shown["layers"]:
        use, style = ("writable", "bold yellow") if one["writable"] else ("read-only", "")
        gone = f"{one['whiteouts']} deleted" if one["whiteouts"] else ""
        table.add_row(
            _text(use, style), one["id"][:12], size(one["size"]), f"{one['files']} files",
            _text(gone, "red"),
        )  # fmt: skip
    return _panel("layers", "overlay2, the top one first", table, "magenta")


def _network(shown: Json) -> "Panel":
    from rich.console import Group

    if not shown["network"]:
        return _panel("network", "", _text("no cable of its own", "dim"), "blue")
    lines = []
    for one in shown["network"]:
        addresses = ", ".join(one["addresses"])
        line = _text("")
        line.append(one["interface"], "bold").append(f" {addresses} ", "green")
        line.append("── ", "dim").append(one["link"]).append(" ── ", "dim")
        line.append(one["bridge"], "bold").append(f" {one['gateway']} ({one['network']})", "dim")
        lines.append(line)
        for port in one["ports"]:
            where = f"{port['ip'] or '0.0.0.0'}:{port['host']}"
            text = f"  host {where} → {port['container']}/{port['protocol']}, by nftables"
            lines.append(_text(text, "cyan"))
    return _panel("network", "its link ── the veth's other end ── bridge", Group(*lines), "blue")


def _mounts(shown: Json) -> "Panel":
    table = _rows("target", "type", "what", "rest")
    hidden = 0
    for one in shown["mounts"]:
        guarded = one["target"].startswith(("/proc/", "/sys/")) and one["type"] not in ("cgroup2",)
        if guarded:
            hidden += 1
            continue
        note = _text("read-only", "yellow") if one["read_only"] else _text("")
        own = one["type"] in _WORTHY or one["root"] == "/"
        source = one["source"] if own else one["root"]
        table.add_row(_text(one["target"], "bold"), one["type"], note, _text(source, "dim"))
    if hidden:
        text = f"and {hidden} over places in /proc and /sys: read-only or hidden"
        table.add_row(_text("…", "dim"), "", "", _text(text, "dim"))
    return _panel("mounts", f"/proc/{shown['pid']}/mountinfo", table, "green")


def _security(shown: Json) -> "Panel":
    told = shown["security"]
    table = _rows("what", "wrap")
    held = told["effective"]
    names = ", ".join(name.removeprefix("CAP_").lower() for name in held) or "none"
    table.add_row(_text("capabilities", "bold"), _text(f"{len(held)}: {names}"))
    if extra := [name for name in told["bounding"] if name not in held]:
        more = ", ".join(name.removeprefix("CAP_").lower() for name in extra)
        table.add_row(_text("in reach", "bold"), _text(more, "dim"))
    filters = f", {told['seccomp_filters']} program" if told["seccomp_filters"] else ""
    style = "green" if told["seccomp"] == "filter" else "red"
    table.add_row(_text("seccomp", "bold"), _text(f"{told['seccomp']}{filters}", style))
    privileges = "set" if told["no_new_privileges"] else "not set: set-uid programs work"
    table.add_row(_text("no_new_privs", "bold"), _text(privileges))
    maps = [f"{m['inside']} is {m['outside']} outside, {m['count']} ids"
            for m in shown["maps"]["uid"]]  # fmt: skip
    own = any(one["kind"] == "user" and one["whose"] == "own" for one in shown["namespaces"])
    users = "; ".join(maps) if own else "root inside is root outside, with the powers above"
    table.add_row(_text("users", "bold"), _text(users))
    if told["apparmor"]:
        table.add_row(_text("apparmor", "bold"), _text(told["apparmor"]))
    return _panel("powers", f"/proc/{shown['pid']}/status", table, "red")


def _processes(shown: Json) -> "Panel":
    from rich.tree import Tree

    root = Tree(_text("PID inside (outside), user, memory, command", "dim"), guide_style="dim")
    members = {one["pid"]: one for one in shown["processes"]}
    nodes: dict[int, Tree] = {}

    def place(one: Json) -> "Tree":
        if one["pid"] not in nodes:
            parent = members.get(one["parent"])
            line = _text("")
            line.append(str(one["inside"]), "bold").append(f" ({one['pid']}) ", "dim")
            line.append(f"{one['user']} {_number(one['memory'], 'bytes')} ", "dim")
            line.append(one["command"])
            line.no_wrap, line.overflow = True, "ellipsis"
            nodes[one["pid"]] = (place(parent) if parent else root).add(line)
        return nodes[one["pid"]]

    for one in shown["processes"]:
        place(one)
    return _panel("processes", "", root, "white")
