"""A container that was written down in the first form of ``config.json``, which had no version.

It held the options of the command line, by the names that click gave them, as texts and numbers.
Here they become the records of today. This is about files that are there; it never changes.
"""

from typing import Any

from mydocker.cgroups.limits import Limits
from mydocker.container.process import Process
from mydocker.engine.records.config import Config, Point, Restart, Written
from mydocker.kernel.records import fields
from mydocker.namespaces.specification import ALL, WITHOUT_USERS, Namespaces
from mydocker.namespaces.users import default_mapping, parse
from mydocker.network.attachment import BRIDGE, Attachment
from mydocker.network.specification import Networking
from mydocker.overlay2 import volumes
from mydocker.overlay2.image import ImageConfig
from mydocker.overlay2.specification import Rootfs

Json = dict[str, Any]


def config(told: Json) -> Config:
    """The container. Raises TypeError, ValueError, KeyError or Failure for what is none."""
    options = told["options"]
    network = _network(told, options)
    driver, size, files = (told[f"log_{name}"] for name in ("driver", "size", "files"))
    return Config(
        told["image"],
        told["image_id"],
        tuple(told["diff_ids"]),
        _settings(told, options),
        Process(
            tuple(told["arguments"]),
            told["environment"],
            told["directory"],
            terminal=told["terminal"],
            input=told["input"],
            init=told["init"],
        ),
        _namespaces(options, network),
        _limits(options),
        options.get("cgroup_parent") or "",
        _rootfs(told, options),
        network,
        _security(options),
        tuple(Point(*one) for one in options.get("points") or ()),
        auto_remove=told["auto_remove"],
        attached=told["attached"],
        restart=Restart(**told["restart"]),
        stop_signal=told["stop_signal"],
        stop_timeout=told["stop_timeout"],
        log_driver=driver,
        log_size=size,
        log_files=files,
        written=_written(options),
        id=told["id"],
        name=told["name"],
        created=told["created"],
    )


def _settings(told: Json, options: Json) -> ImageConfig:
    image = ImageConfig.from_json(told["image_config"])
    entrypoint = options.get("entrypoint")
    own = image.entrypoint if entrypoint is None else ((entrypoint,) if entrypoint else ())
    command = told["command"] or (image.cmd if entrypoint is None else ())
    said = [text.partition("=")[0] for text in options.get("env") or ()]
    of_image = {text.partition("=")[0]: text for text in image.env}
    everybody = ("HOSTNAME", "HOME", "TERM", "PATH")
    given = {
        key: f"{key}={value}"
        for key, value in told["environment"].items()
        if key in said or (key not in of_image and key not in everybody)
    }
    rest = (text for key, text in of_image.items() if key not in given)
    return ImageConfig(
        (*given.values(), *rest),
        tuple(command),
        own,
        options.get("workdir") or image.working_dir,
        options.get("user") or image.user,
        tuple(told["labels"].items()),
        image.exposed_ports,
        image.volumes,
        options.get("stop_signal") or image.stop_signal,
        image.on_build,
    )


def _namespaces(options: Json, network: Networking) -> Namespaces:
    maps = [tuple(map(parse, options.get(f"{kind}_map") or ())) for kind in ("uid", "gid")]
    private = options.get("userns") == "private" or any(maps)
    modes = {kind: options.get(f"{kind}_mode") or "" for kind in ("pid", "ipc", "uts")}
    modes = {kind: "" if mode == "private" else mode for kind, mode in modes.items()}
    shared = {kind for kind, mode in modes.items() if mode} | ({"net"} if network.shares else set())
    whole = (default_mapping(0),)
    return Namespaces(
        tuple(kind for kind in (ALL if private else WITHOUT_USERS) if kind not in shared),
        options.get("hostname") or "",
        options.get("domainname") or "",
        (maps[0] or whole) if private else (),
        (maps[1] or whole) if private else (),
        False,
        options.get("boottime") or 0,
        options.get("monotonic") or 0,
        **modes,
    )


def _limits(options: Json) -> Limits:
    told = {name: options[name] for name in fields(Limits) if name in options}
    for name in ("read_bps", "write_bps", "read_iops", "write_iops"):
        told[name] = tuple((device, rate) for device, rate in told.get(name) or ())
    if told.get("devices") is not None:
        told["devices"] = tuple(told["devices"])
    return Limits(**told)


def _rootfs(told: Json, options: Json) -> Rootfs:
    found = [volumes.parse_volume(text) for text in options.get("volumes") or ()]
    found += [volumes.parse_mount(text) for text in options.get("mounts") or ()]
    found += [volumes.parse_tmpfs(text) for text in options.get("tmpfs") or ()]
    size = 0
    if options.get("storage_opt"):
        from mydocker.overlay2.size_limit import parse as size_of

        size = size_of(tuple(options["storage_opt"]))
    user = options.get("user") or told["image_config"].get("User") or ""
    return Rootfs(
        volumes.ordered(found),
        bool(options.get("read_only")),
        size,
        told["directory"],
        user,
        tuple(options.get("group_add") or ()),
    )


def _network(told: Json, options: Json) -> Networking:
    from mydocker.network.ports import parse as ports
    from mydocker.network.ports import parse_exposed

    asked = list(dict.fromkeys(options.get("networks") or ()))
    alone = [word for word in asked if word in ("none", "host") or word.startswith("container:")]
    aliases = tuple(options.get("aliases") or ())
    wanted = [options.get(name) or "" for name in ("ip", "ip6", "mac_address")]
    first, *more = asked or ("default",)
    exposed = set(told["image_config"].get("ExposedPorts") or ())
    for text in options.get("expose") or ():
        exposed.update(parse_exposed(text))
    return Networking(
        alone[0] if alone else BRIDGE,
        () if alone else (Attachment(first, aliases, *wanted),
                          *(Attachment(name, aliases) for name in more)),
        tuple(port for text in options.get("publish") or () for port in ports(text)),
        bool(options.get("publish_all")),
        tuple(sorted(exposed)),
        tuple(options.get("dns") or ()),
        tuple(options.get("dns_search") or ()),
        tuple(options.get("dns_option") or ()),
        tuple(options.get("add_host") or ()),
    )  # fmt: skip


def _security(options: Json) -> Any:
    from mydocker.security import devices, forms, sysctls, ulimits
    from mydocker.security.specification import Security

    no_new_privileges, seccomp = forms.security_opts(options.get("security_opt") or ())
    return Security(
        bool(options.get("privileged")),
        tuple(options.get("cap_add") or ()),
        tuple(options.get("cap_drop") or ()),
        no_new_privileges,
        seccomp,
        tuple(map(ulimits.parse, options.get("ulimits") or ())),
        sysctls.parse(options.get("sysctls") or ()) or None,
        tuple(map(devices.parse, options.get("devices_given") or ())),
        forms.shm_size(options.get("shm_size")),
        options.get("oom_score_adj"),
    )


def _written(options: Json) -> Written:
    return Written(
        tuple(options.get("volumes") or ()),
        {text.partition(":")[0]: text.partition(":")[2] for text in options.get("tmpfs") or ()},
        tuple(options.get("volumes_from") or ()),
        tuple(options.get("security_opt") or ()),
        tuple(options.get("storage_opt") or ()),
        options.get("cidfile") or "",
        options.get("stop_timeout"),
    )
