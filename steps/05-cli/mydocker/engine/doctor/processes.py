"""Which programs run, by the names that the kernel knows them by (proc_pid_comm(5))."""

import os

from mydocker.engine.doctor.check import text


def running() -> set[str]:
    """The names of all processes that we can see."""
    return {text(f"/proc/{pid}/comm") for pid in os.listdir("/proc") if pid.isdigit()} - {""}
