"""From JSON to the records of the specification: every field is of its type, or there is one line.

The records say themselves what belongs where (``specification``); here is how they are filled. As
Go reads JSON, and so runc: ``null`` is nothing, an unknown field is none of our business, and a
value of another type is an error that names its place: ``process.args[0]``.
"""

from types import GenericAlias, UnionType
from typing import Any, TypeVar

from mydocker.kernel.errors import Failure
from mydocker.kernel.records import record
from mydocker.runtime.specification import Namespace, Process, Spec

T = TypeVar("T")

# Names that do not become Python's by rule
_NAMES = {
    "exec_cpu_affinity": "execCPUAffinity",
    "container_id": "containerID",
    "host_id": "hostID",
    "class_id": "classID",
    "clos_id": "closID",
    "kernel_tcp": "kernelTCP",
    "disable_oom_killer": "disableOOMKiller",
    "block_io": "blockIO",
    "throttle_read_iops_device": "throttleReadIOPSDevice",
    "throttle_write_iops_device": "throttleWriteIOPSDevice",
    "class_": "class",
}
_WORDS: dict[object, str] = {
    str: "string",
    int: "number",
    bool: "bool",
    dict: "object",
    tuple: "array",
}
_SMALLEST, _LARGEST = -(1 << 63), (1 << 64) - 1


def name_of(field: str) -> str:
    """What JSON calls a field: ``no_new_privileges`` is ``noNewPrivileges``."""
    if field in _NAMES:
        return _NAMES[field]
    first, *rest = field.split("_")
    return first + "".join(word.capitalize() for word in rest)


def decoded(kind: type[T], told: Any, place: str) -> T:
    """The record that the JSON object ``told`` is; ``place`` is where it stands. Raises Failure."""
    if not isinstance(told, dict):
        raise _mistyped(told, "object", place)
    described: Any = kind
    values: dict[str, Any] = {}
    for field, expected in described._types.items():
        name = name_of(field)
        value = told.get(name)
        if value is not None:
            values[field] = _typed(expected, value, f"{place}.{name}" if place else name)
        elif field not in described._defaults and field not in described._makers:
            raise Failure(f"{place}.{name} must be specified" if place else f"no {name}")
    return kind(**values)


def _typed(expected: Any, value: Any, place: str) -> Any:
    if hasattr(expected, "_types"):
        return decoded(expected, value, place)
    if isinstance(expected, UnionType):  # X | None
        return _typed(expected.__args__[0], value, place)
    if isinstance(expected, GenericAlias):
        return _collected(expected, value, place)
    if type(value) is not expected:  # true is not a number
        raise _mistyped(value, _WORDS[expected], place)
    if expected is int and not _SMALLEST <= value <= _LARGEST:
        raise Failure(f"{place}: {value} is out of range")
    if expected is str and "\0" in value:
        raise Failure(f"{place}: has a null byte in it")
    return value


def _collected(expected: GenericAlias, value: Any, place: str) -> Any:
    origin, inner = expected.__origin__, expected.__args__
    if not isinstance(value, dict if origin is dict else list):
        raise _mistyped(value, _WORDS[origin], place)
    if isinstance(value, dict):
        return {key: _typed(inner[1], one, f"{place}.{key}") for key, one in value.items()}
    return tuple(_typed(inner[0], one, f"{place}[{at}]") for at, one in enumerate(value))


def _mistyped(value: Any, wanted: str, place: str) -> Failure:
    told = {str: "string", bool: "bool", int: "number", float: "number"}.get(
        type(value), "object" if isinstance(value, dict) else "array"
    )
    place = place or "config.json"
    return Failure(f"json: cannot unmarshal {told} into {place} of type {wanted}")


# ---------------------------------------------------------------- what has to fit together

KINDS = {
    "pid": "pid",
    "network": "net",
    "mount": "mount",
    "ipc": "ipc",
    "uts": "uts",
    "user": "user",
    "cgroup": "cgroup",
    "time": "time",
}  # the specification's names, and those of ``namespaces.kinds``


@record
class Kinds:
    """The namespaces of a spec by the names of ``namespaces.kinds``: new ones, and joined ones with
    their paths."""

    new: frozenset[str]
    joined: dict[str, str]

    def own(self, kind: str) -> bool:
        """Is there one, of its own or of somebody else, and it is not ours?"""
        return kind in self.new or kind in self.joined


def kinds_of(namespaces: tuple[Namespace, ...]) -> Kinds:
    """Raises Failure for a kind that there is not, or that is there twice."""
    new, joined = set(), {}
    for one in namespaces:
        if one.type not in KINDS:
            raise Failure(f'namespace {{"{one.type}" "{one.path}"}} does not exist')
        kind = KINDS[one.type]
        if kind in new or kind in joined:
            raise Failure(f'malformed spec file: duplicated ns {{"{one.type}" "{one.path}"}}')
        if one.path:
            joined[kind] = one.path
        else:
            new.add(kind)
    return Kinds(frozenset(new), joined)


def read(told: Any) -> Spec:
    """The spec that the JSON object is. Raises Failure, in runc's words where it has some."""
    spec = decoded(Spec, told, "")
    if spec.root is None:
        raise Failure("root must be specified")
    version = spec.oci_version.partition(".")[0]
    if spec.oci_version and version != "1":
        raise Failure(f"ociVersion {spec.oci_version}: only 1.x is supported")
    if spec.process is None:
        raise Failure("process property must not be empty")
    check_process(spec.process)
    _check_namespaces(spec)
    return spec


def read_process(told: Any) -> Process:
    """The process of ``exec --process FILE``. Raises Failure."""
    process = decoded(Process, told, "process")
    check_process(process)
    return process


def check_process(process: Process) -> None:
    """Raises Failure for what no process can be."""
    if not process.cwd:
        raise Failure("Cwd property must not be empty")
    if not process.cwd.startswith("/"):
        raise Failure("Cwd must be an absolute path")
    if not process.args:
        raise Failure("args must not be empty")
    user = process.user
    for number in (user.uid, user.gid, *user.additional_gids):
        if not 0 <= number < (1 << 32) - 1:
            raise Failure(f"process.user: {number} is no id")
    for entry in process.env:
        if "=" not in entry[1:]:
            raise Failure(f'invalid environment variable "{entry}": write NAME=VALUE')


def _check_namespaces(spec: Spec) -> None:
    kinds, linux = kinds_of(spec.linux.namespaces), spec.linux
    if spec.hostname and not kinds.own("uts"):
        raise Failure("unable to set hostname without a private UTS namespace")
    if spec.domainname and not kinds.own("uts"):
        raise Failure("unable to set domainname without a private UTS namespace")
    if "mount" not in kinds.new:
        raise Failure("a container needs a new mount namespace: its root would be the host's")
    if "user" in kinds.new and not (linux.uid_mappings and linux.gid_mappings):
        raise Failure("User namespaces enabled, but no uid or gid mappings found")
    if (linux.uid_mappings or linux.gid_mappings) and not kinds.own("user"):
        raise Failure("user namespace mappings specified, but user namespace isn't enabled")
    if linux.time_offsets and "time" not in kinds.new:
        raise Failure("time namespace offsets specified, but time namespace isn't enabled")
