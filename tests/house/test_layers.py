"""Each step sees its own and lower layers, and nothing of what is built later."""

import ast
import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest

from house.programs import ROOT, STEPS, run

FOLDERS = sorted(path.parent for path in STEPS.glob("[0-9][0-9]-*/mydocker"))
LEARN = ROOT / "learn"  # what teaches stands above all steps

# The dependency rule: a room imports those above it in this list, and itself. Late imports count.
# ARCHITECTURE.md shows the same order, and tests/house/test_architecture.py compares the two.
ORDER = [
    "kernel",
    "container",
    "namespaces",
    "cgroups",
    "overlay2",
    "network",
    "security",
    "engine.errors",
    "engine.words",
    "engine.records",
    "engine.trees",
    "engine.connection",
    "engine.evidence",
    "engine.groups",
    "engine.volumes",
    "engine.forgetting",
    "engine.truth",
    "engine.assembly",
    "engine.monitor",
    "engine.life",
    "engine.copying",
    "engine.looking",
    "engine.images",
    "engine.cleaning",
    "engine.doctor",
    "engine.warm",
    "runtime",
    "cli",
    "labs",
    "learn",
]
HOUSES = ("engine",)  # packages that have rooms in them; all others are one room each

# Imports, with only the layers of step N stacked and nobody's site-packages, what it is told to.
IMPORT_ALL = """
import sys
steps, number, above, *modules = sys.argv[1:]
sys.path.insert(0, steps)
from layers import stack
stack(int(number), *above.split())
import importlib, traceback
failed = 0
for module in modules:
    try:
        importlib.import_module(module)
    except Exception:
        failed = 1
        print(f"importing {module}:")
        traceback.print_exc(limit=-3, file=sys.stdout)
sys.exit(failed)
"""


def modules(folder: Path) -> dict[str, Path]:
    """The modules of one layer by name: `mydocker.kernel.files` and where it is."""
    found = {}
    for path in sorted(folder.glob("mydocker/**/*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = {name: path for folder in (*FOLDERS, LEARN) for name, path in modules(folder).items()}


def imported(path: Path) -> set[tuple[int, str]]:
    """Every import in a file, with its line: also the late ones, inside of functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {(node.lineno, alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            module = node.module or ""
            for alias in node.names:  # a module may be named only after the word import
                full = f"{module}.{alias.name}"
                found.add((node.lineno, full if full in MODULES else module))
    return found


def room(module: str) -> str:
    """`mydocker.kernel.files` is in `kernel`, `mydocker.engine.life.removal` in `engine.life`."""
    _, package, *rest = module.split(".")
    return f"{package}.{rest[0]}" if package in HOUSES and rest else package


def rank(module: str) -> int:
    return ORDER.index(room(module))


def import_with(layers: int, *names: str, above: str = "") -> subprocess.CompletedProcess[str]:
    python = [sys.executable, "-I", "-S", "-c", IMPORT_ALL, str(STEPS)]
    return run(*python, str(layers), above, *names, env={"MYDOCKER_VENV": sys.prefix})


def by_name(path: Path) -> str:
    return path.name


def test_each_layer_has_a_number_of_its_own() -> None:
    numbers = [int(folder.name[:2]) for folder in FOLDERS]
    assert numbers
    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("folder", FOLDERS, ids=by_name)
def test_no_step_closes_the_namespace_package(folder: Path) -> None:
    """With an `__init__.py` the first layer on the path would hide all others."""
    assert not (folder / "mydocker" / "__init__.py").exists()


@pytest.mark.parametrize("folder", FOLDERS, ids=by_name)
def test_a_step_imports_with_its_own_and_lower_layers(folder: Path) -> None:
    done = import_with(int(folder.name[:2]), *modules(folder))
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_teaches_stands_above_the_steps_and_no_step_needs_it() -> None:
    number = int(FOLDERS[-1].name[:2])
    done = import_with(number, *modules(LEARN), above=LEARN.name)
    assert done.returncode == 0, done.stdout + done.stderr
    for module in modules(LEARN):
        assert import_with(number, module).returncode == 1, f"{module} is in a step"


@pytest.mark.parametrize("folder", FOLDERS[1:], ids=by_name)
def test_lower_steps_do_not_see_a_step(folder: Path) -> None:
    """The check above can fail: what a step adds is not there one step earlier."""
    for module in modules(folder):
        done = import_with(int(folder.name[:2]) - 1, module)
        assert done.returncode == 1, f"{module} can be imported below {folder.name}"
        assert "ModuleNotFoundError: No module named 'mydocker." in done.stdout


def test_every_room_has_its_place_in_the_order() -> None:
    rooms = {room(module) for module in MODULES} - set(HOUSES)
    assert sorted(rooms) == sorted(ORDER)


@pytest.mark.parametrize("folder", [*FOLDERS, LEARN], ids=by_name)
def test_imports_point_down(folder: Path) -> None:
    """Late imports too, which no import of the module alone would show. So no two rooms need each
    other, by whatever way round."""
    wrong = []
    for module, path in modules(folder).items():
        if module in {f"mydocker.{house}" for house in HOUSES}:
            assert not imported(path), f"{path}: a house's own file is its docstring"
            continue
        for line, name in imported(path):
            if name.startswith("mydocker.") and rank(name) > rank(module):
                wrong.append(f"{path}:{line}: {module} imports {name}")
    assert not wrong, "\n".join(wrong)


def needs(path: Path, known: set[str]) -> set[str]:
    """The modules that a file imports, early or late, but for what only a type checker reads."""
    tree = ast.parse(path.read_text())
    unread = [node for node in ast.walk(tree) if isinstance(node, ast.If) and _for_types(node)]
    skipped = {inner for node in unread for statement in node.body for inner in ast.walk(statement)}
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node not in skipped:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (names & known) or ({node.module or ""} & known)
    return found


def _for_types(node: ast.If) -> bool:
    return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def circles(imports: dict[str, set[str]]) -> list[str]:
    """The modules that import themselves, by way of others."""
    reached = {name: set(needed) for name, needed in imports.items()}
    for between, name in itertools.product(imports, imports):  # Warshall's algorithm
        if between in reached[name]:
            reached[name] |= reached[between]
    return sorted(name for name, names in reached.items() if name in names)


def test_circles_are_seen() -> None:
    assert not circles({"a": {"b", "c"}, "b": {"c"}, "c": set()})
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == ["a", "b", "c"]


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Neither early nor late: each can be read, and understood, after those that it imports."""
    paths = {name: path for folder in [*FOLDERS, LEARN] for name, path in modules(folder).items()}
    assert not circles({name: needs(path, {*paths}) for name, path in paths.items()})


@pytest.mark.parametrize("main", sorted(STEPS.glob("*/main.py")), ids=lambda path: path.parent.name)
def test_a_main_stacks_its_own_number_and_imports_no_later_step(main: Path) -> None:
    number = int(main.parent.name[:2])
    assert re.search(rf"\bstack\({number}\b", main.read_text())
    visible = {m for f in FOLDERS if int(f.name[:2]) <= number for m in modules(f)}
    packages = {".".join(module.split(".")[:2]) for module in visible}
    for line, name in imported(main):
        if name.startswith("mydocker."):
            assert ".".join(name.split(".")[:2]) in packages, f"{main}:{line}: imports {name}"


# Who reads a command line, and draws on a terminal: these packages, and modules of these names.
READING_ROOMS = {"cli", "labs", "learn"}
READERS = {
    "commandline",
    "flags",
    "commands",
    "drawing",
    "image_commands",
    "options",
    "printing",
    "root_option",
}
# Imports by plain paths, because layers.py brings click along; says who brought what is forbidden.
IMPORT_PLAIN = """
import importlib, sys
folders, *modules = sys.argv[1:]
sys.path[:0] = folders.split(":")
for module in modules:
    before = set(sys.modules)
    importlib.import_module(module)
    for name in sorted({"click", "rich"} & (set(sys.modules) - before)):
        print(module, "brings", name)
"""


def reads(module: str) -> bool:
    return module.split(".")[1] in READING_ROOMS or module.split(".")[-1] in READERS


def test_what_is_below_the_command_lines_brings_neither_click_nor_rich() -> None:
    """A daemon is to stand on the engine one day. In a fresh interpreter, by what came along."""
    below = sorted(module for module in MODULES if not reads(module))
    folders = ":".join(str(folder) for folder in FOLDERS)
    done = run(sys.executable, "-E", "-s", "-c", IMPORT_PLAIN, folders, *below)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    one = run(sys.executable, "-E", "-s", "-c", IMPORT_PLAIN, folders, "mydocker.cgroups.options")
    assert one.stdout == "mydocker.cgroups.options brings click\n", "this test can fail"


def test_no_reader_is_imported_from_below_and_nothing_there_prints() -> None:
    """Late imports, and print: what an import of the module does not show."""
    wrong = []
    for module, path in MODULES.items():
        if reads(module):
            continue
        for line, name in imported(path):
            if name.split(".")[0] in ("click", "rich") or (name in MODULES and reads(name)):
                wrong.append(f"{path}:{line}: imports {name}")
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Name(id="print" | "input" as name)):
                    wrong.append(f"{path}:{node.lineno}: calls {name}")
    assert not wrong, "\n".join(wrong)


# What is of whoever began us. Readers look at it, and hand on what it says.
SURROUNDINGS = re.compile(r"(?:os\.environb?|sys\.(?:argv|stdin|stdout|stderr))\b")
MAY_LOOK = {
    # Programs of their own: these arguments are for them.
    "mydocker.engine.life.probing": {"sys.argv"},
    "mydocker.engine.monitor.slim": {"sys.argv"},
    "mydocker.network.small_dns": {"sys.argv"},
    # The container's side: from here on the environment is the container's.
    "mydocker.container.child": {"os.environ"},
    "mydocker.overlay2.user": {"os.environ"},
    "mydocker.runtime.privileges": {"os.environ"},
    # runc's `update -r -`: the reader's half of it
    "mydocker.runtime.updating": {"sys.stdin"},
    # Each at one place for all: a request brings it along, and its worker has it before it acts.
    "mydocker.cgroups.part": {"os.environ"},
    "mydocker.engine.warm.process": {"os.environ"},
    "mydocker.engine.monitor.start": {"os.environ"},  # for the small monitor, which replaces it
    # For tests, in whatever program they find us.
    "mydocker.kernel.trace": {"os.environ"},
    # debootstrap is to find the reader's proxies.
    "mydocker.overlay2.base": {"os.environ"},
}


def surroundings(text: str) -> set[str]:
    """What of them the code looks at, by ``os.environ`` or a name that is imported from there."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Attribute(value=ast.Name(id="os" | "sys" as module), attr=name):
                found.add(f"{module}.{name}")
            case ast.ImportFrom(module="os" | "sys" as module, names=names):
                found |= {f"{module}.{name.name}" for name in names}
    getters = {"os.getenv", "os.getenvb", "os.environb"}
    found = {"os.environ" if one in getters else one for one in found}
    return {one for one in found if SURROUNDINGS.fullmatch(one)}


def test_below_the_readers_nobody_looks_at_the_surroundings() -> None:
    """A long-lived program serves many, each with an environment and streams of its own."""
    assert surroundings("import os, sys\nos.getenv('A')\nfrom sys import argv") == {
        "os.environ",
        "sys.argv",
    }
    found = {
        module: looked
        for module, path in MODULES.items()
        if not reads(module) and (looked := surroundings(path.read_text()))
    }
    assert found == MAY_LOOK


HELLO = """import sys

sys.path.insert(0, __file__.rsplit("/", 2)[0])
from layers import stack

stack(2)
import click
import mydocker.two
print(sorted(p for p in sys.path if "steps" in p), click.__file__)
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A repository of three steps with a module each, and the real layers.py; no fast_start.py."""
    for name, module in (("01-a", "one"), ("02-b", "two"), ("03-c", "three")):
        package = tmp_path / "steps" / name / "mydocker" / module
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
    for name in ("layers.py", "packages.py"):
        (tmp_path / "steps" / name).write_text((STEPS / name).read_text())
    (tmp_path / "steps/02-b/main.py").write_text(HELLO)
    return tmp_path


@pytest.mark.parametrize("flags", [[], ["-I", "-S"], ["-E", "-s", "-S"]], ids=" ".join)
def test_a_main_runs_from_anywhere(small: Path, flags: list[str]) -> None:
    system = [getattr(sys, "_base_executable", sys.executable), *flags]
    env = {"MYDOCKER_VENV": sys.prefix}
    ways = [
        (small / "steps/02-b/main.py", Path("/")),
        (Path("main.py"), small / "steps/02-b"),
        (Path("steps/02-b/main.py"), small),
    ]
    for main, cwd in ways:
        done = run(*system, main, env=env, cwd=cwd)
        assert done.returncode == 0, done.stderr
        seen = [f"{small}/steps/01-a", f"{small}/steps/02-b"]
        assert done.stdout.startswith(str(seen)), "the path shows these two layers and no more"
        assert sys.prefix in done.stdout, "click comes from the virtual environment"


def test_the_packages_of_the_distribution_come_last(small: Path) -> None:
    """Debian's own click may be another version than the one that was tested."""
    other = small / "dist-packages"
    other.mkdir()
    (other / "click.py").touch()
    env = {"MYDOCKER_VENV": sys.prefix, "PYTHONPATH": str(other)}
    base = getattr(sys, "_base_executable", sys.executable)
    done = run(base, small / "steps/02-b/main.py", env=env)
    assert done.returncode == 0, done.stderr
    assert f"{sys.prefix}/lib" in done.stdout


def test_an_editable_installation_does_not_show_later_steps(small: Path) -> None:
    env = {"MYDOCKER_VENV": sys.prefix, "PYTHONPATH": str(small / "steps/03-c")}
    done = run(sys.executable, small / "steps/02-b/main.py", env=env)
    assert done.returncode == 0, done.stderr
    assert "03-c" not in done.stdout


def test_without_its_dependencies_a_step_says_what_installs_them(small: Path) -> None:
    done = run(
        sys.executable, "-I", "-S", small / "steps/02-b/main.py", env={"MYDOCKER_VENV": "/-"}
    )
    assert done.returncode == 125
    assert done.stdout == ""
    assert done.stderr == (
        f"mydocker: missing: click, rich, psutil; to install, run in {small}: ./mydocker setup\n"
    )


def test_the_virtual_environment_of_another_python_is_named(small: Path) -> None:
    python = small / ".venv/bin/python3"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    done = run(sys.executable, "-I", "-S", small / "steps/02-b/main.py", env={"MYDOCKER_VENV": ""})
    assert done.returncode == 125
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    assert done.stderr == (
        f"mydocker: set up for another Python than this {version}; run it with: {python}\n"
    )


def test_the_launcher_of_a_step_imports_click_and_no_more() -> None:
    plain = "import sys; sys.path.insert(0, sys.argv[1]); import click; print(*sys.modules)"
    stacked = "import sys; sys.path.insert(0, sys.argv[1]); import layers; layers.stack(1); "
    stacked += "print(*sys.modules)"
    packages = f"{sys.prefix}/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    python = [sys.executable, "-I", "-S", "-c"]
    alone = run(*python, plain, packages)
    done = run(*python, stacked, STEPS, env={"MYDOCKER_VENV": sys.prefix})
    assert (alone.stderr, done.stderr) == ("", "")
    ours, theirs = set(done.stdout.split()), set(alone.stdout.split())
    assert "click" in ours and ours - theirs == {"fast_start", "gc", "layers", "packages"}
    assert len(ours) < len(theirs)
