"""A network brought up on the machine, healed, and taken down.

Every function here that changes something is called with the store's lock held. A network that is
up has a bridge and its elements in the firewall's table; we look what of that is missing (somebody
else may have removed it) and make just that.
"""

import errno

from mydocker.kernel import files, programs
from mydocker.kernel.errors import Conflict, Failure, hints
from mydocker.network import addresses, firewall, forwarding, host, links
from mydocker.network.store import Endpoint, Network, Store


def claim(store: Store, network: Network) -> bool:
    """Note that the network is up, and switch on what it needs; True if it was not up before.

    Raises Failure if a link of somebody else has the bridge's name, or its subnet is in use now.
    """
    fresh = not store.is_up(network)
    if fresh:
        _refuse_foreign(network)
        store.mark_up(network)
    forwarding.need(store, network)
    return fresh


# Nobody made the default network, and nobody can make it anew.
_OWN = "Use a network of your own: network create NAME, and run --net NAME"


def _refuse_foreign(network: Network) -> None:
    if host.has_link(network.bridge):
        other = _OWN if network.default else "Or choose another name with -o bridge.name=NAME"
        raise Conflict(
            f"network '{network.name}': a link called {network.bridge} is there already",
            f"If nobody needs it: ip link delete {network.bridge}. {other}",
        )
    in_use = host.taken()
    for subnet, _ in network.subnets:
        use = addresses.culprit(subnet, in_use)
        if use:
            raise Conflict(
                f"network '{network.name}': {subnet} overlaps {use.subnet}, {use.by}",
                _OWN if network.default else "Make the network anew with another --subnet",
            )


def missing(store: Store, network: Network) -> str:
    """The ``ip -batch`` lines that make the network's bridge; "" if it is there.

    If somebody removed it under running containers, their veths are still there, unplugged: they
    are plugged in again.
    """
    if host.has_link(network.bridge):
        return ""
    ports = [e.link for e in store.endpoints(network) if host.has_link(e.link)]
    return links.bridge(network, ipv6=host.has_ipv6(), ports=ports)


def open_localhost(network: Network) -> None:
    """Let connections from 127.0.0.1 out to the new bridge; the firewall guards the way back."""
    if network.internal:
        return
    path = f"/proc/sys/net/ipv4/conf/{network.bridge}/route_localnet"
    locked = "Ports cannot be published on 127.0.0.1 without it: /proc/sys is locked here"
    with hints({errno.EROFS: locked, errno.EACCES: locked}):
        files.write(path, "1", why="a connection to 127.0.0.1 may lead to a container")


def bring_up(store: Store, network: Network) -> None:
    """Make sure that the network's bridge and the firewall's table are there, or raise Failure."""
    fresh = claim(store, network)
    batch = missing(store, network)
    if batch:
        programs.ip_batch(batch, why=f"the bridge of network '{network.name}', with its gateway")
        open_localhost(network)
    if fresh or not firewall.present():
        apply(store)


def heal(store: Store) -> None:
    """Bring up again what of the networks that are up has been removed by somebody else."""
    for network in store.up():
        if not network.damaged and (not network.default or store.endpoints(network)):
            bring_up(store, network)


def apply(store: Store, *, without: str = "") -> None:
    """Give the firewall the table that the store describes, in place of the one that is there.

    ``without`` is the id of a network, or of a container, that is about to go.
    """
    networks = [network for network in store.up() if network.id != without]
    endpoints = [e for n in networks for e in store.endpoints(n) if e.container != without]
    text = firewall.ruleset(networks, endpoints, forwarding.switched_on(store))
    programs.nft(text, why="one table: published ports, masquerade, networks kept apart")


def publish(store: Store, endpoint: Endpoint) -> None:
    """Let an endpoint's published ports in. Raises Failure if another container has one."""
    batch = firewall.opened(endpoint)
    if not batch:
        return
    try:
        programs.nft(batch, why="published ports lead to the container")
    except Failure:
        # A port that we could bind, and that is in the map: the process that kept it was killed.
        from mydocker.network.ports import refuse_clashes

        refuse_clashes(endpoint.ports, store.ports(but=endpoint.container))
        raise


def withdraw(store: Store, endpoint: Endpoint) -> None:
    """Take an endpoint's published ports away; nothing happens if they are not there."""
    batch = firewall.closed(endpoint)
    if not batch or not firewall.present():
        return
    try:
        programs.nft(batch, why="its published ports lead nowhere now")
    except Failure:
        apply(store, without=endpoint.container)  # a port that it never got: another's, who has it
    if any(port.protocol == "udp" for port in endpoint.ports):
        from mydocker.kernel import flows

        for address in endpoint.addresses:
            flows.forget(address, why="what is still sent belongs to the port's next user")


def delete_links(names: list[str], *, why: str) -> None:
    """Delete those of these links that are there."""
    for _ in range(len(names) + 1):
        names = [name for name in names if host.has_link(name)]
        if not names:
            return
        try:
            programs.ip_batch(links.removed(names), why=why)
        except Failure:
            # A namespace that ends takes its veths along, some time after its last process: maybe
            # between our look and our deed. Then one is gone; look again.
            if all(host.has_link(name) for name in names):
                raise


def take_down(store: Store, network: Network, also: list[str] | None = None) -> None:
    """Remove the network's bridge, the links ``also``, and what only the last network needed."""
    if not store.is_up(network):
        return
    why = f"nobody uses network '{network.name}' any more"
    # The bridge first: a veth that its namespace takes along just now would end the batch.
    delete_links([network.bridge, *(also or [])], why=why)
    # Noted last: whoever cleans up after a kill or a failure in between does all of this again.
    if any(other.id != network.id for other in store.up()):
        apply(store, without=network.id)
    else:
        remove_table(store)
    store.mark_down(network)


def remove_table(store: Store) -> None:
    """Remove what only a machine with networks needs: our table, and the forwarding we began."""
    if firewall.present():
        programs.nft(firewall.removed(), why="the last network is gone, and our table with it")
    forwarding.restore(store)
