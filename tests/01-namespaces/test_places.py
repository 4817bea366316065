"""An error of our own code says where it was: in the module whose fault it is."""

from pathlib import Path

import pytest

from mydocker.kernel import errors
from mydocker.namespaces import parts


def test_a_door_that_was_called_wrongly_is_not_at_fault() -> None:
    """Who called it is: a value of a wrong type shows only in the library, below the door."""
    lines = Path(parts.__file__).read_text().splitlines()
    (line,) = [n for n, text in enumerate(lines, 1) if "syscalls.sethostname(" in text]
    name = parts.HostName("box")
    object.__setattr__(name, "name", 5)
    with pytest.raises(Exception) as caught:
        name.enter()
    assert errors.place(caught.value) == f"parts.py, line {line}"


def test_what_was_never_raised_was_nowhere() -> None:
    assert errors.place(ValueError()) == "nowhere"
