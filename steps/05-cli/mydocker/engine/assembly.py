"""From what a container is to the parts it is made of: the composition of all earlier steps."""

from collections.abc import Callable

from mydocker.cgroups.options import cgroups_parts
from mydocker.container.parts import Part
from mydocker.container.process import Process
from mydocker.engine.records.config import Config
from mydocker.engine.records.errors import Refused
from mydocker.engine.records.store import Store
from mydocker.namespaces.options import clone_flags, namespace_parts
from mydocker.namespaces.sharing import after_root
from mydocker.network.options import Shared, network_flags, network_parts
from mydocker.overlay2.images import Image, ImageConfig
from mydocker.overlay2.layers import LayerStore
from mydocker.overlay2.options import container_flags, overlay2_parts
from mydocker.security import trampoline
from mydocker.security.confinement import confined
from mydocker.security.settings import from_options


def image_of(config: Config) -> Image:
    """The container's image as it was when the container was made."""
    image_config = ImageConfig.from_json(config.image_config)
    return Image(config.image_id, "", (), {}, image_config, config.diff_ids)


def process_of(config: Config) -> Process:
    """What its first process becomes."""
    return Process(
        config.arguments,
        config.environment,
        config.directory,
        terminal=config.terminal,
        input=config.input,
        init=config.init,
        executor=trampoline.become,
    )


def namespaces_of(config: Config) -> int:
    """The CLONE_NEW* flags of its namespaces, of which clone3(2) makes :func:`clone_flags`."""
    return network_flags(config.options, container_flags(config.options))


def parts_of(store: Store, config: Config) -> tuple[int, list[Part]]:
    """``(flags for clone3, parts)`` in the order of their moments. Raises Failure.

    What takes powers away enters last, after all that needs them (``security.assembly``).
    """
    options, flags, image = config.options, namespaces_of(config), image_of(config)
    layers, inner_root, *inside = overlay2_parts(
        options, store.root, config.id, image, keep=not config.auto_remove
    )
    network = network_parts(
        options,
        config.id,
        config.name,
        root=store.root,
        run=store.run,
        rootfs=LayerStore(store.root).layer(config.id).merged,
        directory=store.directory(config.id),
        exposed=image.config.exposed_ports,
        find=_finder(store),
    )
    parts = [
        *cgroups_parts(options, config.id),
        *namespace_parts(options, flags, config.id),
        layers,
        *network,
        inner_root,
        *after_root(network),
        *inside,
    ]
    # What takes powers away stands around and after what needs them.
    return clone_flags(flags), confined(parts, from_options(options), flags, config.id)


def _finder(store: Store) -> Callable[[str], Shared]:
    """For ``--net container:NAME``."""
    from mydocker.engine.truth import look

    def find(word: str) -> Shared:
        identifier = store.find(word)
        state = look(store, identifier)
        if not state.up:
            raise Refused(f"cannot join the namespaces of a non running container: {identifier}")
        return Shared(store.config(identifier).name, state.process, store.directory(identifier))

    return find
