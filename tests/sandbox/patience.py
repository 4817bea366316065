"""How long a test waits for what must come, before it fails.

Seconds in tests are those of a machine at its own speed. Where the processor is emulated,
``MYDOCKER_TEST_PATIENCE`` says how many times longer everything may take; vm/run sets it.
"""

import os

FACTOR = float(os.environ.get("MYDOCKER_TEST_PATIENCE", "1"))


def patience(seconds: float) -> float:
    """So many seconds, on this machine."""
    return seconds * FACTOR
