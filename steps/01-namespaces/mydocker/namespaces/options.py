"""The command line of step 01: which namespaces, what is in them, which process.

The ``…_from`` functions make the records of what is asked. Command lines import this module, and
nothing else does.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from mydocker.container.exit_codes import NotATerminal
from mydocker.container.process import Process
from mydocker.kernel import syscalls
from mydocker.kernel.errors import Invalid
from mydocker.kernel.records import replace
from mydocker.namespaces.kinds import KINDS, flags_of
from mydocker.namespaces.sharing import MODES, checked_mode
from mydocker.namespaces.specification import ALL, Namespaces
from mydocker.namespaces.users import default_mapping, parse

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


def namespaces_from(options: Options) -> Namespaces:
    """What :func:`namespace_options` was told: the kinds that were named, or all that this kernel
    has. Time namespaces came with Linux 5.6, and a kernel may be built without some of the others.

    Raises Failure for an option whose namespace is not among them.
    """
    new = chosen_kinds(options) or {kind.option for kind in KINDS if kind.known()}
    flags = flags_of(new)
    for name, (option, flag) in _NEEDS.items():
        if options.get(name) and not flags & flag:
            shown = name.replace("_", "-")
            hint = f"Add {option}: without a namespace of its own, it would be the host's"
            raise Invalid(f"--{shown} {options[name]}: there is no new namespace for it", hint)
    return contents_from(options, tuple(name for name in ALL if name in new))


def chosen_kinds(options: Options) -> set[str]:
    """The kinds that were named on the command line, by their options."""
    return {kind.option for kind in KINDS if options[f"new_{kind.option}"]}


_NEEDS = {
    "hostname": ("--uts", syscalls.CLONE_NEWUTS),
    "domainname": ("--uts", syscalls.CLONE_NEWUTS),
    "uid_map": ("--user", syscalls.CLONE_NEWUSER),
    "gid_map": ("--user", syscalls.CLONE_NEWUSER),
    "boottime": ("--time", syscalls.CLONE_NEWTIME),
    "monotonic": ("--time", syscalls.CLONE_NEWTIME),
}


def contents_from(options: Options, new: tuple[str, ...]) -> Namespaces:
    """What :func:`content_options` was told of the kinds ``new``. Raises Failure."""
    asked = Namespaces(
        new,
        options["hostname"] or "",
        options["domainname"] or "",
        boottime=options["boottime"] or 0,
        monotonic=options["monotonic"] or 0,
    )
    if "user" not in new:
        return asked
    uid, gid = os.geteuid(), os.getegid()
    return replace(
        asked,
        uid_mappings=tuple(map(parse, options["uid_map"])) or (default_mapping(uid),),
        gid_mappings=tuple(map(parse, options["gid_map"])) or (default_mapping(uid and gid),),
        deny_setgroups=uid != 0,
    )


def sharing_options(command: Command) -> Command:
    """``--pid``, ``--ipc``, ``--uts``: the host's namespace, or that of another container."""
    options = [
        click.option(
            f"--{kind}",
            f"{kind}_mode",
            default="",
            metavar="|".join(forms),
            help=f"Whose {kind} namespace. Default: its own.",
        )
        for kind, forms in MODES.items()
    ]
    return apply(command, options)


def shared_from(options: Options, asked: Namespaces) -> Namespaces:
    """``asked``, with what :func:`sharing_options` was told. Raises Failure."""
    modes = {kind: checked_mode(kind, options.get(f"{kind}_mode") or "") for kind in MODES}
    if options.get("hostname") and modes["uts"]:
        raise Invalid("conflicting options: hostname and the UTS mode", "Leave one of them out")
    new = tuple(kind for kind in asked.new if not modes.get(kind))
    return replace(asked, new=new, **modes)


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
        raise NotATerminal(hint)
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
