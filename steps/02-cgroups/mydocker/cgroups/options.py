"""The command line of step 02: limits, in Docker's words.

Command lines import this module, and nothing else does.
"""

from collections.abc import Callable, Mapping
from typing import Any

import click

from mydocker.cgroups import limits as forms
from mydocker.cgroups.limits import Limits
from mydocker.container.flags import Parsed
from mydocker.kernel.records import fields
from mydocker.namespaces.options import apply

Command = Callable[..., Any]
Parse = Callable[[str], Any]


def _whole(
    least: int, most: int, what: str, unlimited: bool = False
) -> Callable[[str], int | None]:
    return lambda text: forms.whole(text, least, most, what, unlimited=unlimited)


def _rate(is_bytes: bool) -> Callable[[str], tuple[str, int]]:
    return lambda text: forms.rate(text, is_bytes=is_bytes)


_SIZE = forms.memory
_BYTES_RATE = _rate(True)
_COUNT_RATE = _rate(False)
_LIST = forms.number_list
_QUOTA = _whole(1000, 1 << 40, "number of microseconds", True)
_PERIOD = _whole(1000, 1_000_000, "number of microseconds")


def _option(*names: str, parse: Parse, **more: Any) -> Callable[[Command], Command]:
    return click.option(*names, type=Parsed(parse), **more)


_OPTIONS = [
    _option("-m", "--memory", parse=_SIZE, metavar="SIZE", help="Memory, as 300M or 1g."),
    _option(
        "--memory-swap",
        parse=(forms.swap),
        metavar="SIZE",
        help="Memory and swap together; -1: no limit. Default: twice the memory.",
    ),
    _option(
        "--memory-reservation",
        parse=_SIZE,
        metavar="SIZE",
        help="What is left to it when memory is short.",
    ),
    click.option(
        "--oom-kill-disable",
        is_flag=True,
        help="Full memory: wait, kill nothing (cgroup v1).",
    ),
    _option("--cpus", parse=(forms.cpus), metavar="N", help="CPU time, in CPUs: 0.5."),
    _option(
        "-c",
        "--cpu-shares",
        parse=(_whole(2, 262_144, "number of shares")),
        metavar="N",
        help="Its weight when CPUs are short; others have 1024.",
    ),
    _option("--cpu-period", parse=_PERIOD, metavar="USEC", help="Length of a period."),
    _option("--cpu-quota", parse=_QUOTA, metavar="USEC", help="CPU time in each period."),
    _option("--cpuset-cpus", parse=_LIST, metavar="LIST", help="CPUs to run on, as 0-2,5."),
    _option("--cpuset-mems", parse=_LIST, metavar="LIST", help="Memory nodes to use."),
    _option(
        "--pids-limit",
        "pids",
        parse=(_whole(1, 4_194_304, "number of tasks", True)),
        metavar="N",
        help="Tasks at once; -1: no limit.",
    ),
    _option(
        "--blkio-weight",
        parse=(_whole(10, 1000, "weight")),
        metavar="N",
        help="Its weight when disks are busy, 10 to 1000 (BFQ).",
    ),
    _option(
        "--device-read-bps",
        "read_bps",
        parse=_BYTES_RATE,
        metavar="DISK:RATE",
        multiple=True,
        help="Bytes read per second, as /dev/sda:1mb.",
    ),
    _option(
        "--device-write-bps",
        "write_bps",
        parse=_BYTES_RATE,
        metavar="DISK:RATE",
        multiple=True,
        help="Bytes written per second.",
    ),
    _option(
        "--device-read-iops",
        "read_iops",
        parse=_COUNT_RATE,
        metavar="DISK:N",
        multiple=True,
        help="Reads per second, as /dev/sda:100.",
    ),
    _option(
        "--device-write-iops",
        "write_iops",
        parse=_COUNT_RATE,
        metavar="DISK:N",
        multiple=True,
        help="Writes per second.",
    ),
    _option(  # the last: see changeable_options
        "--device-cgroup-rule",
        "devices",
        parse=(forms.device_rule),
        metavar="RULE",
        multiple=True,
        help="Allow more devices, as 'c 1:11 r'; a: all.",
    ),
]
_NAMES = fields(Limits)


def limit_options(command: Command) -> Command:
    """The limits alone: for ``create`` and ``set``."""
    return apply(command, _OPTIONS)


def changeable_options(command: Command) -> Command:
    """The limits that can be changed in a container that is there: for ``update``, as Docker's."""
    return apply(command, _OPTIONS[:-1])


def cgroups_options(command: Command) -> Command:
    """The limits, and where the container's group shall be: for ``run``."""
    where = click.option(
        "--cgroup-parent", metavar="PATH", default="", help="The group below which its own is made."
    )
    return limit_options(where(command))


def told(options: Mapping[str, Any]) -> dict[str, Any]:
    """The limits that were named on the command line, for a group that has others already.

    One that was named as 0, or empty, is None: it shall be taken away.
    """
    from click.core import ParameterSource

    source = click.get_current_context().get_parameter_source
    named = [name for name in _NAMES if source(name) is ParameterSource.COMMANDLINE]
    return {name: options[name] for name in named}


def limits_from(options: Mapping[str, Any]) -> Limits:
    """The limits that the options say, checked against each other and the machine."""
    return Limits(**{name: options[name] for name in _NAMES if name in options}).check()
