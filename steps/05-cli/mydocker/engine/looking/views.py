"""What lists and ``inspect`` both show of a container, from what it is."""

from mydocker.engine.records.config import Config, Json


def exposed_ports(config: Config) -> list[str]:
    """The ports that the image or the command line exposes, as ``80/tcp``."""
    return sorted({port if "/" in port else f"{port}/tcp" for port in config.network.exposed})


def mounts(config: Config) -> list[Json]:
    """Its volumes, bound directories and tmpfs."""
    points = {point.destination: point for point in config.points}
    return [
        {
            "Type": "volume",
            "Name": points[volume.target].name,
            "Source": volume.source,
            "Destination": volume.target,
            "Driver": "local",
            "Mode": "" if points[volume.target].writable else "ro",
            "RW": points[volume.target].writable,
            "Propagation": "",
        }
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
    ]
