"""What a worker of the warm process can be asked for: one table of plain functions of the engine.

Each takes the store, then what JSON can carry, and gives what JSON can carry, or a socket, which is
handed to who asked. What is read and written as a stream goes through the standard streams that
came with the request.
"""

import _socket
import os
import tempfile
from collections.abc import Callable
from typing import Any

from mydocker.engine import copying
from mydocker.engine.cleaning import leftovers, unused
from mydocker.engine.cleaning.leftover import Place
from mydocker.engine.images import export, save
from mydocker.engine.images.commit import commit as commit_container
from mydocker.engine.life import creation, execution, lifecycle, removal
from mydocker.engine.looking import inspection, logs
from mydocker.engine.records.config import Config, Json, Restart
from mydocker.engine.records.store import Store
from mydocker.engine.volumes import removing
from mydocker.engine.volumes.store import VolumeStore
from mydocker.kernel import signals
from mydocker.kernel.errors import NotFound
from mydocker.kernel.records import asdict, fromdict
from mydocker.network import membership, networks
from mydocker.network.attachment import Attachment
from mydocker.network.store import Store as Networks
from mydocker.overlay2.images import ImageStore

Operation = Callable[..., Any]


# ---------------------------------------------------------------- the life of a container


def create(store: Store, config: Json, *, with_layer: bool = True) -> Json:
    """``config`` is a ``Config`` as JSON, and so is the answer: with a name, and when it was."""
    return creation.create(store, Config.from_json(config), with_layer=with_layer).to_json()


def start(store: Store, word: str) -> None:
    """Start it, if it does not run."""
    if socket := lifecycle.start(store, store.find(word)):
        socket.close()


def start_attached(
    store: Store, word: str, *, types: bool = False, reads: bool = True
) -> _socket.socket | None:
    """Start it: the connection to its monitor, in the words of ``monitor.supervisor``."""
    return lifecycle.start(store, store.find(word), types=types, reads=reads)


def execute(store: Store, word: str, asked: Json) -> Json:
    """Run a command with the streams of the request and wait for it; ``asked``: an ExecConfig."""
    return asdict(execution.execute(store, word, fromdict(execution.ExecConfig, asked)))


def execute_attached(store: Store, word: str, asked: Json) -> _socket.socket:
    """Run a command on a terminal: the connection to who watches it."""
    return execution.execute_attached(store, word, fromdict(execution.ExecConfig, asked))


def execute_detached(store: Store, word: str, asked: Json) -> None:
    """Run a command and leave it there."""
    execution.execute_detached(store, word, fromdict(execution.ExecConfig, asked))


def update(store: Store, word: str, limits: Json, restart_policy: Json | None = None) -> str:
    """Other limits, another restart policy."""
    policy = None if restart_policy is None else fromdict(Restart, restart_policy)
    return lifecycle.update(store, word, limits, policy)


def prune_containers(store: Store, filters: Json | None = None) -> Json:
    """Remove those that do not run: their ids, and the bytes that are free again."""
    removed, space = removal.prune(store, filters or {})
    return {"removed": removed, "space": space}


# ---------------------------------------------------------------- what it wrote, its files


def read_logs(store: Store, word: str, **asked: Any) -> None:
    """Write what it wrote to standard output and error, as ``mydocker logs``."""
    for line in logs.read(store, word, **asked):
        text = line.text.encode(errors="surrogateescape")
        signals.write(2 if line.stream == "stderr" else 1, text)


def copy_from(store: Store, word: str, path: str, *, follow: bool = False) -> None:
    """Write a tar archive of ``path`` in the container to standard output."""
    with copying.root_of(store, store.find(word)) as root:
        found = copying.find(root, path, f"{word}:{path}", follow=follow)
        if found.status is None:
            raise NotFound(f"No such container:path: {word}:{path}")
        copying.pack(found, lambda data: signals.write(1, data))


def copy_to(store: Store, word: str, path: str) -> None:
    """Unpack the tar archive on standard input below ``path`` in the container."""
    with (
        copying.root_of(store, store.find(word), write=True) as root,
        # An archive is read to its end before anything of it is believed.
        tempfile.TemporaryFile(dir="/var/tmp") as file,
    ):
        while data := signals.read(0, 1 << 20):
            file.write(data)
        file.flush()
        file.seek(0)
        into = copying.find(root, path, f"{word}:{path}", follow=True)
        copying.unpack(file.fileno(), into)


# ---------------------------------------------------------------- images, networks, volumes


def commit(store: Store, word: str, name: str = "", **asked: Any) -> str:
    """An image of what it changed: its id."""
    return commit_container(store, word, name, **asked).id


def export_files(store: Store, word: str) -> None:
    """Write the container's files to standard output as one tar archive."""
    export.export(store, word, 1)


def save_images(store: Store, names: list[str], *, form: str = "docker") -> None:
    """Write images to standard output as one archive."""
    save.save(ImageStore(store.root), names, 1, form=form)


def create_network(store: Store, name: str, **asked: Any) -> str:
    """A network: its id."""
    pairs: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in asked.items()
    }
    return networks.create(_networks(store), name, **pairs).id


def remove_network(store: Store, word: str) -> str:
    """Remove it, if nobody is on it: its id."""
    return networks.remove(_networks(store), word).id


def connect(store: Store, word: str, attachment: Json) -> None:
    """One more network for a container that runs; ``attachment``: a ``network.Attachment``."""
    wants = fromdict(Attachment, attachment)
    membership.connect(_networks(store), store.find(word), wants)


def disconnect(store: Store, word: str, network: str) -> None:
    """Take it off a network."""
    known = _networks(store)
    membership.disconnect(known, store.find(word), known.find(network))


def prune_networks(store: Store) -> list[str]:
    """Remove those that nobody is on: their names."""
    return [network.name for network in networks.prune(_networks(store))]


def _networks(store: Store) -> Networks:
    return Networks(store.root, store.run)


def create_volume(store: Store, name: str = "", labels: Json | None = None) -> str:
    """A volume: its name."""
    return VolumeStore(store.root).create(name, labels).name


def prune_volumes(store: Store, *, every: bool = False, chosen: Json | None = None) -> Json:
    """Remove those that no container uses: their names, and the bytes that are free again."""
    removed, space = removing.prune(store, every=every, chosen=chosen)
    return {"removed": removed, "space": space}


def prune_all(store: Store, *, every: bool = False, volumes: bool = False) -> Json:
    """Release what killed processes left, and remove all that is not used."""
    pruned = leftovers.prune(Place(store.root, store.run))
    cleaned = unused.clean(store, unused.Wish(every, volumes, {}))
    return {
        "released": [str(one) for one in pruned.released],
        "failures": [str(failure) for failure in (*pruned.failures, *cleaned.failures)],
        "removed": {kind: list(names) for kind, names in cleaned.kinds},
        "space": pruned.space + cleaned.space,
    }


def pid(store: Store) -> int:
    """The worker's own, for who wants to know whether anybody is there."""
    return os.getpid()


OPERATIONS: dict[str, Operation] = {
    "pid": pid,
    "create": create,
    "start": start,
    "start_attached": start_attached,
    "stop": lifecycle.stop,
    "kill": lifecycle.kill,
    "restart": lifecycle.restart,
    "pause": lifecycle.pause,
    "unpause": lifecycle.unpause,
    "rename": lifecycle.rename,
    "update": update,
    "wait": lifecycle.wait,
    "rm": removal.remove,
    "exec": execute,
    "exec_attached": execute_attached,
    "exec_detached": execute_detached,
    "inspect": inspection.inspect,
    "logs": read_logs,
    "cp_from": copy_from,
    "cp_to": copy_to,
    "commit": commit,
    "export": export_files,
    "save": save_images,
    "network_create": create_network,
    "network_rm": remove_network,
    "network_connect": connect,
    "network_disconnect": disconnect,
    "volume_create": create_volume,
    "volume_rm": removing.remove,
    "container_prune": prune_containers,
    "network_prune": prune_networks,
    "volume_prune": prune_volumes,
    "system_prune": prune_all,
}
