"""Where a container is plugged in: a network, and a port of the host."""

from mydocker.kernel.records import record

BRIDGE = "bridge"  # the network of a container that names none
DEFAULT = "default"  # Docker's word where nothing was said: that network


@record
class Attachment:
    """A network, by name, and what the container wants there ("" for any)."""

    network: str
    aliases: tuple[str, ...] = ()
    address: str = ""
    address6: str = ""
    mac: str = ""

    @property
    def name(self) -> str:
        """The network's own name."""
        return BRIDGE if self.network == DEFAULT else self.network


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
