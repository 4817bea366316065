"""How a command line is read, beside a real docker of the same words, which needs no daemon for it.

Docker's client reads the whole line before it asks its daemon. So without a daemon it either says
what is wrong with the line, or that there is no daemon: then it took the line.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator

import click
import pytest
from sandbox.launcher import Launcher

from mydocker.cli.main import group
from mydocker.container.flags import WrongUse

WORDS = """
run create start stop kill restart pause unpause wait rm rename update ps logs attach exec top stats
inspect events diff cp port commit export import save load tag images rmi history info version
container-ls container-inspect container-prune container-rm container-run container-exec
container-commit container-export image-ls image-rm image-inspect image-prune image-import
network-create network-ls network-rm network-inspect network-connect network-disconnect
network-prune volume-create volume-ls volume-rm volume-inspect volume-prune system-df system-prune
system-info system-events
"""
COMMANDS = WORDS.split()
DOCKER = next((path for path in ("/usr/local/bin/docker", "/usr/bin/docker") if shutil.which(path)),
              "")  # fmt: skip


def version() -> int:
    if not DOCKER:
        return 0
    told = subprocess.run([DOCKER, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"version (\d+)", told)
    return int(found[1]) if found else 0


beside = pytest.mark.skipif(version() < 28, reason="no docker client of version 28 or newer")


def theirs(words: list[str]) -> str:
    """What docker says of a line, in one line; "taken" if it would go and ask its daemon."""
    env = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "DOCKER_HOST": "unix:///nonexistent/s"}
    done = subprocess.run(
        [DOCKER, *words], env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL,
        check=False,
    )  # fmt: skip
    said = [line for line in done.stderr.splitlines() if "has been deprecated" not in line]
    first = said[0].removeprefix("docker: ") if said else ""
    if re.match("(unknown|flag needs|bad flag|invalid argument|'docker)", first):
        return f"{done.returncode} {first}"
    return "taken"


def ours(words: list[str]) -> str:
    """The same of our own reader, which reads and does nothing."""
    command: click.Command = group
    context, name = None, "docker"
    try:
        while True:
            context = command.make_context(name, words, parent=context)
            if not isinstance(command, click.Group):
                return "taken"
            rest = [*context._protected_args, *context.args]
            found_name, found, words = command.resolve_command(context, rest)
            assert found is not None and found_name is not None
            command, name = found, found_name
    except WrongUse as wrong:
        return f"{wrong.code} {wrong.message}"
    except click.exceptions.Exit:
        return "taken"


def same(theirs: str, ours: str) -> bool:
    """Ours may go on with a hint, after Docker's words."""
    return ours == theirs or ours.startswith((f"{theirs}. ", f"{theirs} (usage: "))


def options(command: list[str]) -> Iterator[tuple[str, str]]:
    """Each option of docker's help, with the kind of its value, "" for a switch."""
    told = subprocess.run([DOCKER, *command, "--help"], capture_output=True, text=True, check=True)
    for line in told.stdout.splitlines():
        if found := re.match(r" {2,6}(?:-(\w), )?--([\w-]+) (\w*)", line):
            yield f"--{found[2]}", found[3]
            if found[1]:
                yield f"-{found[1]}", found[3]


# Options of Windows, of swarm, of plugins, and those that are not here yet.
NOT_HERE = {
    "--annotation", "--attach", "-a", "--blkio-weight-device", "--cgroupns", "--cpu-count",
}  # fmt: skip


def missing(command: str) -> set[str]:
    told: click.Command = group
    for word in command.split("-"):
        assert isinstance(told, click.Group)
        found = told.get_command(click.Context(told), word)
        assert found is not None, command
        told = found
    known = {
        name
        for param in told.params
        for name in (*param.opts, *param.secondary_opts, *getattr(param, "also", ()))
    }
    return {name for name, _ in options(command.split("-")) if name not in {*known, "--help"}}


@beside
@pytest.mark.parametrize("command", COMMANDS)
def test_a_line_is_read_as_docker_reads_it(command: str) -> None:
    words = command.split("-")
    lines = [
        ["--nosuch"], ["--nosuch=1"], ["-%"], ["-%x=1"], [], ["--=x"], ["---x"], ["--", "--nosuch"],
        [*"abcde"], ["a", "--nosuch"], ["-"],
    ]  # fmt: skip
    absent = missing(command)
    for name, kind in options(words):
        if name in absent or name == "--help":
            continue
        if kind:
            lines.append([name])
        else:
            lines += [[f"{name}=neither"], [f"{name}=f"]]
    different = []
    for line in lines:
        told = theirs([*words, *line]), ours([*words, *line])
        if not same(*told):
            different.append(
                f"{' '.join([*words, *line])}\n  docker: {told[0]}\n  ours:   {told[1]}"
            )
    assert not different, f"{len(different)} of {len(lines)}:\n" + "\n".join(different)


LINES = """
run -itx busybox
run -it=maybe busybox
run -h
run -h x
run -e
run --env
run --name
run --rm=x busybox
run --stop-timeout x busybox
run --oom-score-adj x busybox
run --cpu-shares x busybox
run --pids-limit x busybox
run -m lots busybox
run --nosuch=1 busybox
run busybox --nosuch
run -- busybox --nosuch
run -d -- busybox
exec a
exec -x a b
exec a -x b
exec -- a -x b
stop -t x a
stop --time x a
stop a -t 1
stop a --nosuch b
ps -a=yes
ps -n x
ps a
images a b
images a -q
images -- -q
rm -- -f
rm -fv
rm -fvx a
logs a b
logs a -f
rename a
rename a b c
tag a
cp a
port a b c
port
inspect
network create
network create a b
network rm
network connect a
volume create a b
volume create --name a
volume rm
container ps x
container list x
image remove
image list a b
network list x
network remove
volume list x
volume remove
container remove
system df x
system info x
system events x
version x
info x
-x ps
ps -H x
--nosuch ps
""".splitlines()


@beside
@pytest.mark.parametrize("line", [line for line in LINES if line])
def test_a_line_of_somebody(line: str) -> None:
    told = theirs(line.split()), ours(line.split())
    assert same(*told), told


def test_what_is_joined_to_an_option(mydocker: Launcher) -> None:
    """Without a docker beside it: what each form means."""
    run = group.get_command(click.Context(group), "run")
    assert run is not None
    line = "-h=box -l=a=b -e=A=B -eC=D -p=1:2 -m=64m -itd=false --rm=true --init=0 -u 5 x -h y"
    told = run.make_context("run", line.split()).params
    assert (
        told["hostname"] == "box" and told["labels"] == ("a=b",) and told["env"] == ("A=B", "C=D")
    )
    assert told["publish"] == ("1:2",) and told["memory"] == 64 << 20 and told["user"] == "5"
    assert told["interactive"] and told["tty"] and not told["detach"]
    assert told["rm"] and not told["init"]
    assert told["image"] == "x" and told["command"] == ("-h", "y")


def test_wrong_use_is_told_with_the_usage(mydocker: Launcher) -> None:
    told = mydocker(5, "stop", code=1).stderr
    assert told == (
        "mydocker: 'mydocker stop' requires at least 1 argument (usage: mydocker stop "
        "[OPTIONS] CONTAINER [CONTAINER...]). See 'mydocker stop --help'\n"
    )
    assert "Did you mean --hostname?" in mydocker(5, "run", "--hostnam", "x", code=125).stderr
    told = mydocker(5, "nosuch", code=1).stderr
    assert told == "mydocker: unknown command: mydocker nosuch. See 'mydocker --help'\n"
    assert "Did you mean rename?" in mydocker(5, "renam", code=1).stderr


def test_old_spellings_are_taken_and_told(mydocker: Launcher) -> None:
    told = mydocker(5, "stop", "--time", "1", "nosuch", code=1).stderr
    assert told.startswith("Flag --time has been deprecated, use --timeout instead\n")
    assert mydocker(5, "ps", "-h").stdout == mydocker(5, "ps", "--help").stdout


@pytest.mark.parametrize(
    "command", ["pull alpine", "image pull a", "build -t x .", "compose up -d"]
)
def test_commands_that_are_not_here_say_what_to_do(mydocker: Launcher, command: str) -> None:
    told = mydocker(5, *command.split(), code=1).stderr
    assert told.startswith(f"mydocker: mydocker {command.split(' -')[0].split()[0]}")
    assert len(told.splitlines()) == 1 and "'mydocker" in told


@pytest.mark.parametrize("option", [["-D"], ["-l", "debug"], ["--config=/x"], ["-c", "default"]])
def test_global_options_are_read(mydocker: Launcher, option: list[str]) -> None:
    assert mydocker(5, *option, "version").stdout == mydocker(5, "version").stdout


def test_another_daemon_is_refused_in_one_line(mydocker: Launcher) -> None:
    for option in (["-H", "unix:///x"], ["--host=tcp://a"], ["--context", "far"]):
        told = mydocker(5, *option, "ps", code=1).stderr
        assert "no other daemon" in told and len(told.splitlines()) == 1
