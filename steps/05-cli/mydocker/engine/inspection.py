"""``inspect``: all that is known of a container, in the shape of Docker's JSON."""

from collections.abc import Iterable
from typing import Any

from mydocker.engine.config import Config, Json
from mydocker.engine.errors import Refused
from mydocker.engine.listing import exposed_ports
from mydocker.engine.state import DEAD, PAUSED, RESTARTING, State
from mydocker.engine.store import Store
from mydocker.engine.truth import look
from mydocker.kernel.errors import Failure
from mydocker.network.store import Endpoint, Network, Published
from mydocker.network.store import Store as Networks
from mydocker.overlay2.layers import LayerStore


def inspect(store: Store, word: str, *, size: bool = False) -> Json:
    """A container. Raises NoSuchContainer. ``size``: count its bytes too, which takes a while."""
    identifier = store.find(word)
    config, state = store.config(identifier), look(store, identifier)
    shown = {
        "Id": config.id,
        "Created": config.created,
        "Path": config.arguments[0],
        "Args": list(config.arguments[1:]),
        "State": _state(state),
        "Image": config.image_id,
        "ResolvConfPath": _file(store, config, "resolv.conf"),
        "HostnamePath": _file(store, config, "hostname"),
        "HostsPath": _file(store, config, "hosts"),
        "LogPath": store.log(identifier) if config.log_driver == "json-file" else "",
        "Name": f"/{config.name}",
        "RestartCount": state.restart_count,
        "Driver": "overlay2",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": None,
        "HostConfig": _host_config(config),
        "GraphDriver": _graph_driver(store, config),
        "Mounts": mounts(config),
        "Config": _config(config),
        "NetworkSettings": _network_settings(store, config, state),
    }
    if size:
        from mydocker.engine.sizes import sizes

        own, whole = sizes(store, config)
        shown["SizeRw"], shown["SizeRootFs"] = own, whole
    return shown


def _file(store: Store, config: Config, name: str) -> str:
    return f"{store.directory(config.id)}/{name}"


def _state(state: State) -> Json:
    return {
        "Status": state.status,
        "Running": state.active,
        "Paused": state.status == PAUSED,
        "Restarting": state.status == RESTARTING,
        "OOMKilled": state.oom_killed,
        "Dead": state.status == DEAD,
        "Pid": state.process.pid,
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": state.started,
        "FinishedAt": state.finished,
    }


def _option(config: Config, name: str, default: Any = None) -> Any:
    value = config.options.get(name)
    return default if value is None else value


def _host_config(config: Config) -> Json:
    """What the command line asked of the machine; Docker's names and units."""
    log = {}
    if config.log_size == 0:
        log = {"max-size": "-1"}
    elif config.log_size > 0:  # what is applied though nobody asked is not shown
        log = {"max-file": str(config.log_files), "max-size": str(config.log_size)}
    return {
        "Binds": list(_option(config, "volumes", ())) or None,
        "ContainerIDFile": _option(config, "cidfile", ""),
        "LogConfig": {"Type": config.log_driver, "Config": log},
        "NetworkMode": (list(_option(config, "networks", ())) or ["default"])[0],
        "PortBindings": _bindings(config),
        "RestartPolicy": {
            "Name": config.restart.policy,
            "MaximumRetryCount": config.restart.retries,
        },
        "AutoRemove": config.auto_remove,
        "VolumeDriver": "",
        "VolumesFrom": list(_option(config, "volumes_from", ())) or None,
        "CapAdd": list(_option(config, "cap_add", ())) or None,
        "CapDrop": list(_option(config, "cap_drop", ())) or None,
        "CgroupnsMode": "private",
        "Dns": list(_option(config, "dns", ())),
        "DnsOptions": list(_option(config, "dns_option", ())),
        "DnsSearch": list(_option(config, "dns_search", ())),
        "ExtraHosts": list(_option(config, "add_host", ())) or None,
        "GroupAdd": list(_option(config, "group_add", ())) or None,
        "IpcMode": _option(config, "ipc_mode", "") or "private",
        "Cgroup": "",
        "Links": None,
        "OomScoreAdj": _option(config, "oom_score_adj", 0),
        "PidMode": _option(config, "pid_mode", ""),
        "Privileged": bool(_option(config, "privileged", False)),
        "PublishAllPorts": bool(_option(config, "publish_all", False)),
        "ReadonlyRootfs": bool(_option(config, "read_only", False)),
        **({"StorageOpt": _pairs(texts)} if (texts := _option(config, "storage_opt")) else {}),
        "SecurityOpt": list(_option(config, "security_opt", ())) or None,
        "UTSMode": _option(config, "uts_mode", ""),
        "UsernsMode": "" if _option(config, "userns", "host") == "host" else "private",
        "ShmSize": shm_size(config),
        "Runtime": "mydocker",
        "Isolation": "",
        "Init": config.init or None,
        "Tmpfs": dict(_pair(text) for text in _option(config, "tmpfs", ())) or None,
        "Ulimits": list(_option(config, "ulimits", ())) or None,
        "Sysctls": dict(text.partition("=")[::2] for text in _option(config, "sysctls", ()))
        or None,
        "Devices": list(_option(config, "devices_given", ())),
        "DeviceCgroupRules": list(_option(config, "devices", ())) or None,
        **_limits(config),
    }


def _pairs(texts: Iterable[str]) -> dict[str, str]:
    return {text.partition("=")[0]: text.partition("=")[2] for text in texts}


def _pair(text: str) -> tuple[str, str]:
    path, _, options = text.partition(":")
    return path, options


def shm_size(config: Config) -> int:
    """Bytes of its /dev/shm."""
    from mydocker.cgroups.limits import size

    written = config.options.get("shm_size")
    return size(written) if written else 64 << 20


def _limits(config: Config) -> Json:
    cpus = _option(config, "cpus", 0)
    memory, swap = _option(config, "memory", 0), _option(config, "memory_swap", 0)
    return {
        "CgroupParent": _option(config, "cgroup_parent", ""),
        "CpuShares": _option(config, "cpu_shares", 0),
        "Memory": memory,
        "NanoCpus": int(cpus * 10**9),
        "BlkioWeight": _option(config, "blkio_weight", 0),
        "BlkioDeviceReadBps": _rates(config, "read_bps"),
        "BlkioDeviceWriteBps": _rates(config, "write_bps"),
        "BlkioDeviceReadIOps": _rates(config, "read_iops"),
        "BlkioDeviceWriteIOps": _rates(config, "write_iops"),
        "CpuPeriod": _option(config, "cpu_period", 0),
        "CpuQuota": _option(config, "cpu_quota", 0),
        "CpusetCpus": _option(config, "cpuset_cpus", ""),
        "CpusetMems": _option(config, "cpuset_mems", ""),
        "MemoryReservation": _option(config, "memory_reservation", 0),
        "MemorySwap": swap or memory * 2,
        "MemorySwappiness": None,
        "OomKillDisable": bool(_option(config, "oom_kill_disable", False)),
        "PidsLimit": _option(config, "pids"),
    }


def _rates(config: Config, name: str) -> list[Json] | None:
    found = [{"Path": path, "Rate": rate} for path, rate in _option(config, name, ())]
    return found or None


def _bindings(config: Config) -> Json:
    from mydocker.network.ports import parse

    found: Json = {}
    for written in _option(config, "publish", ()):
        for wish in parse(written):
            hosts = wish.hosts
            host = str(hosts[0]) if len(hosts) == 1 else f"{hosts[0]}-{hosts[-1]}" if hosts else ""
            entry = {"HostIp": wish.ip, "HostPort": host}
            found.setdefault(f"{wish.container}/{wish.protocol}", []).append(entry)
    return found


def _graph_driver(store: Store, config: Config) -> Json:
    layers = LayerStore(store.root)
    layer = layers.layer(config.id)
    try:
        below = [one.diff for one in layers.stack(config.id)[1:]]
    except Failure:  # not made yet, or gone
        below = []
    data = {
        "ID": config.id,
        "LowerDir": ":".join(below),
        "MergedDir": layer.merged,
        "UpperDir": layer.diff,
        "WorkDir": layer.work,
    }
    return {"Data": data, "Name": "overlay2"}


def mounts(config: Config) -> list[Json]:
    """Its volumes, bound directories and tmpfs."""
    from mydocker.engine.volumes.points import points_of
    from mydocker.overlay2.options import volumes_from

    points = {point.destination: point for point in points_of(config.options)}

    try:
        volumes = volumes_from(config.options)
    except Failure:
        return []
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
        for volume in volumes
    ]


def _config(config: Config) -> Json:
    image = config.image_config
    entrypoint = _option(config, "entrypoint")
    own = [entrypoint] if entrypoint else None
    shown: Json = {
        "Hostname": _option(config, "hostname") or config.short_id,
        "Domainname": _option(config, "domainname", ""),
        "User": _option(config, "user") or image.get("User", ""),
        "AttachStdin": config.attached and config.input,
        "AttachStdout": config.attached,
        "AttachStderr": config.attached,
        "Tty": config.terminal,
        "OpenStdin": config.input,
        "StdinOnce": config.attached and config.input,
        "Env": [
            f"{name}={value}"
            for name, value in config.environment.items()
            if name not in ("HOSTNAME", "TERM")
        ],
        "Cmd": list(config.command) or (None if entrypoint else image.get("Cmd")),
        "Image": config.image,
        "Volumes": image.get("Volumes"),
        "WorkingDir": _option(config, "workdir") or image.get("WorkingDir", ""),
        "Entrypoint": image.get("Entrypoint") if entrypoint is None else own,
        "OnBuild": image.get("OnBuild"),
        "Labels": config.labels,
    }
    if ports := exposed_ports(config):
        shown["ExposedPorts"] = {port: {} for port in ports}
    if config.stop_signal != 15:
        import signal

        shown["StopSignal"] = signal.Signals(config.stop_signal).name
    if _option(config, "stop_timeout") is not None:
        shown["StopTimeout"] = config.stop_timeout
    return shown


def _network_settings(store: Store, config: Config, state: State) -> Json:
    attached = Networks(store.root, store.run).attached(config.id) if state.up else []
    first = next((_endpoint(network, one) for network, one in attached if network.default), {})
    ports: Json = dict.fromkeys(exposed_ports(config)) if state.up else {}
    for _, endpoint in attached:
        for port in endpoint.ports:
            key = f"{port.container}/{port.protocol}"
            ports[key] = [*(ports.get(key) or ()), _binding(port)]
    names = ("EndpointID", "Gateway", "GlobalIPv6Address", "GlobalIPv6PrefixLen", "IPAddress",
             "IPPrefixLen", "IPv6Gateway", "MacAddress")  # fmt: skip
    return {
        "Bridge": "",
        "SandboxID": config.id if state.up else "",
        "SandboxKey": f"/proc/{state.process.pid}/ns/net" if state.up else "",
        "Ports": ports,
        **{name: first.get(name, 0 if "PrefixLen" in name else "") for name in names},
        "Networks": _networks(config, attached),
    }


def _networks(config: Config, attached: list[tuple[Network, Endpoint]]) -> Json:
    if attached:
        return {network.name: _endpoint(network, endpoint) for network, endpoint in attached}
    asked = _option(config, "networks", ()) or ("bridge",)
    return {} if asked[0].startswith("container:") else {name: _nowhere() for name in asked}


def _binding(port: Published) -> Json:
    return {"HostIp": port.ip or "0.0.0.0", "HostPort": str(port.host)}


def _endpoint(network: Network, endpoint: Endpoint) -> Json:
    from mydocker.network.networks import endpoint_id

    prefixes = [subnet.prefix for subnet, _ in network.subnets]
    return {
        **_nowhere(),
        "MacAddress": endpoint.mac,
        "NetworkID": network.id,
        "EndpointID": endpoint_id(endpoint),
        "Gateway": "" if network.internal else network.gateway,
        "IPAddress": endpoint.address,
        "IPPrefixLen": prefixes[0],
        "IPv6Gateway": network.gateway6 if endpoint.address6 else "",
        "GlobalIPv6Address": endpoint.address6,
        "GlobalIPv6PrefixLen": prefixes[1] if endpoint.address6 else 0,
        "Aliases": list(endpoint.aliases) or None,
    }


def _nowhere() -> Json:
    return {
        "IPAMConfig": None,
        "Links": None,
        "Aliases": None,
        "MacAddress": "",
        "NetworkID": "",
        "EndpointID": "",
        "Gateway": "",
        "IPAddress": "",
        "IPPrefixLen": 0,
        "IPv6Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "DriverOpts": None,
    }


def inspect_any(store: Store, word: str, kind: str = "", *, size: bool = False) -> Json:
    """A container, image or network called ``word``, sought in this order.

    ``kind`` is one of these words if it must be one. Raises Refused.
    """
    from mydocker.engine.errors import NoSuchContainer

    if kind not in ("", "container", "image", "network"):
        raise Refused(f"'{kind}' is not a valid value for --type", "container, image or network")

    if kind in ("", "container"):
        try:
            return inspect(store, word, size=size)
        except NoSuchContainer:
            if kind:
                raise
    if kind in ("", "image"):
        found = _image(store, word)
        if found is not None:
            return found
    if kind in ("", "network"):
        from mydocker.network import networks

        names = Networks(store.root, store.run)
        try:
            return networks.inspect(names, names.find(word))
        except Failure:
            pass
    raise Refused(f"No such {kind or 'object'}: {word}")


def _image(store: Store, word: str) -> Json | None:
    from mydocker.overlay2.images import ImageStore

    images = ImageStore(store.root)
    try:
        image = images.find(word)
    except Failure:
        return None
    if image is None:
        return None
    return {
        "Id": image.id,
        "RepoTags": list(image.names),
        "Created": image.created,
        "Architecture": image.document.get("architecture", ""),
        "Os": image.document.get("os", "linux"),
        "Size": images.size(image),
        "Config": image.config.to_json(),
        "RootFS": {"Type": "layers", "Layers": list(image.diff_ids)},
    }
