"""The command line of step 04: which network, which names and addresses, which ports."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from mydocker.container.parts import Part
from mydocker.container.processes import Identity
from mydocker.kernel import syscalls
from mydocker.kernel.errors import Failure
from mydocker.kernel.records import record
from mydocker.namespaces.options import apply
from mydocker.namespaces.sharing import SHARING, sharing_flags, sharing_parts
from mydocker.network import addresses
from mydocker.network.etc import EtcPart, parse_extra
from mydocker.network.store import DEFAULT

if TYPE_CHECKING:  # imported where it is needed: not for --net none
    from mydocker.network.part import NetworkPart

Command = Callable[..., Any]
Options = Mapping[str, Any]
HOST, NONE = "host", "none"
_SHARED = "container:"

_OPTIONS = [
    click.option(
        "--net",
        "--network",
        "networks",
        multiple=True,
        metavar="bridge|none|host|container:NAME|NETWORK",
        help="Where the container is connected. Several are possible. Default: bridge.",
    ),
    click.option("--network-alias", "aliases", multiple=True, metavar="NAME", help="Another name."),
    click.option("--ip", metavar="ADDRESS", help="This address, on a network of your own."),
    click.option("--ip6", metavar="ADDRESS", help="This IPv6 address."),
    click.option("--mac-address", metavar="MAC", help="This hardware address."),
    click.option(
        "-p",
        "--publish",
        multiple=True,
        metavar="[IP:]HOST:CONTAINER[/udp]",
        help="Lead a port of the host to one of the container; ranges as 8000-8009.",
    ),
    click.option("-P", "--publish-all", is_flag=True, help="Publish all exposed ports somewhere."),
    click.option("--expose", multiple=True, metavar="PORT[/udp]", help="A port for -P."),
    click.option("--dns", multiple=True, metavar="ADDRESS", help="Ask this name server."),
    click.option("--dns-search", multiple=True, metavar="DOMAIN", help="Complete names with it."),
    click.option("--dns-option", multiple=True, metavar="OPTION", help="See resolv.conf(5)."),
    click.option(
        "--add-host", multiple=True, metavar="NAME:ADDRESS", help="A line for /etc/hosts."
    ),
]


def network_options(command: Command) -> Command:
    """``--net``, ``-p``, ``--dns`` and all that belongs to the network of a run; whose namespaces
    it shares."""
    return apply(command, [*_OPTIONS, *SHARING])


def network_mode(options: Options) -> str:
    """``host``, ``none``, ``container:NAME``, or ``bridge`` for one network or several."""
    asked = options["networks"] or (DEFAULT,)
    alone = [word for word in asked if word in (HOST, NONE) or word.startswith(_SHARED)]
    if alone and len(asked) > 1:
        raise Failure(f"--net {alone[0]}: cannot be combined with another --net")
    return alone[0] if alone else DEFAULT


def network_flags(options: Options, flags: int) -> int:
    """``flags`` for clone3(2), without the namespaces that it shares with others."""
    flags, mode = sharing_flags(options, flags), network_mode(options)
    shares = mode == HOST or mode.startswith(_SHARED)
    return flags & ~syscalls.CLONE_NEWNET if shares else flags


@record
class Shared:
    """The container whose network is shared: what it is called, its process, its directory."""

    name: str
    process: Identity
    directory: str


def network_parts(
    options: Options,
    identifier: str,
    name: str,
    *,
    root: str,
    run: str,
    rootfs: str = "",
    directory: str = "",
    exposed: tuple[str, ...] = (),
    find: Callable[[str], Shared] | None = None,
) -> list[Part]:
    """The parts for the network of the container ``identifier``, which others call ``name``.

    ``rootfs`` is its future root: without one, it sees the host's /etc. ``directory`` is for its
    own files, ``exposed`` the image's ports, ``find`` looks up another container by name. They
    enter after the namespaces' parts and before the root's. Raises Failure for bad options.
    """
    mode = network_mode(options)
    _check(options, mode)
    directory = directory or f"{root}/containers/{identifier}"
    parts = sharing_parts(options, find)
    borrowed = ""
    if mode.startswith(_SHARED):
        if find is None:
            raise Failure(f"--net {mode}: no other container is known here")
        from mydocker.namespaces.shared import SharedNamespace

        other = find(mode.removeprefix(_SHARED))
        borrowed = other.directory
        parts.append(SharedNamespace(other.name, other.process.pid, other.process.start_time))
    elif mode == DEFAULT:
        parts.append(_network(options, identifier, name, root, run, exposed))
    etc = EtcPart(
        identifier,
        root,
        run,
        directory,
        options.get("hostname") or identifier[:12],
        rootfs=rootfs,
        shared=mode == HOST,
        borrowed=borrowed,
        extra=list(options["add_host"]),
        dns=[_address("--dns", written) for written in options["dns"]],
        search=list(options["dns_search"]),
        options=list(options["dns_option"]),
    )
    return [*parts, etc] if rootfs else parts


def _network(
    options: Options, identifier: str, name: str, root: str, run: str, exposed: tuple[str, ...]
) -> "NetworkPart":
    from mydocker.network.endpoints import Attachment
    from mydocker.network.part import NetworkPart

    aliases = list(options["aliases"])
    asked = list(dict.fromkeys(options["networks"] or (DEFAULT,)))
    attachments = [Attachment(network, aliases) for network in asked]
    # as in Docker, these are for the first network
    attachments[0].address = _address("--ip", options["ip"])
    attachments[0].address6 = _address("--ip6", options["ip6"])
    mac = options["mac_address"]
    attachments[0].mac = addresses.check_mac(mac) if mac else ""
    return NetworkPart(
        identifier,
        name,
        root,
        run,
        attachments,
        publish=list(options["publish"]),
        exposed=[*exposed, *options["expose"]],
        publish_all=options["publish_all"],
        dns=list(options["dns"]),
    )


def _address(option: str, written: str | None) -> str:
    if not written:
        return ""
    try:
        return addresses.text(*addresses.number(written))
    except Failure as failure:
        raise Failure(f"{option} {written}: not an address", failure.hint) from None


def _check(options: Options, mode: str) -> None:
    """Refuse what makes no sense together, before anything is made."""
    if options["publish"] or options["expose"]:
        from mydocker.network.ports import parse, parse_exposed

        for written in options["publish"]:
            parse(written)
        for written in options["expose"]:
            parse_exposed(written)
    for written in options["add_host"]:
        parse_extra(written)
    for alias in options["aliases"]:
        check_host_name("--network-alias", alias)
    default_only = list(options["networks"] or (DEFAULT,)) == [DEFAULT]
    for option, key in (("--ip", "ip"), ("--ip6", "ip6"), ("--network-alias", "aliases")):
        if options[key] and (mode != DEFAULT or default_only):
            hint = "Make a network (network create NAME) and use it with --net NAME"
            raise Failure(f"{option}: only on networks of your own", hint)
    if mode == DEFAULT:
        return
    if mode != NONE and options["mac_address"]:
        raise Failure(f"--mac-address: with --net {mode} it has no card of its own")
    if options["publish"]:
        hint = "With --net host its ports are the host's own" if mode == HOST else ""
        raise Failure(f"-p {options['publish'][0]}: nothing to publish with --net {mode}", hint)


def check_host_name(option: str, name: str) -> None:
    """Raise Failure for a name that DNS cannot carry (RFC 1123)."""
    labels = name.split(".")
    good = all(
        0 < len(label) <= 63
        and label.isascii()
        and label.replace("-", "").replace("_", "").isalnum()
        for label in labels
    )
    if not good or len(name) > 253:
        raise Failure(f"{option} {name!r}: not a name for DNS", "Letters, digits, - and _ will do")
