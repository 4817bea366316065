"""What killed suites leave goes with the next one, however it looks."""

import os
import subprocess
from pathlib import Path

from sandbox.machine import remove


def test_a_tree_deeper_than_python_can_call_itself_is_removed(tmp_path: Path) -> None:
    """Of one that stays, every later suite would die, as it sweeps when it begins."""
    top = tmp_path / "top"
    top.mkdir()
    here = os.open(top, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    try:
        remove(top)
        assert os.listdir(tmp_path) == []
    finally:  # pytest could not do it, either
        subprocess.run(["rm", "-rf", "--", top], check=True)
