"""Find a running container by its name or the beginning of its id, from its record.

Step 05 has containers with a life of their own, and finds them there; here only the running ones
are known, by their records below the run directory.
"""

from mydocker.container import state
from mydocker.kernel.errors import Conflict, Invalid, NotFound
from mydocker.namespaces.sharing import Find, Shared
from mydocker.network.store import Store

_PART = "mydocker.network.part:NetworkPart"  # as a record names it


def find_container(store: Store, word: str) -> str:
    """The id of the running container called ``word``, or whose id begins so. Raises Failure."""
    names = running(store)
    found = {c for c, name in names.items() if name == word} or {
        c for c in names if word and c.startswith(word)
    }
    if len(found) == 1:
        return found.pop()
    if found:
        raise Invalid(f"container '{word}': several are called so", "Use the id")
    raise NotFound(f"container '{word}': no such container is running")


def running(store: Store) -> dict[str, str]:
    """The containers that have a record, and the name that each was given ("" without networks)."""
    found = {}
    for identifier in state.identifiers(store.run):
        record = state.read(store.run, identifier)
        if record is not None:
            names = [part["fields"]["name"] for part in record.parts if part["part"] == _PART]
            found[identifier] = names[0] if names else ""
    return found


def find_shared(root: str, run: str) -> Find:
    """For ``--net container:NAME``: looks a container up by its name or id."""

    def find(word: str) -> Shared:
        identifier = find_container(Store(root, run), word)
        record = state.read(run, identifier)
        if record is None:
            raise Conflict(f"container '{word}': ended just now")
        return Shared(word, record.process, f"{root}/containers/{identifier}")

    return find
