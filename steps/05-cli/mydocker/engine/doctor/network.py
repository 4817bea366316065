"""Networks: ip and nft, a bridge and our firewall table really made; other firewalls."""

import os
import re
from collections.abc import Iterator

from mydocker.engine.doctor.check import (
    Check,
    in_child,
    not_applicable,
    ok,
    text,
    tried,
    warning,
)
from mydocker.engine.doctor.processes import running
from mydocker.kernel import programs, syscalls
from mydocker.kernel.errors import Failure
from mydocker.network import firewall
from mydocker.network.store import DEFAULT_BRIDGE

_IP = "apt-get install iproute2 (Fedora: dnf install iproute)"
_NFT = "apt-get install nftables (Fedora: dnf install nftables)"
_LINK_MODULES = "modprobe bridge veth (the kernel's CONFIG_BRIDGE and CONFIG_VETH)"
_NFT_MODULES = "modprobe nf_tables nft_nat nft_masq nft_fib_inet (the kernel's CONFIG_NF_TABLES)"
_PLACES = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_BATCH = """\
link add name doctor0 type bridge
link add name doctor1 type veth peer name doctor2
link set doctor1 master doctor0 up
"""


def network() -> Iterator[Check]:
    """The checks of this module."""
    ip = _program("ip", _IP)
    nft = _program("nft", _NFT)
    yield ip or tried("bridge and veth", _links, fix=_LINK_MODULES, otherwise=warning)
    yield nft or tried("nftables", _table, fix=_NFT_MODULES, otherwise=warning)
    yield _forwarding()
    yield not_applicable("other firewalls", "not to be seen without nft") if nft else _others()


def _program(name: str, fix: str) -> Check | None:
    if any(os.access(f"{place}/{name}", os.X_OK) for place in _PLACES.split(":")):
        return None
    return warning(name, "not installed: only --net none and --net host will work", fix)


def _links() -> str:
    def inside() -> str:
        programs.ip_batch(_BATCH, why="can a bridge and a cable be made?")
        return "made in a network namespace of their own"

    return in_child(inside, syscalls.CLONE_NEWNET, "a network that nobody else sees")


def _table() -> str:
    def inside() -> str:
        # The very table of a machine with networks, so that every expression in it is tried.
        programs.nft(firewall.ruleset([], [], closed=(4, 6)), why="does nft take our table?")
        if not firewall.present():
            raise Failure("nft took our table, but the kernel does not have it")
        return "our table made in a network namespace of its own"

    return in_child(inside, syscalls.CLONE_NEWNET, "a network that nobody else sees")


def _forwarding() -> Check:
    name = "ip_forward"
    value = text("/proc/sys/net/ipv4/ip_forward")
    if value == "1":
        return ok(name, "on")
    if value == "":
        return warning(name, "there is no such switch: the kernel has no IPv4")
    if not _writable("/proc/sys/net/ipv4/ip_forward"):
        fix = "sysctl -w net.ipv4.ip_forward=1 outside: /proc/sys is locked here"
        return warning(name, "off, and cannot be switched on", fix)
    return ok(name, "off; switched on while a network needs it")


def _writable(path: str) -> bool:
    """May root write it? Opening it changes nothing."""
    if os.geteuid() != 0:
        return True
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


# ---------------------------------------------------------------- other firewalls


def _others() -> Check:
    """A packet must be let through by every table: one that drops what is forwarded drops ours."""
    name = "other firewalls"
    if os.geteuid() != 0:
        return not_applicable(name, "only root can look")
    try:
        rules = programs.nft("list ruleset\n", why="look at all rules; nothing is changed")
    except Failure as error:
        return warning(name, str(error), _NFT_MODULES)
    dropping = dropping_tables(rules)
    legacy = "filter" in text("/proc/net/ip_tables_names").split()
    if dropping:
        table = dropping[0]
        return warning(name, f"table {table} drops what is forwarded", _let_through(table, rules))
    if legacy:
        fix = (
            f"If containers reach nothing: iptables-legacy -I FORWARD -i {DEFAULT_BRIDGE} -j ACCEPT"
        )
        return ok(name, f"iptables-legacy has rules, which nft does not show. {fix}")
    return ok(name, _presence(rules))


def _presence(rules: str) -> str:
    known = {"DOCKER": "Docker's", "firewalld": "firewalld's", "ufw-": "ufw's"}
    found = [owner for word, owner in known.items() if word in rules]
    beside = f" ({', '.join(found)} rules are there)" if found else ""
    return f"none drops what is forwarded{beside}"


def dropping_tables(rules: str) -> list[str]:
    """The tables, other than ours, with a chain that drops what it forwards and does not know.

    ::

        table ip filter {
            chain FORWARD {
                type filter hook forward priority filter; policy drop;
    """
    found, table = [], ""
    for line in rules.splitlines():
        words = line.split()
        if words[:1] == ["table"]:
            table = " ".join(words[1:3])
        if "hook forward" in line and "policy drop" in line and table != firewall.TABLE:
            found.append(table)
    if "table inet firewalld" in rules and re.search(
        r"chain filter_FORWARD .*?reject", rules, re.S
    ):
        found.append("inet firewalld")  # its policy is accept, and its last rule rejects
    return list(dict.fromkeys(found))


def _let_through(table: str, rules: str) -> str:
    bridge = DEFAULT_BRIDGE
    if table == "inet firewalld" or "firewalld" in running():
        return f"firewall-cmd --zone=trusted --add-interface={bridge}"
    if "chain DOCKER-USER" in rules:
        return (
            f"iptables -I DOCKER-USER -i {bridge} -j ACCEPT; "
            f"iptables -I DOCKER-USER -o {bridge} -j ACCEPT"
        )
    if "chain ufw-" in rules:
        return f"ufw route allow in on {bridge}; ufw route allow out on {bridge}"
    family, name = table.split()
    chain = re.search(
        rf"table {family} {re.escape(name)} {{.*?chain (\S+) {{\s*type \S+ hook forward",
        rules,
        re.S,
    )
    where = f"{table} {chain.group(1) if chain else 'FORWARD'}"
    return (
        f"nft insert rule {where} iifname {bridge} accept; "
        f"nft insert rule {where} oifname {bridge} accept"
    )
