"""``ps``: the containers there are, those that pass the filters, and how each is doing."""

import time
from collections.abc import Iterator, Sequence

from mydocker.engine.errors import NoSuchContainer
from mydocker.engine.looking.views import exposed_ports, mounts
from mydocker.engine.records import health as tests
from mydocker.engine.records.config import Config
from mydocker.engine.records.state import (
    CREATED,
    DEAD,
    EXITED,
    PAUSED,
    REMOVING,
    RESTARTING,
    RUNNING,
    STATUSES,
    State,
)
from mydocker.engine.records.store import Store
from mydocker.engine.truth import look
from mydocker.engine.words import filters as forms
from mydocker.engine.words.filters import Filters
from mydocker.engine.words.times import number, span
from mydocker.kernel.errors import Failure, Invalid
from mydocker.kernel.numbers import decimal
from mydocker.kernel.records import record
from mydocker.network.store import Endpoint
from mydocker.network.store import Store as Networks

KNOWN = (
    "id",
    "name",
    "label",
    "exited",
    "status",
    "ancestor",
    "before",
    "since",
    "volume",
    "network",
    "publish",
    "expose",
    "health",
    "is-task",
)


@record
class Listed:
    """One container, as it is now; ``endpoints`` are its networks while it runs, ``health`` what
    its tests have found, None if it is not tested."""

    config: Config
    state: State
    endpoints: tuple[tuple[str, Endpoint], ...] = ()  # with the network's name
    health: tests.Health | None = None

    @property
    def status(self) -> str:
        """``Up 5 minutes``, ``Exited (0) 2 hours ago``, …"""
        words = status_words(self.state)
        if self.health is None or self.state.status != RUNNING:
            return words
        return f"{words} ({self.health.words})"

    @property
    def ports(self) -> str:
        """``0.0.0.0:8080->80/tcp, 53/udp``"""
        published = [port for _, endpoint in self.endpoints for port in endpoint.ports]
        ports = [
            (port.container, port.ip or "0.0.0.0", port.host, port.protocol) for port in published
        ]
        if self.state.up:
            own = {(port.container, port.protocol) for port in published}
            exposed = [_exposed(text) for text in exposed_ports(self.config)]
            ports += [(port, "", 0, kind) for port, kind in exposed if (port, kind) not in own]
        return port_text(ports)


def _exposed(text: str) -> tuple[int, str]:
    port, _, protocol = text.partition("/")
    return decimal(port, 65535) or 0, protocol


def port_text(ports: Sequence[tuple[int, str, int, str]]) -> str:
    """Ports of a container, as port, address, port of the host and protocol, in Docker's form.

    Ports in a row that are the same on the host are one range; address "": it is not published.
    """
    latest: dict[tuple[str, str], list[int]] = {}
    ended, others = [], []
    for port, address, host, protocol in sorted(ports):
        if address and host != port:
            others.append(f"{_at(address)}:{host}->{port}/{protocol}")
            continue
        key = address, protocol
        last = latest.get(key)
        if last and port == last[1] + 1:
            last[1] = port
            continue
        if last:  # a range that has ended comes first
            ended.append(_range(key, last))
        latest[key] = [port, port]
    return ", ".join([*ended, *(_range(key, last) for key, last in latest.items()), *others])


def _range(key: tuple[str, str], ends: list[int]) -> str:
    (address, protocol), (first, last) = key, ends
    ports = str(first) if first == last else f"{first}-{last}"
    return f"{_at(address)}:{ports}->{ports}/{protocol}" if address else f"{ports}/{protocol}"


def _at(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def status_words(state: State) -> str:
    """How it is doing, in Docker's words."""
    now = time.time()
    ago = span(now - number(state.finished) / 1e9)
    if state.status == CREATED:
        return "Created"
    if state.status == RESTARTING:
        return f"Restarting ({state.exit_code}) {ago} ago"
    if state.status == EXITED:
        return f"Exited ({state.exit_code}) {ago} ago"
    if state.status == DEAD:
        return "Dead"
    if state.status == REMOVING:
        return "Removal In Progress"
    up = f"Up {span(now - number(state.started) / 1e9)}"
    return f"{up} (Paused)" if state.status == PAUSED else up


def containers(
    store: Store, filters: Filters, *, all_: bool = False, last: int = 0
) -> list[Listed]:
    """The containers that pass, the youngest first; without ``all_`` those that are up.

    ``last``: only so many, whatever they do.
    """
    _check(filters)
    every = all_ or last > 0 or bool(filters.keys() & {"status", "exited"})
    found = [one for one in _all(store) if every or one[1].active]
    found.sort(key=lambda pair: pair[0].created, reverse=True)
    found = _around(store, filters, found)
    endpoints = _endpoints(store) if any(state.up for _, state in found) else {}
    listed = [
        Listed(c, s, tuple(endpoints.get(c.id, ())), tests.health_of(store, c, s)) for c, s in found
    ]
    passing = [one for one in listed if _passes(store, one, filters)]
    return passing[:last] if last > 0 else passing


def _all(store: Store) -> Iterator[tuple[Config, State]]:
    for identifier in store.ids():
        try:
            yield store.known(identifier), look(store, identifier)
        except NoSuchContainer:
            continue  # removed just now
        except Failure as failure:  # it is shown, so that it can be removed
            state = State(DEAD, error=str(failure))
            yield store.known(identifier), state


def _endpoints(store: Store) -> dict[str, list[tuple[str, Endpoint]]]:
    networks = Networks(store.root, store.run)
    found: dict[str, list[tuple[str, Endpoint]]] = {}
    for network in networks.up():
        for endpoint in networks.endpoints(network):
            found.setdefault(endpoint.container, []).append((network.name, endpoint))
    return found


def _check(filters: Filters) -> None:
    for status in filters.get("status", ()):
        if status not in STATUSES:
            raise Invalid(f"invalid value for filter 'status': {status}")
    for code in filters.get("exited", ()):
        if decimal(code.removeprefix("-"), 1 << 31) is None:
            raise Invalid(f"invalid filter 'exited={code}'")
    for status in filters.get("health", ()):
        if status not in tests.STATUSES:
            raise Invalid(f"Unrecognised filter value for health: {status}")


def _around(
    store: Store, filters: Filters, found: Sequence[tuple[Config, State]]
) -> list[tuple[Config, State]]:
    """``before`` and ``since``: older and younger than another container."""
    kept = list(found)
    for word in filters.get("before", ()):
        created = store.config(store.find(word)).created
        kept = [pair for pair in kept if pair[0].created < created]
    for word in filters.get("since", ()):
        created = store.config(store.find(word)).created
        kept = [pair for pair in kept if pair[0].created > created]
    return kept


def _passes(store: Store, one: Listed, filters: Filters) -> bool:
    config, state = one.config, one.state
    get = filters.get
    return (
        forms.any_of(get("id"), config.id.startswith)
        and forms.any_of(get("name"), lambda text: forms.matches_name(text, config.name))
        and forms.has_labels(get("label", ()), config.labels)
        and forms.any_of(get("status"), lambda text: text == state.status)
        and forms.any_of(
            get("exited"), lambda text: state.status == EXITED and int(text) == state.exit_code
        )
        and forms.any_of(get("ancestor"), lambda text: _descends(store, config, text))
        and forms.any_of(get("network"), lambda text: _is_on(one, text))
        and forms.any_of(get("volume"), lambda text: _has_volume(config, text))
        and forms.any_of(get("publish"), lambda text: _publishes(one, text))
        and forms.any_of(get("expose"), lambda text: _exposes(one, text))
        and forms.any_of(get("health"), lambda text: text == _health(one))
        and forms.any_of(get("is-task"), lambda text: text in ("false", "0"))
    )


def _health(one: Listed) -> str:
    return one.health.status if one.health else tests.NONE


def _descends(store: Store, config: Config, word: str) -> bool:
    """Made of the image ``word``, or of one that is built on it."""
    from mydocker.overlay2.images import ImageStore

    if config.image in (word, f"{word}:latest"):
        return True
    image = ImageStore(store.root).find(word)
    return image is not None and (
        image.id == config.image_id or config.diff_ids[: len(image.diff_ids)] == image.diff_ids
    )


def _is_on(one: Listed, word: str) -> bool:
    if any(word in (name, endpoint.network) for name, endpoint in one.endpoints):
        return True
    return word in one.config.network.networks


def _has_volume(config: Config, word: str) -> bool:
    return any(word in (m.get("Name"), m["Source"], m["Destination"]) for m in mounts(config))


def _port(text: str) -> tuple[range, str]:
    numbers, _, protocol = text.partition("/")
    first, dash, last = numbers.partition("-")
    low, high = decimal(first, 65535), decimal(last if dash else first, 65535)
    if low is None or high is None:
        raise Invalid(f"invalid port: {text}", "As 80, 80/tcp or 8000-8080/tcp")
    return range(low, high + 1), protocol or "tcp"


def _publishes(one: Listed, text: str) -> bool:
    ports, protocol = _port(text)
    return any(
        protocol == port.protocol and (port.host in ports or port.container in ports)
        for _, endpoint in one.endpoints
        for port in endpoint.ports
    )


def _exposes(one: Listed, text: str) -> bool:
    ports, protocol = _port(text)
    own = [port.partition("/")[::2] for port in exposed_ports(one.config)]
    own += [(str(p.container), p.protocol) for _, e in one.endpoints for p in e.ports]
    return any(kind == protocol and decimal(n, 65535) in ports for n, kind in own)
