"""Networks, and who is attached to them, on disk.

What shall outlive the machine's next start is under the root, what describes this moment is under
the run directory, which is empty after a start of the machine::

    <root>/network/names/blue -> <id>             a name belongs to one network: symlink(2) decides
    <root>/network/<id>/network.json              what was asked for
    <run>/network/lock                            one change of the machine's network at a time
    <run>/network/<id>/                           the network is up: its bridge exists, or should
    <run>/network/<id>/addresses/10.86.0.2 -> <container>
    <run>/network/<id>/endpoints/<container>.json

JSON is replaced as a whole (``kernel.whole``). A network whose own file is damaged keeps its name
and its place in lists: it can be removed, and no other network is the worse for it.
"""

import errno
import os
from typing import Any, Self

from mydocker.container import news, private
from mydocker.kernel import signals, whole
from mydocker.kernel.errors import Conflict, Failure, Invalid, KernelError, NotFound
from mydocker.kernel.records import alike, asdict, field, record
from mydocker.kernel.whole import Damaged
from mydocker.network.addresses import Subnet, Taken

DEFAULT = "bridge"  # the network of containers that name none, as in Docker
DEFAULT_BRIDGE = "mydocker0"
_ID = 64  # hexadecimal digits


@record
class Network:
    """One network as it was asked for. Subnets and addresses are text; "" where there is none."""

    id: str
    name: str
    created: str
    bridge: str
    subnet: str
    gateway: str
    ip_range: str = ""
    subnet6: str = ""
    gateway6: str = ""
    internal: bool = False
    mtu: int = 1500
    labels: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)

    @property
    def default(self) -> bool:
        """The network ``bridge``: comes with its first container, goes with its last."""
        return self.name == DEFAULT

    @property
    def damaged(self) -> bool:
        """Its file could not be read: nothing is known but its id and its name."""
        return not self.subnet

    @property
    def subnets(self) -> list[tuple[Subnet, str]]:
        """Each subnet with its gateway: IPv4, and IPv6 where the network has it."""
        pairs = [(self.subnet, self.gateway), (self.subnet6, self.gateway6)]
        return [(Subnet.parse(subnet), gateway) for subnet, gateway in pairs if subnet]


@record
class Published:
    """A port of the host that leads to one of a container; ``ip`` is "" for every address."""

    ip: str
    host: int
    container: int
    protocol: str


@record
class Endpoint:
    """Where a container meets a network: the link on the host, the interface inside, addresses.

    ``pid`` is the container's first process and ``start`` the time of its start, in clock ticks
    after boot; both are 0 until it exists.
    """

    network: str
    container: str
    name: str
    link: str
    interface: str
    mac: str
    address: str
    address6: str = ""
    aliases: tuple[str, ...] = ()
    ports: tuple[Published, ...] = ()
    dns: tuple[str, ...] = ()
    pid: int = 0
    start: int = 0

    @property
    def addresses(self) -> list[str]:
        return [address for address in (self.address, self.address6) if address]

    @classmethod
    def load(cls, saved: dict[str, Any]) -> Self:
        """From what asdict() gave. Raises TypeError or KeyError for anything else."""
        saved["ports"] = tuple(Published(**port) for port in saved["ports"])
        found = cls(**(saved | {name: tuple(saved[name]) for name in ("aliases", "dns")}))
        if not alike(found, Endpoint(*"1234567")):
            raise TypeError(saved)
        return found


@record
class Store:
    """The networks under ``root`` and their state under ``run``."""

    root: str
    run: str

    # ------------------------------------------------------------ where things are

    def _definition(self, *names: str) -> str:
        return "/".join((self.root, "network", *names))

    def state(self, *names: str) -> str:
        """A path below ``<run>/network``."""
        return "/".join((self.run, "network", *names))

    def lock(self) -> "Lock":
        """One change of the machine's network at a time: ``with store.lock(): …`` (flock(2))."""
        if not os.path.isdir(self.state()):
            private.make(self.run, "network", mode=private.DIRECTORY)
        return Lock(self.state("lock"))

    # ------------------------------------------------------------ networks

    def networks(self) -> list[Network]:
        """All networks, in the order in which they were made."""
        found = [self._load(entry) for entry in self._ids()]
        return sorted((n for n in found if n), key=lambda n: (n.created, n.id))

    def _ids(self) -> list[str]:
        return [entry for entry in entries(self._definition()) if len(entry) == _ID]

    def _load(self, identifier: str) -> Network | None:
        try:
            saved = whole.read_json(self._definition(identifier, "network.json"))
            if saved is None:
                return None
            network, usual = Network(**saved), Network(*"123456")
            if not alike(network, usual):
                raise TypeError(saved)
            if len(network.subnets) > 0:
                return network
        except (Failure, TypeError):
            pass
        name = self._name_of(identifier)
        bridge = DEFAULT_BRIDGE if name == DEFAULT else f"md-{identifier[:12]}"
        return Network(identifier, name, "", bridge, "", "")

    def _name_of(self, identifier: str) -> str:
        """The name that leads to a network whose own file does not tell."""
        names = entries(self._definition("names"))
        return next((name for name in names if self._leads(name) == identifier), identifier[:12])

    def _leads(self, name: str) -> str:
        try:
            return os.readlink(self._definition("names", name))
        except OSError:
            return ""

    def named(self, name: str) -> Network | None:
        """The network of exactly this name."""
        identifier = self._leads(name)
        return self._load(identifier) if identifier else None

    def find(self, word: str) -> Network:
        """The network called ``word``, or whose id begins with it. Raises Failure."""
        if not word or "/" in word or "\0" in word:
            raise Invalid(f"network '{word}': not a name", "List the networks: network ls")
        network = self.named(word)
        if network:
            return network
        found = [n for n in map(self._load, self._ids()) if n and n.id.startswith(word)]
        if len(found) == 1:
            return found[0]
        if found:
            raise Invalid(f"network '{word}': several ids begin so", "Write more of the id")
        raise NotFound(
            f"network {word} not found", f"List them: network ls. Or make it: network create {word}"
        )

    def usable(self, word: str) -> Network:
        """As :meth:`find`, to attach somebody to it. Raises Failure if it is damaged."""
        network = self.find(word)
        if network.damaged:
            path = self._definition(network.id, "network.json")
            raise Damaged(path, f"Take its containers away, then: network rm {network.name}")
        return network

    def add(self, network: Network) -> None:
        """Save a new network under a name that nobody has. Raises Failure if somebody has."""
        private.make(self.root, "network", network.id)
        private.make(self.root, "network", "names")
        try:
            whole.write_json(self._definition(network.id, "network.json"), asdict(network))
        except BaseException:  # a full disk
            self._forget_definition(network.id)
            raise
        try:
            os.symlink(network.id, self._definition("names", network.name))
        except OSError as error:
            self._forget_definition(network.id)
            if error.errno == errno.EEXIST:
                raise Conflict(
                    f"network with name {network.name} already exists", "List them: network ls"
                ) from None
            raise KernelError("symlink", (network.name,), error.errno or 0) from None
        if not network.default:  # that one is always there, as users see it
            self._tell(network, "create")

    def remove(self, network: Network) -> None:
        """Forget a network that has no endpoints."""
        for name in entries(self._definition("names")):
            if self._leads(name) == network.id:
                _unlink(self._definition("names", name))
        self._forget_definition(network.id)
        if not network.default:
            self._tell(network, "destroy")

    def _tell(self, network: Network, action: str, **more: str) -> None:
        attributes = {"name": network.name, "type": "bridge", **more}
        news.tell(self.root, "network", action, network.id, attributes)

    def _forget_definition(self, identifier: str) -> None:
        for name in entries(self._definition(identifier)):  # and drafts of who was killed
            _unlink(self._definition(identifier, name))
        _rmdir(self._definition(identifier))

    def taken(self) -> list[Taken]:
        """The subnets of all our networks."""
        return [
            Taken(subnet, f"network '{network.name}'")
            for network in self.networks()
            for subnet, _ in network.subnets
        ]

    # ------------------------------------------------------------ what is up

    def up(self) -> list[Network]:
        """The networks whose bridges exist, or should."""
        found = [self._load(entry) for entry in entries(self.state()) if len(entry) == _ID]
        return sorted((n for n in found if n), key=lambda n: n.id)

    def is_up(self, network: Network) -> bool:
        """True from :meth:`mark_up` to :meth:`mark_down`."""
        return os.path.isdir(self.state(network.id))

    def mark_up(self, network: Network) -> None:
        """Note that the network's bridge is about to be made: from now on it has to be removed."""
        for name in ("addresses", "endpoints"):
            private.make(self.run, "network", network.id, name, mode=private.DIRECTORY)

    def mark_down(self, network: Network) -> None:
        """Note that nothing of the network is left on the machine."""
        for kind in ("addresses", "endpoints"):
            for name in entries(self.state(network.id, kind)):
                _unlink(self.state(network.id, kind, name))
            _rmdir(self.state(network.id, kind))
        _rmdir(self.state(network.id))

    # ------------------------------------------------------------ endpoints

    def endpoints(self, network: Network) -> list[Endpoint]:
        """Who is attached to ``network``, by address."""
        names = entries(self.state(network.id, "endpoints"))
        found = [self.endpoint(network, name[:-5]) for name in names if name.endswith(".json")]
        return sorted((e for e in found if e), key=lambda e: (len(e.address), e.address))

    def endpoint(self, network: Network, container: str) -> Endpoint | None:
        """The endpoint of a container in ``network``; None also if its file is damaged."""
        try:
            saved = whole.read_json(self.state(network.id, "endpoints", f"{container}.json"))
            return Endpoint.load(saved) if saved else None
        except (Damaged, KeyError, TypeError):
            return None

    def attached(self, container: str) -> list[tuple[Network, Endpoint]]:
        """A container's networks, and its endpoint in each."""
        found = []
        for entry in entries(self.state()):
            # A look for the file first: with a hundred networks it is hardly ever there.
            if os.path.exists(self.state(entry, "endpoints", f"{container}.json")):
                network = self._load(entry)
                endpoint = self.endpoint(network, container) if network else None
                if network and endpoint:
                    found.append((network, endpoint))
        return sorted(found, key=lambda pair: pair[1].interface)

    def put(self, endpoint: Endpoint) -> None:
        """Save an endpoint, new or changed."""
        path = self.state(endpoint.network, "endpoints", f"{endpoint.container}.json")
        fresh = not os.path.exists(path)
        whole.write_json(path, asdict(endpoint), durable=False)
        network = self._load(endpoint.network) if fresh else None
        if network:
            self._tell(network, "connect", container=endpoint.container)

    def drop(self, endpoint: Endpoint) -> None:
        """Forget an endpoint."""
        self._drop(endpoint.network, endpoint.container)

    def _drop(self, identifier: str, container: str) -> None:
        gone = _unlink(self.state(identifier, "endpoints", f"{container}.json"))
        network = self._load(identifier) if gone else None
        if network:
            self._tell(network, "disconnect", container=container)

    def drop_all(self, container: str) -> None:
        """Forget whatever there is of a container, readable or not."""
        for network in self.up():
            self._drop(network.id, container)

    def ports(self, but: str = "") -> list[tuple[Published, str]]:
        """All published ports, each with the name of its container; ``but`` those of one."""
        endpoints = [e for n in self.up() for e in self.endpoints(n) if e.container != but]
        return [(port, endpoint.name) for endpoint in endpoints for port in endpoint.ports]

    def exists(self, container: str) -> bool:
        """True while a container's run directory is there: it runs, or was not released yet."""
        return os.path.isdir(f"{self.run}/{container}")


class Lock:
    """flock(2) on a file, held through a ``with`` block; the kernel lets it go if we die."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __enter__(self) -> None:
        self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        signals.lock(self.fd)

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)


def entries(directory: str) -> list[str]:
    """The names in a directory, sorted; none if it is not there (any more)."""
    try:
        return sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _unlink(path: str) -> bool:
    """True for who removed it; False if it was not there."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True


def _rmdir(path: str) -> None:
    try:
        os.rmdir(path)
    except OSError:
        pass
