"""The command line of step 01: which namespaces, what is in them, which process."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from mydocker.container.parts import Part
from mydocker.container.process import Process
from mydocker.kernel import syscalls
from mydocker.kernel.errors import Failure
from mydocker.namespaces.kinds import KINDS, LATER, flags_of
from mydocker.namespaces.parts import (
    CgroupView,
    Clocks,
    FreshProc,
    HostName,
    Loopback,
    PrivateMounts,
)
from mydocker.namespaces.users import Mapping as Ids
from mydocker.namespaces.users import UserMaps, default_mapping, parse

Command = Callable[..., Any]
Options = Mapping[str, Any]


def apply(command: Command, options: Sequence[Callable[[Any], Any]]) -> Command:
    """Decorate ``command`` with options, in the order in which ``--help`` shall show them."""
    for option in reversed(options):
        command = option(command)
    return command


def namespace_options(command: Command) -> Command:
    """``--uts``, ``--pid``, …: each kind of namespace on its own; all of them if none is named."""
    return kind_options(content_options(command))


def kind_options(command: Command) -> Command:
    """``--uts``, ``--pid``, …, without what is in them."""
    kinds = [
        click.option(f"--{kind.option}", f"new_{kind.option}", is_flag=True, help=kind.isolates)
        for kind in KINDS
    ]
    return apply(command, kinds)


def content_options(command: Command) -> Command:
    """What is in the namespaces, for a ``run`` that always makes them: names, ids, clocks."""
    return apply(command, _CONTENT)


_HOST_NAME = [
    click.option("-h", "--hostname", metavar="NAME", help="Host name inside. Default: the id."),
    click.option("--domainname", metavar="NAME", help="NIS domain name inside."),
]
_MAPS = [
    click.option(
        "--uid-map",
        multiple=True,
        metavar="IN:OUT[:COUNT]",
        help="User ids inside and outside. Default: every id is itself if you are root; "
        "else root inside is you.",
    ),
    click.option("--gid-map", multiple=True, metavar="IN:OUT[:COUNT]", help="The same for groups."),
]
_CONTENT = [
    *_HOST_NAME,
    *_MAPS,
    click.option("--boottime", type=int, metavar="SECONDS", help="Move the clock since boot."),
    click.option("--monotonic", type=int, metavar="SECONDS", help="Move the monotonic clock."),
]


def namespace_flags(options: Options) -> int:
    """The CLONE_NEW* flags of all the kinds that :func:`namespace_options` was given.

    If none was: of all that this kernel has. Time namespaces came with Linux 5.6, and a kernel may
    be built without some of the others.
    """
    return flags_of(chosen_kinds(options) or {kind.option for kind in KINDS if kind.known()})


def chosen_kinds(options: Options) -> set[str]:
    """The kinds that were named on the command line, by their options."""
    return {kind.option for kind in KINDS if options[f"new_{kind.option}"]}


def namespace_parts(options: Options, flags: int, identifier: str) -> list[Part]:
    """The parts that the namespaces ``flags`` need inside.

    In the order in which they must enter: first who we are, then private mounts, then the rest.
    Raises Failure for an option whose namespace is not among them.
    """
    made: list[Part] = []
    _refuse_unused(options, flags)
    if flags & syscalls.CLONE_NEWUSER:
        made.append(_user_maps(options))
    if flags & syscalls.CLONE_NEWNS:
        made.append(PrivateMounts())
    if flags & syscalls.CLONE_NEWCGROUP:
        made.append(CgroupView())
    if flags & syscalls.CLONE_NEWUTS:
        name = options["hostname"] or identifier[:12]
        made.append(HostName(name, options["domainname"] or ""))
    if flags & syscalls.CLONE_NEWNET:
        made.append(Loopback())
    if flags & syscalls.CLONE_NEWTIME:
        made.append(Clocks(options["boottime"] or 0, options["monotonic"] or 0))
    return made


def proc_parts(flags: int) -> list[Part]:
    """A fresh /proc if there are both a PID and a mount namespace: without the latter it would be
    mounted over the reader's own."""
    both = syscalls.CLONE_NEWPID | syscalls.CLONE_NEWNS
    return [FreshProc()] if flags & both == both else []


_NEEDS = {
    "hostname": ("--uts", syscalls.CLONE_NEWUTS),
    "domainname": ("--uts", syscalls.CLONE_NEWUTS),
    "uid_map": ("--user", syscalls.CLONE_NEWUSER),
    "gid_map": ("--user", syscalls.CLONE_NEWUSER),
    "boottime": ("--time", syscalls.CLONE_NEWTIME),
    "monotonic": ("--time", syscalls.CLONE_NEWTIME),
}


def _refuse_unused(options: Options, flags: int) -> None:
    for name, (option, flag) in _NEEDS.items():
        if options.get(name) and not flags & flag:
            shown = name.replace("_", "-")
            hint = f"Add {option}: without a namespace of its own, it would be the host's"
            raise Failure(f"--{shown} {options[name]}: there is no new namespace for it", hint)


def _user_maps(options: Options) -> UserMaps:
    uids = tuple(map(parse, options["uid_map"])) or (default_mapping(os.geteuid()),)
    gids = tuple(map(parse, options["gid_map"])) or (_default_groups(),)
    return UserMaps(uids, gids, deny_setgroups=os.geteuid() != 0)


def _default_groups() -> Ids:
    return default_mapping(0) if os.geteuid() == 0 else default_mapping(os.getegid())


def clone_flags(flags: int) -> int:
    """What of ``flags`` clone3 makes; the rest is made by parts, inside."""
    return flags & ~LATER


def process_options(command: Command) -> Command:
    """``-i``, ``-t``, ``--init``: how the command is joined to the reader's terminal."""
    options = [
        click.option("-i", "--interactive", is_flag=True, help="Hand standard input on."),
        click.option("-t", "--tty", is_flag=True, help="Give it a terminal of its own."),
        click.option("--init", is_flag=True, help="A small init as PID 1, which collects zombies."),
    ]
    return apply(command, options)


def process_of(
    options: Options, arguments: tuple[str, ...], environment: dict[str, str]
) -> Process:
    """The command, joined to the terminal as ``-i`` and ``-t`` say it (Docker's meaning)."""
    if options["tty"] and options["interactive"] and not os.isatty(0):
        hint = "Leave -t out when input comes from a pipe or a file"
        raise Failure("the input device is not a TTY", hint, 1)  # 1, as Docker's client ends
    if options["tty"]:
        environment = {"TERM": os.environ.get("TERM", "xterm"), **environment}
    return Process(
        arguments,
        environment,
        terminal=options["tty"],
        input=options["interactive"],
        init=options["init"],
    )


def process_from_here(options: Options, arguments: tuple[str, ...]) -> Process:
    """A command of this machine in the reader's own surroundings: steps 01 and 02.

    It has the reader's variables and input, and a terminal if the reader has one.
    """
    own = os.isatty(0) and os.isatty(1)
    joined = {**options, "interactive": True, "tty": options["tty"] or own}
    return process_of(joined, arguments, dict(os.environ))
