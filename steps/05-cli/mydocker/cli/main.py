"""``mydocker``: all commands. Each is imported when it is called."""

from typing import NoReturn

from mydocker.container import commandline
from mydocker.container.commandline import LazyGroup

_CGROUP = "attach create freeze get hierarchies kill remove set stats subsystems thaw tree"

_HELP = (
    "Containers, built step by step. Each command tells what it asks of the kernel by --explain."
)

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

group = LazyGroup(
    "mydocker",
    help=_HELP,
    lazy={
        "cgroup": "mydocker.cli.main:cgroup",
        "diff": "mydocker.overlay2.commands:diff",
        "doctor": "mydocker.cli.doctor:doctor",
        "image": "mydocker.overlay2.image_commands:image",
        "images": "mydocker.overlay2.image_commands:images",
        "import": "mydocker.overlay2.image_commands:import_command",
        "layers": "mydocker.overlay2.commands:layers",
        "namespace": "mydocker.cli.main:namespace",
        "network": "mydocker.network.commands:network",
        "port": "mydocker.network.commands:port",
        "rmi": "mydocker.overlay2.image_commands:rmi",
        "run": "mydocker.cli.run:run",
        "system": "mydocker.cli.system:system",
        "tag": "mydocker.overlay2.image_commands:tag",
        "trace-file": "mydocker.overlay2.commands:trace_file",
    },
)


def main() -> NoReturn:
    """The program's entry point."""
    commandline.main(group)
