"""The command line of `./mydocker vm`, which is vm/run."""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

from vm import foreign, image, recipe, repository
from vm.errors import FAILURE, Crashed, VmError
from vm.machine import (
    BOOT_SECONDS,
    CGROUPS,
    Machine,
    Settings,
    accelerators,
    remember_kvm_failed,
)
from vm.session import Session

CACHE = "/var/cache/mydocker/vm"
MIRROR = "http://deb.debian.org/debian"

# What has to be here beside QEMU, and the Debian package that has it.
TOOLS = {
    "git": "git",
    "debootstrap": "debootstrap",
    "mke2fs": "e2fsprogs",
    "unshare": "util-linux",
    "tar": "tar",
}

EPILOG = """\
  mydocker vm test 02        ./test 02 inside; options may come after `test` too
  mydocker vm shell          a shell, as without a command
  mydocker vm -- COMMAND…    takes the command as it is, also one that is called test

The exit code is the command's; 125 when the VM itself failed.
At a terminal, Ctrl-] switches the VM off.
"""


def memory(text: str) -> str:
    """A size for QEMU's -m; QEMU's own message about a bad one names no option of ours."""
    if not re.fullmatch(r"[1-9][0-9]*[MG]", text):
        raise argparse.ArgumentTypeError(f"'{text}' is no size; write 512M or 2G")
    return text


def positive(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]*", text):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number above 0")
    return int(text)


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        print(f"vm: {message} (try: mydocker vm --help)", file=sys.stderr)
        raise SystemExit(FAILURE)


def parser() -> argparse.ArgumentParser:
    """The options; everything from the first other word on is the command."""
    options = Parser(
        prog="mydocker vm",
        description="Run COMMAND in a Debian 12 virtual machine, in a copy of this repository.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[settings_parser()],
    )
    options.add_argument(
        "command", nargs=argparse.REMAINDER, metavar="COMMAND", help="default: /bin/sh"
    )
    return options


def settings_parser() -> argparse.ArgumentParser:
    """The options alone; abbreviations of them could be meant for the command."""
    options = Parser(prog="mydocker vm", add_help=False, allow_abbrev=False)
    add = options.add_argument
    add("--cgroup", choices=list(CGROUPS), default="v2", help="what systemd mounts (default: v2)")
    add("--memory", type=memory, default="2G", help="of the VM (default: 2G)")
    add("--cpus", type=positive, default=2, help="of the VM (default: 2)")
    add("--timeout", type=positive, metavar="S", help="end the command after S seconds")
    add("--accel", choices=["kvm", "tcg"], help="default: kvm where it works, else tcg")
    add(
        "--arch",
        choices=list(recipe.ARCHITECTURES),
        default=platform.machine(),
        metavar="NAME",
        help="the processor: x86_64 or aarch64 (default: as here); another one is emulated",
    )
    add("--cache", type=Path, default=Path(CACHE), help=f"for the image (default: {CACHE})")
    add("--mirror", help=f"to build the image from (default: as apt here, or {MIRROR})")
    add("--build", action="store_true", help="only make the image")
    add("--no-build", action="store_true", help="make and install nothing: fail if it is missing")
    add("--console", type=Path, metavar="FILE", help="keep the console's log in FILE")
    return options


def parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The options and the command to run.

    `test …` is the suite, and our options may stand among its words up to a --, after which all is
    pytest's. A -- at the beginning says to take the command as it is.
    """
    options = parser().parse_args(arguments)
    words: list[str] = options.command
    if words[:1] == ["--"]:
        return options, words[1:] or ["/bin/sh"]
    if words[:1] == ["test"]:
        end = words.index("--") if "--" in words else len(words)
        _, rest = settings_parser().parse_known_args(words[1:end], options)
        return options, ["./test", *rest, *words[end:]]
    return options, words if words and words != ["shell"] else ["/bin/sh"]


def install_missing(tools: dict[str, str]) -> None:
    """Install the Debian packages of the tools that are not here."""
    packages = sorted({tools[tool] for tool in tools if not shutil.which(tool)})
    if not packages:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise VmError(f"missing; run: sudo apt-get install {' '.join(packages)}")
    image.say(f"installing Debian packages: {' '.join(packages)}")
    command = ["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300", "install"]
    done = subprocess.run(
        [*command, "--no-install-recommends", *packages], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
    )  # fmt: skip
    if done.returncode != 0:
        last = done.stdout.strip().splitlines()[-1:]
        raise VmError(f"apt-get could not install {' '.join(packages)}: {' '.join(last)}")


def need(tools: dict[str, str], folder: Path) -> None:
    """Raises VmError if QEMU or the image are not here."""
    missing = [tool for tool in tools if tool.startswith("qemu") and not shutil.which(tool)]
    if missing or not folder.exists():
        what = (
            f"{missing[0]} is not installed" if missing else f"there is no image in {folder.parent}"
        )
        raise VmError(f"{what}; make it once, with a network: sudo ./mydocker vm --build")


def mirror_of_apt() -> str:
    """Where apt takes Debian's packages from: this machine may reach no other mirror.

    A line of apt-get indextargets(8) as asked: `http://deb.debian.org/debian/ bookworm main`.
    """
    if shutil.which("apt-get"):
        form = ["--format", "$(REPO_URI) $(CODENAME) $(COMPONENT)", "Created-By: Packages"]
        told = subprocess.run(
            ["apt-get", "indextargets", *form], capture_output=True, text=True, check=False
        )
        for line in told.stdout.splitlines():
            uri, *rest = line.split()
            if rest == [recipe.SUITE, "main"] and uri.startswith("http"):
                return uri
    return MIRROR


def run(options: argparse.Namespace, command: list[str]) -> int:
    """Build what is missing, boot, run the command, take the machine away."""
    processor = recipe.architecture(options.arch)
    tools = TOOLS | {processor.qemu: processor.qemu_package}
    if image.is_foreign(options.arch):
        tools[foreign.INTERPRETERS[options.arch]] = foreign.PACKAGE
    if options.no_build:
        need(tools, image.of_repository(options.cache, options.arch).folder)
    install_missing(tools)
    made = image.ready(options.cache, options.mirror or mirror_of_apt(), options.arch)
    if options.build:
        return 0
    archive = repository.pack()
    candidates = [options.accel] if options.accel else accelerators(options.cache, options.arch)
    for accelerator in candidates:
        settings = Settings(options.cgroup, options.memory, options.cpus, accelerator, options.arch)
        with Machine(settings, made, archive) as machine:
            session = Session(machine, command)
            try:
                session.wait_until_up(BOOT_SECONDS[accelerator])
            except Crashed as error:
                if accelerator == candidates[-1]:
                    raise with_console(error, machine, options.console) from None
                image.say(f"kvm does not work here, so the processor is emulated ({error})")
                remember_kvm_failed(options.cache)
                continue
            try:
                return session.run(options.timeout)
            except Crashed as error:
                raise with_console(error, machine, options.console) from None
            finally:
                if options.console:
                    options.console.write_text(machine.console_text())
    raise AssertionError("the last candidate returns or raises")


def with_console(error: Crashed, machine: Machine, path: Path | None) -> VmError:
    """The error with the last lines of the machine's console, all of which goes to a file."""
    text = machine.console_text()
    if path is None:
        # A new name each time: a fixed one in /tmp could be somebody else's link.
        descriptor, name = tempfile.mkstemp(prefix="mydocker-vm-", suffix=".log")
        os.close(descriptor)
        path = Path(name)
    path.write_text(text)
    last = "\n".join(f"    {line}" for line in text.splitlines()[-15:])
    return VmError(f"{error}; the end of its console ({path}):\n{last}")


def main(arguments: list[str]) -> int:
    options, command = parse(arguments)
    # As on Ctrl-C, so that the machine is taken away by the same path.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        return run(options, command)
    except VmError as error:
        image.say(str(error))
        return FAILURE
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
