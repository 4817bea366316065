"""``create``: a container is written down, with its volumes and, if it is wanted now, its layer."""

import signal

from mydocker.engine.assembly import parts_of
from mydocker.engine.errors import NameTaken
from mydocker.engine.records import events, names
from mydocker.engine.records.config import Config, Restart
from mydocker.engine.records.store import Store
from mydocker.engine.truth import finder
from mydocker.engine.words.times import now
from mydocker.kernel.errors import Failure, Invalid
from mydocker.kernel.numbers import decimal
from mydocker.kernel.records import replace
from mydocker.overlay2.layers import LayerStore

_POLICIES = ("no", "always", "unless-stopped", "on-failure")
DRIVERS = ("json-file", "none")


def create(store: Store, asked: Config, *, with_layer: bool = True) -> Config:
    """Make the container ``asked``, which has a new id, and a name if it shall have that one.

    Nothing runs yet. ``with_layer``: make its writable layer now, for ``cp`` and ``diff``; else the
    start makes it. Raises Failure for what cannot be, NameTaken for a name in use.
    """
    asked = replace(asked, created=now())
    if asked.auto_remove and asked.restart.policy != "no":
        raise Invalid("Conflicting options: --restart and --rm")
    if asked.points or asked.written.volumes_from or asked.settings.volumes:
        return _create_with_volumes(store, asked, with_layer)
    return _create(store, asked, with_layer)


def _create_with_volumes(store: Store, asked: Config, with_layer: bool) -> Config:
    """Most containers have none, and do without the imports."""
    from mydocker.engine.volumes.points import provide
    from mydocker.engine.volumes.removing import remove_anonymous
    from mydocker.engine.volumes.store import VolumeStore

    provided = replace(asked, points=())
    try:
        with VolumeStore(store.root).lock():
            provided = provide(store, asked)
            return _create(store, provided, with_layer)
    except BaseException:
        remove_anonymous(store, provided)
        raise


def _create(store: Store, config: Config, with_layer: bool) -> Config:
    config.limits.check()
    parts_of(store, config, finder(store))  # what cannot be is said now, not at the start
    if config.rootfs.size:
        from mydocker.overlay2.size_limit import check

        check(LayerStore(store.root).path)
    config = _add(store, config)
    try:
        if with_layer:
            make_layer(store, config)
    except BaseException:
        store.remove(config.id, config.name)
        raise
    events.tell(store, config, "create")
    return config


def make_layer(store: Store, config: Config) -> None:
    """Make the container's writable layer. Raises Failure if a layer of its image is missing."""
    from mydocker.overlay2.images import ImageStore

    layers = LayerStore(store.root)
    layers.remove_unfinished(config.id)
    parents = ImageStore(store.root).parents(config.image_id, config.diff_ids)
    layer = layers.create(parents, config.id)
    if config.rootfs.size:
        from mydocker.overlay2.size_limit import limit

        limit(layers.path, layer, config.rootfs.size)


def need_layer(store: Store, identifier: str) -> None:
    """See to it that the container has its layer: whoever made the container may have been killed.

    Do not call it with the container's lock held.
    """
    if not LayerStore(store.root).exists(identifier):
        from mydocker.engine.truth import changing

        with changing(store, identifier):
            need_layer_locked(store, identifier)


def need_layer_locked(store: Store, identifier: str) -> None:
    """As :func:`need_layer`, for whoever holds the lock."""
    if not LayerStore(store.root).exists(identifier):
        make_layer(store, store.config(identifier))


def _add(store: Store, config: Config) -> Config:
    if config.name:
        config = replace(config, name=names.check(config.name))
        store.add(config)
        return config
    for attempt in range(100):
        try:
            config = replace(config, name=names.propose(attempt))
            store.add(config)
            return config
        except NameTaken:
            continue
    raise Failure("no free name was found", "Give it one: --name NAME")


def parse_restart(written: str) -> Restart:
    """``no``, ``always``, ``unless-stopped``, ``on-failure[:N]``. Raises Invalid."""
    policy, colon, retries = written.partition(":")
    if policy not in _POLICIES:
        raise Invalid(f"invalid restart policy '{policy}'", f"It is one of {', '.join(_POLICIES)}")
    if colon and policy != "on-failure":
        raise Invalid("maximum retry count cannot be used with restart policy '" + policy + "'")
    most = decimal(retries, (1 << 31) - 1) if colon else 0
    if most is None:
        raise Invalid(f"invalid restart policy format: {written}: maximum retry count must be an "
                      "integer")  # fmt: skip
    return Restart(policy, most)


def signal_number(written: str) -> int:
    """A signal's number from ``9``, ``KILL``, ``SIGKILL``, ``RTMIN+3``. Raises Invalid."""
    number = decimal(written, signal.SIGRTMAX)
    if number in signal.valid_signals():
        return number or 0
    word = written.upper().removeprefix("SIG")
    base, plus, offset = word.partition("+")
    above = decimal(offset, signal.SIGRTMAX - signal.SIGRTMIN) if plus else 0
    if base == "RTMIN" and above is not None:
        return int(signal.SIGRTMIN) + above
    try:
        return int(signal.Signals[f"SIG{word}"])
    except KeyError:
        raise Invalid(f"Invalid signal: {written}") from None
