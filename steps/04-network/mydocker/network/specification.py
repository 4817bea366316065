"""What is asked of a container's network, as data; and the parts that make it so."""

from typing import TYPE_CHECKING

from mydocker.container.parts import Part
from mydocker.kernel.records import record, replace
from mydocker.namespaces.sharing import Find, found
from mydocker.namespaces.specification import HOST, SHARED, Namespaces

if TYPE_CHECKING:  # imported where it is needed: not for --net none
    from mydocker.network.part import NetworkPart

BRIDGE, NONE = "bridge", "none"
_DEFAULT = "default"  # Docker's word where nothing was said; it is the network "bridge"


@record
class Attachment:
    """A network, by name, and what the container wants there ("" for any)."""

    network: str
    aliases: tuple[str, ...] = ()
    address: str = ""
    address6: str = ""
    mac: str = ""


@record
class PortBinding:
    """A port of the container, published at one of the host's ports ``first`` to ``last``.

    ``first`` 0: the kernel chooses. ``ip``: at this address of the host only.
    """

    container: int
    protocol: str = "tcp"
    ip: str = ""
    first: int = 0
    last: int = 0

    @property
    def hosts(self) -> range:
        """The host's ports to try; none leaves the choice to the kernel."""
        return range(self.first, self.last + 1) if self.first else range(0)


@record
class Networking:
    """``mode``: "bridge" for the networks of ``attachments``, "none", "host", "container:NAME".

    ``exposed``: ports as ``80/tcp``, which are published somewhere if ``publish_all``. ``dns``,
    ``dns_search`` and ``dns_options`` are for resolv.conf(5), ``extra_hosts`` (``NAME:ADDRESS``)
    for hosts(5).
    """

    mode: str = BRIDGE
    attachments: tuple[Attachment, ...] = (Attachment(_DEFAULT),)
    publish: tuple[PortBinding, ...] = ()
    publish_all: bool = False
    exposed: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    extra_hosts: tuple[str, ...] = ()

    @property
    def shares(self) -> bool:
        """Has it no network namespace of its own?"""
        return self.mode == HOST or self.mode.startswith(SHARED)

    @property
    def network_mode(self) -> str:
        """Docker's ``NetworkMode``: the first network's name, or the mode."""
        return self.attachments[0].network if self.mode == BRIDGE else self.mode

    @property
    def networks(self) -> tuple[str, ...]:
        """The names of its networks; one for each of "none" and "host", as Docker has them."""
        if self.mode != BRIDGE:
            return () if self.mode.startswith(SHARED) else (self.mode,)
        return tuple(map(_name, self.attachments))

    @property
    def published(self) -> tuple[PortBinding, ...]:
        """All ports to publish."""
        if not self.publish_all:
            return self.publish
        return (*self.publish, *map(exposed_port, self.exposed))


def _name(attachment: Attachment) -> str:
    return BRIDGE if attachment.network == _DEFAULT else attachment.network


def exposed_port(written: str) -> PortBinding:
    """``80/tcp``, or ``80``, as a port that the kernel may publish anywhere."""
    number, _, protocol = written.partition("/")
    return PortBinding(int(number), protocol or "tcp")


def with_network(namespaces: Namespaces, asked: Networking) -> Namespaces:
    """``namespaces``, without a network namespace where the container shares one."""
    if not asked.shares:
        return namespaces
    return replace(namespaces, new=tuple(kind for kind in namespaces.new if kind != "net"))


def network_parts(
    asked: Networking,
    identifier: str,
    name: str,
    hostname: str,
    *,
    root: str,
    run: str,
    rootfs: str = "",
    directory: str = "",
    find: Find | None = None,
) -> list[Part]:
    """The parts for the network of the container ``identifier``, which others call ``name``.

    ``rootfs`` is its future root: without one, it sees the host's /etc. ``directory`` is for its
    own files, ``find`` looks up another container by name. Raises Failure.
    """
    from mydocker.network.etc import EtcPart

    directory = directory or f"{root}/containers/{identifier}"
    parts: list[Part] = []
    borrowed = ""
    if asked.mode.startswith(SHARED):
        from mydocker.namespaces.shared import SharedNamespace

        other = found("--net", asked.mode, find)
        borrowed = other.directory
        parts.append(SharedNamespace(other.name, other.process.pid, other.process.start_time))
    elif asked.mode == BRIDGE:
        parts.append(_network(asked, identifier, name, root, run))
    etc = EtcPart(
        identifier,
        root,
        run,
        directory,
        hostname,
        rootfs=rootfs,
        shared=asked.mode == HOST,
        borrowed=borrowed,
        extra=list(asked.extra_hosts),
        dns=list(asked.dns),
        search=list(asked.dns_search),
        options=list(asked.dns_options),
    )
    return [*parts, etc] if rootfs else parts


def _network(asked: Networking, identifier: str, name: str, root: str, run: str) -> "NetworkPart":
    from mydocker.network.part import NetworkPart

    attachments = [replace(one, network=_name(one)) for one in asked.attachments]
    publish, dns = list(asked.published), list(asked.dns)
    return NetworkPart(identifier, name, root, run, attachments, publish, dns)
