"""/etc/hosts, /etc/hostname and /etc/resolv.conf of a container (hosts(5), resolv.conf(5)).

They cannot come from the image, which does not know where it will run. They are three files in the
container's own directory, written before it starts and bound over those of its root.
"""

import os
from collections.abc import Sequence

from mydocker.container import private
from mydocker.container.parts import Part
from mydocker.kernel import files
from mydocker.kernel.errors import Failure, Invalid
from mydocker.kernel.records import field, mutable_record
from mydocker.network import addresses, host
from mydocker.network.store import Endpoint, Network, Store, entries
from mydocker.overlay2.held import Held
from mydocker.overlay2.plan import Mount
from mydocker.overlay2.rootfs import Root, carry_out

NAMES = ("hosts", "hostname", "resolv.conf")
GATEWAY_WORD = "host-gateway"  # --add-host NAME:host-gateway, as Docker has it
_FALLBACK = ("8.8.8.8", "8.8.4.4")  # Docker's, for a host that names no server of use

_LOCAL = """\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""


def hosts_text(hostname: str, own: Sequence[str], extra: Sequence[tuple[str, str]]) -> str:
    """/etc/hosts: localhost, ``extra`` as ``(name, address)``, the container's own addresses."""
    lines = [f"{address}\t{name}\n" for name, address in extra]
    lines += [f"{address}\t{hostname}\n" for address in own]
    return _LOCAL + "".join(lines)


def resolver_text(servers: Sequence[str], search: Sequence[str], options: Sequence[str]) -> str:
    """/etc/resolv.conf from name servers, domains to search, and options."""
    lines = [f"nameserver {server}\n" for server in servers]
    if search and list(search) != ["."]:  # "--dns-search ." is Docker's word for none
        lines.append(f"search {' '.join(search)}\n")
    if options:
        lines.append(f"options {' '.join(options)}\n")
    return "".join(lines)


def host_resolver_text(
    configuration: str, servers: Sequence[str], search: Sequence[str], options: Sequence[str]
) -> str:
    """The host's resolv.conf for a container, with what was asked for in place of the host's.

    Servers at loopback addresses are left out: seen from a container they are the container.
    """
    found = host.named_servers(configuration)
    reachable = [a for a in found if not a.startswith("127.") and a != "::1"]
    words = [line.split() for line in configuration.splitlines()]
    domains = next((w[1:] for w in reversed(words) if w[:1] in (["search"], ["domain"])), [])
    given = [option for w in words if w[:1] == ["options"] for option in w[1:]]
    chosen = list(servers) or reachable or list(_FALLBACK)
    return resolver_text(chosen, search or domains, options or given)


def parse_extra(written: str) -> tuple[str, str]:
    """``NAME:ADDRESS`` or ``NAME:host-gateway``. Raises Failure."""
    name, colon, address = written.partition(":")
    if "=" in name or not colon:  # NAME=ADDRESS is good for an IPv6 address
        name, colon, address = written.partition("=")
    hint = "Write NAME:ADDRESS, for example db:10.0.0.7, or NAME:host-gateway"
    if not colon or not name or any(c.isspace() for c in name):
        raise Invalid(f"--add-host {written!r}: not a name and an address", hint)
    if address == GATEWAY_WORD:
        return name, address
    try:
        return name, addresses.text(*addresses.number(address.strip("[]")))
    except Failure:
        raise Invalid(f"--add-host {written}: '{address}' is not an address", hint) from None


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
        raise Invalid(f"{option} {name!r}: not a name for DNS", "Letters, digits, - and _ will do")


def _mount(name: str, source: str) -> Mount:
    """One of the files as an entry of a plan."""
    why = f"/etc/{name} of this container, not of the image"
    return Mount(f"/etc/{name}", "bind", source, ("bind",), why)


@mutable_record
class EtcPart(Part):
    """The three files, in ``directory``, over those of ``rootfs``, the container's future root.

    Comes after the NetworkPart of the same container and before the part that makes ``rootfs`` its
    root. ``shared``: on the host's network, and so with the host's name servers and names.
    ``borrowed``: the files are those of the container whose network it shares, in that one's
    ``directory``. ``extra`` are ``--add-host`` values.
    """

    stage = "etc"

    container: str
    root: str
    run: str
    directory: str
    hostname: str
    rootfs: str = ""
    shared: bool = False
    borrowed: str = ""
    extra: list[str] = field(default_factory=list)
    dns: list[str] = field(default_factory=list)
    search: list[str] = field(default_factory=list)
    options: list[str] = field(default_factory=list)

    def prepare(self) -> None:
        """Write the files."""
        if not os.path.isdir(self.directory):
            private.make(self.root, "containers")
            files.mkdir(self.directory, private.DIRECTORY, why="the container's own directory")
        attached = Store(self.root, self.run).attached(self.container)
        for name, text in self.texts(attached).items():
            files.create(f"{self.directory}/{name}", text, why=f"what /etc/{name} shall say")

    def reach(self) -> None:
        """Open the files, and the root that they go to."""
        if self.rootfs:
            self.held = Held([self.rootfs, *self._sources().values()])

    def _sources(self) -> dict[str, str]:
        """The file to bind over each of the names: of this container, or of whose network it is."""
        borrowed = self.borrowed or self.directory
        return {n: f"{self.directory if n == 'hostname' else borrowed}/{n}" for n in NAMES}

    def enter(self) -> None:
        """Bind the files over those of the image."""
        if not self.rootfs:
            return
        root = Root(self.rootfs, self.held.descriptor(self.rootfs))
        try:
            mounts = [_mount(name, source) for name, source in self._sources().items()]
            carry_out(root, mounts, self.held)
        finally:
            self.held.close()

    def rewrite(self) -> None:
        """Write the files anew, in place, as a bind mount shows the file that was there."""
        attached = Store(self.root, self.run).attached(self.container)
        for name, text in self.texts(attached).items():
            with open(f"{self.directory}/{name}", "r+", encoding="utf-8") as file:
                file.truncate()
                file.write(text)

    def texts(self, attached: Sequence[tuple[Network, Endpoint]]) -> dict[str, str]:
        """Name and content of each file for a container on these networks."""
        return {
            "hosts": self._hosts(attached),
            "hostname": f"{self.hostname}\n",
            "resolv.conf": self._resolver(attached),
        }

    def _hosts(self, attached: Sequence[tuple[Network, Endpoint]]) -> str:
        gateway = attached[0][0].gateway if attached else "127.0.0.1"
        pairs = [parse_extra(written) for written in self.extra]
        extra = [(name, gateway if a == GATEWAY_WORD else a) for name, a in pairs]
        if self.shared:
            lines = "".join(f"{address}\t{name}\n" for name, address in extra)
            return host.text("/etc/hosts") + lines
        own = [address for _, endpoint in attached for address in endpoint.addresses]
        return hosts_text(self.hostname, own, extra)

    def _resolver(self, attached: Sequence[tuple[Network, Endpoint]]) -> str:
        named = [network for network, _ in attached if not network.default]
        if named:  # the engine's server; it asks those of --dns itself
            return resolver_text([named[0].gateway], self.search, self.options or ["ndots:0"])
        if self.shared:
            configuration = host.text("/etc/resolv.conf")
            if not (self.dns or self.search or self.options):
                return configuration
        else:
            configuration = host.resolver_configuration()
        return host_resolver_text(configuration, self.dns, self.search, self.options)

    def release(self) -> None:
        """Remove the files, and their directory if nothing else is in it."""
        for name in NAMES:
            if os.path.exists(f"{self.directory}/{name}"):
                files.unlink(f"{self.directory}/{name}", why="the container is gone")
        if entries(self.directory) == [] and os.path.isdir(self.directory):
            files.rmdir(self.directory, why="the container's own directory")
