"""``mydocker info`` and ``version``."""

from typing import Any

import click

from mydocker.cli.store import containers
from mydocker.container.flags import command

_FORMAT = click.option("-f", "--format", "form", default="", metavar="TEMPLATE",
                       help="As '{{.NCPU}}', or json.")  # fmt: skip


def _formatted(form: str, value: dict[str, Any]) -> None:
    from mydocker.engine.words.templates import Template, compact

    print(compact(value) if form == "json" else Template(form)(value))


@command()
@_FORMAT
def version(form: str) -> None:
    """Show the version of mydocker, and what it runs on."""
    from mydocker.engine.looking.machine import version as told

    shown = told()
    if form:
        _formatted(form, shown)
        return
    client = shown["Client"]
    print("Client: mydocker")
    for title, key in (
        ("Version", "Version"),
        ("API version", "ApiVersion"),
        ("Python version", "PythonVersion"),
        ("Kernel version", "KernelVersion"),
    ):
        print(f" {title + ':':18}{client[key]}")
    print(f" {'OS/Arch:':18}{client['Os']}/{client['Arch']}")


@command()
@_FORMAT
def info(form: str) -> None:
    """Show what there is: containers, images, the machine."""
    from mydocker.cli.looking import binary
    from mydocker.engine.looking.machine import info as told

    shown = told(containers())
    if form:
        _formatted(form, shown)
        return
    lines = [
        ("Containers", shown["Containers"]),
        (" Running", shown["ContainersRunning"]),
        (" Paused", shown["ContainersPaused"]),
        (" Stopped", shown["ContainersStopped"]),
        ("Images", shown["Images"]),
        ("Server Version", shown["ServerVersion"]),
        ("Storage Driver", shown["Driver"]),
        (" Backing Filesystem", shown["DriverStatus"][0][1]),
        ("Logging Driver", shown["LoggingDriver"]),
        ("Cgroup Driver", shown["CgroupDriver"]),
        ("Cgroup Version", shown["CgroupVersion"]),
        ("Kernel Version", shown["KernelVersion"]),
        ("Operating System", shown["OperatingSystem"]),
        ("OSType", shown["OSType"]),
        ("Architecture", shown["Architecture"]),
        ("CPUs", shown["NCPU"]),
        ("Total Memory", binary(shown["MemTotal"])),
        ("Name", shown["Name"]),
        ("Docker Root Dir", shown["DockerRootDir"]),
        ("Run Dir", shown["RunDirectory"]),
    ]
    for title, value in lines:
        print(f"{title}: {value}")
