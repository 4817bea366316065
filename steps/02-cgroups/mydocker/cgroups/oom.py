"""The OOM killer: how often it came to a group, and what to say of it.

Apart from ``statistics``, because each run asks this at its end.
"""

from mydocker.cgroups.cgroup import Cgroup, groups_below
from mydocker.cgroups.hierarchy import V2
from mydocker.kernel import files
from mydocker.kernel.errors import Failure
from mydocker.kernel.sizes import size_text

# v1 has no word for "no limit": it is the largest number of bytes that is whole pages.
NO_LIMIT = 1 << 62


def oom_kills(group: Cgroup) -> int:
    """How many processes of the group, or of groups in it, the OOM killer has killed."""
    # v1's memory.oom_control, of one group:          v2's memory.events, with the groups in it:
    #   oom_kill_disable 0                              low 0
    #   under_oom 0                                     max 213
    #   oom_kill 1                                      oom_kill 1
    # lab 2.6: did the OOM killer come
    hierarchy = group.hierarchy_of("memory")
    if hierarchy is None:
        return 0
    if hierarchy.version == V2:
        return pairs_of(group.read_or("memory.events")).get("oom_kill", 0)
    directories = groups_below(hierarchy.directory(group.path))
    return sum(_oom_kills_v1(directory) for directory in directories)
    # end lab


def _oom_kills_v1(directory: str) -> int:
    try:
        return pairs_of(files.read(f"{directory}/memory.oom_control")).get("oom_kill", 0)
    except Failure:
        return 0


def report(group: Cgroup) -> str:
    """``killed: out of memory, limit 100 MiB`` if the OOM killer came to the group; else empty."""
    # lab 2.6: did the OOM killer come
    if not oom_kills(group):
        return ""
    limit = group.read_or("memory.limit_in_bytes") or group.read_or("memory.max")
    if not limit.isdigit() or int(limit) >= NO_LIMIT:
        return "killed: out of memory: the machine, or a group above, is full"
    return f"killed: out of memory, limit {size_text(int(limit))}"
    # end lab


def pairs_of(text: str) -> dict[str, int]:
    """A flat keyed file: one ``name number`` a line; what is no number is left out."""
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}
