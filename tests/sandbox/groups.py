"""Control groups looked at from outside: by the kernel's files, not by the code under test."""

from pathlib import Path


class Outside:
    """The groups of a process, found in ``/proc`` alone."""

    def __init__(self) -> None:
        self.mounts: dict[str, Path] = {}
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            fields, _, after = line.partition(" - ")
            kind, _, options = after.split(" ", 2)
            if kind == "cgroup":
                for option in options.split(","):
                    self.mounts.setdefault(option, Path(fields.split()[4]))
            elif kind == "cgroup2":
                self.mounts.setdefault("unified", Path(fields.split()[4]))

    def is_v1(self, controller: str) -> bool:
        return controller in self.mounts and controller != "unified"

    def directory(self, pid: int, controller: str) -> Path:
        """The group of ``pid`` in the hierarchy of ``controller``."""
        for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
            _, names, path = line.split(":", 2)
            here = controller in names.split(",") if self.is_v1(controller) else not names
            if here:
                mount = self.mounts[controller if self.is_v1(controller) else "unified"]
                return mount / path.lstrip("/")
        raise LookupError(f"{controller} in /proc/{pid}/cgroup")

    def read(self, pid: int, v1: str, v2: str) -> str:
        """A file of the group of ``pid``, by its name in v1 or v2."""
        controller = v1.split(".")[0]
        name = v1 if self.is_v1(controller) else v2
        return (self.directory(pid, controller) / name).read_text().strip()

    def number(self, pid: int, v1: str, v2: str, key: str) -> int:
        """One line ``key number`` of such a file."""
        pairs = dict(line.split() for line in self.read(pid, v1, v2).splitlines())
        return int(pairs[key])


def called(path: str) -> list[Path]:
    """The groups of this path, one for each hierarchy that has it."""
    # Not by walking through all: another suite's vanish meanwhile.
    mounts = {mount / path for mount in Outside().mounts.values()}
    return sorted(group for group in mounts if group.is_dir())
