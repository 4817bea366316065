"""``exec``: another process in a container that runs (``docker exec`` ends here)."""

from typing import Any

from mydocker.cgroups.part import CgroupPart, JoinGroup
from mydocker.container import running
from mydocker.container.order import in_order
from mydocker.container.parts import Part
from mydocker.kernel import syscalls
from mydocker.kernel.errors import Failure
from mydocker.kernel.records import record, replace
from mydocker.namespaces import joining
from mydocker.runtime import assembly, attributes, life, reader, records
from mydocker.runtime import specification as oci
from mydocker.runtime.process import command_of
from mydocker.runtime.records import CREATED, RUNNING, Container, Store
from mydocker.security import guard


@record
class ExecOptions:
    """The options of ``exec``: ``file`` is a process as JSON, else it is the container's own, with
    what the others change in it."""

    identifier: str
    arguments: tuple[str, ...] = ()
    file: str = ""
    cwd: str = ""
    env: tuple[str, ...] = ()
    terminal: bool = False
    user: str = ""
    additional_gids: tuple[int, ...] = ()
    capabilities: tuple[str, ...] = ()
    no_new_privileges: bool = False
    detached: bool = False
    console_socket: str = ""
    pid_file: str = ""
    preserved: int = 0
    ignore_paused: bool = False


def execute(store: Store, asked: ExecOptions) -> int:
    """Run it; its exit code, or 0 if it is detached. Raises Failure."""
    container = store.find(asked.identifier)
    _check_status(store, container, asked.ignore_paused)
    _, told = records.read_config(f"{store.directory(container.id)}/config.json")
    spec = reader.read(told)
    process = _process(spec, asked)
    life.check_terminal(process, asked.console_socket, asked.detached)
    first = store.process(container.id)
    flags = joining.different(first.pid)
    target = joining.find(first.pid)
    try:
        if not first.alive():  # the descriptors are of another process with its pid
            raise Failure("cannot exec in a stopped container")
        made = _made(store, container, spec, process, asked, target, flags)
        made.start()
    finally:
        target.close()
    return _go_on(made, asked, process)


def _check_status(store: Store, container: Container, ignore_paused: bool) -> None:
    from mydocker.runtime.groups import paused

    if store.status(container) not in (CREATED, RUNNING):
        raise Failure("cannot exec in a stopped container")
    if not ignore_paused and paused(container):
        raise Failure("cannot exec in a paused container (use --ignore-paused to override)")


def _process(spec: oci.Spec, asked: ExecOptions) -> oci.Process:
    """What is asked, with the container's own process for all that is not."""
    if asked.file:
        return reader.read_process(records.read_config(asked.file)[1])
    if spec.process is None:
        raise Failure("process property must not be empty")
    own = spec.process
    changes: dict[str, Any] = {"args": asked.arguments, "terminal": asked.terminal}
    changes["env"] = (*own.env, *asked.env)
    if asked.cwd:
        changes["cwd"] = asked.cwd
    changes["user"] = _user(own.user, asked)
    if asked.no_new_privileges:
        changes["no_new_privileges"] = True
    if asked.capabilities:
        changes["capabilities"] = _with(own.capabilities, asked.capabilities)
    process = replace(own, **changes)
    reader.check_process(process)
    return process


def _user(own: oci.User, asked: ExecOptions) -> oci.User:
    user = own
    if asked.user:
        uid, colon, gid = asked.user.partition(":")
        numbers = [int(one) if one.isdecimal() else -1 for one in ((uid, gid) if colon else (uid,))]
        if -1 in numbers:
            raise Failure(f"parsing {asked.user} as int for uid failed: invalid syntax")
        user = replace(user, uid=numbers[0], gid=numbers[1] if colon else own.gid)
    if asked.additional_gids:
        user = replace(user, additional_gids=(*user.additional_gids, *asked.additional_gids))
    return user


def _with(sets: oci.CapabilitySets | None, names: tuple[str, ...]) -> oci.CapabilitySets:
    """As runc: in all but the ambient set; there only where the container has inheritable ones."""
    old = sets or oci.CapabilitySets()
    return replace(
        old,
        bounding=(*old.bounding, *names),
        effective=(*old.effective, *names),
        permitted=(*old.permitted, *names),
    )


def _made(
    store: Store,
    container: Container,
    spec: oci.Spec,
    process: oci.Process,
    asked: ExecOptions,
    target: joining.Target,
    flags: int,
) -> running.Container:
    # setns(2) with a PID namespace takes only children, so that one is joined before the fork.
    early = flags & syscalls.CLONE_NEWPID
    linux = spec.linux
    first, late = assembly.confinement(process, linux.seccomp, linux.personality)
    parts: list[Part] = [
        guard.Undumpable(),
        guard.StillUndumpable(),
        *attributes.affinity_of(process.exec_cpu_affinity),
        *_groups(store, container),
        joining.Joined(target, early, flags & ~early),
        guard.Keyring(container.id),
        *first,
    ]
    command = command_of(process, late, asked.preserved)
    return running.Container(container.id, command, 0, in_order(parts), "")


def _groups(store: Store, container: Container) -> list[Part]:
    parts = store.parts(container.id)
    return [JoinGroup(part) for part in parts if isinstance(part, CgroupPart)]


def _go_on(made: running.Container, asked: ExecOptions, process: oci.Process) -> int:
    try:
        if asked.console_socket:
            from mydocker.runtime import console

            console.hand_over(asked.console_socket, made.master, process.console_size)
        if asked.pid_file:
            life.write_pid(asked.pid_file, made.pid)
        if asked.detached:
            return 0
        with running.signals_for(made):
            return made.wait().exit_code
    except BaseException:
        made.kill()
        raise
