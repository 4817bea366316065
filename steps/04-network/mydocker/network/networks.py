"""Networks as the reader handles them: create, inspect, remove, connect, disconnect, prune."""

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from mydocker.container import news
from mydocker.kernel.errors import Conflict, Failure, Invalid, NotPermitted
from mydocker.kernel.numbers import decimal
from mydocker.network import addresses, bridges, host
from mydocker.network.addresses import Subnet, Taken
from mydocker.network.leftovers import remove_leftovers
from mydocker.network.store import DEFAULT, DEFAULT_BRIDGE, Endpoint, Network, Store

BUILT_IN = (DEFAULT, "host", "none")  # there are networks of these names without being made
_OPTIONS = {  # -o keys: Docker's, and short forms of them
    "com.docker.network.bridge.name": "bridge.name",
    "com.docker.network.driver.mtu": "mtu",
    "bridge.name": "bridge.name",
    "mtu": "mtu",
}


def create(
    store: Store,
    name: str,
    *,
    subnets: tuple[str, ...] = (),
    gateways: tuple[str, ...] = (),
    ip_range: str = "",
    internal: bool = False,
    ipv6: bool = False,
    options: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
) -> Network:
    """Make a network and bring it up. Raises Failure for what cannot be; then nothing is left."""
    check_name(name)
    if name in BUILT_IN:
        raise NotPermitted(f"network '{name}': the name is built in", "Choose another name")
    with store.lock():
        if store.named(name):
            raise Conflict(f"network with name {name} already exists", "List them: network ls")
        network = _planned(
            store, name, subnets, gateways, ip_range, internal, ipv6, options or {}, labels or {}
        )
        store.add(network)
        try:
            bridges.bring_up(store, network)
        except BaseException:
            bridges.take_down(store, network)
            store.remove(network)
            raise
    return network


def check_name(name: str) -> None:
    """Raise Failure for a name that Docker would refuse too."""
    letters = name.isascii() and name.replace("_", "").replace(".", "").replace("-", "").isalnum()
    if not letters or not name[0].isalnum() or len(name) > 128:
        raise Invalid(
            f"network {name!r}: not a name",
            "Letters, digits, and after the first also _ . - are possible",
        )


def _planned(
    store: Store,
    name: str,
    subnets: tuple[str, ...],
    gateways: tuple[str, ...],
    ip_range: str,
    internal: bool,
    ipv6: bool,
    options: Mapping[str, str],
    labels: Mapping[str, str],
) -> Network:
    asked = [Subnet.parse(subnet) for subnet in subnets]
    for version in (4, 6):
        if sum(subnet.version == version for subnet in asked) > 1:
            raise Invalid(f"network '{name}': more than one IPv{version} --subnet", "One will do")
    in_use = [*store.taken(), *host.taken()]
    four = next((s for s in asked if s.version == 4), None)
    six = next((s for s in asked if s.version == 6), None)
    for subnet in asked:
        _check_subnet(subnet, in_use)
    if four is None:
        four = addresses.choose(in_use)
    if six is None and ipv6:
        six = addresses.unique_local(os.urandom(5))
    if six is not None and not host.has_ipv6():
        raise Failure(f"network '{name}': this kernel has no IPv6", "Leave --ipv6 out")
    identifier = os.urandom(32).hex()
    known = _known(options)
    return Network(
        id=identifier,
        name=name,
        created=_now(),
        bridge=_bridge_name(store, known.get("bridge.name") or f"md-{identifier[:12]}"),
        subnet=str(four),
        gateway=_gateway(four, gateways),
        ip_range=_ip_range(ip_range, four),
        subnet6=str(six) if six else "",
        gateway6=_gateway(six, gateways) if six else "",
        internal=internal,
        mtu=_mtu(known.get("mtu", "1500")),
        labels=dict(labels),
        options=dict(options),
    )


def _check_subnet(subnet: Subnet, in_use: list[Taken]) -> None:
    hosts = subnet.hosts()
    if hosts.stop - hosts.start < 2:  # len() is for less than 2 ** 63, and a /64 has more
        raise Invalid(f"subnet {subnet}: no room for a gateway and a container", "Use fewer bits")
    if subnet.version == 4 and (subnet.first >> 28 >= 14 or subnet.first >> 24 in (0, 127)):
        raise Invalid(f"subnet {subnet}: not addresses for machines", "Use 10.0.0.0/8 or the like")
    use = addresses.culprit(subnet, in_use)
    if use:
        raise Conflict(
            f"subnet {subnet}: overlaps {use.subnet}, {use.by}",
            "Choose another --subnet, or none to get a free one",
        )


def _gateway(subnet: Subnet, asked: tuple[str, ...]) -> str:
    for written in asked:
        version, value = addresses.number(written)
        if version != subnet.version:
            continue
        if value not in subnet.hosts():
            raise Invalid(f"--gateway {written}: not an address for a machine in {subnet}")
        return addresses.text(version, value)
    return addresses.text(subnet.version, subnet.first + 1)


def _ip_range(written: str, subnet: Subnet) -> str:
    if not written:
        return ""
    ip_range = Subnet.parse(written)
    if not ip_range.within(subnet):
        raise Invalid(f"--ip-range {written}: not within {subnet}")
    return str(ip_range)


def _known(options: Mapping[str, str]) -> dict[str, str]:
    for key in options:
        if key not in _OPTIONS:
            raise Invalid(f"-o {key}: unknown option", f"There are: {', '.join(_OPTIONS)}")
    return {_OPTIONS[key]: value for key, value in options.items()}


def _bridge_name(store: Store, name: str) -> str:
    good = name.isascii() and name.isprintable() and not set(name) & set("/ :\"'\\{};,*")
    if not good or len(name) > 15 or name in (".", "..", ""):
        raise Invalid(f"bridge {name!r}: not a name of a link", "1 to 15 letters and digits")
    if host.has_link(name) or any(n.bridge == name for n in store.networks()):
        raise Conflict(f"bridge {name}: a link of this name is there already", "Choose another")
    return name


def _mtu(written: str) -> int:
    value = decimal(written, 65535)
    if value is None or value < 68:
        raise Invalid(f"-o mtu={written}: not an MTU", "A number of bytes from 68 to 65535")
    return value


def _now() -> str:
    now = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1e9):09d}Z"


def to_join(store: Store, word: str) -> Network:
    """The network ``word`` for a container; the default one is made when it is first needed.

    Called with the store's lock held. Raises Failure if there is no such network.
    """
    if word not in (DEFAULT, "default"):
        return store.usable(word)
    network = store.named(DEFAULT)
    if network and network.damaged and store.endpoints(network):
        return store.usable(DEFAULT)  # which says what to do
    if network and not network.damaged and (store.is_up(network) or not _overlapped(network)):
        return network
    if network:  # damaged, or of another day: meanwhile the machine uses its subnet itself
        if store.is_up(network):
            bridges.take_down(store, network)
        store.remove(network)
    subnet = addresses.choose([*store.taken(), *host.taken()])
    network = Network(
        id=os.urandom(32).hex(),
        name=DEFAULT,
        created=_now(),
        bridge=DEFAULT_BRIDGE,
        subnet=str(subnet),
        gateway=_gateway(subnet, ()),
    )
    store.add(network)
    return network


def _overlapped(network: Network) -> bool:
    in_use = host.taken()
    return any(addresses.culprit(subnet, in_use) for subnet, _ in network.subnets)


def inspect(store: Store, network: Network) -> dict[str, Any]:
    """A network in the shape of ``docker network inspect``."""
    config = []
    for subnet, gateway in network.subnets:
        entry = {"Subnet": str(subnet), "Gateway": gateway}
        if network.ip_range and subnet.version == 4:
            entry["IPRange"] = network.ip_range
        config.append(entry)
    return {
        "Name": network.name,
        "Id": network.id,
        "Created": network.created,
        "Scope": "local",
        "Driver": "<damaged>" if network.damaged else "bridge",
        "EnableIPv4": True,
        "EnableIPv6": bool(network.subnet6),
        "IPAM": {"Driver": "default", "Options": None, "Config": config},
        "Internal": network.internal,
        "Attachable": False,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {e.container: _shown(network, e) for e in store.endpoints(network)},
        "Options": {
            "com.docker.network.bridge.name": network.bridge,
            "com.docker.network.driver.mtu": str(network.mtu),
            **network.options,
        },
        "Labels": network.labels,
    }


def _shown(network: Network, endpoint: Endpoint) -> dict[str, str]:
    prefixes = [*(subnet.prefix for subnet, _ in network.subnets), 0, 0]  # 0: it is damaged
    return {
        "Name": endpoint.name,
        "EndpointID": endpoint_id(endpoint),
        "MacAddress": endpoint.mac,
        "IPv4Address": f"{endpoint.address}/{prefixes[0]}",
        "IPv6Address": f"{endpoint.address6}/{prefixes[1]}" if endpoint.address6 else "",
    }


def endpoint_id(endpoint: Endpoint) -> str:
    """64 hexadecimal digits for an endpoint, made from its network's and its container's id."""
    value = int(endpoint.network, 16) ^ int(endpoint.container, 16)
    return f"{value:064x}"


def built_in(name: str) -> dict[str, Any]:
    """``host`` and ``none``, and a ``bridge`` that nobody used yet, in the same shape."""
    return {
        "Name": name,
        "Id": name.encode().hex().ljust(64, "0"),
        "Created": "",
        "Scope": "local",
        "Driver": {"none": "null"}.get(name, name),
        "EnableIPv4": True,
        "EnableIPv6": False,
        "IPAM": {"Driver": "default", "Options": None, "Config": []},
        "Internal": False,
        "Attachable": False,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {},
        "Options": {},
        "Labels": {},
    }


def remove(store: Store, word: str) -> Network:
    """Remove a network nobody is attached to. Raises Failure if somebody is, or it is built in."""
    if word in BUILT_IN:
        raise NotPermitted(f"{word} is a pre-defined network and cannot be removed")
    remove_leftovers(store)
    with store.lock():
        network = store.find(word)
        users = store.endpoints(network)
        if users:
            names = ", ".join(e.name for e in users[:5]) + (" …" if len(users) > 5 else "")
            raise Conflict(
                f"error while removing network: network {network.name} id {network.id} has active "
                "endpoints",
                f"Of {names}: remove them, or: network disconnect {network.name} {users[0].name}",
            )
        bridges.take_down(store, network)
        store.remove(network)
    return network


def prune(store: Store, wanted: Callable[[Network], bool] = lambda network: True) -> list[Network]:
    """Remove the ``wanted`` networks nobody is attached to, and what was left behind; heal the
    others."""
    removed = []
    remove_leftovers(store)
    with store.lock():
        for network in store.networks():
            if store.endpoints(network) or not (network.default or wanted(network)):
                continue
            bridges.take_down(store, network)
            if not network.default:
                store.remove(network)
                removed.append(network)
        bridges.heal(store)
    news.tell(store.root, "network", "prune", "", {"reclaimed": "0"})
    return removed
