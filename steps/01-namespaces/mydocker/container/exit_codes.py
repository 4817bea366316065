"""What a command line ends with, for each kind of error: Docker's exit codes, and nowhere else.

Docker's client ends with 1 for whatever it is refused. ``run`` ends with the exit code of the
command in the container, so its own is 125, which that command is not likely to have. 126 and 127
are a shell's words for a command that could not be executed (see "Exit status" in docker-run(1)).
"""

from collections.abc import Mapping

from mydocker.kernel.errors import CANNOT_RUN, OF_KIND, Failure, Invalid, Kind

REFUSED = 1
Codes = Mapping[Kind, int]

# ``run``, and the commands of the book that Docker does not have
OURS: Codes = dict.fromkeys(OF_KIND, CANNOT_RUN)
# Docker's other commands
DOCKERS: Codes = dict.fromkeys(OF_KIND, REFUSED)
# ``create`` and ``exec``: was it refused, or tried and failed?
STARTS: Codes = {**DOCKERS, "not permitted": CANNOT_RUN, "failed": CANNOT_RUN}


def exit_code(failure: Failure, codes: Codes) -> int:
    """What a command that has these ``codes`` ends with."""
    return codes[failure.kind] if failure.exit_code is None else failure.exit_code


class NotATerminal(Invalid):
    """``-it``, and standard input is none: Docker's client sees that before it asks anybody."""

    def __init__(self, hint: str) -> None:
        super().__init__("the input device is not a TTY", hint, REFUSED)
