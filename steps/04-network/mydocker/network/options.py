"""The command line of step 04: which network, which names and addresses, which ports.

Command lines import this module, and nothing else does.
"""

from collections.abc import Callable, Mapping
from typing import Any

import click

from mydocker.container.flags import Option
from mydocker.kernel.errors import Failure, Invalid
from mydocker.namespaces.options import apply, sharing_options
from mydocker.namespaces.specification import HOST, SHARED
from mydocker.network import addresses
from mydocker.network.attachment import BRIDGE, Attachment, PortBinding
from mydocker.network.specification import NONE, Networking

Command = Callable[..., Any]
Options = Mapping[str, Any]

_OPTIONS = [
    click.option(
        "--net",
        "--network",
        "networks",
        multiple=True,
        metavar="bridge|none|host|container:NAME|NETWORK",
        help="Where the container is connected. Several are possible. Default: bridge.",
    ),
    click.option(
        "--network-alias",
        "aliases",
        cls=Option,
        also=["--net-alias"],
        multiple=True,
        metavar="NAME",
        help="Another name.",
    ),
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
    click.option(
        "--dns-option",
        cls=Option,
        also=["--dns-opt"],
        multiple=True,
        metavar="OPTION",
        help="See resolv.conf(5).",
    ),
    click.option(
        "--add-host", multiple=True, metavar="NAME:ADDRESS", help="A line for /etc/hosts."
    ),
]


def network_options(command: Command) -> Command:
    """``--net``, ``-p``, ``--dns`` and all that belongs to the network of a run; whose namespaces
    it shares."""
    return sharing_options(apply(command, _OPTIONS))


def name_option(command: Command) -> Command:
    """``--name``: what other containers call this one."""

    def checked(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
        if value:
            from mydocker.network.etc import check_host_name

            check_host_name("--name", value)
        return value

    option = click.option(
        "--name", metavar="NAME", callback=checked, help="What others call it. Default: the id."
    )
    return option(command)


def networking_from(options: Options, exposed: tuple[str, ...] = ()) -> Networking:
    """What :func:`network_options` was told; ``exposed`` are the image's ports.

    Raises Failure for what cannot be.
    """
    asked = tuple(dict.fromkeys(options["networks"]))
    alone = [word for word in asked if word in (HOST, NONE) or word.startswith(SHARED)]
    if alone and len(asked) > 1:
        raise Invalid(f"--net {alone[0]}: cannot be combined with another --net")
    mode = alone[0] if alone else BRIDGE
    single = [port for port in exposed if "-" not in port]  # as the image has them
    ranges = [*(port for port in exposed if "-" in port), *options["expose"]]
    publish = _ports(options)
    _check(options, mode)
    return Networking(
        mode,
        () if alone else _attachments(options, asked),
        publish,
        options["publish_all"],
        tuple(sorted({*single, *(port for text in ranges for port in _exposed(text))})),
        tuple(_address("--dns", written) for written in options["dns"]),
        tuple(options["dns_search"]),
        tuple(options["dns_option"]),
        tuple(options["add_host"]),
    )


def _attachments(options: Options, asked: tuple[str, ...]) -> tuple[Attachment, ...]:
    own = options.get("hostname")  # which answers to its name, too, as Docker has it
    aliases = tuple(dict.fromkeys((*options["aliases"], *([own] if own else []))))
    first, *more = asked or (Networking().network_mode,)
    mac = options["mac_address"]
    return (  # as in Docker, the addresses are for the first network
        Attachment(
            first,
            aliases,
            _address("--ip", options["ip"]),
            _address("--ip6", options["ip6"]),
            addresses.check_mac(mac) if mac else "",
        ),
        *(Attachment(network, aliases) for network in more),
    )


def _ports(options: Options) -> tuple[PortBinding, ...]:
    if not options["publish"]:
        return ()
    from mydocker.network.ports import parse

    return tuple(port for written in options["publish"] for port in parse(written))


def _exposed(written: str) -> list[str]:
    from mydocker.network.ports import parse_exposed

    return parse_exposed(written)


def _address(option: str, written: str | None) -> str:
    if not written:
        return ""
    try:
        return addresses.text(*addresses.number(written))
    except Failure as failure:
        raise Invalid(f"{option} {written}: not an address", failure.hint) from None


def _check(options: Options, mode: str) -> None:
    """Refuse what makes no sense together, before anything is made."""
    if options["add_host"] or options["aliases"]:
        from mydocker.network.etc import check_host_name, parse_extra

        for written in options["add_host"]:
            parse_extra(written)
        for alias in options["aliases"]:
            check_host_name("--network-alias", alias)
    default_only = list(options["networks"] or (BRIDGE,)) == [BRIDGE]
    for option, key in (("--ip", "ip"), ("--ip6", "ip6"), ("--network-alias", "aliases")):
        if options[key] and (mode != BRIDGE or default_only):
            hint = "Make a network (network create NAME) and use it with --net NAME"
            raise Invalid(f"{option}: only on networks of your own", hint)
    if mode == BRIDGE:
        return
    if mode != NONE and options["mac_address"]:
        raise Invalid(f"--mac-address: with --net {mode} it has no card of its own")
    if options["publish"]:
        hint = "With --net host its ports are the host's own" if mode == HOST else ""
        raise Invalid(f"-p {options['publish'][0]}: nothing to publish with --net {mode}", hint)
