"""What is asked of a container's network, as data."""

from mydocker.kernel.records import record, replace
from mydocker.namespaces.specification import HOST, SHARED, Namespaces
from mydocker.network.attachment import BRIDGE, DEFAULT, Attachment, PortBinding

NONE = "none"


@record
class Networking:
    """``mode``: "bridge" for the networks of ``attachments``, "none", "host", "container:NAME".

    ``exposed``: ports as ``80/tcp``, which are published somewhere if ``publish_all``. ``dns``,
    ``dns_search`` and ``dns_options`` are for resolv.conf(5), ``extra_hosts`` (``NAME:ADDRESS``)
    for hosts(5).
    """

    mode: str = BRIDGE
    attachments: tuple[Attachment, ...] = (Attachment(DEFAULT),)
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
        return tuple(one.name for one in self.attachments)

    @property
    def published(self) -> tuple[PortBinding, ...]:
        """All ports to publish."""
        if not self.publish_all:
            return self.publish
        return (*self.publish, *map(exposed_port, self.exposed))


def exposed_port(written: str) -> PortBinding:
    """``80/tcp``, or ``80``, as a port that the kernel may publish anywhere."""
    number, _, protocol = written.partition("/")
    return PortBinding(int(number), protocol or "tcp")


def with_network(namespaces: Namespaces, asked: Networking) -> Namespaces:
    """``namespaces``, without a network namespace where the container shares one."""
    if not asked.shares:
        return namespaces
    return replace(namespaces, new=tuple(kind for kind in namespaces.new if kind != "net"))
