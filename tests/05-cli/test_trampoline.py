"""The machine code of the last step into the command is what stands beside it, assembled."""

import ast
import inspect
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from mydocker.security import trampoline

# What each machine's code is called, the prefix of a cross assembler, and what goes before it all
MACHINES = {
    "x86_64": ("_X86_64", "x86_64-linux-gnu-", ".intel_syntax noprefix"),
    "aarch64": ("_AARCH64", "aarch64-linux-gnu-", ""),
}


def assembler(prefix: str) -> str:
    """The prefix of the assembler that is installed for a machine (binutils); or the test skips.

    Debian's own machine has it with the prefix, too: ``x86_64-linux-gnu-as`` is a link to ``as``.
    """
    if not shutil.which(f"{prefix}as") or not shutil.which(f"{prefix}objcopy"):
        pytest.skip(f"no {prefix}as here: apt-get install binutils-{prefix.replace('_', '-')[:-1]}")
    return prefix


def beside(constant: str) -> tuple[str, list[str]]:
    """The code in a constant of the source, and the instructions in the comments beside it."""
    source = inspect.getsource(trampoline)
    (node,) = (
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == constant
    )
    lines = source.splitlines()[node.lineno : (node.end_lineno or 0) - 1]
    pieces = [re.fullmatch(r' *"([0-9a-f]+)"  # (.*?)(?: // .*)?', line) for line in lines]
    assert all(pieces), lines
    return "".join(piece[1] for piece in pieces if piece), [p[2] for p in pieces if p]


@pytest.mark.parametrize("machine", MACHINES)
def test_the_code_is_what_stands_beside_it(machine: str, tmp_path: Path) -> None:
    constant, prefix, before = MACHINES[machine]
    prefix = assembler(prefix)
    written, instructions = beside(constant)
    text, made, code = (tmp_path / name for name in ("code.s", "code.o", "code"))
    text.write_text("\n".join([".text", before, *instructions, "answers:", ""]))
    subprocess.run([f"{prefix}as", "-o", made, text], check=True)
    subprocess.run([f"{prefix}objcopy", "-O", "binary", "-j", ".text", made, code], check=True)
    assert code.read_bytes().hex() == written == trampoline._MACHINES[machine][1]
