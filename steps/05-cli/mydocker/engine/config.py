"""What a container is, said once at ``create``: ``containers/<id>/config.json``.

From it the parts of the container are built at every start (``assembly``). Only ``rename`` and
``update`` ever change it.
"""

from typing import Any

from mydocker.kernel.records import asdict, field, record

Json = dict[str, Any]


LOG_SIZE, LOG_FILES = 20 << 20, 5


@record
class Restart:
    """When it shall start again by itself: ``no``, ``always``, ``unless-stopped``, ``on-failure``.

    ``retries``: of ``on-failure``, how often at most; 0 for as often as it fails.
    """

    policy: str = "no"
    retries: int = 0


@record
class Config:
    """One container. ``options`` are the options of the earlier steps, by name, in JSON's types."""

    id: str
    name: str
    created: str
    image: str  # as it was asked for
    image_id: str
    diff_ids: tuple[str, ...]
    image_config: Json  # the ``config`` object of the image, OCI's shape
    options: Json
    arguments: tuple[str, ...]
    environment: dict[str, str]
    directory: str
    terminal: bool = False
    input: bool = False
    init: bool = False
    command: tuple[str, ...] = ()  # what was written after the image's name
    labels: dict[str, str] = field(default_factory=dict)
    auto_remove: bool = False
    attached: bool = False  # made by a ``run`` in the foreground: its input ends with that run's
    restart: Restart = field(default_factory=Restart)
    stop_signal: int = 15
    stop_timeout: int = 10  # seconds
    log_driver: str = "json-file"
    log_size: int = -1  # bytes of one file, as asked; -1: not asked; 0: -1 asked, without end
    log_files: int = 1

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

    def to_json(self) -> Json:
        """As it is written down."""
        return asdict(self)

    @classmethod
    def from_json(cls, told: Json) -> "Config":
        """From what :meth:`to_json` gave."""
        told["restart"] = Restart(**told["restart"])
        for name in ("diff_ids", "arguments", "command"):
            told[name] = tuple(told[name])
        return cls(**told)
