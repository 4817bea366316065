"""Children that do not outlive us: PR_SET_PDEATHSIG, see prctl(2)."""

from __future__ import annotations

import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1  # include/uapi/linux/prctl.h

_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    """In a child before exec: be killed when the parent dies, however it dies (kill -9 too)."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # Ctrl-C on the terminal is ours to handle, not the child's.
    os.setpgid(0, 0)
