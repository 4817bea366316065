"""The one error of this program: our own failure, told in one line, exit code 125."""

from __future__ import annotations

FAILURE = 125  # as docker run: the tool failed, not the command


class VmError(Exception):
    """The VM could not be built, booted or kept; the message says what to try."""


class Crashed(VmError):
    """The machine itself failed; why may be read in what its console showed last."""
