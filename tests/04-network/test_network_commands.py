"""network create, ls, inspect, rm, connect, disconnect, prune, map; port; ladder."""

import json
import os
import socket
import xml.etree.ElementTree as ElementTree

import pytest
from sandbox.launcher import Launcher
from sandbox.wires import HOST, Wires

pytestmark = pytest.mark.root


def inspected(network: Launcher, name: str) -> dict[str, object]:
    (found,) = json.loads(network(4, "network", "inspect", name).stdout)
    assert isinstance(found, dict)
    return found


def test_create_and_inspect(wires: Wires, network: Launcher) -> None:
    made = network(
        4,
        *("network", "create", "--subnet", "10.50.0.0/16", "--ip-range", "10.50.9.0/29"),
        *("--gateway", "10.50.0.77", "--label", "use=test", "-o", "mtu=1400"),
        *("-o", "com.docker.network.bridge.name=br-blue", "blue"),
    )
    found = inspected(network, "blue")
    assert found["Id"] == made.stdout.strip()
    assert found["IPAM"] == {
        "Driver": "default",
        "Options": None,
        "Config": [{"Subnet": "10.50.0.0/16", "Gateway": "10.50.0.77", "IPRange": "10.50.9.0/29"}],
    }
    assert (found["Internal"], found["EnableIPv6"], found["Driver"]) == (False, False, "bridge")
    assert found["Labels"] == {"use": "test"}
    shown = wires.ip(HOST, "addr", "show", "dev", "br-blue")
    assert "10.50.0.77/16" in shown
    assert "mtu 1400" in shown
    _, inside = wires.container("--net", "blue", "--name", "web")
    containers = inspected(network, "blue")["Containers"]
    assert isinstance(containers, dict)
    (entry,) = containers.values()
    assert entry["Name"] == "web"
    assert entry["IPv4Address"] == f"{wires.address(inside)}/16" == "10.50.9.0/16"
    assert entry["MacAddress"] in wires.ip(inside, "link", "show", "dev", "eth0")


def test_list(network: Launcher) -> None:
    identifier = network(4, "network", "create", "blue").stdout.strip()
    rows = [line.split() for line in network(4, "network", "ls").stdout.splitlines()]
    assert [identifier[:12], "blue", "bridge", "local"] in rows
    assert {"bridge", "host", "none", "blue"} <= {row[1] for row in rows}
    assert identifier in network(4, "network", "ls", "-q", "--no-trunc").stdout.split()


def test_remove(wires: Wires, network: Launcher) -> None:
    before = wires.ip(HOST, "link")
    network(4, "network", "create", "blue")
    container = wires.container("--net", "blue", "--name", "web")
    refused = network(4, "network", "rm", "blue", code=1)
    assert "has active endpoints. Of web: remove" in refused.stderr
    wires.end(*container)
    assert network(4, "network", "rm", "blue").stdout == "blue\n"
    assert wires.ip(HOST, "link") == before
    assert "network blue not found" in network(4, "network", "rm", "blue", code=1).stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a b"], "not a name"),
        ([""], "not a name"),
        (["../x"], "not a name"),
        (["ü"], "not a name"),
        (["x" * 200], "not a name"),
        (["host"], "built in"),
        (["bridge"], "built in"),
        (["--subnet", "10.0.0.0", "x"], "not a subnet"),
        (["--subnet", "10.0.0.1/24", "x"], "Did you mean 10.0.0.0/24"),
        (["--subnet", "10.0.0.0/31", "x"], "no room"),
        (["--subnet", "127.0.0.0/8", "x"], "not addresses for machines"),
        (["--subnet", "224.0.0.0/24", "x"], "not addresses for machines"),
        (["--subnet", "10.5.0.0/24", "--gateway", "10.6.0.1", "x"], "not an address"),
        (["--subnet", "10.5.0.0/24", "--gateway", "10.5.0.255", "x"], "not an address"),
        (["--subnet", "10.5.0.0/24", "--ip-range", "10.6.0.0/25", "x"], "not within"),
        (["--driver", "macvlan", "x"], "unknown driver"),
        (["-o", "colour=blue", "x"], "unknown option"),
        (["-o", "bridge.name", "x"], "-o bridge.name: not KEY=VALUE"),
        (["-o", "mtu=12", "x"], "not an MTU"),
        (["-o", "bridge.name=much-too-long-a-name", "x"], "not a name of a link"),
        (["-o", "bridge.name=lo", "x"], "is there already"),
    ],
)
def test_nonsense_is_refused(network: Launcher, arguments: list[str], said: str) -> None:
    refused = network(4, "network", "create", *arguments, code=1)
    assert said in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert network(4, "network", "ls", "-q").stdout.count("\n") == 3


def test_overlaps_are_refused_and_the_culprit_named(wires: Wires, network: Launcher) -> None:
    wires.outside()
    refused = network(4, "network", "create", "--subnet", "203.0.0.0/16", "x", code=1)
    assert "overlaps 203.0.113.0/24" in refused.stderr
    assert "wan0" in refused.stderr
    network(4, "network", "create", "--subnet", "10.50.0.0/16", "blue")
    refused = network(4, "network", "create", "--subnet", "10.50.7.0/24", "x", code=1)
    assert "network 'blue'" in refused.stderr


def test_chosen_subnets_overlap_nothing(wires: Wires, network: Launcher) -> None:
    # an address on an interface that is down has no route, and is taken all the same
    wires.ip(HOST, "link", "add", "down0", "type", "bridge")
    wires._links.append("down0")
    wires.ip(HOST, "addr", "add", "10.86.1.1/16", "dev", "down0")
    wires.ip(HOST, "route", "add", "blackhole", "10.87.0.0/17")
    try:
        for name in ("one", "two"):
            network(4, "network", "create", name)
        found = [inspected(network, name)["IPAM"]["Config"][0] for name in ("one", "two")]  # type: ignore[index]
        assert [c["Subnet"] for c in found] == ["10.87.128.0/22", "10.87.132.0/22"]
    finally:
        wires.ip(HOST, "route", "del", "blackhole", "10.87.0.0/17")


def test_a_hundred_networks(wires: Wires, network: Launcher) -> None:
    from mydocker.container.commandline import default_root, default_run
    from mydocker.network import networks
    from mydocker.network.store import Store

    store = Store(default_root(), default_run())
    made = [networks.create(store, f"n{i}") for i in range(100)]
    assert len({n.subnet for n in made}) == 100
    _, one = wires.container("--net", "n0")
    _, two = wires.container("--net", "n99")
    assert not wires.ping(one, wires.address(two))
    wires.stop()
    assert len(network(4, "network", "prune", "-f").stdout.split()) == 100
    assert "md-" not in wires.ip(HOST, "link")


def test_connect_and_disconnect(wires: Wires, network: Launcher) -> None:
    network(4, "network", "create", "blue")
    wires.container()  # stays on the default network, which so stays up
    _, inside = wires.container("--name", "web", "-p", "8080:80")
    _, other = wires.container("--net", "blue")
    token = wires.serve(inside, 80)
    network(4, "network", "connect", "blue", "web")
    assert wires.ask(other, wires.address(inside, "eth1"), 80) == token
    assert "already" in network(4, "network", "connect", "blue", "web", code=1).stderr
    network(4, "network", "disconnect", "bridge", "web")
    assert wires.ask(HOST, "127.0.0.1", 8080) == ""
    assert "8080" not in wires.do(HOST, "nft", "list", "table", "inet", "mydocker").stdout
    assert "eth0" not in wires.ip(inside, "link")
    assert "dev eth1" in wires.ip(inside, "route", "show", "default")
    network(4, "network", "disconnect", "blue", "web")
    refused = network(4, "network", "disconnect", "blue", "web", code=1)
    assert "is not on network 'blue'" in refused.stderr


def test_a_container_without_networks_cannot_be_connected(wires: Wires, network: Launcher) -> None:
    network(4, "network", "create", "blue")
    for mode in ("host", "none"):
        _, pid = wires.container("--net", mode)
        before = wires.ip(pid, "link")
        with open(f"/proc/{pid}/root/etc/hostname") as file:
            identifier = file.read().strip()
        refused = network(4, "network", "connect", "blue", identifier, code=1)
        assert "has no network of its own" in refused.stderr
        assert wires.ip(pid, "link") == before


def test_port(wires: Wires, network: Launcher) -> None:
    wires.container("--name", "web", "-p", "8080:80", "-p", "127.0.0.1:53:53/udp")
    shown = network(4, "port", "web").stdout.splitlines()
    assert shown == ["80/tcp -> 0.0.0.0:8080", "53/udp -> 127.0.0.1:53"]
    assert network(4, "port", "web", "80").stdout == "0.0.0.0:8080\n"
    assert "not published" in network(4, "port", "web", "81", code=125).stderr
    assert "no such container" in network(4, "port", "wob", code=125).stderr


def test_ranges_and_all_exposed(wires: Wires, network: Launcher) -> None:
    wires.container("--name", "one", "-p", "8000-8002:90-92", "-p", "8100-8110:80")
    wires.container("--name", "two", "-p", "8100-8110:80", "-P", "--expose", "443")
    assert network(4, "port", "one", "91").stdout == "0.0.0.0:8001\n"
    assert network(4, "port", "one", "80").stdout == "0.0.0.0:8100\n"
    assert network(4, "port", "two", "80").stdout == "0.0.0.0:8101\n"
    assert int(network(4, "port", "two", "443").stdout.rpartition(":")[2]) > 1024


def test_a_range_is_exposed_port_by_port(wires: Wires, network: Launcher) -> None:
    wires.container("--name", "one", "-P", "--expose", "90-92", "--expose", "53/udp")
    told = network(4, "port", "one").stdout.splitlines()
    assert [line.partition(" ")[0] for line in told] == ["53/udp", "90/tcp", "91/tcp", "92/tcp"]


def test_an_ipv6_network_of_the_usual_size(wires: Wires, network: Launcher) -> None:
    network(4, "network", "create", "--ipv6", "--subnet", "fd00:9::/64", "six")
    assert '"Subnet": "fd00:9::/64"' in network(4, "network", "inspect", "six").stdout
    wires.container("--name", "one", "--net", "six")
    assert "fd00:9::2/64" in network(4, "network", "inspect", "six").stdout


def test_a_taken_port_names_who_holds_it(wires: Wires, mydocker: Launcher) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        refused = mydocker(4, "run", "-p", f"{port}:80", "busybox", "true", code=125)
        assert f"pid {os.getpid()}" in refused.stderr
    wires.container("--name", "web", "-p", "8080:80")
    refused = mydocker(4, "run", "-p", "8080:81", "busybox", "true", code=125)
    assert "container web" in refused.stderr


def test_the_host_is_told_that_a_published_port_is_taken(wires: Wires) -> None:
    container = wires.container("-p", "8080:80")
    with pytest.raises(OSError, match="in use"):
        socket.create_server(("0.0.0.0", 8080), reuse_port=False).close()
    wires.end(*container)
    socket.create_server(("0.0.0.0", 8080)).close()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-p", "x:80"], "not a port"),
        (["-p", "0:80"], "not a port"),
        (["-p", "80:70000"], "not a port"),
        (["-p", "9-8:80"], "backwards"),
        (["-p", "80-82:80-81"], "3 ports of the host for 2"),
        (["-p", "80:80/sctp"], "unknown protocol"),
        (["-p", "300.1.1.1:80:80"], "not an address"),
        (["-p", "192.0.2.99:80:80"], "does not have the address"),
        (["--net", "nowhere"], "network nowhere not found"),
        (["--net", "x/y"], "not a name"),
        (["--net", "host", "--net", "none"], "cannot be combined"),
        (["--net", "host", "-p", "80:80"], "nothing to publish"),
        (["--net", "default", "--net", "bridge"], "on it already"),
        (["-p", "8080:80", "-p", "8080:81"], "is taken by another -p"),
        (["--net", "container:nobody"], "no such container"),
        (["--ip", "10.86.0.9"], "networks of your own"),
        (["--net", "blue", "--ip", "10.1.1.1"], "not one for a container"),
        (["--net", "blue", "--ip", "10.77.0.1"], "belongs to the gateway"),
        (["--net", "blue", "--ip", "10.77.0.255"], "not one for a container"),
        (["--net", "blue", "--ip", "hello"], "not an address"),
        (["--net", "blue", "--ip6", "fd00::1"], "no IPv6"),
        (["--mac-address", "hello"], "not a MAC address"),
        (["--mac-address", "01:00:00:00:00:01"], "multicast"),
        (["--add-host", "db"], "not a name and an address"),
        (["--add-host", "db:x"], "not an address"),
        (["--net", "blue", "--network-alias", "a b"], "not a name for DNS"),
        (["--name", "-x/"], "not a name for DNS"),
        (["--dns", "here"], "not an address"),
    ],
)
def test_bad_options_of_run(network: Launcher, options: list[str], said: str) -> None:
    network(4, "network", "create", "--subnet", "10.77.0.0/24", "blue")
    refused = network(4, "run", *options, "busybox", "true", code=125)
    assert said in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_exhaustion_is_explained(wires: Wires, network: Launcher) -> None:
    network(4, "network", "create", "--subnet", "10.77.0.0/30", "tiny")
    _, inside = wires.container("--net", "tiny")
    assert wires.address(inside) == "10.77.0.2"
    refused = network(4, "run", "--net", "tiny", "busybox", "true", code=125)
    assert "no address is left in 10.77.0.0/30" in refused.stderr
    assert "--subnet" in refused.stderr


def test_map(wires: Wires, network: Launcher) -> None:
    network(4, "network", "create", "blue")
    _, inside = wires.container("--net", "blue", "--name", "web", "-p", "8080:80")
    address = wires.address(inside)
    for form in ([], ["--mermaid"], ["--svg"]):
        shown = network(4, "network", "map", *form).stdout
        assert all(
            word in shown for word in ("blue", "md-", "veth", address, "web", "8080 → 80/tcp")
        )
        if form == ["--svg"]:
            ElementTree.fromstring(shown)


@pytest.mark.parametrize("rung", range(1, 9))
def test_ladder(mydocker: Launcher, rung: int) -> None:
    shown = mydocker(4, "ladder", str(rung)).stdout
    assert "All of it is gone" in shown


def test_ladder_without_a_rung(mydocker: Launcher) -> None:
    assert len(mydocker(4, "ladder").stdout.splitlines()) == 8
    assert "no such rung" in mydocker(4, "ladder", "9", code=125).stderr
