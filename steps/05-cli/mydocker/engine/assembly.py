"""From what a container is to the parts it is made of: the composition of all earlier steps."""

from mydocker.cgroups.part import limit_parts
from mydocker.container.order import in_order
from mydocker.container.parts import Part
from mydocker.engine.records.config import Config
from mydocker.engine.records.store import Store
from mydocker.kernel.records import fields
from mydocker.namespaces.sharing import Find, sharing_parts
from mydocker.namespaces.specification import namespace_parts
from mydocker.network.parts import network_parts
from mydocker.overlay2.images import ImageStore
from mydocker.overlay2.layers import LayerStore
from mydocker.overlay2.specification import root_parts
from mydocker.security.confinement import confinement_parts, contents, with_devices
from mydocker.security.trampoline import Trampolined


def process_of(config: Config) -> Trampolined:
    """What its first process becomes."""
    process = config.process
    return Trampolined(**{name: getattr(process, name) for name in fields(process)})


def parts_of(store: Store, config: Config, find: Find) -> list[Part]:
    """All parts, in the order of their moments. Raises Failure for what cannot be.

    ``find`` looks up the container whose namespaces this one shares.
    """
    root, run = store.root, store.run
    asked, identifier, security = config.namespaces, config.id, config.security
    layers = ImageStore(root).parents(config.image_id, config.diff_ids)
    limits = with_devices(config.limits, security)
    return in_order(
        [
            *limit_parts(limits, identifier, config.cgroup_parent),
            *namespace_parts(asked, identifier),
            *sharing_parts(asked, find),
            *root_parts(
                config.rootfs, root, identifier, layers,
                keep=not config.auto_remove, contents=contents(security),
            ),
            *network_parts(
                config.network, identifier, config.name, config.hostname,
                root=root, run=run, rootfs=LayerStore(root).layer(identifier).merged,
                directory=store.directory(identifier), find=find,
            ),
            *confinement_parts(security, asked, identifier),
        ]
    )  # fmt: skip
