"""A picture of all networks: bridges, cables, addresses, published ports, containers.

For the terminal as a tree (rich), as Mermaid's text (https://mermaid.js.org), and as SVG.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mydocker.kernel.records import record
from mydocker.network import host
from mydocker.network.store import Endpoint, Network, Published, Store

if TYPE_CHECKING:
    from rich.tree import Tree


@record
class Drawn:
    """One network as it is on the machine now: is its bridge there, and each container's link?"""

    network: Network
    up: bool
    endpoints: tuple[tuple[Endpoint, bool], ...]


def look(store: Store) -> list[Drawn]:
    """All networks, in the order in which they were made."""
    return [
        Drawn(
            network,
            host.has_link(network.bridge),
            tuple((e, host.has_link(e.link)) for e in store.endpoints(network)),
        )
        for network in store.networks()
    ]


def port_text(port: Published) -> str:
    """``8080 → 80/tcp``, with the address if it is published on one only."""
    where = f"[{port.ip}]" if ":" in port.ip else port.ip
    return f"{where + ':' if where else ''}{port.host} → {port.container}/{port.protocol}"


def tree(drawn: list[Drawn]) -> "Tree":
    """For the terminal."""
    from rich.markup import escape
    from rich.tree import Tree

    root = Tree("[bold]this machine[/]")
    for one in drawn:
        network = one.network
        kind = " [red]internal[/]" if network.internal else ""
        missing = "" if one.up else " [dim](not up)[/]"
        branch = root.add(
            f"[bold cyan]{network.bridge}[/] network [bold]{network.name}[/]{kind}{missing}"
        )
        for subnet, gateway in network.subnets:
            branch.add(f"[dim]{subnet}, gateway {gateway}[/]")
        for endpoint, plugged in one.endpoints:
            cable = endpoint.link if plugged else f"[red]{endpoint.link} is missing[/]"
            leaf = branch.add(
                f"{cable} ── {endpoint.interface}  [green]{', '.join(endpoint.addresses)}[/]  "
                f"[bold yellow]{escape(endpoint.name)}[/] [dim]{endpoint.container[:12]}[/]"
            )
            for port in endpoint.ports:
                leaf.add(f"[magenta]port {port_text(port)}[/]")
    return root


def mermaid(drawn: list[Drawn]) -> str:
    """As a Mermaid flowchart: paste it into a Markdown file."""
    lines = ["flowchart LR", "  outside((outside))"]
    for number, one in enumerate(drawn):
        network = one.network
        label = f"{network.bridge}<br/>{network.name}<br/>{network.subnet}"
        lines.append(f'  n{number}["{label}"]')
        if not network.internal:
            lines.append(f"  n{number} ---|NAT| outside")
        for endpoint, _ in one.endpoints:
            ident = f"c{endpoint.container[:12]}"
            lines.append(f'  {ident}["{endpoint.name}"]')
            label = "<br/>".join([endpoint.link, *endpoint.addresses])
            lines.append(f'  {ident} ---|"{label}"| n{number}')
            lines += [f'  outside -->|"{port_text(port)}"| {ident}' for port in endpoint.ports]
    return "\n".join(lines) + "\n"


_ROW, _TOP, _WIDTH = 46, 40, 760


def svg(drawn: list[Drawn]) -> str:
    """As SVG: a box for each bridge, its containers beside it, a line for each cable."""
    parts: list[str] = []
    y = _TOP
    for one in drawn:
        rows = max(1, len(one.endpoints))
        parts += _svg_network(one, y, rows * _ROW - 10)
        y += rows * _ROW + 20
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y}" '
            'font-family="sans-serif" font-size="13">',
            '<rect width="100%" height="100%" fill="white"/>',
            '<text x="20" y="24" font-weight="bold">this machine</text>',
            *parts,
            "</svg>\n",
        ]
    )


def _svg_network(one: Drawn, y: int, height: int) -> Iterator[str]:
    network = one.network
    colour = "#fde8e8" if network.internal else "#e3f2fd"
    yield _box(20, y, 250, height, colour)
    yield _text(30, y + 16, f"{network.bridge} ({network.name})")
    yield _text(30, y + 31, f"{network.subnet}{'' if one.up else ', not up'}")
    for row, (endpoint, plugged) in enumerate(one.endpoints):
        top = y + row * _ROW
        dash = "" if plugged else ' stroke-dasharray="4"'
        yield f'<line x1="270" y1="{top + 18}" x2="450" y2="{top + 18}" stroke="#555"{dash}/>'
        yield _text(280, top + 13, endpoint.link)
        yield _box(450, top, 290, _ROW - 10, "#e8f5e9")
        yield _text(460, top + 15, f"{endpoint.name}  {', '.join(endpoint.addresses)}")
        yield _text(460, top + 30, ", ".join(map(port_text, endpoint.ports)))


def _box(x: int, y: int, width: int, height: int, colour: str) -> str:
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" '
        f'fill="{colour}" stroke="#888"/>'
    )


def _text(x: int, y: int, text: str) -> str:
    safe = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f'<text x="{x}" y="{y}">{safe}</text>'
