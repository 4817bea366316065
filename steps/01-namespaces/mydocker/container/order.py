"""The order of all parts of a container, said once.

A part says at which stage it stands; here the stages stand in their order. ``prepare``, ``attach``
and ``enter`` go through the parts from the first to the last, ``release`` from the last to the
first. The steps that come later use stages that the earlier ones leave empty.
"""

from collections.abc import Iterable

from mydocker.container.parts import Part

STAGES = (
    "guard",  # before there is anything to look at: nobody may look into it
    "limits",  # its control group: from its first moment on it uses no more than it may
    "users",  # who it is: the ids of a user namespace are needed for all that follows
    "mounts",  # whatever is mounted from now on is not mounted on the host
    "cgroup view",  # its own group looks like the root of the tree
    "names",  # its host name
    "links",  # of a network of its own, at least lo
    "clocks",
    "layers",  # its files, on the host, for the next stages to mount over
    "shared",  # namespaces of another container
    "networks",  # links, addresses, ports
    "etc",  # hosts, hostname, resolv.conf, which depend on its addresses
    "sysctls",  # as long as the host's writable /proc is seen
    "root",  # its files become /: from here on nothing of the host can be reached by name
    "proc",  # or, without a root of its own, a /proc of its own
    "memory",  # a shared /dev/shm over its own
    "directory",  # where the command starts
    "keys",  # a keyring of its own; and root's powers shall survive the change of user
    "user",  # who runs the command
    "powers",  # last, as all before needed them: limits of one process, capabilities, seccomp
)
_PLACES = {stage: place for place, stage in enumerate(STAGES)}


def in_order(parts: Iterable[Part]) -> list[Part]:
    """The parts in the order of their moments; those of one stage as they were given."""
    return sorted(parts, key=lambda part: _PLACES[part.stage])
