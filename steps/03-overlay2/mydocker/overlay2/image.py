"""One image, as a record: what it is called, what a container of it is started with, its layers."""

from typing import Any

from mydocker.kernel.records import record
from mydocker.overlay2 import digest as digests
from mydocker.overlay2.healthcheck import Healthcheck

Json = dict[str, Any]

SHORT_ID = 12


@record
class ImageConfig:
    """What a container of this image is started with, unless its user says otherwise.

    ``env`` has ``KEY=value`` strings; ``exposed_ports`` is as ``80/tcp``; ``volumes`` are paths.
    """

    env: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    working_dir: str = ""
    user: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    exposed_ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    stop_signal: str = ""
    on_build: tuple[str, ...] = ()
    healthcheck: Healthcheck | None = None

    @classmethod
    def from_json(cls, value: Json) -> "ImageConfig":
        """From the ``config`` object of an OCI image configuration, where null means empty."""
        return cls(
            tuple(value.get("Env") or ()),
            tuple(value.get("Cmd") or ()),
            tuple(value.get("Entrypoint") or ()),
            value.get("WorkingDir") or "",
            value.get("User") or "",
            tuple(sorted((value.get("Labels") or {}).items())),
            tuple(sorted(value.get("ExposedPorts") or ())),
            tuple(sorted(value.get("Volumes") or ())),
            value.get("StopSignal") or "",
            tuple(value.get("OnBuild") or ()),
            Healthcheck.from_json(value.get("Healthcheck")),
        )

    def to_json(self) -> Json:
        """As the ``config`` object of an OCI image configuration; what is empty is left out."""
        value: Json = {
            "Env": list(self.env),
            "Cmd": list(self.cmd),
            "Entrypoint": list(self.entrypoint),
            "WorkingDir": self.working_dir,
            "User": self.user,
            "Labels": dict(self.labels),
            "ExposedPorts": {port: {} for port in self.exposed_ports},
            "Volumes": {path: {} for path in self.volumes},
            "StopSignal": self.stop_signal,
            "OnBuild": list(self.on_build),
            "Healthcheck": self.healthcheck.to_json() if self.healthcheck else None,
        }
        return {key: setting for key, setting in value.items() if setting}


@record
class Image:
    """One image of the store. ``document`` is its whole configuration, as it is stored."""

    id: str
    manifest: str
    names: tuple[str, ...]
    document: Json
    config: ImageConfig
    diff_ids: tuple[str, ...]

    @property
    def short_id(self) -> str:
        """The id as listings show it."""
        return short(self.id)

    @property
    def created(self) -> str:
        """When it was made, RFC 3339; empty if nobody wrote it down."""
        return str(self.document.get("created") or "")

    @property
    def chain_ids(self) -> list[str]:
        """The ChainID of each layer, from the bottom up."""
        return digests.chain_ids(self.diff_ids)


def short(image_id: str) -> str:
    """An image's id as listings show it."""
    return image_id.removeprefix(digests.ALGORITHM)[:SHORT_ID]
