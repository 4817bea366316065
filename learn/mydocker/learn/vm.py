"""``mydocker vm``: hands over to ``vm/run`` of the repository, which is the whole implementation.

The launcher ``./mydocker`` does that by itself, before this module would be reached: what runs in a
virtual machine needs no set-up here.
"""

import os
import sys

import click

from mydocker.container.flags import command
from mydocker.kernel.errors import Failure


@command(context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def vm(words: tuple[str, ...]) -> None:
    """Run a command, a shell or the tests in a virtual machine (Debian 12, cgroup v2)."""
    # this is learn/mydocker/learn/vm.py of the repository
    program = os.path.join(os.path.abspath(__file__), *[os.pardir] * 4, "vm", "run")
    program = os.path.normpath(program)
    if not os.path.exists(program):
        raise Failure(
            f"no virtual machine without the repository: {program} is not there",
            "installed alone, mydocker is only the container tool; call ./mydocker in a checkout",
        )
    os.execv(sys.executable, [sys.executable, program, *words])
