"""What killed runs left of their networks, beyond what their records know of.

Most of it is released with a container's record (``part``). But a record may be gone while the
bridge is still there: the process that was to remove it a moment later was killed, or an address
was reserved by somebody who had no time to note it.
"""

import os

from mydocker.container.processes import identify
from mydocker.kernel import whole
from mydocker.network import bridges, firewall, forwarding, ipam
from mydocker.network.endpoints import leave_all
from mydocker.network.store import DEFAULT, Endpoint, Network, Store, entries


def leftovers(store: Store) -> list[str]:
    """What :func:`remove_leftovers` would remove, one line each. Only looks."""
    if not os.path.isdir(store.state()):
        return []
    with store.lock():
        return [
            *(f"endpoint {e.container[:12]} in {n.name}" for n, e in _dead(store)),
            *(f"address {address} in {n.name}" for n, address in _orphans(store)),
            *(f"half a record {path.rpartition('/')[2]}" for path in _unfinished(store)),
            *(f"network {name}" for name in _idle(store)),
        ]


def remove_leftovers(store: Store) -> list[str]:
    """Remove them; the same lines. Needs CAP_NET_ADMIN if there are any."""
    found = leftovers(store)
    if not found:
        return []
    with store.lock():  # and look again: meanwhile somebody may have come
        for container in {endpoint.container for _, endpoint in _dead(store)}:
            leave_all(store, container)
        for network, address in _orphans(store):
            directory = store.state(network.id, "addresses")
            ipam.free(directory, address, ipam.holder(directory, address))
        for path in _unfinished(store):
            os.unlink(path)
        default = store.named(DEFAULT)
        if default and _is_idle(store, default):
            bridges.take_down(store, default)
        if not store.up():
            bridges.remove_table(store)
    return found


def _dead(store: Store) -> list[tuple[Network, Endpoint]]:
    """The endpoints of containers that have no directory any more."""
    return [
        (network, endpoint)
        for network in store.up()
        for endpoint in store.endpoints(network)
        if not store.exists(endpoint.container)
    ]


def _orphans(store: Store) -> list[tuple[Network, str]]:
    """The addresses that belong to nobody, and to no endpoint either."""
    return [
        (network, address)
        for network in store.up()
        for address in ipam.orphans(store.state(network.id, "addresses"), store.exists)
    ]


def _unfinished(store: Store) -> list[str]:
    """Drafts of files whose writer died before it could rename them."""
    found = []
    for network in store.up():
        directory = store.state(network.id, "endpoints")
        for name in entries(directory):
            writer = whole.writer(name)
            if writer and not identify(writer).alive():
                found.append(f"{directory}/{name}")
    return found


def _idle(store: Store) -> list[str]:
    """The default network without a container; our table and switches without a network."""
    up = store.up()
    if not up:
        return ["table"] if firewall.present() or forwarding.switched_on(store) else []
    return [network.name for network in up if _is_idle(store, network)]


def _is_idle(store: Store, network: Network) -> bool:
    return network.default and store.is_up(network) and not store.endpoints(network)
