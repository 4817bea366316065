"""The place where every test runs: the suite enters it once, and nothing gets out of it.

New mount and network namespaces with a loopback of their own, root and run directories in a
temporary place, one cgroup parent of its own, and the rest of the disk read-only. What an orphan
of a test becomes is our child (a subreaper), so that the contract sees it.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path


class Sandbox:
    """``directory`` is the temporary place; ``environment`` is what our programs must be given."""

    def __init__(self, steps: Path) -> None:
        self.steps = steps
        self.private = False
        # On the disk and not on a tmpfs: readers keep their images on a disk too.
        self.directory = Path(tempfile.mkdtemp(prefix="mydocker-test-", dir="/var/tmp"))
        self.directory.chmod(0o755)  # for tests that run as another user
        self.cgroup_parent = f"mydocker-test-{os.getpid()}"
        self.root = self.directory / "root"
        self.run = self.directory / "run"
        self.environment = {
            "MYDOCKER_ROOT": str(self.root),
            "MYDOCKER_RUN": str(self.run),
            "MYDOCKER_CGROUP_PARENT": self.cgroup_parent,
        }

    def enter(self) -> None:
        """Leave the machine's namespaces if we have the rights; unprivileged tests go on without."""
        from mydocker.kernel import links, syscalls
        from mydocker.kernel.errors import KernelError

        os.environ.update(self.environment)
        syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
        try:
            syscalls.unshare(syscalls.CLONE_NEWNS | syscalls.CLONE_NEWNET)
        except KernelError:
            return
        syscalls.mount("none", "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
        self._protect()
        links.set_up("lo")
        self.private = True

    def _protect(self) -> None:
        """Make the machine's own files read-only, but for places where tests may write.

        The code under test may be a student's, with the defence that the test asks for left out: an
        unpacked link to ``/usr/bin`` would then be followed.
        """
        from mydocker.kernel import syscalls

        for place in ("/tmp", "/var/tmp", sys.prefix, str(self.steps.parent)):
            syscalls.mount(place, place, None, syscalls.MS_BIND | syscalls.MS_REC)
        flags = syscalls.MS_REMOUNT | syscalls.MS_BIND | syscalls.MS_RDONLY
        syscalls.mount("none", "/", None, flags)

    def leave(self) -> None:
        """Remove the temporary place. The namespaces end with the last process in them."""
        shutil.rmtree(self.directory, ignore_errors=True)
