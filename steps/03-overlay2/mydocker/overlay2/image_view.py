"""All that is known of an image, in the shape of ``docker image inspect``."""

from typing import Any

from mydocker.overlay2.image import Image
from mydocker.overlay2.images import ImageStore

# Docker's fields of a configuration, in their order, with what one that is not set has in JSON;
# those that are then left out have nothing here.
_NOT_SET: dict[str, Any] = {
    **dict.fromkeys(("Hostname", "Domainname", "User"), ""),
    **dict.fromkeys(("AttachStdin", "AttachStdout", "AttachStderr"), False),
    "ExposedPorts": ...,
    **dict.fromkeys(("Tty", "OpenStdin", "StdinOnce"), False),
    **dict.fromkeys(("Env", "Cmd")),
    **dict.fromkeys(("Healthcheck", "ArgsEscaped"), ...),
    "Image": "",
    "Volumes": None,
    "WorkingDir": "",
    "Entrypoint": None,
    "OnBuild": None,
    "Labels": None,
    **dict.fromkeys(("StopSignal", "StopTimeout", "Shell"), ...),
}


def _config(told: dict[str, Any]) -> dict[str, Any]:
    found = {key: told.get(key) or usual for key, usual in _NOT_SET.items()}
    return {key: value for key, value in found.items() if value is not ...}


def described(store: ImageStore, image: Image) -> dict[str, Any]:
    """An image by the field names of ``docker image inspect``."""
    layers = [store.layer_store.layer(layer_id) for layer_id in store.layers(image)]
    data = {}
    if layers:
        data = {
            "LowerDir": ":".join(layer.diff for layer in layers[1:]),
            "MergedDir": layers[0].merged,
            "UpperDir": layers[0].diff,
            "WorkDir": layers[0].work,
        }
    document, size = image.document, store.size(image)
    history = document.get("history") or [{}]
    return {
        "Id": image.id,
        "RepoTags": list(image.names),
        "RepoDigests": sorted(
            {f"{name.rpartition(':')[0]}@{image.manifest}" for name in image.names}
        ),
        "Parent": "",
        "Comment": history[-1].get("comment", ""),
        "Created": image.created,
        "Container": document.get("container", ""),
        "ContainerConfig": _config(document.get("container_config") or {}),
        "DockerVersion": document.get("docker_version", ""),
        "Author": document.get("author", ""),
        "Config": _config(document.get("config") or {}),
        "Architecture": document.get("architecture", ""),
        **({"Variant": document["variant"]} if document.get("variant") else {}),
        "Os": document.get("os", ""),
        "Size": size,
        "VirtualSize": size,
        "GraphDriver": {"Data": {k: v for k, v in data.items() if v}, "Name": "overlay2"},
        "RootFS": {"Type": "layers", "Layers": list(image.diff_ids)},
        "Metadata": {"LastTagTime": "0001-01-01T00:00:00Z"},
    }
