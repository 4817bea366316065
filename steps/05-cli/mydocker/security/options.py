"""The command line of a container's confinement, in Docker's words.

Command lines import this module, and nothing else does.
"""

from collections.abc import Callable, Mapping
from typing import Any

import click

from mydocker.container.flags import Parsed
from mydocker.namespaces.options import apply
from mydocker.security import capabilities, forms, sysctls
from mydocker.security.forms import read_profile
from mydocker.security.specification import DeviceMapping, Security, Ulimit

Command = Callable[..., Any]

_OPTIONS = [
    click.option(
        "--privileged", is_flag=True, help="Take nothing from root: for trusted programs only."
    ),
    click.option(
        "--cap-add", multiple=True, metavar="NAME", help="One more capability: NET_ADMIN, or ALL."
    ),
    click.option(
        "--cap-drop", multiple=True, metavar="NAME", help="One capability less; ALL: keep none."
    ),
    click.option(
        "--security-opt",
        multiple=True,
        type=Parsed(read_profile),  # now: later its file may say something else
        metavar="NAME[=VALUE]",
        help="no-new-privileges; seccomp=unconfined, seccomp=FILE (Docker's JSON).",
    ),
    click.option(
        "--ulimit",
        "ulimits",
        multiple=True,
        metavar="NAME=SOFT[:HARD]",
        help="What one process may use, as nofile=1024:2048; -1: unlimited.",
    ),
    click.option(
        "--sysctl",
        "sysctls",
        multiple=True,
        metavar="NAME=VALUE",
        help="A setting of its own namespaces, as net.ipv4.ip_forward=1.",
    ),
    click.option(
        "--device",
        "devices_given",
        multiple=True,
        metavar="HOST[:PATH[:rwm]]",
        help="A device of the host, as /dev/fuse.",
    ),
    click.option("--group-add", multiple=True, metavar="GROUP", help="Another group of its user."),
    click.option(
        "--oom-score-adj",
        type=int,
        metavar="N",
        help="Which process is killed first when memory is full: -1000 to 1000, high first.",
    ),
]


def security_options(command: Command) -> Command:
    """What the processes of a container may do: for ``run`` and ``create``."""
    return apply(command, _OPTIONS)


def security_from(options: Mapping[str, Any]) -> Security:
    """What :func:`security_options`, and ``--shm-size``, were told. Raises Failure."""
    no_new_privileges, seccomp = forms.security_opts(options["security_opt"])
    asked = Security(
        options["privileged"],
        tuple(options["cap_add"]),
        tuple(options["cap_drop"]),
        no_new_privileges,
        seccomp,
        _ulimits(options["ulimits"]),
        sysctls.parse(options["sysctls"]) or None,
        _devices(options["devices_given"]),
        forms.shm_size(options["shm_size"]),
        forms.oom_score(options["oom_score_adj"]),
    )
    capabilities.chosen(asked.cap_add, asked.cap_drop)
    return asked


def _ulimits(texts: tuple[str, ...]) -> tuple[Ulimit, ...]:
    if not texts:
        return ()
    from mydocker.security import ulimits

    return tuple({limit.name: limit for limit in map(ulimits.parse, texts)}.values())


def _devices(texts: tuple[str, ...]) -> tuple[DeviceMapping, ...]:
    if not texts:
        return ()
    from mydocker.security import devices

    return tuple(map(devices.parse, texts))
