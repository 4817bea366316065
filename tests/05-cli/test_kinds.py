"""Every error of the engine has a kind, and what a command line ends with comes from that alone."""

import errno
import itertools
import json
import pkgutil
from importlib import import_module

import pytest
from sandbox.containers import Containers
from sandbox.embedding import embedding
from sandbox.machine import Sandbox

import mydocker
from mydocker.container import channel, exit_codes
from mydocker.engine.errors import NameTaken, NoSuchContainer
from mydocker.engine.warm import messages
from mydocker.kernel import errors
from mydocker.kernel.errors import Conflict, Failure, Invalid, KernelError, NotFound, NotPermitted
from mydocker.kernel.whole import NotWritten

FAULTS = """
import tempfile
from contextlib import contextmanager
from mydocker.cgroups.limits import cpus
from mydocker.engine.cleaning import leftovers
from mydocker.engine.images.load import load
from mydocker.engine.images.uses import uses
from mydocker.engine.looking import inspection, listing, processes, xray
from mydocker.engine.records import names
from mydocker.engine.volumes import forms
from mydocker.engine.volumes.removing import remove as remove_volume
from mydocker.engine.volumes.store import VolumeStore
from mydocker.engine.warm.client import Warm
from mydocker.engine.warm.operations import copy_from
from mydocker.engine.words import filters, templates, times
from mydocker.kernel import sizes, syscalls
from mydocker.namespaces import joining, sharing, users
from mydocker.network import membership, networks, ports
from mydocker.network.attachment import Attachment
from mydocker.network.store import Store as Networks
from mydocker.overlay2.images import ImageStore
from mydocker.overlay2.instructions import apply
from mydocker.security import capabilities, sysctls, ulimits

nets, images = Networks(store.root, store.run), ImageStore(store.root)
volumes = VolumeStore(store.root)
nobody = execution.ExecConfig(("true",), user="nobody-here")
kinds = {}

def fault(kind, what, call, *arguments, **named):
    try:
        call(*arguments, **named)
    except Failure as failure:
        kinds[what] = [kind, failure.kind]
    except Exception as error:  # and on to the end, which removes all
        kinds[what] = [kind, repr(error)]
    else:
        kinds[what] = [kind, "no failure"]

@contextmanager
def as_nobody():
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)

def start(name):
    lifecycle.start(store, store.find(name))

def on_network(name, network):
    creation.create(store, configured(name, "--net", network, "busybox", "sleep", "1000"))
    start(name)

sleeps = ("busybox", "sleep", "1000")
runs, rests = started("runs", *sleeps), made("rests", *sleeps)
paused = started("paused", *sleeps); lifecycle.pause(store, "paused")
made("keeps", "-v", "kept:/kept", "busybox", "true")
networks.create(nets, "lab"); on_network("member", "lab")

for what, call in {
    "a container": lambda word: store.find(word),
    "its end": lambda word: lifecycle.stop(store, word),
    "a command in it": lambda word: execute(word, "true"),
    "a file in it": lambda word: copy_from(store, "runs", "/" + word),
    "a directory in it": lambda word: copy_from(store, "runs", "/" + word + "/below"),
    "an image": lambda word: images.resolve(word),
    "an image to remove": lambda word: images.remove(word, force=False),
    "a network": lambda word: networks.remove(nets, word),
    "a volume": lambda word: remove_volume(store, word),
    "anything": lambda word: inspection.inspect_any(store, word),
    "whom to share with": lambda word: sharing.found("--pid", "container:" + word, None),
}.items():
    fault("not found", what, call, "nosuch")
fault("not found", "a process", joining.find, 4194303)
fault("not found", "an archive", load, images, "/no/such.tar")

fault("conflict", "a name in use", made, "runs", *sleeps)
fault("conflict", "another's name", lifecycle.rename, store, "rests", "runs")
fault("conflict", "rm of one that runs", removal.remove, store, "runs")
fault("conflict", "pause of a paused one", lifecycle.pause, store, "paused")
fault("conflict", "start of a paused one", start, "paused")
fault("conflict", "exec in a paused one", execute, "paused", "true")
fault("conflict", "unpause of one that runs", lifecycle.unpause, store, "runs")
for what, call in {
    "exec": lambda: execute("rests", "true"),
    "kill": lambda: lifecycle.kill(store, "rests"),
    "pause": lambda: lifecycle.pause(store, "rests"),
    "attach": lambda: lifecycle.attachable(store, "rests"),
    "top": lambda: processes.top(store, "rests", ()),
    "xray": lambda: xray.xray(store, "rests"),
}.items():
    fault("conflict", what + " of one that does not run", call)
fault("conflict", "an image in use", images.remove, "busybox", force=False, used_by=uses(store))
fault("conflict", "a network in use", networks.remove, nets, "lab")
fault("conflict", "a network's name", networks.create, nets, "lab")
fault("conflict", "a volume in use", remove_volume, store, "kept")

for what, call in {
    "a name": lambda: names.check("no/name"),
    "a network's name": lambda: networks.create(nets, "/"),
    "a volume's name": lambda: volumes.create("x/y", {}),
    "a reference": lambda: images.resolve("Not/Good"),
    "a restart policy": lambda: creation.parse_restart("never"),
    "a signal": lambda: creation.signal_number("SIGNO"),
    "a time": lambda: times.moment("yesterday"),
    "a duration": lambda: times.duration("1d"),
    "a filter": lambda: filters.parse(["x=y"], ["name"]),
    "a template": lambda: templates.Template("{{"),
    "a template's field": lambda: templates.Template("{{.No}}")({}),
    "a size": lambda: sizes.parse_size("much"),
    "CPUs": lambda: cpus("many"),
    "a mount": lambda: forms.requested(("x:y:z:w",), (), ()),
    "a port": lambda: ports.parse("80:http"),
    "a subnet": lambda: networks.create(nets, "x", subnets=("10.0.0.1/8",)),
    "a map of ids": lambda: users.parse("x"),
    "an instruction": lambda: apply(images.resolve("busybox").config, ("FROM x",)),
    "a capability": lambda: capabilities.parse("--cap-add", "NET_FUN"),
    "a sysctl": lambda: sysctls.parse(["kernel.panic=1"]),
    "a ulimit": lambda: ulimits.parse("nofile=x"),
    "a kind of thing": lambda: inspection.inspect_any(store, "runs", "star"),
    "a name like the old one": lambda: lifecycle.rename(store, "runs", "runs"),
    "a command that is not there": lambda: execute("runs", "no-such-command"),
    "a command that is a directory": lambda: execute("runs", "/etc"),
    "a directory that is a file": lambda: copy_from(store, "runs", "/etc/passwd/x"),
}.items():
    fault("invalid", what, call)
with tempfile.NamedTemporaryFile() as file:
    file.write(b"no archive" * 1000); file.flush()
    fault("invalid", "an archive of garbage", load, images, file.name)
made("starts", "busybox", "no-such-command")
fault("invalid", "a container's command", start, "starts")

fault("not permitted", "rm of a built-in network", networks.remove, nets, "bridge")
fault("not permitted", "a network like a built-in one", networks.create, nets, "host")
with as_nobody():
    fault("not permitted", "the store of images", ImageStore(store.root).all)
    fault("not permitted", "a request of the kernel", syscalls.sethostname, "mine")
    fault("not permitted", "another's process", joining.find, 1)

fault("failed", "a user whom the image does not know", execution.execute, store, "runs", nobody)
fault("failed", "a path of our own", syscalls.mount, "/no/source", "/no/target", "", 0, "")
open(store.directory(rests.id) + "/config.json", "w").write("{")
fault("failed", "a damaged file", lifecycle.rename, store, rests.id, "other")

# and as another process hears of it
warm = Warm(store.root, store.run, cgroup_parent=os.environ["MYDOCKER_CGROUP_PARENT"])
fault("not found", "a container, through the warm process", warm.call, "stop", "nosuch")
fault("conflict", "a paused one, through the warm process", warm.call, "start", "paused")
fault("invalid", "a command, through the warm process", warm.call, "start", "starts")
warm.close()

for name in store.ids():
    removal.remove(store, name, force=True, volumes=True)
networks.remove(nets, "lab"); remove_volume(store, "kept")
print(json.dumps(kinds))
"""


@pytest.mark.root
def test_the_kind_of_every_fault(docker: Containers, sandbox: Sandbox) -> None:
    docker.need_image()
    done = embedding(sandbox, FAULTS)
    assert done.stdout, done.stderr
    kinds = json.loads(done.stdout)
    assert {what: got for what, (_, got) in kinds.items()} == {
        what: wanted for what, (wanted, _) in kinds.items()
    }
    assert {wanted for wanted, _ in kinds.values()} == set(errors.OF_KIND)


# What fails for no reason that whoever asked could give: the machine's, or a file's of our own. A
# new class of error has another kind, or has its place here.
FAILED = ["Damaged", "Exchanged", "Failure", "KernelError", "NotWritten"]


def below(one: type[Failure]) -> set[type[Failure]]:
    return {one}.union(*map(below, one.__subclasses__()))


def test_every_class_has_a_kind() -> None:
    for module in pkgutil.walk_packages(mydocker.__path__, "mydocker."):
        import_module(module.name)
    classes = {one for one in below(Failure) if one.__module__.startswith("mydocker.")}
    assert len(classes) > 15
    for one in classes:
        assert issubclass(one, errors.OF_KIND[one.kind]), one
    assert sorted(one.__name__ for one in classes if one.kind == "failed") == FAILED


@pytest.mark.parametrize(
    ("number", "kind", "named"),
    [
        (errno.EPERM, "not permitted", "not permitted"),
        (errno.EACCES, "not permitted", "not permitted"),
        (errno.EROFS, "not permitted", "not permitted"),
        (errno.ENOENT, "failed", "not found"),
        (errno.ESRCH, "failed", "not found"),
        (errno.ENOTDIR, "failed", "invalid"),
        (errno.EBUSY, "failed", "failed"),
        (errno.ENOSPC, "failed", "failed"),
        (0, "failed", "failed"),
    ],
)
def test_the_kernels_answers(number: int, kind: str, named: str) -> None:
    """ "No such file" is "not found" only of what somebody asked for by its name."""
    assert errors.by_errno(number).kind == KernelError("mount", (), number).kind == kind
    assert errors.kind_of(OSError(number, "why")) == kind
    assert errors.by_errno(number, named=True).kind == named


def test_a_fault_in_our_code_has_failed() -> None:
    assert errors.kind_of(ValueError("x")) == "failed"


SENT: list[Failure] = [
    *(one("what", "why") for one in errors.OF_KIND.values()),
    Invalid("what", "why", 127),
    KernelError("mount", ("a",), errno.EPERM, "why"),
    KernelError("execve", ("a",), errno.ENOEXEC, "why", 126),
    NoSuchContainer("web"),
    NameTaken("web", "x"),
    NotWritten("/x", errno.ENOSPC, "why"),
]
SENT[-4].kind = "invalid"


@pytest.mark.parametrize("error", SENT, ids=lambda error: f"{type(error).__name__}-{error.kind}")
def test_a_kind_goes_to_other_processes(error: Failure) -> None:
    through = json.loads(json.dumps(channel.error_message(error)))
    packed = json.loads(messages.packed(messages.error_told(error)))
    for heard in (channel.error_of(through), messages.error_of(packed)):
        told = (heard.kind, heard.exit_code, str(heard))
        assert told == (error.kind, error.exit_code, str(error))
    assert type(messages.error_of(packed)) is type(error)


# ---------------------------------------------------------------- exit codes

PROGRAM = """
import click
from mydocker.container.commandline import LazyGroup, main, one_failed
from mydocker.kernel.errors import OF_KIND

def codes(begin):
    return {kind: begin + number for number, kind in enumerate(OF_KIND)}

outer = LazyGroup("outer", codes=codes(10), others={"other": codes(20)})
inner = LazyGroup("inner", codes=codes(30))
plain = click.Group("plain")
outer.add_command(inner)
outer.add_command(plain)

def fails(kind, each):
    failure = OF_KIND[kind]("what")
    if each:
        return max(map(one_failed, [failure]))
    raise failure

for group, name in ((outer, "one"), (outer, "other"), (inner, "one"), (plain, "one")):
    options = [click.Argument(["kind"]), click.Option(["--each"], is_flag=True)]
    group.add_command(click.Command(name, params=options, callback=fails))
sys.argv[1:] = sys.argv[3:]
main(outer)
"""


@pytest.mark.parametrize("number", range(5))
def test_an_exit_code_is_that_of_its_kind_and_its_command(sandbox: Sandbox, number: int) -> None:
    """Each command by its nearest group; also if it goes on after one thing that failed."""
    kind = list(errors.OF_KIND)[number]
    commands = {("one",): 10, ("other",): 20, ("inner", "one"): 30, ("plain", "one"): 10}
    for (words, begin), each in itertools.product(commands.items(), ([], ["--each"])):
        done = embedding(sandbox, PROGRAM, *words, kind, *each)
        assert done.stderr == "mydocker: what\n"
        assert done.returncode == begin + number, (words, each)


def test_dockers_exit_codes() -> None:
    """125 is a code of ``run``: any other would be taken for the command's in the container."""
    refused = NotFound("x"), Conflict("x"), Invalid("x")
    failed = NotPermitted("x"), Failure("x")
    for failure in (*refused, *failed):
        assert exit_codes.exit_code(failure, exit_codes.OURS) == 125
        assert exit_codes.exit_code(failure, exit_codes.DOCKERS) == 1
        assert exit_codes.exit_code(failure, exit_codes.STARTS) == (
            1 if failure in refused else 125
        )
    for code in (1, 126, 127):
        assert exit_codes.exit_code(Invalid("x", "", code), exit_codes.OURS) == code


@pytest.mark.root
def test_commands_end_with_dockers_codes(docker: Containers) -> None:
    """The same faults, asked for by commands that end otherwise."""
    docker.need_image()
    docker("create", "--name", "one", "busybox", "true")
    for words, code in {
        ("run", "nosuch"): 125,
        ("container", "run", "nosuch"): 125,
        ("run", "--name", "one", "busybox"): 125,
        ("run", "-it", "busybox"): 1,
        ("create", "nosuch"): 1,
        ("container", "create", "--name", "one", "busybox"): 1,
        ("exec", "nosuch", "true"): 1,
        ("exec", "one", "true"): 1,
        ("rm", "nosuch"): 1,
        ("image", "inspect", "nosuch"): 1,
        ("tag", "nosuch", "name"): 1,
        ("save", "nosuch"): 1,
        ("load", "-i", "/nosuch"): 1,
        ("images", "--filter", "bad=x"): 1,
        ("commit", "-c", "FROM x", "one"): 1,
        ("network", "rm", "nosuch"): 1,
        ("volume", "rm", "nosuch"): 1,
        ("cp", "one:/nosuch", "-"): 1,
        ("layers", "nosuch"): 125,
        ("cgroup", "stats", "nosuch"): 125,
        ("namespace", "inspect", "4194303"): 125,
    }.items():
        assert docker(*words, code=code).stderr.count("\n") == 1, words
    docker("rm", "one")
