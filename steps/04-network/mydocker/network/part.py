"""A container's networks as a part of it, in its four moments."""

import os
from typing import TYPE_CHECKING

from mydocker.container.parts import Part
from mydocker.container.processes import identify
from mydocker.kernel import programs, trace
from mydocker.kernel.errors import Invalid
from mydocker.kernel.records import field, fromdict, mutable_record, replace
from mydocker.network import bridges, dns, firewall, ipam, networks
from mydocker.network.attachment import Attachment, PortBinding
from mydocker.network.endpoints import inside_batch, leave_all, plug_in, reserve
from mydocker.network.store import Endpoint, Network, Published, Store

if TYPE_CHECKING:  # imported where it is needed: most containers publish nothing
    from mydocker.network.ports import Reservations


@mutable_record
class NetworkPart(Part):
    """A container on networks: a veth pair and addresses for each, and ports published.

    ``container`` is its id, ``name`` what others call it.
    """

    stage = "networks"

    container: str
    name: str
    root: str
    run: str
    attachments: list[Attachment]
    publish: list[PortBinding] = field(default_factory=list)
    dns: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        # from the record of a container they come as JSON has them
        self.attachments = [
            fromdict(Attachment, a) if isinstance(a, dict) else a for a in self.attachments
        ]
        self.publish = [
            fromdict(PortBinding, port) if isinstance(port, dict) else port for port in self.publish
        ]
        # Not fields, and so not saved: the plan is read from the store, and sockets live with us
        self._plan: list[tuple[Network, Endpoint]] = []
        self._reservations: Reservations | None = None

    @property
    def store(self) -> Store:
        return Store(self.root, self.run)

    def prepare(self) -> None:
        """Reserve addresses and ports, and make ready what the networks need of the machine."""
        with self.store.lock():
            fresh = False
            for index, attachment in enumerate(self.attachments):
                network = networks.to_join(self.store, attachment.network)
                if self.store.endpoint(network, self.container):
                    raise Invalid(f"--net {attachment.network}: the container is on it already")
                fresh |= bridges.claim(self.store, network)
                endpoint = reserve(
                    self.store, network, attachment, self.container, self.name, index
                )
                endpoint = replace(endpoint, dns=tuple(self.dns))
                self.store.put(endpoint)
                self._plan.append((network, endpoint))
            self._publish(fresh)

    def _publish(self, fresh: bool) -> None:
        """Keep the ports, and let them in: with all the rest if the table has to be made."""
        index = next((i for i, (network, _) in enumerate(self._plan) if not network.internal), None)
        if self.publish and index is not None:
            network, endpoint = self._plan[index]
            endpoint = replace(endpoint, ports=self._reserved(bool(endpoint.address6)))
            self._plan[index] = network, endpoint
            self.store.put(endpoint)
        if fresh or (self._plan and not firewall.present()):
            bridges.apply(self.store)
        elif self.publish and index is not None:
            bridges.publish(self.store, self._plan[index][1])

    def _reserved(self, ipv6: bool) -> tuple[Published, ...]:
        from mydocker.network.ports import Reservations

        self._reservations = Reservations()
        return tuple(self._reservations.fulfil(self.publish, self.store.ports, ipv6))

    def attach(self, pid: int) -> None:
        """Make each veth pair, its far end in the namespace of the waiting process."""
        process = identify(pid)
        for network, endpoint in self._plan:
            plug_in(self.store, network, endpoint, pid)
            self.store.put(replace(endpoint, pid=pid, start=process.start_time))
        if any(not network.default for network, _ in self._plan):
            with self.store.lock():
                dns.look(self.store)

    def enter(self) -> None:
        """Inside: addresses and routes, in one batch for all networks."""
        if self._plan:
            batch = inside_batch(self._plan)
            programs.ip_batch(batch, why="addresses, and a default route to the gateway")

    def descriptors(self) -> list[int]:
        """The sockets that keep the published ports."""
        sockets = self._reservations.sockets if self._reservations else []
        return [socket.fileno() for socket in sockets]

    def release(self) -> None:
        """Undo all that :meth:`prepare` and :meth:`attach` made, whoever made it."""
        if self._reservations:
            self._reservations.close()
        if not os.path.isdir(self.store.state()):
            return
        # Who cleans up after another, or is watched, does all of it now and before our eyes.
        aside = bool(self._plan) and not trace.observed()
        with self.store.lock():
            leave_all(self.store, self.container, aside=aside)
            self.store.drop_all(self.container)
            for network in self.store.up():
                ipam.free_all(self.store.state(network.id, "addresses"), self.container)
