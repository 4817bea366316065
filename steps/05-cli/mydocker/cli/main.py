"""``mydocker``: all commands. Each is imported when it is called."""

import sys
from typing import Any, NoReturn

import click

import mydocker.engine.records.keeping  # noqa: F401  (for what commands of all steps change)
from mydocker.cli.sections import CommandGroup, SectionedGroup
from mydocker.container import commandline
from mydocker.container.commandline import LazyGroup
from mydocker.container.exit_codes import DOCKERS, OURS, STARTS
from mydocker.kernel.errors import Failure

_CGROUP = "attach create freeze get hierarchies kill remove set stats subsystems thaw tree"

_HELP = """Containers, built step by step. Commands tell what they ask of the kernel by --explain.

\b
Begin with:
  mydocker run --rm -it busybox sh       a shell in a container
  mydocker run -d --name web -p 8080:80 busybox httpd -f -h /
  mydocker ps                            what runs
  mydocker xray web                      what it is made of
"""

cgroup = LazyGroup(
    "cgroup",
    help="Look at control groups and make your own (step 02).",
    lazy={name: f"mydocker.cgroups.commands:{name}_command" for name in _CGROUP.split()},
)

namespace = LazyGroup(
    "namespace",
    help="Look at namespaces and enter them (step 01).",
    lazy={
        "list": "mydocker.namespaces.commands:list_namespaces",
        "inspect": "mydocker.namespaces.commands:inspect",
        "enter": "mydocker.namespaces.commands:enter",
    },
)

# Commands that Docker has end as Docker's do; these otherwise.
_OTHERS = {"run": OURS, "create": STARTS, "exec": STARTS}

_CHANGING = "start stop kill restart pause unpause wait rm rename update"

container_commands = {
    **{name: f"mydocker.cli.containers:{name}" for name in _CHANGING.split()},
    "attach": "mydocker.cli.attach:attach",
    "commit": "mydocker.cli.images:commit",
    "create": "mydocker.cli.run:create",
    "cp": "mydocker.cli.copy:cp",
    "diff": "mydocker.cli.looking:diff",
    "exec": "mydocker.cli.execute:execute",
    "export": "mydocker.cli.images:export",
    "inspect": "mydocker.cli.inspect:inspect",
    "logs": "mydocker.cli.logs:logs",
    "ls": "mydocker.cli.ps:ps",
    "port": "mydocker.cli.looking:port",
    "prune": "mydocker.cli.containers:prune",
    "run": "mydocker.cli.run:run",
    "stats": "mydocker.cli.looking:stats",
    "top": "mydocker.cli.looking:top",
}

container = CommandGroup(
    "container",
    help="Everything that is done with containers.",
    lazy=container_commands,
    codes=DOCKERS,
    others=_OTHERS,
)

_image_commands = {
    "history": "mydocker.cli.images:history",
    "import": "mydocker.overlay2.image_commands:import_command",
    "load": "mydocker.cli.images:load",
    "save": "mydocker.cli.images:save",
    "tag": "mydocker.overlay2.image_commands:tag",
}

image = CommandGroup(
    "image",
    help="Everything that is done with images.",
    codes=DOCKERS,
    lazy={
        **_image_commands,
        "inspect": "mydocker.cli.images:inspect",
        "ls": "mydocker.cli.images:images",
        "prune": "mydocker.cli.images:prune",
        "rm": "mydocker.cli.images:rmi",
    },
)

_SECTIONS = {
    "Run and look": "run exec ps logs stats top xray inspect events",
    "A container's life": (
        "create start stop restart kill pause unpause wait attach rename update rm"
    ),
    "Files": "cp diff export commit volume",
    "Images": "images image import load save tag history rmi",
    "Networks": "network port",
    "What it is made of, step by step": "namespace cgroup layers trace-file",
    "Learn": "lab notebook",
    "The machine": "doctor system info version vm container",
}


def _version(context: click.Context, option: click.Parameter, value: bool) -> None:
    if value:
        from mydocker.engine.looking.machine import version

        click.echo(f"mydocker version {version()['Client']['Version']}")
        context.exit()


def _daemon(context: click.Context, option: click.Parameter, value: Any) -> None:
    if value and value not in ("default", ("default",)):
        raise Failure(
            f"{option.opts[-1]}: there is no other daemon to speak to",
            "This command line is its own engine; daemons are part II's",
            1,
        )


def _log_level(context: click.Context, option: click.Parameter, value: str) -> None:
    if value not in _LEVELS:
        raise Failure(f"Unable to parse logging level: {value}", exit_code=1)


_LEVELS = ("debug", "info", "warn", "warning", "error", "fatal", "panic", "trace")
# Docker's options before the command. There is no daemon here to reach, so those which say how to
# reach it are read, and change nothing.
_GLOBAL = [
    click.Option(
        ["-H", "--host"],
        multiple=True,
        callback=_daemon,
        expose_value=False,
        hidden=True,
    ),
    click.Option(["-c", "--context"], callback=_daemon, expose_value=False, hidden=True),
    click.Option(["-D", "--debug"], is_flag=True, expose_value=False, hidden=True),
    click.Option(
        ["-l", "--log-level"],
        default="info",
        callback=_log_level,
        expose_value=False,
        hidden=True,
    ),
    *(
        click.Option([name], expose_value=False, hidden=True)
        for name in ("--config", "--tlscacert", "--tlscert", "--tlskey")
    ),
    *(
        click.Option([name], is_flag=True, expose_value=False, hidden=True)
        for name in ("--tls", "--tlsverify")
    ),
]

group = SectionedGroup(
    "mydocker",
    params=[
        *_GLOBAL,
        click.Option(
            ["-v", "--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_version,
            help="Show the version and end.",
        ),
    ],
    sections=_SECTIONS,
    codes=DOCKERS,
    others={**_OTHERS, **dict.fromkeys(("layers", "trace-file", "notebook", "vm"), OURS)},
    help=_HELP,
    lazy={
        **{
            name: place for name, place in container_commands.items() if name not in ("ls", "prune")
        },
        **_image_commands,
        "cgroup": "mydocker.cli.main:cgroup",
        "container": "mydocker.cli.main:container",
        "events": "mydocker.cli.looking:events",
        "doctor": "mydocker.cli.doctor:doctor",
        "image": "mydocker.cli.main:image",
        "info": "mydocker.cli.about:info",
        "images": "mydocker.cli.images:images",
        "lab": "mydocker.learn.lab:lab",
        "notebook": "mydocker.learn.notebook:notebook",
        "layers": "mydocker.cli.layers:layers",
        "namespace": "mydocker.cli.main:namespace",
        "network": "mydocker.cli.network:network",
        "ps": "mydocker.cli.ps:ps",
        "rmi": "mydocker.cli.images:rmi",
        "system": "mydocker.cli.system:system",
        "version": "mydocker.cli.about:version",
        "trace-file": "mydocker.cli.layers:trace_file",
        "xray": "mydocker.cli.xray:xray",
        "vm": "mydocker.learn.vm:vm",
        "volume": "mydocker.cli.volume:volume",
    },
)


def main() -> NoReturn:
    """The program's entry point. ``help run`` is ``run --help``, as with docker."""
    if sys.argv[1:2] == ["help"]:
        sys.argv[1:] = [*sys.argv[2:], "--help"]
    commandline.main(group)
