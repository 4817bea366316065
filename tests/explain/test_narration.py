"""``--explain`` tells each request: side, call, why, what to type; colours on a terminal only."""

import re

import pexpect
import pytest
from sandbox.launcher import Launcher

from mydocker.kernel import shell, trace

pytestmark = pytest.mark.root

EVENT = re.compile(r"^ *(\d+) (host|container) +(\w+)\((.*)\)(.*)$")


def told(text: str) -> list[tuple[str, ...]]:
    return [match.groups() for line in text.splitlines() if (match := EVENT.match(line))]


def test_numbers_sides_and_reasons(mydocker: Launcher) -> None:
    done = mydocker(1, "run", "--explain", "--hostname", "box", "true")
    events = told(done.stderr)
    assert [int(number) for number, *_ in events] == list(range(1, len(events) + 1))
    sides = [side for _, side, *_ in events]
    assert sides == sorted(sides, reverse=True)  # first the host's, then the container's
    assert (events[0][2], events[-1][2]) == ("clone3", "execve")
    assert done.stderr.count("why: ") == len(events)
    assert ("container", "sethostname", '"box"') in [event[1:4] for event in events]
    assert "$ hostname box" in done.stderr
    assert "\033" not in done.stderr


def test_a_refusal_is_told_too(mydocker: Launcher) -> None:
    done = mydocker(1, "run", "--explain", "--user", "--uid-map", "0:0:0", "true", code=125)
    assert re.search(
        r'write\("/proc/\d+/uid_map", "0 0 0"\) = Invalid argument \(22\)', done.stderr
    )


def test_ids_are_short_and_lines_can_be_typed(mydocker: Launcher) -> None:
    text = mydocker(2, "run", "--explain", "-m", "50M", "true").stderr
    (identifier,) = re.findall(r"^ +\$ ID=([0-9a-f]{64})$", text, re.MULTILINE)
    assert text.count(identifier) == 1
    assert re.search(r"\$ mkdir /sys/fs/cgroup/\S+/\$ID$", text, re.MULTILINE)


@pytest.mark.parametrize(("environment", "colours"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colour_only_where_it_is_wanted(
    mydocker: Launcher, environment: dict[str, str], colours: bool
) -> None:
    program, *arguments = mydocker.argv(1, "run", "--explain", "--uts", "true")
    output = pexpect.run(
        " ".join([program, *arguments]), env=mydocker.environment(environment), encoding="utf-8"
    )
    assert ("\033[" in output) == colours
    assert "sethostname" in output


@pytest.mark.parametrize(("layers", "before"), [(8, ""), (9, "LIBMOUNT_FORCE_MOUNT2=always ")])
def test_many_layers_are_mounted_by_hand_in_debian_13_too(layers: int, before: str) -> None:
    """mount(8) of util-linux 2.39 and newer refuses a value of more than 255 bytes otherwise."""
    lower = ":".join(f"l/{number:026}" for number in range(layers))
    options = f"lowerdir={lower},upperdir=u,workdir=w"
    event = trace.Event(1, trace.HOST, "mount", ("overlay", "m", "overlay", 0, options), "")
    assert shell.line(event) == f"{before}mount -t overlay -o {options} overlay m"
