"""``inspect``: all that is known of a container, in the shape of Docker's JSON."""

import os
from collections.abc import Iterable

from mydocker.engine.looking.views import exposed_ports, mounts
from mydocker.engine.records.config import Config, Json
from mydocker.engine.records.health import Health, health_of
from mydocker.engine.records.state import DEAD, PAUSED, RESTARTING, State
from mydocker.engine.records.store import Store
from mydocker.engine.truth import look
from mydocker.kernel.errors import Failure, Invalid, NotFound
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
        "Path": config.process.arguments[0],
        "Args": list(config.process.arguments[1:]),
        "State": _state(store, config, state),
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
        from mydocker.engine.looking.sizes import sizes

        own, whole = sizes(store, config)
        shown["SizeRw"], shown["SizeRootFs"] = own, whole
    return shown


def _file(store: Store, config: Config, name: str) -> str:
    return f"{store.directory(config.id)}/{name}"


def _state(store: Store, config: Config, state: State) -> Json:
    health = health_of(store, config, state)
    shown = {
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
    return {**shown, "Health": _health(health)} if health else shown


def _health(health: Health) -> Json:
    return {
        "Status": health.status,
        "FailingStreak": health.failing_streak,
        "Log": [
            {"Start": one.start, "End": one.end, "ExitCode": one.exit_code, "Output": one.output}
            for one in health.log
        ],
    }


def _host_config(config: Config) -> Json:
    """What was asked of the machine; Docker's names and units."""
    asked, network, security = config.namespaces, config.network, config.security
    log = {}
    if config.log_size == 0:
        log = {"max-size": "-1"}
    elif config.log_size > 0:  # what is applied though nobody asked is not shown
        log = {"max-file": str(config.log_files), "max-size": str(config.log_size)}
    written = config.written
    return {
        "Binds": list(written.binds) or None,
        "ContainerIDFile": written.cidfile,
        "LogConfig": {"Type": config.log_driver, "Config": log},
        "NetworkMode": network.network_mode,
        "PortBindings": _bindings(config),
        "RestartPolicy": {
            "Name": config.restart.policy,
            "MaximumRetryCount": config.restart.retries,
        },
        "AutoRemove": config.auto_remove,
        "VolumeDriver": "",
        "VolumesFrom": list(written.volumes_from) or None,
        "CapAdd": list(security.cap_add) or None,
        "CapDrop": list(security.cap_drop) or None,
        "CgroupnsMode": "private",
        "Dns": list(network.dns),
        "DnsOptions": list(network.dns_options),
        "DnsSearch": list(network.dns_search),
        "ExtraHosts": list(network.extra_hosts) or None,
        "GroupAdd": list(config.rootfs.groups) or None,
        "IpcMode": asked.ipc or "private",
        "Cgroup": "",
        "Links": None,
        "OomScoreAdj": security.oom_score_adj or 0,
        "PidMode": asked.pid,
        "Privileged": security.privileged,
        "PublishAllPorts": network.publish_all,
        "ReadonlyRootfs": config.rootfs.read_only,
        **({"StorageOpt": _pairs(written.storage_opt)} if written.storage_opt else {}),
        "SecurityOpt": list(written.security_opt) or None,
        "UTSMode": asked.uts,
        "UsernsMode": "private" if "user" in asked.new else "",
        "ShmSize": shm_size(config),
        "Runtime": "mydocker",
        "Isolation": "",
        "Init": config.process.init or None,
        "Tmpfs": dict(written.tmpfs) or None,
        "Ulimits": [
            {"Name": one.name, "Hard": one.hard, "Soft": one.soft} for one in security.ulimits
        ]
        or None,
        "Sysctls": security.sysctls or None,
        "Devices": [
            {
                "PathOnHost": one.source,
                "PathInContainer": one.target,
                "CgroupPermissions": one.access,
            }
            for one in security.devices
        ],
        "DeviceCgroupRules": list(config.limits.devices or ()) or None,
        **_limits(config),
    }


def _pairs(texts: Iterable[str]) -> dict[str, str]:
    return {text.partition("=")[0]: text.partition("=")[2] for text in texts}


def shm_size(config: Config) -> int:
    """Bytes of its /dev/shm."""
    return config.security.shm_size or 64 << 20


def _limits(config: Config) -> Json:
    asked = config.limits
    memory = asked.memory or 0
    return {
        "CgroupParent": config.cgroup_parent,
        "CpuShares": asked.cpu_shares or 0,
        "Memory": memory,
        "NanoCpus": round((asked.cpus or 0) * 10**9),  # 2.01 * 10**9 is a bit less than 2010000000
        "BlkioWeight": asked.blkio_weight or 0,
        "BlkioDeviceReadBps": _rates(asked.read_bps),
        "BlkioDeviceWriteBps": _rates(asked.write_bps),
        "BlkioDeviceReadIOps": _rates(asked.read_iops),
        "BlkioDeviceWriteIOps": _rates(asked.write_iops),
        "CpuPeriod": asked.cpu_period or 0,
        "CpuQuota": asked.cpu_quota or 0,
        "CpusetCpus": asked.cpuset_cpus or "",
        "CpusetMems": asked.cpuset_mems or "",
        "MemoryReservation": asked.memory_reservation or 0,
        "MemorySwap": asked.memory_swap or memory * 2,
        "MemorySwappiness": None,
        "OomKillDisable": asked.oom_kill_disable,
        "PidsLimit": asked.pids,
    }


def _rates(asked: Iterable[tuple[str, int]]) -> list[Json] | None:
    return [{"Path": _disk(device), "Rate": rate} for device, rate in asked] or None


def _disk(number: str) -> str:
    """Where the block device ``8:0`` is: ``/dev/sda``; its number if it is there no more."""
    try:
        return f"/dev/{os.path.basename(os.readlink(f'/sys/dev/block/{number}'))}"
    except OSError:
        return number


def _bindings(config: Config) -> Json:
    found: Json = {}
    for port in config.network.publish:
        hosts = port.hosts
        host = str(hosts[0]) if len(hosts) == 1 else f"{hosts[0]}-{hosts[-1]}" if hosts else ""
        entry = {"HostIp": port.ip, "HostPort": host}
        found.setdefault(f"{port.container}/{port.protocol}", []).append(entry)
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


def _config(config: Config) -> Json:
    settings, process = config.settings, config.process
    shown: Json = {
        "Hostname": config.hostname,
        "Domainname": config.namespaces.domainname,
        "User": settings.user,
        "AttachStdin": config.attached and process.input,
        "AttachStdout": config.attached,
        "AttachStderr": config.attached,
        "Tty": process.terminal,
        "OpenStdin": process.input,
        "StdinOnce": config.attached and process.input,
        "Env": [
            f"{name}={value}"
            for name, value in process.environment.items()
            if name not in ("HOSTNAME", "TERM")
        ],
        "Cmd": list(settings.cmd) or None,
        **({"Healthcheck": settings.healthcheck.to_json()} if settings.healthcheck else {}),
        "Image": config.image,
        "Volumes": {path: {} for path in settings.volumes} or None,
        "WorkingDir": settings.working_dir,
        "Entrypoint": list(settings.entrypoint) or None,
        "OnBuild": list(settings.on_build) or None,
        "Labels": config.labels,
    }
    if ports := exposed_ports(config):
        shown["ExposedPorts"] = {port: {} for port in ports}
    if config.stop_signal != 15:
        import signal

        shown["StopSignal"] = signal.Signals(config.stop_signal).name
    if config.written.stop_timeout is not None:
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
    return {name: _nowhere() for name in config.network.networks}


def _binding(port: Published) -> Json:
    return {"HostIp": port.ip or "0.0.0.0", "HostPort": str(port.host)}


def _endpoint(network: Network, endpoint: Endpoint) -> Json:
    from mydocker.network.networks import endpoint_id

    prefixes = [*(subnet.prefix for subnet, _ in network.subnets), 0, 0]  # 0: it is damaged
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

    ``kind`` is one of these words if it must be one. Raises Invalid, or NotFound.
    """
    from mydocker.engine.errors import NoSuchContainer

    if kind not in ("", "container", "image", "network"):
        raise Invalid(f"'{kind}' is not a valid value for --type", "container, image or network")

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
    raise NotFound(f"No such {kind or 'object'}: {word}")


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
