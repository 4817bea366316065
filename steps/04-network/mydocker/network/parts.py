"""From what is asked of a container's network to the parts that make it so."""

from typing import TYPE_CHECKING

from mydocker.container.parts import Part
from mydocker.kernel.records import replace
from mydocker.namespaces.sharing import Find, found
from mydocker.namespaces.specification import HOST, SHARED
from mydocker.network.attachment import BRIDGE
from mydocker.network.specification import Networking

if TYPE_CHECKING:  # imported where it is needed: not for --net none
    from mydocker.network.part import NetworkPart


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

    attachments = [replace(one, network=one.name) for one in asked.attachments]
    publish, dns = list(asked.published), list(asked.dns)
    return NetworkPart(identifier, name, root, run, attachments, publish, dns)
