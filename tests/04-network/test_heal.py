"""``network heal``: what somebody else removed is made again, used or not, and nothing else is."""

import json

import pytest
from sandbox.launcher import Launcher, eventually
from sandbox.wires import HOST, Wires

pytestmark = pytest.mark.root


def bridge(network: Launcher, name: str) -> str:
    (told,) = json.loads(network(4, "network", "inspect", name).stdout)
    return str(told["Options"].get("com.docker.network.bridge.name") or f"md-{told['Id'][:12]}")


def test_bridges_and_rules_that_are_gone(wires: Wires, network: Launcher) -> None:
    for name in ("blue", "idle"):
        network(4, "network", "create", name)
    _, web = wires.container("-p", "8080:80")
    _, friend = wires.container("--net", "blue")
    _, other = wires.container("--net", "blue")
    token, address = wires.serve(web, 80), wires.address(other)
    theirs = wires.serve(other, 80)
    names = ["mydocker0", bridge(network, "blue"), bridge(network, "idle")]
    for name in names:
        wires.ip(HOST, "link", "delete", name)
    wires.do(HOST, "nft", "flush", "ruleset")
    assert wires.ask(HOST, "127.0.0.1", 8080) == wires.ask(friend, address, 80) == ""
    network(4, "network", "heal")
    links = wires.ip(HOST, "link")
    assert [name for name in names if name not in links] == []
    assert wires.ask(HOST, "127.0.0.1", 8080) == token
    assert wires.ask(friend, address, 80) == theirs
    assert wires.ask(web, address, 80) == "", "networks are kept apart again, too"


def test_nothing_is_made_where_nobody_is(wires: Wires, network: Launcher) -> None:
    container = wires.container()
    wires.end(*container)
    eventually(lambda: "mydocker0" not in wires.ip(HOST, "link"), what="it goes a moment later")
    network(4, "network", "heal")
    assert "mydocker0" not in wires.ip(HOST, "link")
