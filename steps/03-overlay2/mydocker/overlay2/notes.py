"""overlayfs's own notes on files: extended attributes whose names begin with ``trusted.overlay.``.

Only root of the machine may write those (xattr(7)). Root of a user namespace mounts overlays that
keep their notes under ``user.overlay.`` instead: the mount option ``userxattr`` (Linux 5.11).
"""

from functools import cache

from mydocker.namespaces import users

TRUSTED = "trusted.overlay."
USER = "user.overlay."


@cache
def prefix() -> str:
    """What the names of the notes begin with that we can write, and that overlayfs believes."""
    return TRUSTED if users.of_the_machine() else USER
