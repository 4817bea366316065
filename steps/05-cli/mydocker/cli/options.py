"""The command line of step 05: all options of a container, and the record that they make.

Command lines import this module, and nothing else does.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any

import click

from mydocker.cgroups.options import cgroups_options, limits_from
from mydocker.container.running import new_identifier
from mydocker.engine.life.creation import DRIVERS, parse_restart, signal_number
from mydocker.engine.records.config import Config, Point, Written
from mydocker.kernel.errors import Invalid
from mydocker.kernel.numbers import decimal
from mydocker.kernel.records import replace
from mydocker.namespaces.options import apply, process_options, shared_from
from mydocker.network.options import network_options, networking_from
from mydocker.network.specification import with_network
from mydocker.overlay2.healthcheck import Healthcheck
from mydocker.overlay2.image import Image, ImageConfig
from mydocker.overlay2.options import (
    container_namespaces,
    given_environment,
    overlay2_options,
    overlay2_process,
    rootfs_from,
)
from mydocker.overlay2.volumes import Volume, ordered
from mydocker.security.options import security_from, security_options

Command = Callable[..., Any]
Options = Mapping[str, Any]
_MOST_LOGS = 1000  # files of one container: each rotation renames all of them

_OPTIONS = [
    click.option("--name", metavar="NAME", help="What it is called. Default: a random name."),
    click.option("--rm", is_flag=True, help="Remove the container when it ends."),
    click.option("--cidfile", metavar="FILE", help="Write the container's id to FILE."),
    click.option(
        "--restart",
        default="no",
        metavar="POLICY",
        help="no, always, unless-stopped, on-failure[:N]: when to start it again.",
    ),
    click.option("--stop-signal", metavar="SIGNAL", help="What stop sends. Default: SIGTERM."),
    click.option(
        "--stop-timeout",
        type=int,
        metavar="SECONDS",
        help="How long stop waits before it kills it. Default: 10.",
    ),
    click.option("-l", "--label", "labels", multiple=True, metavar="KEY[=VALUE]", help="A label."),
    click.option("--label-file", multiple=True, metavar="FILE", help="Labels, one a line."),
    click.option(
        "--volumes-from",
        multiple=True,
        metavar="CONTAINER[:ro]",
        help="All volumes of another container, at the same places.",
    ),
    click.option("--shm-size", metavar="SIZE", help="Size of /dev/shm. Default: 64m."),
    click.option("--log-driver", metavar="DRIVER", help="json-file or none."),
    click.option(
        "--log-opt",
        "log_opts",
        multiple=True,
        metavar="KEY=VALUE",
        help="max-size=10m, max-file=3: size and number of log files. Default: 20m, 5.",
    ),
    click.option(
        "--health-cmd", metavar="COMMAND", help="What tells whether it is well: ends with 0."
    ),
    click.option(
        "--health-interval", metavar="TIME", help="How long between two tests: 30s, 1m30s."
    ),
    click.option(
        "--health-timeout",
        metavar="TIME",
        help="A test that takes longer has failed. Default: 30s.",
    ),
    click.option(
        "--health-retries",
        type=int,
        default=0,
        metavar="N",
        help="So many failed tests in a row make it unhealthy. Default: 3.",
    ),
    click.option(
        "--health-start-period",
        metavar="TIME",
        help="From its start, tests that fail do not count so long. Default: 0s.",
    ),
    click.option(
        "--health-start-interval",
        metavar="TIME",
        help="How long between two tests in that period. Default: 5s.",
    ),
    click.option("--no-healthcheck", is_flag=True, help="Do not test it, whatever its image says."),
]


def container_options(command: Command) -> Command:
    """All options of all steps."""
    for options in (
        security_options,
        process_options,
        network_options,
        overlay2_options,
        cgroups_options,
    ):
        command = options(command)
    return apply(command, _OPTIONS)


def configuration(image: Image, asked: str, command: tuple[str, ...], options: Options) -> Config:
    """The container of ``image``, called ``asked``, that :func:`container_options` were told of.

    It has a new id; its volumes are not there yet. Raises Failure for what cannot be.
    """
    identifier = new_identifier()
    settings = _settings(image.config, command, options)
    network = networking_from(options, image.config.exposed_ports)
    namespaces = with_network(shared_from(options, container_namespaces(options)), network)
    # Whether there is a terminal to hand on is asked when somebody attaches.
    detached = {**options, "interactive": False}
    process = overlay2_process(detached, image, command, namespaces.name(identifier))
    mounts, points = _mounts(options)
    rootfs = rootfs_from({**options, "volumes": (), "mounts": (), "tmpfs": ()}, image.config)
    size, files = _rotation(options)
    return Config(
        asked,
        image.id,
        image.diff_ids,
        settings,
        replace(process, input=options["interactive"]),
        namespaces,
        limits_from(options),
        options["cgroup_parent"],
        replace(rootfs, volumes=mounts, groups=tuple(options["group_add"])),
        network,
        security_from(options),
        points,
        auto_remove=options["rm"],
        attached=not options.get("detach"),
        restart=parse_restart(options["restart"] or "no"),
        stop_signal=signal_number(settings.stop_signal or "TERM"),
        stop_timeout=10 if options["stop_timeout"] is None else options["stop_timeout"],
        log_driver=_driver(options),
        log_size=size,
        log_files=files,
        written=_written(options),
        id=identifier,
        name=options["name"] or "",
    )


def _settings(image: ImageConfig, command: tuple[str, ...], options: Options) -> ImageConfig:
    """The image's, with what was asked for in their place: those of an image made of it."""
    entrypoint = options["entrypoint"]
    own = image.entrypoint if entrypoint is None else ((entrypoint,) if entrypoint else ())
    given = given_environment(options)
    said = {text.partition("=")[0] for text in given}
    kept = (text for text in image.env if text.partition("=")[0] not in said)
    return replace(
        image,
        env=(*(text for text in given if "=" in text), *kept),
        cmd=command or (image.cmd if entrypoint is None else ()),
        entrypoint=own,
        working_dir=options["workdir"] or image.working_dir,
        user=options["user"] or image.user,
        labels=tuple({**dict(image.labels), **_labels(options)}.items()),
        stop_signal=options["stop_signal"] or image.stop_signal,
        healthcheck=_healthcheck(image.healthcheck, options),
    )


_HEALTH_TIMES = ("interval", "timeout", "start_period", "start_interval")


def _healthcheck(image: Healthcheck | None, options: Options) -> Healthcheck | None:
    """The image's test, and what was asked for in its place. Raises Failure."""
    names = ("cmd", *_HEALTH_TIMES, "retries")
    told = {name: options[f"health_{name}"] for name in names}
    if options["no_healthcheck"]:
        if any(told.values()):
            raise Invalid("--no-healthcheck conflicts with --health-* options")
        return Healthcheck(("NONE",))
    if not any(told.values()):
        if image is not None:
            image.check()
        return image
    from mydocker.engine.words.times import signed_duration

    times = {name: signed_duration(told[name] or "0") for name in _HEALTH_TIMES}
    for name, value in {**times, "retries": told["retries"]}.items():
        if value < 0:
            raise Invalid(f"--health-{name.replace('_', '-')} cannot be negative")
    test = ("CMD-SHELL", told["cmd"]) if told["cmd"] else ()
    check = Healthcheck(test, **times, retries=told["retries"]).over(image)
    check.check()
    return check


def _mounts(options: Options) -> tuple[tuple[Volume, ...], tuple[Point, ...]]:
    written = options["volumes"], options["mounts"], options["tmpfs"]
    if not any(written):  # as most, which do without the import
        return (), ()
    from mydocker.engine.volumes.forms import requested

    mounts, points = requested(*written)
    return ordered(mounts), tuple(points)


def _written(options: Options) -> Written:
    return Written(
        tuple(options["volumes"]),
        {text.partition(":")[0]: text.partition(":")[2] for text in options["tmpfs"]},
        tuple(options["volumes_from"]),
        tuple(options["security_opt"]),
        tuple(options["storage_opt"]),
        options["cidfile"] or "",
        options["stop_timeout"],
        _pairs(options["log_opts"]),
    )


def _labels(options: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in options["label_file"]:
        try:
            with open(path, encoding="utf-8-sig") as file:
                lines = [line.strip() for line in file]
        except OSError as error:
            raise Invalid(f"open {path}: {os.strerror(error.errno or 0)}") from None
        found |= _pairs(line for line in lines if line and not line.startswith("#"))
    return found | _pairs(options["labels"])


def _pairs(written: Any) -> dict[str, str]:
    return {text.partition("=")[0]: text.partition("=")[2] for text in written}


def _driver(options: Mapping[str, Any]) -> str:
    driver = options["log_driver"] or "json-file"
    if driver not in DRIVERS:
        raise Invalid(f"logger: no log driver named '{driver}' is registered")
    return str(driver)


def _rotation(options: Mapping[str, Any]) -> tuple[int, int]:
    """``--log-opt max-size=…``, ``max-file=…`` as ``log_size`` and ``log_files`` of a Config."""
    from mydocker.kernel.sizes import parse_size

    told = _pairs(options["log_opts"])
    asked = "max-size" in told
    size, files = told.pop("max-size", "-1"), told.pop("max-file", "1")
    if told:
        raise Invalid(f"unknown log opt '{next(iter(told))}' for json-file log driver")
    count = decimal(files, _MOST_LOGS)
    if not count:
        raise Invalid("max-file cannot be less than 1", f"Nor more than {_MOST_LOGS}")
    if size == "-1":
        if count > 1:
            hint = "--log-opt max-size="
            raise Invalid("max-size must be set when max-file is greater than 1", hint)
        return (0 if asked else -1), 1
    most = parse_size(size)
    if most == 0:
        raise Invalid(f"max-size: invalid size: '{size}'")
    return most, count
