"""Wait for the end of a kernel, then take away all that it made: processes, groups, directories.

A program of its own, ``python3 guardian.py PID DIRECTORY GROUP DISPOSABLE``: a kernel that is
killed with SIGKILL can do nothing any more. It knows the kernel by a pidfd (pidfd_open(2)), which
becomes readable when the process ends, and everything that the kernel started by the control group
that all of it is in: no process can leave that, whatever it does.
"""

import glob
import os
import select
import sys
import time

_PATIENCE = 10.0  # seconds


def main() -> None:
    """The program."""
    sys.path.insert(0, os.path.abspath(f"{__file__}/../../../steps"))
    from layers import stack

    stack(5, "learn")
    from mydocker.kernel import syscalls

    pid, directory, group, disposable = sys.argv[1:]
    kernel = syscalls.pidfd_open(int(pid))
    os.chdir("/")
    print("watching", flush=True)
    select.select([kernel], [], [])
    clean(directory, group, disposable)


def clean(directory: str, group: str, disposable: str = "") -> None:
    """End all processes of the group, remove it and the directory. May be called twice."""
    from mydocker.cgroups import freezer, hierarchy
    from mydocker.cgroups.cgroup import Cgroup
    from mydocker.kernel import files
    from mydocker.kernel.errors import Failure

    _leave_workplaces(f"{directory}/run")
    machine = hierarchy.read()
    mine = Cgroup(group, machine)
    above = Cgroup(disposable, machine).directories if disposable else ()
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            if mine.exists:
                freezer.kill(mine)
                mine.remove(above)
            if os.path.lexists(directory):
                files.remove_tree(directory)
            return
        except Failure:
            # A process that dies slowly, or a container of the moment: once more.
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def _leave_workplaces(run: str) -> None:
    """Remove where exercises were just being checked: it lies outside of the room.

    Everything else that containers leave is in namespaces that have ended, or in the directory.
    """
    from mydocker.container import state
    from mydocker.container.parts import rebuilt
    from mydocker.labs.workplace import Workplace

    for identifier in state.identifiers(run):
        record = state.read(run, identifier)
        for part in rebuilt(record.parts if record else []):
            if isinstance(part, Workplace):
                part.release()


def sweep(name: str, above: str) -> None:
    """Clean up for kernels that are gone, and their guardians too: as after a loss of power.

    ``name`` is what the names of rooms begin with, ``above`` the group that they are in, or "".
    """
    from mydocker.cgroups import hierarchy
    from mydocker.container.processes import Identity
    from mydocker.kernel.errors import Failure

    found = {(directory, _label(directory)) for directory in glob.glob(f"/var/tmp/{name}-*")}
    beginning = f"{above}/notebook-" if above else f"{name}-"
    for tree in hierarchy.read().usable:
        for path in glob.glob(tree.directory(f"{beginning}*")):
            found.add((f"/var/tmp/{name}-{_label(path)}", _label(path)))
    for directory, label in found:
        pid, _, start = label.partition("-")
        if pid.isdigit() and start.isdigit() and not Identity(int(pid), int(start)).alive():
            try:
                clean(directory, f"{beginning}{label}")
            except Failure:
                continue  # the next room tries again


def _label(path: str) -> str:
    """``PID-START`` of a path that ends with it."""
    return "-".join(path.rsplit("-", 2)[1:])


if __name__ == "__main__":
    main()
