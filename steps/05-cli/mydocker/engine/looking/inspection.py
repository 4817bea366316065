"""``inspect``: all that is known of a container, in the shape of Docker's JSON."""

import os
from collections.abc import Iterable

from mydocker.engine.errors import NoSuchContainer
from mydocker.engine.looking.views import exposed_ports, mounts
from mydocker.engine.records.config import Config, Json
from mydocker.engine.records.health import Health, health_of
from mydocker.engine.records.state import DEAD, PAUSED, RESTARTING, State
from mydocker.engine.records.store import Store
from mydocker.engine.truth import look
from mydocker.kernel.errors import Failure, Invalid, NotFound
from mydocker.network.attachment import BRIDGE
from mydocker.network.store import Endpoint, Network, Published
from mydocker.network.store import Store as Networks
from mydocker.overlay2.layers import LayerStore
from mydocker.overlay2.plan import MASKED, READ_ONLY


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
    """What was asked of the machine; Docker's names, units and order."""
    asked, network, security = config.namespaces, config.network, config.security
    written, limits = config.written, config.limits
    memory = limits.memory or 0
    open_paths = security.privileged
    return {
        "Binds": list(written.binds) or None,
        "ContainerIDFile": written.cidfile,
        "LogConfig": {"Type": config.log_driver, "Config": _log_options(config)},
        "NetworkMode": network.network_mode,
        "PortBindings": _bindings(config),
        "RestartPolicy": {
            "Name": config.restart.policy,
            "MaximumRetryCount": config.restart.retries,
        },
        "AutoRemove": config.auto_remove,
        "VolumeDriver": "",
        "VolumesFrom": list(written.volumes_from) or None,
        "CapAdd": _capabilities(security.cap_add),
        "CapDrop": _capabilities(security.cap_drop),
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
        "SecurityOpt": list(written.security_opt) or None,
        **({"StorageOpt": _pairs(written.storage_opt)} if written.storage_opt else {}),
        **({"Tmpfs": dict(written.tmpfs)} if written.tmpfs else {}),
        "UTSMode": asked.uts,
        "UsernsMode": "private" if "user" in asked.new else "",
        "ShmSize": shm_size(config),
        **({"Sysctls": dict(security.sysctls)} if security.sysctls else {}),
        "Runtime": "mydocker",
        "ConsoleSize": [0, 0],
        "Isolation": "",
        "CpuShares": limits.cpu_shares or 0,
        "Memory": memory,
        "NanoCpus": round((limits.cpus or 0) * 10**9),  # 2.01 * 10**9 is a bit less
        "CgroupParent": config.cgroup_parent,
        "BlkioWeight": limits.blkio_weight or 0,
        "BlkioWeightDevice": [],
        "BlkioDeviceReadBps": _rates(limits.read_bps),
        "BlkioDeviceWriteBps": _rates(limits.write_bps),
        "BlkioDeviceReadIOps": _rates(limits.read_iops),
        "BlkioDeviceWriteIOps": _rates(limits.write_iops),
        "CpuPeriod": limits.cpu_period or 0,
        "CpuQuota": limits.cpu_quota or 0,
        "CpuRealtimePeriod": 0,
        "CpuRealtimeRuntime": 0,
        "CpusetCpus": limits.cpuset_cpus or "",
        "CpusetMems": limits.cpuset_mems or "",
        "Devices": [
            {
                "PathOnHost": one.source,
                "PathInContainer": one.target,
                "CgroupPermissions": one.access,
            }
            for one in security.devices
        ],
        "DeviceCgroupRules": list(limits.devices or ()) or None,
        "DeviceRequests": None,
        "KernelMemory": 0,
        "KernelMemoryTCP": 0,
        "MemoryReservation": limits.memory_reservation or 0,
        "MemorySwap": limits.memory_swap or memory * 2,
        "MemorySwappiness": None,
        "OomKillDisable": limits.oom_kill_disable,
        "PidsLimit": limits.pids,
        "Ulimits": [
            {"Name": one.name, "Hard": one.hard, "Soft": one.soft} for one in security.ulimits
        ],
        "CpuCount": 0,
        "CpuPercent": 0,
        "IOMaximumIOps": 0,
        "IOMaximumBandwidth": 0,
        "MaskedPaths": None if open_paths else list(MASKED),
        "ReadonlyPaths": None if open_paths else list(READ_ONLY),
        **({"Init": True} if config.process.init else {}),
    }


def _log_options(config: Config) -> Json:
    """As they were written; what is applied though nobody asked is not shown."""
    if config.written.log_opts:
        return dict(config.written.log_opts)
    if config.log_size == 0:
        return {"max-size": "-1"}
    if config.log_size > 0:  # a container of an earlier version, which did not write it down
        return {"max-file": str(config.log_files), "max-size": str(config.log_size)}
    return {}


def _capabilities(names: Iterable[str]) -> list[str] | None:
    """With the kernel's prefix, as Docker has them in whichever way they were written."""
    short = [name.upper().removeprefix("CAP_") for name in names]
    return [name if name == "ALL" else f"CAP_{name}" for name in short] or None


def _pairs(texts: Iterable[str]) -> dict[str, str]:
    return {text.partition("=")[0]: text.partition("=")[2] for text in texts}


def shm_size(config: Config) -> int:
    """Bytes of its /dev/shm."""
    return config.security.shm_size or 64 << 20


def _rates(asked: Iterable[tuple[str, int]]) -> list[Json]:
    return [{"Path": _disk(device), "Rate": rate} for device, rate in asked]


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
        "LowerDir": ":".join(below),
        "MergedDir": layer.merged,
        "UpperDir": layer.diff,
        "WorkDir": layer.work,
    }
    return {"Data": data, "Name": "overlay2"}


def _config(config: Config) -> Json:
    settings, process, written = config.settings, config.process, config.written
    ports = {*exposed_ports(config), *_bindings(config)}
    timeout = written.stop_timeout
    return {
        "Hostname": config.hostname,
        "Domainname": config.namespaces.domainname,
        "User": settings.user,
        "AttachStdin": config.attached and process.input,
        "AttachStdout": config.attached,
        "AttachStderr": config.attached,
        **({"ExposedPorts": {port: {} for port in sorted(ports)}} if ports else {}),
        "Tty": process.terminal,
        "OpenStdin": process.input,
        "StdinOnce": config.attached and process.input,
        "Env": list(settings.env) or None,
        "Cmd": list(settings.cmd) or None,
        **({"Healthcheck": settings.healthcheck.to_json()} if settings.healthcheck else {}),
        "Image": config.image,
        "Volumes": {path: {} for path in settings.volumes} or None,
        "WorkingDir": settings.working_dir,
        "Entrypoint": list(settings.entrypoint) or None,
        "OnBuild": list(settings.on_build) or None,
        "Labels": config.labels,
        **({"StopSignal": settings.stop_signal} if settings.stop_signal else {}),
        **({"StopTimeout": config.stop_timeout} if timeout is not None else {}),
    }


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
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "Ports": ports,
        "SandboxKey": f"/proc/{state.process.pid}/ns/net" if state.up else "",
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        **{name: first.get(name, 0 if "PrefixLen" in name else "") for name in names},
        "Networks": _networks(config, attached),
    }


def _networks(config: Config, attached: list[tuple[Network, Endpoint]]) -> Json:
    found = {network.name: _endpoint(network, endpoint) for network, endpoint in attached} or {
        name: _nowhere() for name in config.network.networks
    }
    for wants in config.network.attachments:
        told = found.get(wants.network)
        if told is not None and wants.network != BRIDGE:
            fixed = {"IPv4Address": wants.address, "IPv6Address": wants.address6}
            told["IPAMConfig"] = {key: ip for key, ip in fixed.items() if ip} or None
            told["Aliases"] = _aliases(config, told["Aliases"] or list(wants.aliases))
    return found


def _aliases(config: Config, names: list[str]) -> list[str]:
    """As Docker has them: those that were asked for, the id, and the host name."""
    own = config.namespaces.hostname
    asked = [name for name in names if name != own]
    return [*asked, config.short_id, *([own] if own in names else [])]


def _binding(port: Published) -> Json:
    return {"HostIp": port.ip or "0.0.0.0", "HostPort": str(port.host)}


def _endpoint(network: Network, endpoint: Endpoint) -> Json:
    from mydocker.network.networks import endpoint_id

    prefixes = [*(subnet.prefix for subnet, _ in network.subnets), 0, 0]  # 0: it is damaged
    return {
        **_nowhere(),
        "NetworkID": network.id,
        "EndpointID": endpoint_id(endpoint),
        "Gateway": "" if network.internal else network.gateway,
        "IPAddress": endpoint.address,
        "IPPrefixLen": prefixes[0],
        "IPv6Gateway": network.gateway6 if endpoint.address6 else "",
        "GlobalIPv6Address": endpoint.address6,
        "GlobalIPv6PrefixLen": prefixes[1] if endpoint.address6 else 0,
        "MacAddress": endpoint.mac,
        "Aliases": list(endpoint.aliases) or None,
    }


def _nowhere() -> Json:
    return {
        "IPAMConfig": None,
        "Links": None,
        "Aliases": None,
        "NetworkID": "",
        "EndpointID": "",
        "Gateway": "",
        "IPAddress": "",
        "IPPrefixLen": 0,
        "IPv6Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "MacAddress": "",
        "DriverOpts": None,
    }


KINDS = ("container", "image", "network", "volume")


def inspect_any(store: Store, word: str, kind: str = "", *, size: bool = False) -> tuple[str, Json]:
    """What is called ``word``, a container, image, network or volume, sought in this order; and
    which of these it is. ``kind``: it must be one of that. Raises Invalid, or NotFound."""
    if kind not in ("", *KINDS):
        raise Invalid(f"'{kind}' is not a valid value for --type", ", ".join(KINDS))
    for one in (kind,) if kind else KINDS:
        found = _FINDERS[one](store, word, size)
        if found is not None:
            return one, found
    raise NotFound(f"No such {kind or 'object'}: {word}")


def _container(store: Store, word: str, size: bool) -> Json | None:
    try:
        return inspect(store, word, size=size)
    except NoSuchContainer:
        return None


def _image(store: Store, word: str, size: bool) -> Json | None:
    from mydocker.overlay2.image_view import described
    from mydocker.overlay2.images import ImageStore

    images = ImageStore(store.root)
    try:
        image = images.find(word)
    except Failure:
        return None
    return described(images, image) if image else None


def _network(store: Store, word: str, size: bool) -> Json | None:
    from mydocker.network import networks

    names = Networks(store.root, store.run)
    if word in networks.BUILT_IN and not names.named(word):
        return networks.built_in(word)
    try:
        return networks.inspect(names, names.find(word))
    except Failure:
        return None


def _volume(store: Store, word: str, size: bool) -> Json | None:
    from mydocker.engine.volumes.store import VolumeStore

    volumes = VolumeStore(store.root)
    return volumes.inspect(word) if word in volumes.names() else None


_FINDERS = {"container": _container, "image": _image, "network": _network, "volume": _volume}
