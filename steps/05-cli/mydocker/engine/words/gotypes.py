"""The types that Docker's client fills templates with: its fields, their order, their kinds.

What ``inspect`` shows is JSON, and in JSON a struct and a map look alike. Here stand the fields of
Docker's structs (github.com/moby/moby, api/types), one line for each: ``NAME FIELD:KIND …``. Kinds:
``s`` text, ``i`` number, ``b`` true or false, ``t`` duration, ``T`` time, ``x`` anything; ``[]K`` a
list, ``{}K`` a map, ``*K`` a pointer, a name: that struct. ``Go=Json:KIND`` where the two names
differ; a ``?`` at the end where JSON leaves it out when it is empty; what stands in ``( )`` is a
struct of its own in Go, whose fields count as this one's.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from mydocker.engine.words.govalues import (
    MISSING,
    NO_LIST,
    NO_MAP,
    NO_POINTER,
    Duration,
    Form,
    Map,
    Struct,
)

_TYPES = """
Container ID=Id:s Created:s Path:s Args:[]s State:*State Image:s ResolvConfPath:s HostnamePath:s
  HostsPath:s LogPath:s Name:s RestartCount:i Driver:s Platform:s MountLabel:s ProcessLabel:s
  AppArmorProfile:s ExecIDs:[]s HostConfig:*HostConfig GraphDriver:GraphDriver SizeRw:*i?
  SizeRootFs:*i? Mounts:[]MountPoint Config:*Config NetworkSettings:*NetworkSettings
State Status:s Running:b Paused:b Restarting:b OOMKilled:b Dead:b Pid:i ExitCode:i Error:s
  StartedAt:s FinishedAt:s Health:*Health?
Health Status:s FailingStreak:i Log:[]*HealthResult
HealthResult Start:T End:T ExitCode:i Output:s
HostConfig Binds:[]s ContainerIDFile:s LogConfig:LogConfig NetworkMode:s
  PortBindings:{nat.Port}[]Port RestartPolicy:RestartPolicy AutoRemove:b VolumeDriver:s
  VolumesFrom:[]s ConsoleSize:[]i Annotations:{}s? CapAdd:[]s CapDrop:[]s CgroupnsMode:s DNS=Dns:[]s
  DNSOptions=DnsOptions:[]s DNSSearch=DnsSearch:[]s ExtraHosts:[]s GroupAdd:[]s IpcMode:s Cgroup:s
  Links:[]s OomScoreAdj:i PidMode:s Privileged:b PublishAllPorts:b ReadonlyRootfs:b SecurityOpt:[]s
  StorageOpt:{}s? Tmpfs:{}s? UTSMode:s UsernsMode:s ShmSize:i Sysctls:{}s? Runtime:s? Isolation:s
  ( CPUShares=CpuShares:i Memory:i NanoCPUs=NanoCpus:i CgroupParent:s BlkioWeight:i
  BlkioWeightDevice:[]x BlkioDeviceReadBps:[]Rate BlkioDeviceWriteBps:[]Rate
  BlkioDeviceReadIOps:[]Rate BlkioDeviceWriteIOps:[]Rate CPUPeriod=CpuPeriod:i CPUQuota=CpuQuota:i
  CPURealtimePeriod=CpuRealtimePeriod:i CPURealtimeRuntime=CpuRealtimeRuntime:i CpusetCpus:s
  CpusetMems:s Devices:[]Device DeviceCgroupRules:[]s DeviceRequests:[]x KernelMemory:i?
  KernelMemoryTCP:i? MemoryReservation:i MemorySwap:i MemorySwappiness:*i OomKillDisable:*b
  PidsLimit:*i Ulimits:[]*Ulimit CPUCount=CpuCount:i CPUPercent=CpuPercent:i IOMaximumIOps:i
  IOMaximumBandwidth:i ) Mounts:[]x? MaskedPaths:[]s ReadonlyPaths:[]s Init:*b?
LogConfig Type:s Config:{}s
RestartPolicy Name:s MaximumRetryCount:i
Port HostIP=HostIp:s HostPort:s
Rate Path:s Rate:i
Device PathOnHost:s PathInContainer:s CgroupPermissions:s
Ulimit Name:s Hard:i Soft:i
GraphDriver Data:{}s Name:s
MountPoint Type:s? Name:s? Source:s Destination:s Driver:s? Mode:s RW:b Propagation:s
Config Hostname:s Domainname:s User:s AttachStdin:b AttachStdout:b AttachStderr:b
  ExposedPorts:{nat.Port}Empty? Tty:b OpenStdin:b StdinOnce:b Env:[]s Cmd:[]s
  Healthcheck:*Healthcheck? ArgsEscaped:b? Image:s Volumes:{}Empty WorkingDir:s Entrypoint:[]s
  NetworkDisabled:b? MacAddress:s? OnBuild:[]s Labels:{}s StopSignal:s? StopTimeout:*i? Shell:[]s?
Healthcheck Test:[]s? Interval:t? Timeout:t? StartPeriod:t? StartInterval:t? Retries:i?
Empty
NetworkSettings ( Bridge:s SandboxID:s SandboxKey:s Ports:{nat.Port}[]Port HairpinMode:b
  LinkLocalIPv6Address:s LinkLocalIPv6PrefixLen:i SecondaryIPAddresses:[]x
  SecondaryIPv6Addresses:[]x ) ( EndpointID:s Gateway:s GlobalIPv6Address:s GlobalIPv6PrefixLen:i
  IPAddress:s IPPrefixLen:i IPv6Gateway:s MacAddress:s ) Networks:{}*Endpoint
Endpoint IPAMConfig:*EndpointAddresses Links:[]s Aliases:[]s MacAddress:s DriverOpts:{}s
  GwPriority:i NetworkID:s EndpointID:s Gateway:s IPAddress:s IPPrefixLen:i IPv6Gateway:s
  GlobalIPv6Address:s GlobalIPv6PrefixLen:i DNSNames:[]s
EndpointAddresses IPv4Address:s? IPv6Address:s? LinkLocalIPs:[]s?
Image ID=Id:s RepoTags:[]s RepoDigests:[]s Parent:s Comment:s Created:s? Container:s?
  ContainerConfig:*Config? DockerVersion:s Author:s Config:*ImageConfig Architecture:s Variant:s?
  Os:s OsVersion:s? Size:i VirtualSize:i? GraphDriver:GraphDriver RootFS:RootFS Metadata:Metadata
ImageConfig ( User:s? ExposedPorts:{}Empty? Env:[]s? Entrypoint:[]s? Cmd:[]s? Volumes:{}Empty?
  WorkingDir:s? Labels:{}s? StopSignal:s? ArgsEscaped:b? ) ( Healthcheck:*Healthcheck?
  OnBuild:[]s? Shell:[]s? )
RootFS Type:s? Layers:[]s?
Metadata LastTagTime:T?
Network Name:s ID=Id:s Created:T Scope:s Driver:s EnableIPv4:b EnableIPv6:b IPAM:IPAM Internal:b
  Attachable:b Ingress:b ConfigFrom:ConfigReference ConfigOnly:b Containers:{}Member Options:{}s
  Labels:{}s Peers:[]x? Services:{}x?
IPAM Driver:s Options:{}s Config:[]Subnet
Subnet Subnet:s? IPRange:s? Gateway:s? AuxAddress=AuxiliaryAddresses:{}s?
ConfigReference Network:s
Member Name:s EndpointID:s MacAddress:s IPv4Address:s IPv6Address:s
Volume ClusterVolume:*x? CreatedAt:s? Driver:s Labels:{}s Mountpoint:s Name:s Options:{}s Scope:s
  Status:{}x? UsageData:*x?
"""
_NAMES = {
    "Container": "types.ContainerJSON",
    "Image": "image.InspectResponse",
    "Network": "network.Inspect",
    "Volume": "volume.Volume",
}
_ZERO: dict[str, Any] = {"s": "", "i": 0, "b": False, "t": Duration(0), "x": MISSING, "T": ""}


def _ulimit(one: Mapping[str, Any]) -> str:
    return f"{one['Name']}={one['Soft']}:{one['Hard']}"


@cache
def _declared() -> dict[str, list[tuple[str, str, str]]]:
    """Of each type its fields: name in Go, name in JSON, kind."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    name = ""
    for line in _TYPES.strip().splitlines():
        words = line.split()
        if not line.startswith(" "):
            name, *words = words
            found[name] = []
        for word in words:
            names, _, kind = word.partition(":")
            go, _, json = names.partition("=")
            found[name].append((go, json or go, kind))
    return found


@cache
def _struct(name: str) -> type[Struct]:
    everything = _declared()[name]
    declared = [one for one in everything if one[0] not in ("(", ")")]
    return type(
        name,
        (Struct,),
        {
            "name": _NAMES.get(name, f"container.{name}"),
            "fields": {json: _nothing(kind.rstrip("?")) for _, json, kind in declared},
            "layout": tuple(json for _, json, _ in everything),
            "left_out": frozenset(json for _, json, kind in declared if kind.endswith("?")),
            "aliases": {go: json for go, json, _ in declared if go != json},
            "form": staticmethod(_ulimit) if name == "Ulimit" else None,
        },
    )


def _nothing(kind: str) -> Any:
    if kind.startswith("[]"):
        return NO_LIST
    if kind.startswith("{"):
        return NO_MAP
    if kind.startswith("*"):
        return NO_POINTER
    return _ZERO[kind] if kind in _ZERO else _struct(kind)()


def typed(value: Any, kind: str) -> Any:
    """A value of JSON as one of ``kind``, with its types all the way down."""
    if value is None:
        return _nothing(kind) if kind[0] in "[{*" else None
    if kind.startswith("[]"):
        return [typed(one, kind[2:]) for one in value]
    if kind.startswith("{"):
        key, _, of = kind[1:].partition("}")
        made = _map_of(key or "string", of)()
        made.update({name: typed(one, of) for name, one in value.items()})
        return made
    kind = kind.removeprefix("*")
    if kind == "t":
        return Duration(value)
    if kind == "T":
        return Form(value, time_text(value))
    if kind in _ZERO:
        return value
    fields = {json: of.rstrip("?") for _, json, of in _declared()[kind]}
    return _struct(kind)(
        {name: typed(one, fields[name]) if name in fields else one for name, one in value.items()}
    )


@cache
def _map_of(key: str, kind: str) -> type[Map]:
    zero = _nothing(kind) if kind != "x" else MISSING
    return type("Map", (Map,), {"key": key, "zero": zero})


def time_text(written: str) -> str:
    """A time as Go prints it: ``2026-01-02 03:04:05.6 +0000 UTC`` of ``2026-01-02T03:04:05.6Z``."""
    day, _, rest = written.partition("T")
    if rest.endswith("Z"):
        return f"{day} {rest[:-1]} +0000 UTC"
    clock, sign, zone = rest[:-6], rest[-6:-5], rest[-5:].replace(":", "")
    return f"{day} {clock} {sign}{zone} {sign}{zone}" if sign in ("+", "-") else written
