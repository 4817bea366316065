"""The appendix on troubleshooting, generated: every check of ``mydocker doctor`` with its fixes.

Names and fixes are read from the doctor's own source (``engine/doctor``); what a check means for a
reader stands here. A check without a meaning, or a meaning without its check, is an error: so the
appendix cannot forget one.
"""

import ast
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

STEPS = Path(__file__).resolve().parent.parent / "steps"
SUBJECTS = {
    "kernel": "The kernel",
    "groups": "Control groups",
    "storage": "Images and layers",
    "network": "The network",
    "machine": "The machine around it",
}
MEANINGS = {
    "kernel": "Some of what we ask for is younger than Linux 5.10.",
    "clone3": "Every container is made by this system call.",
    "… namespace": "One line for each kind. All but user and time are needed.",
    "users without root": "Only for containers of an ordinary user; root needs none of it.",
    "pivot_root": "How a container gets its own root directory. A chroot forbids it.",
    "terminals": "`run -t`: each container has a devpts of its own.",
    "device nodes": "`/dev/null` and friends are made for each container.",
    "network admin": "Without it not even `lo` can be set up in a container.",
    "resource limits": "`--ulimit` beyond what we have ourselves, and a lower OOM score.",
    "seccomp": "The filter of system calls: without it, run with `seccomp=unconfined`.",
    "cgroups": "No hierarchy is mounted, so nothing can be limited.",
    "cgroup …": "One line for each hierarchy in which no group can be made: limits fail.",
    "…": "One line for each controller, by its name (`memory`, `cpu`, `pids`): one that is missing"
    " makes its options fail, and nothing else.",
    "data root": "Where images and containers are kept.",
    "overlay": "A real overlay is mounted on the data root, written, and executed from.",
    "disk": "Room for images and for what containers write.",
    "inodes": "A filesystem can have room and no inodes: many small files.",
    "leftovers": "What a command that was killed could not take away.",
    "images": "Each image has all of its layers; `doctor --full` reads every byte.",
    "ip": "The program that makes bridges and cables.",
    "nft": "The program that writes the firewall's table.",
    "bridge and veth": "Both are really made, in a namespace that ends with the check.",
    "nftables": "Our own table is really loaded there, so that each expression in it is tried.",
    "ip_forward": "The switch that makes the machine a router between the bridges and the world.",
    "other firewalls": "A packet has to pass every table. Containers start, and reach nobody.",
    "SELinux": "Its labels can refuse a container its own files.",
    "AppArmor": "A profile on mydocker itself can forbid mounts and namespaces.",
    "other engines": "Nothing to mend: names and tables are apart.",
    "computer": "In a container some of the machine is out of reach.",
}
_CALLS = {"ok": None, "tried": 2, "warning": 2, "failure": 2, "not_applicable": 2, "_program": 1}


def table() -> str:
    """All of it as Markdown. Raises LookupError for a check without a meaning, or the reverse."""
    sys.path[:0] = [str(step) for step in sorted(STEPS.glob("[0-9][0-9]-*"))]
    text, seen = "", set()
    for module, title in SUBJECTS.items():
        text += f"## {title}\n\n| check | what it is about | if it fails |\n|---|---|---|\n"
        for name, fixes in _checks(import_module(f"mydocker.engine.doctor.{module}")).items():
            if name not in MEANINGS:
                raise LookupError(f"what does the check {name!r} mean?")
            seen.add(name)
            shown = "<br>".join(_escaped(fix) for fix in fixes)
            text += f"| **{name.replace('…', 'NAME')}** | {MEANINGS[name]} | {shown} |\n"
        text += "\n"
    if unknown := set(MEANINGS) - seen:
        raise LookupError(f"doctor has no checks {sorted(unknown)}")
    return text.rstrip()


def _escaped(text: str) -> str:
    for letter in "\\|<>*_":
        text = text.replace(letter, f"\\{letter}")
    return text


def _checks(module: ModuleType) -> dict[str, list[str]]:
    """Each check's name, and all that its source may tell to do about a failure."""
    assert module.__file__
    tree = ast.parse(Path(module.__file__).read_text())
    found: dict[str, list[str]] = {}
    for function in (node for node in tree.body if isinstance(node, ast.FunctionDef)):
        if function.name == "_program":
            continue  # it is called with the name
        reader = _Reader(module, tree, function)
        for node in ast.walk(function):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            called = node.func.id
            if called not in _CALLS:
                continue
            name = next(reader.texts(node.args[0]), "…")
            fixes = found.setdefault(name, [])
            position = _CALLS[called]
            given = [keyword.value for keyword in node.keywords if keyword.arg == "fix"]
            given += node.args[position : position + 1] if position else []
            for text in (text for value in given for text in reader.texts(value)):
                if text and text not in fixes and text != "…":
                    fixes.append(text)
    return found


class _Reader:
    """What an expression in the source can be as text; what only a run knows is ``…``."""

    def __init__(self, module: ModuleType, tree: ast.Module, function: ast.FunctionDef) -> None:
        self._module, self._tree, self._function = module, tree, function

    def texts(self, node: ast.expr) -> Iterator[str]:
        match node:
            case ast.Constant(value=str(text)):
                yield text
            case ast.JoinedStr(values=parts):
                yield "".join(next(self.texts(part), "…") for part in parts)
            case ast.FormattedValue(value=ast.Name(id=name)) if hasattr(self._module, name):
                yield str(getattr(self._module, name))
            case ast.BinOp(left=left, right=right):
                yield next(self.texts(left), "…") + next(self.texts(right), "…")
            case ast.BoolOp(values=values):
                for value in values:
                    yield from self.texts(value)
            case ast.IfExp(body=body, orelse=other):
                yield from self.texts(body)
                yield from self.texts(other)
            case ast.Dict(values=values):
                for value in values:
                    yield from self.texts(value)
            case ast.Name(id=name):
                yield from self._named(name)
            case ast.Call(func=ast.Name(id=name)):
                yield from self._returned(name)

    def _named(self, name: str) -> Iterator[str]:
        known = getattr(self._module, name, None)
        if isinstance(known, str):
            yield known
        elif isinstance(known, dict):
            yield from known.values()
        for node in ast.walk(self._function):
            if not isinstance(node, ast.Assign):
                continue
            for target in node.targets:
                if isinstance(target, ast.Name) and target.id == name:
                    yield from self.texts(node.value)
                elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                    for one, value in zip(target.elts, node.value.elts, strict=True):
                        if isinstance(one, ast.Name) and one.id == name:
                            yield from self.texts(value)

    def _returned(self, name: str) -> Iterator[str]:
        for function in self._tree.body:
            if isinstance(function, ast.FunctionDef) and function.name == name:
                reader = _Reader(self._module, self._tree, function)
                for node in ast.walk(function):
                    if isinstance(node, ast.Return) and node.value:
                        yield from reader.texts(node.value)
