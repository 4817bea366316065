"""What a container is, said once at ``create``: ``containers/<id>/config.json``.

It holds the record of each step, as it was asked for and as the image completes it. From it the
parts of the container are built at every start (``assembly``). Only ``rename`` and ``update`` ever
change it.
"""

from typing import Any

from mydocker.cgroups.limits import Limits
from mydocker.container.process import Process
from mydocker.kernel.records import asdict, field, fromdict, record
from mydocker.namespaces.specification import Namespaces
from mydocker.network.specification import Networking
from mydocker.overlay2.image import ImageConfig
from mydocker.overlay2.specification import Rootfs
from mydocker.security.specification import Security

Json = dict[str, Any]

LOG_SIZE, LOG_FILES = 20 << 20, 5  # bytes of a log file, and how many are kept
VERSION = 2  # of the form of the file; the first had none


@record
class Restart:
    """When it shall start again by itself: ``no``, ``always``, ``unless-stopped``, ``on-failure``.

    ``retries``: of ``on-failure``, how often at most; 0 for as often as it fails.
    """

    policy: str = "no"
    retries: int = 0


@record
class Point:
    """A volume at ``destination``. ``source``: the host's directory; ``copy``: what the image has
    there is copied into the volume if that is empty."""

    name: str
    destination: str
    source: str = ""
    writable: bool = True
    anonymous: bool = False
    copy: bool = True


@record
class Written:
    """What ``inspect`` shows as it was written, and nothing else needs.

    ``stop_timeout`` None: it was not said.
    """

    binds: tuple[str, ...] = ()
    tmpfs: dict[str, str] = field(default_factory=dict)
    volumes_from: tuple[str, ...] = ()
    security_opt: tuple[str, ...] = ()
    storage_opt: tuple[str, ...] = ()
    cidfile: str = ""
    stop_timeout: int | None = None
    log_opts: dict[str, str] = field(default_factory=dict)


@record
class Config:
    """One container. ``settings`` are those of its image, with what was asked for in their place:
    what an image made of the container says. ``rootfs`` has its volumes mounted; which of its
    mounts are volumes, ``points`` tells.
    """

    image: str  # as it was asked for
    image_id: str
    diff_ids: tuple[str, ...]
    settings: ImageConfig
    process: Process
    namespaces: Namespaces = field(default_factory=Namespaces)
    limits: Limits = field(default_factory=Limits)
    cgroup_parent: str = ""
    rootfs: Rootfs = field(default_factory=Rootfs)
    network: Networking = field(default_factory=Networking)
    security: Security = field(default_factory=Security)
    points: tuple[Point, ...] = ()
    auto_remove: bool = False
    attached: bool = False  # made by a ``run`` in the foreground: its input ends with that run's
    restart: Restart = field(default_factory=Restart)
    stop_signal: int = 15
    stop_timeout: int = 10  # seconds
    log_driver: str = "json-file"
    log_size: int = -1  # bytes of one file, as asked; -1: not asked; 0: -1 asked, without end
    log_files: int = 1
    written: Written = field(default_factory=Written)
    id: str = ""
    name: str = ""
    created: str = ""
    version: int = VERSION

    @property
    def short_id(self) -> str:
        """The id as lists show it."""
        return self.id[:12]

    @property
    def log_limits(self) -> tuple[int, int]:
        """Bytes of one log file (-1: without end), then a new one is begun; how many are kept.

        Where nothing was asked Docker's json-file grows until the disk is full. Here it is what its
        driver ``local`` does: a container that writes for ever is soon made and long forgotten.
        """
        if self.log_size < 0:
            return LOG_SIZE, LOG_FILES
        return self.log_size or -1, self.log_files

    @property
    def hostname(self) -> str:
        """Its host name, if its UTS namespace is its own."""
        return self.namespaces.name(self.id)

    @property
    def labels(self) -> dict[str, str]:
        """Those of its image and its own."""
        return dict(self.settings.labels)

    def to_json(self) -> Json:
        """As it is written down."""
        return asdict(self)

    @classmethod
    def from_json(cls, told: Json) -> "Config":
        """From what :meth:`to_json` gave. Raises TypeError or ValueError for what is no such."""
        if told.get("version") != VERSION:
            raise ValueError(f"a container of version {told.get('version')} of this file's form")
        return fromdict(cls, told)


def unknown(identifier: str, name: str) -> Config:
    """In place of one that is damaged: it can be listed, ended and removed."""
    return Config("<damaged>", "", (), ImageConfig(), Process(()), id=identifier, name=name)
