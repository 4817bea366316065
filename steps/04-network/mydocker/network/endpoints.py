"""Where a container meets a network: addresses reserved, cables plugged in and out again."""

import os
import time

from mydocker.kernel import programs
from mydocker.kernel.errors import Invalid
from mydocker.network import addresses, background, bridges, dns, host, ipam, links
from mydocker.network.addresses import Subnet
from mydocker.network.attachment import Attachment
from mydocker.network.store import DEFAULT, Endpoint, Network, Published, Store

# Seconds for which the default network's bridge and firewall stay after its last container. The
# kernel takes them away in 50 to 100 ms, and makes them in 15: for containers that are run one
# after the other, that would be most of each one's start and end.
LINGER = 0.3
_MOST = 16  # networks of one container: the name of a link has one hexadecimal digit for it


def reserve(
    store: Store, network: Network, wants: Attachment, container: str, name: str, index: int
) -> Endpoint:
    """An endpoint with addresses of its own, not yet saved. Raises Failure if none can be had."""
    pairs = network.subnets
    found = []
    for (subnet, gateway), wanted in zip(pairs, (wants.address, wants.address6), strict=False):
        ip_range = Subnet.parse(network.ip_range) if network.ip_range else None
        found.append(
            ipam.reserve(
                store.state(network.id, "addresses"),
                subnet,
                gateway,
                container,
                store.exists,
                ip_range=ip_range if subnet.version == 4 else None,
                wanted=wanted,
            )
        )
    if wants.address6 and len(pairs) < 2:
        raise Invalid(f"--ip6 {wants.address6}: network '{network.name}' has no IPv6")
    mac = wants.mac or addresses.hardware_address(*addresses.number(found[0]))
    return Endpoint(
        network=network.id,
        container=container,
        name=name,
        link=links.host_name(container, index),
        interface=f"eth{index}",
        mac=mac,
        address=found[0],
        address6=found[1] if len(found) > 1 else "",
        aliases=wants.aliases,
    )


def plug_in(store: Store, network: Network, endpoint: Endpoint, pid: int) -> None:
    """Make an endpoint's veth pair, and the bridge in the same batch if it is missing."""
    why = f"a cable: {endpoint.link} on the bridge, {endpoint.interface} in the container"
    hairpin = host.filters_bridges()
    pair = links.pair(network, endpoint, pid, ipv6=host.has_ipv6(), hairpin=hairpin)
    if host.has_link(network.bridge):
        programs.ip_batch(pair, why=why)
        return
    with store.lock():  # of many that start at once, one makes the bridge
        bridge = bridges.missing(store, network)
        if bridge:
            why = f"the bridge of network '{network.name}', and {why}"
        programs.ip_batch(bridge + pair, why=why)
        if bridge:
            bridges.open_localhost(network)


def inside_batch(plan: list[tuple[Network, Endpoint]]) -> str:
    """The lines for inside; the default route goes through the first network with a way out."""
    lines, way_out = [], True
    for network, endpoint in plan:
        lines.append(links.inside(network, endpoint, ipv6=host.has_ipv6(), way_out=way_out))
        way_out = way_out and network.internal
    return "".join(lines)


def leave_all(store: Store, container: str, *, aside: bool = False) -> None:
    """Take a container off all its networks. Called with the store's lock held.

    ``aside`` leaves what takes long to a process beside us: see :func:`_end_aside`.
    """
    attached = store.attached(container)
    for _, endpoint in attached:
        bridges.withdraw(store, endpoint)
    for network, endpoint in attached:
        store.drop(endpoint)
        for address in endpoint.addresses:
            ipam.free(store.state(network.id, "addresses"), address, container)
    loose = [endpoint.link for _, endpoint in attached]
    if aside and loose:
        _end_aside(store, loose)
    else:
        _end(store, loose)
    if any(not network.default for network, _ in attached):
        dns.look(store)


def _end(store: Store, loose: list[str]) -> None:
    """Delete links, and the default network if nobody is on it. With the store's lock held."""
    default = store.named(DEFAULT)
    if default and store.is_up(default) and not store.endpoints(default):
        bridges.take_down(store, default, loose)
    bridges.delete_links(loose, why="the veth pair, both ends")


def _end_aside(store: Store, loose: list[str]) -> None:
    """The same beside us, and later.

    The kernel is taking the container's namespace apart now, and the veth pair with it; a request
    to delete the pair would wait for that, 10 to 30 ms. Only if somebody else holds the namespace,
    the pair stays, and has to be deleted. And the default network stays for a moment, see
    ``LINGER``.
    """

    def end(ready: int) -> None:
        bridges.delete_links(loose, why="the veth pair, both ends")
        time.sleep(LINGER)
        with store.lock():
            _end(store, [])

    os.close(background.begin("mydocker-net", end))


def published(store: Store, container: str) -> list[Published]:
    """A container's published ports."""
    return [port for _, endpoint in store.attached(container) for port in endpoint.ports]
