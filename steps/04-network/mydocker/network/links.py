"""Bridges and veth pairs as text for ``ip -batch`` (ip-link(8), ip-address(8), ip-route(8)). Pure.

Each function returns the lines of one whole change, without the word ``ip`` in front.
"""

from collections.abc import Iterable

from mydocker.network import addresses
from mydocker.network.store import Endpoint, Network


def host_name(container: str, index: int) -> str:
    """The host's end of a container's ``index``-th veth pair: 15 bytes, the longest name there is.

    Made from the container's id, so that it is known before the link exists and whoever finds a
    link that was left behind sees whose it was.
    """
    return f"veth{container[:10]}{index:x}"


def bridge(network: Network, *, ipv6: bool, ports: Iterable[str] = ()) -> str:
    """Make a network's bridge with its addresses, and plug the links ``ports`` into it again."""
    subnet, gateway = network.subnets[0]
    # The bridge's own MAC is set: else it is the lowest one of its ports, changes with them, and
    # containers would send to an address that is gone.
    mac = addresses.hardware_address(*addresses.number(gateway))
    lines = [f"link add name {network.bridge} address {mac} mtu {network.mtu} type bridge"]
    if ipv6 and not network.subnet6:
        lines.append(f"link set dev {network.bridge} addrgenmode none")
    lines.append(f"address add {gateway}/{subnet.prefix} dev {network.bridge}")
    if network.subnet6:
        lines.append(_address6(network.subnets[1][1], network.subnets[1][0].prefix, network.bridge))
    lines.append(f"link set dev {network.bridge} up")
    lines += [f"link set dev {port} master {network.bridge} up" for port in ports]
    return _text(lines)


def _address6(address: str, prefix: int, device: str) -> str:
    # nodad: the kernel would ask the network for a second whether somebody has this address, and
    # would not use it meanwhile. We hand addresses out: nobody has.
    return f"address add {address}/{prefix} dev {device} nodad"


def pair(
    network: Network, endpoint: Endpoint, pid: int, *, ipv6: bool, hairpin: bool = False
) -> str:
    """A veth pair: one end on the network's bridge, the other in the namespace of ``pid``.

    ``ipv6``: the kernel has it, and must be told that the host's end gets no address of its own.
    ``hairpin`` lets the bridge send a frame back to where it came from.
    """
    # lab 4.1: a cable into the namespace
    mtu = network.mtu
    lines = [
        f"link add name {endpoint.link} mtu {mtu} master {network.bridge} type veth"
        f" peer name {endpoint.interface} address {endpoint.mac} mtu {mtu} netns {pid}"
    ]
    # The host's end is a plug of the bridge, and needs no address of its own.
    quiet = "addrgenmode none " if ipv6 else ""
    lines.append(f"link set dev {endpoint.link} {quiet}up")
    if hairpin:
        lines.append(f"link set dev {endpoint.link} type bridge_slave hairpin on")
    return _text(lines)
    # end lab


def inside(network: Network, endpoint: Endpoint, *, ipv6: bool, way_out: bool) -> str:
    """Inside the container: the interface's addresses, and the default routes if ``way_out``."""
    device, lines = endpoint.interface, []
    if ipv6 and not endpoint.address6:
        lines.append(f"link set dev {device} addrgenmode none")
    lines.append(f"link set dev {device} up")
    lines.append(f"address add {endpoint.address}/{network.subnets[0][0].prefix} dev {device}")
    if endpoint.address6:
        lines.append(_address6(endpoint.address6, network.subnets[1][0].prefix, device))
    if way_out and not network.internal:
        lines.append(f"route add default via {network.gateway} dev {device}")
        if endpoint.address6:
            lines.append(f"route add ::/0 via {network.gateway6} dev {device}")
    return _text(lines)


def removed(names: Iterable[str]) -> str:
    """Delete links; the other end of a veth pair goes with the one named."""
    return _text([f"link delete dev {name}" for name in names])


def _text(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
