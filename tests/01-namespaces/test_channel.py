"""What goes between the two sides of a container arrives whole."""

import json
from typing import Any

import pytest
from sandbox.launcher import Launcher

from mydocker.container import channel
from mydocker.kernel.errors import KernelError
from mydocker.kernel.trace import CONTAINER, Event

LONG: dict[str, Any] = {
    "a text": "x" * 1_000_000,
    "no ASCII": "\udcff\u2603\U0001f433" * 100_000,
    "many": ["y" * 100] * 50_000,
    "a mapping": {f"NAME{number}": "z" * 1000 for number in range(5000)},
    "deep": [["w" * 50_000] * 20] * 20,
}


@pytest.mark.parametrize("kind", LONG)
def test_a_message_of_any_length_arrives(kind: str) -> None:
    ours, theirs = channel.pair()
    event = Event(7, CONTAINER, "execve", ("/bin/x", LONG[kind]), "become it")
    error = KernelError("execve", (LONG[kind],), 7, hint="h" * 300_000)
    try:
        theirs.send(channel.event_message(event))
        theirs.send(channel.error_message(error))
        heard, _ = ours.receive()
        assert heard is not None
        told = channel.event_of(heard)
        assert (told.number, told.call, told.why) == (7, "execve", "become it")
        heard, _ = ours.receive()
        assert heard is not None and channel.error_of(heard).errno == 7  # type: ignore[attr-defined]
    finally:
        ours.close()
        theirs.close()


def test_a_short_message_is_as_it_was() -> None:
    message = {"event": ["x" * 100_000, list(range(1000))]}
    assert json.loads(channel.encoded(message)) == message


@pytest.mark.root
def test_a_command_with_a_long_environment_is_told(mydocker: Launcher) -> None:
    long = {f"LONG{number}": "x" * 100_000 for number in range(4)}
    arguments = ["y" * 100_000] * 3
    done = mydocker(1, "run", "--explain=json", "true", *arguments, env=long)
    last = [json.loads(line) for line in done.stderr.splitlines() if '"execve"' in line]
    assert last and last[-1]["arguments"][0].endswith("/true")
