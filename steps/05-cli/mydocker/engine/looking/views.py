"""What lists and ``inspect`` both show of a container, from what it is."""

from mydocker.engine.records.config import Config, Json, Point
from mydocker.overlay2.volumes import Volume

_ID = 64  # digits of the name of a volume that was given none


def exposed_ports(config: Config) -> list[str]:
    """The ports that the image or the command line exposes, as ``80/tcp``."""
    return sorted({port if "/" in port else f"{port}/tcp" for port in config.network.exposed})


def mounts(config: Config) -> list[Json]:
    """Its volumes and bound directories, by where they are; no tmpfs but those of ``--mount``."""
    points = {point.destination: point for point in config.points}
    told = [
        _volume(points[volume.target], volume)
        if volume.target in points
        else {
            "Type": volume.kind,
            "Source": volume.source,
            "Destination": volume.target,
            "Mode": "ro" if volume.read_only else "",
            "RW": not volume.read_only,
            "Propagation": "rprivate" if volume.kind == "bind" else "",
        }
        for volume in config.rootfs.volumes
        if volume.target not in config.written.tmpfs
    ]
    return sorted(told, key=lambda one: str(one["Destination"]))


def _volume(point: Point, volume: Volume) -> Json:
    anonymous = len(point.name) == _ID and set(point.name) <= set("0123456789abcdef")
    mode = "ro" if not point.writable else "" if anonymous else "z"
    return {
        "Type": "volume",
        "Name": point.name,
        "Source": volume.source,
        "Destination": volume.target,
        "Driver": "local",
        "Mode": mode,  # z is Docker's for a volume with a name, SELinux or not
        "RW": point.writable,
        "Propagation": "",
    }
