"""A running container put on a network, and taken off one: ``network connect``, ``disconnect``."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from mydocker.container import state
from mydocker.container.parts import rebuilt
from mydocker.kernel import programs, syscalls
from mydocker.kernel.errors import Conflict
from mydocker.kernel.records import replace
from mydocker.network import bridges, dns, host, ipam, links, networks
from mydocker.network.attachment import Attachment
from mydocker.network.endpoints import plug_in, reserve
from mydocker.network.etc import EtcPart
from mydocker.network.part import NetworkPart
from mydocker.network.store import Endpoint, Network, Store


@contextmanager
def inside(pid: int) -> Iterator[None]:
    """In the network namespace of ``pid`` for a ``with`` block, and back (setns(2))."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    path = f"/proc/{pid}/ns/net"
    try:
        there = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        os.close(home)
        raise Conflict(f"{path}: the container ended just now") from None
    try:
        why = "into the container's network"
        syscalls.setns(there, syscalls.CLONE_NEWNET, why=why, shown=path)
        yield
    finally:
        syscalls.setns(home, syscalls.CLONE_NEWNET, why="and back", shown="/proc/self/ns/net")
        os.close(home)
        os.close(there)


def connect(store: Store, container: str, wants: Attachment) -> Endpoint:
    """Put a running container on one more network. Raises Failure; then nothing has changed."""
    process, part = _networked(store, container)
    with store.lock():
        network = networks.to_join(store, wants.network)
        if store.endpoint(network, container):
            raise Conflict(f"container {part.name}: is on network '{network.name}' already")
        others = store.attached(container)
        fresh = bridges.claim(store, network)
        index = _free_index([endpoint for _, endpoint in others])
        endpoint = reserve(store, network, wants, container, part.name, index)
        endpoint = replace(endpoint, dns=tuple(part.dns))
        store.put(endpoint)
        if fresh:
            bridges.apply(store)
    try:
        plug_in(store, network, endpoint, process)
        way_out = all(other.internal for other, _ in others)
        batch = links.inside(network, endpoint, ipv6=host.has_ipv6(), way_out=way_out)
        with inside(process):
            programs.ip_batch(batch, why="the new interface's addresses")
        _settle(store, container, network)
    except BaseException:
        disconnect(store, container, network)
        raise
    return endpoint


def _networked(store: Store, container: str) -> tuple[int, NetworkPart]:
    """The process of a running container, and its part that knows of networks."""
    record = state.read(store.run, container)
    if record is None or not record.process.alive():
        raise Conflict(f"container {container[:12]}: is not running")
    for part in rebuilt(record.parts):
        if isinstance(part, NetworkPart):
            return record.process.pid, part
    raise Conflict(
        f"container {container[:12]}: has no network of its own that could be connected",
        "It was started with --net none, host or container:NAME",
    )


def _free_index(endpoints: list[Endpoint]) -> int:
    used = {endpoint.interface for endpoint in endpoints}
    index = 0
    while f"eth{index}" in used:
        index += 1
    if index > 15:
        raise Conflict("a container has at most 16 networks")
    return index


def _settle(store: Store, container: str, network: Network) -> None:
    """After a change: the endpoint's process noted, DNS told, the files in /etc written anew."""
    record = state.read(store.run, container)
    if record is None:
        return
    with store.lock():
        endpoint = store.endpoint(network, container)
        if endpoint:
            process = record.process
            store.put(replace(endpoint, pid=process.pid, start=process.start_time))
        dns.look(store)
    for part in rebuilt(record.parts):
        if isinstance(part, EtcPart):
            part.rewrite()


def disconnect(store: Store, container: str, network: Network) -> None:
    """Take a container off a network. Raises Failure if it is not on it."""
    with store.lock():
        endpoint = store.endpoint(network, container)
        if endpoint is None:
            raise Conflict(f"container {container[:12]}: is not on network '{network.name}'")
        bridges.withdraw(store, endpoint)
        store.drop(endpoint)
        for address in endpoint.addresses:
            ipam.free(store.state(network.id, "addresses"), address, container)
        record = state.read(store.run, container)
        alive = record is not None and record.process.alive()
        if record is not None and alive:
            # By its end inside: the host's end may have been renamed by somebody.
            with inside(record.process.pid):
                why = "the veth pair, both ends"
                bridges.delete_links([endpoint.interface], why=why)
                _route_anew(store.attached(container))
        bridges.delete_links([endpoint.link], why="the veth pair, both ends")
        if network.default and not store.endpoints(network):
            bridges.take_down(store, network)
    if alive:
        _settle(store, container, network)


def _route_anew(attached: list[tuple[Network, Endpoint]]) -> None:
    """The default route went with its interface: through another network that has a way out."""
    for network, endpoint in attached:
        if not network.internal:
            batch = f"route replace default via {network.gateway} dev {endpoint.interface}\n"
            programs.ip_batch(batch, why="the way out is through another network now")
            return
