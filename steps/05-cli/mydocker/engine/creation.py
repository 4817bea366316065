"""``create``: from the options of a command line to a container that is written down."""

import os
import signal
from collections.abc import Mapping
from typing import Any

from mydocker.container.running import new_identifier
from mydocker.engine import events, names
from mydocker.engine.assembly import image_of, parts_of
from mydocker.engine.config import Config, Restart
from mydocker.engine.errors import NameTaken, Refused
from mydocker.engine.security.settings import read_profile
from mydocker.engine.store import Store
from mydocker.engine.times import now
from mydocker.kernel.records import replace
from mydocker.overlay2.images import Image
from mydocker.overlay2.layers import LayerStore
from mydocker.overlay2.options import overlay2_process, size_limit

_POLICIES = ("no", "always", "unless-stopped", "on-failure")
_DRIVERS = ("json-file", "none")


def create(
    store: Store,
    image: Image,
    asked: str,
    command: tuple[str, ...],
    options: Mapping[str, Any],
    *,
    with_layer: bool = True,
) -> Config:
    """Make a container of ``image``, which the user called ``asked``; nothing runs yet.

    ``with_layer``: make its writable layer now, for ``cp`` and ``diff``; else the start makes it.
    Raises Failure for options that cannot be, NameTaken for a name in use.
    """
    if _wants_volumes(image, options):
        return _create_with_volumes(store, image, asked, command, options, with_layer)
    return _create(store, image, asked, command, options, with_layer)


def _wants_volumes(image: Image, options: Mapping[str, Any]) -> bool:
    """Most containers have none, and do without the imports."""
    return bool(
        image.config.volumes
        or options.get("volumes_from")
        or any(not text.startswith("/") or ":" not in text for text in options["volumes"])
        or any("type=bind" not in text and "type=tmpfs" not in text for text in options["mounts"])
    )


def _create_with_volumes(
    store: Store,
    image: Image,
    asked: str,
    command: tuple[str, ...],
    options: Mapping[str, Any],
    with_layer: bool,
) -> Config:
    from mydocker.engine.volumes.points import provide
    from mydocker.engine.volumes.removing import remove_anonymous
    from mydocker.engine.volumes.store import VolumeStore

    provided: Mapping[str, Any] = {}
    try:
        with VolumeStore(store.root).lock():
            provided = provide(store, image, options)
            return _create(store, image, asked, command, provided, with_layer)
    except BaseException:
        remove_anonymous(store, provided)
        raise


def _create(
    store: Store,
    image: Image,
    asked: str,
    command: tuple[str, ...],
    options: Mapping[str, Any],
    with_layer: bool,
) -> Config:
    config = _configured(image, asked, command, options)
    parts_of(store, config)  # what is wrong with the options is said now, not at the start
    if size_limit(options):
        from mydocker.overlay2.size_limit import check

        check(LayerStore(store.root).path)
    config = _add(store, config, options.get("name") or "")
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
    layers.remove(config.id)  # half of one, if a former attempt was killed
    layer = layers.create(ImageStore(store.root).layers(image_of(config))[::-1], config.id)
    if size := size_limit(config.options):
        from mydocker.overlay2.size_limit import limit

        limit(layers.path, layer, size)


def _add(store: Store, config: Config, name: str) -> Config:
    if name:
        config = replace(config, name=names.check(name))
        store.add(config)
        return config
    for attempt in range(100):
        try:
            config = replace(config, name=names.propose(attempt))
            store.add(config)
            return config
        except NameTaken:
            continue
    raise Refused("no free name was found", "Give it one: --name NAME")


def _configured(
    image: Image, asked: str, command: tuple[str, ...], options: Mapping[str, Any]
) -> Config:
    identifier = new_identifier()
    # Whether there is a terminal to hand on is asked when somebody attaches.
    detached = {**options, "interactive": False}
    hostname = options["hostname"] or identifier[:12]
    process = overlay2_process(detached, image, command, hostname)
    restart = parse_restart(options.get("restart") or "no")
    if options.get("rm") and restart.policy != "no":
        raise Refused("Conflicting options: --restart and --rm")
    size, files = _rotation(options)
    profiles = tuple(map(read_profile, options.get("security_opt") or ()))
    return Config(
        identifier,
        "",
        now(),
        asked,
        image.id,
        image.diff_ids,
        image.config.to_json(),
        {**options, "security_opt": profiles},
        process.arguments,
        process.environment,
        process.directory,
        terminal=process.terminal,
        input=options["interactive"],
        init=process.init,
        command=command,
        labels={**dict(image.config.labels), **_labels(options)},
        auto_remove=bool(options.get("rm")),
        attached=not options.get("detach", True),
        restart=restart,
        stop_signal=signal_number(options.get("stop_signal") or image.config.stop_signal or "TERM"),
        stop_timeout=10 if options.get("stop_timeout") is None else options["stop_timeout"],
        log_driver=_driver(options),
        log_size=size,
        log_files=files,
    )


def parse_restart(written: str) -> Restart:
    """``no``, ``always``, ``unless-stopped``, ``on-failure[:N]``. Raises Refused."""
    policy, colon, retries = written.partition(":")
    if policy not in _POLICIES:
        raise Refused(f"invalid restart policy '{policy}'", f"It is one of {', '.join(_POLICIES)}")
    if colon and policy != "on-failure":
        raise Refused("maximum retry count cannot be used with restart policy '" + policy + "'")
    if colon and not retries.isdecimal():
        raise Refused(f"invalid restart policy format: {written}: maximum retry count must be an "
                      "integer")  # fmt: skip
    return Restart(policy, int(retries) if colon else 0)


def signal_number(written: str) -> int:
    """A signal's number from ``9``, ``KILL``, ``SIGKILL``, ``RTMIN+3``. Raises Refused."""
    if written.isdecimal():
        if int(written) in signal.valid_signals():
            return int(written)
        raise Refused(f"Invalid signal: {written}")
    word = written.upper().removeprefix("SIG")
    base, plus, offset = word.partition("+")
    if base == "RTMIN" and (not plus or offset.isdecimal()):
        number = int(signal.SIGRTMIN) + int(offset or 0)
        if number <= signal.SIGRTMAX:
            return number
    try:
        return int(signal.Signals[f"SIG{word}"])
    except KeyError:
        raise Refused(f"Invalid signal: {written}") from None


def _labels(options: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in options.get("label_file") or ():
        try:
            with open(path, encoding="utf-8") as file:
                lines = [line.strip() for line in file]
        except OSError as error:
            raise Refused(f"open {path}: {os.strerror(error.errno or 0)}") from None
        found |= _pairs(line for line in lines if line and not line.startswith("#"))
    return found | _pairs(options.get("labels") or ())


def _pairs(written: Any) -> dict[str, str]:
    return {text.partition("=")[0]: text.partition("=")[2] for text in written}


def _driver(options: Mapping[str, Any]) -> str:
    driver = options.get("log_driver") or "json-file"
    if driver not in _DRIVERS:
        raise Refused(f"logger: no log driver named '{driver}' is registered")
    return str(driver)


def _rotation(options: Mapping[str, Any]) -> tuple[int, int]:
    """``--log-opt max-size=…``, ``max-file=…`` as ``log_size`` and ``log_files`` of a Config."""
    from mydocker.cgroups.limits import memory

    told = _pairs(options.get("log_opts") or ())
    asked = "max-size" in told
    size, files = told.pop("max-size", "-1"), told.pop("max-file", "1")
    if told:
        raise Refused(f"unknown log opt '{next(iter(told))}' for json-file log driver")
    if not files.isdecimal() or int(files) < 1:
        raise Refused("max-file cannot be less than 1")
    if size != "-1" and not (memory(size) or 0) > 0:
        raise Refused(f"max-size: invalid size: '{size}'")
    if size == "-1" and int(files) > 1:
        raise Refused("max-size must be set when max-file is greater than 1", "--log-opt max-size=")
    if size == "-1":
        return (0 if asked else -1), 1
    return int(memory(size) or 0), int(files)
