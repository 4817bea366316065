"""A mark cannot be had without an answer: each of these is a wrong one that would be a right one.

All stand in exercise 2.2, a parser that the tests call in their own process, and have all that is
in it. None may pass; most are found out, and some only end the suite.
"""

import json
import subprocess
from pathlib import Path

import pytest
from labs.patches import ROOT
from labs.test_safety import judged

from mydocker.labs import regions

pytestmark = pytest.mark.root

FILE = "02-cgroups/mydocker/cgroups/hierarchy.py"
FORGED = {
    "what": "passed", "test": "tests/02-cgroups/test_hierarchy.py::test_membership", "text": "",
}  # fmt: skip

ATTACKS = {
    "report": """
    import _pytest.reports as reports
    old = reports.TestReport.__init__
    def new(self, *a, **k):
        old(self, *a, **k)
        self.outcome = "passed"
    reports.TestReport.__init__ = new
""",
    "call": """
    import _pytest.runner as runner
    class Done:
        excinfo, when, start, stop, duration, result = None, "call", 0, 0, 0, None
    def quiet(func, when, reraise=None):
        try:
            func()
        except BaseException:
            pass
        one = Done()
        one.when = when
        return one
    runner.CallInfo.from_call = quiet
""",
    "hook": """
    import gc, _pytest.config as config
    for one in gc.get_objects():
        if isinstance(one, config.PytestPluginManager):
            class Quiet:
                def pytest_pyfunc_call(self, pyfuncitem):
                    return True
            import pytest
            Quiet.pytest_pyfunc_call = pytest.hookimpl(tryfirst=True)(Quiet.pytest_pyfunc_call)
            one.register(Quiet(), "quiet")
""",
    "exit": "    import sys\n    sys.exit(0)\n",
    "_exit": "    import os\n    os._exit(0)\n",
    "pytest.exit": "    import pytest\n    pytest.exit('done', 0)\n",
    "stop": """
    import gc, pytest
    for one in gc.get_objects():
        if isinstance(one, pytest.Session):
            one.shouldstop = "enough"
    groups = {}
    for line in text.splitlines():
        _, controllers, group = line.split(":", 2)
        groups[controllers or "unified"] = group
    return groups if "shouldstop" else {}
""",
    "atexit": f"""
    import atexit, os
    def write():
        with open("/tmp/told", "a") as file:
            file.write({json.dumps(FORGED)!r} + "\\n" + '{{"what": "finished", "exit_code": 0}}\\n')
        os._exit(0)
    atexit.register(write)
    os._exit(0) if os.fork() else write()
""",
    "told": f"""
    import os
    with open("/tmp/told", "w") as file:
        file.write({json.dumps(FORGED)!r} + "\\n" + '{{"what": "finished", "exit_code": 0}}\\n')
    os._exit(0)
""",
    "nonsense": """
    import os
    with open("/tmp/told", "wb") as file:
        file.write(b"\\xff[1, 2\\n" * 1000)
    os._exit(0)
""",
    "teller": """
    from sandbox.telling import Teller
    import gc
    for one in gc.get_objects():
        if isinstance(one, Teller):
            tell = one.tell
            def lie(**told):
                if told.get("what") == "failed":
                    told = {"what": "passed", "test": told["test"], "text": ""}
                tell(**told)
            one.tell = lie
""",
    "skip": "    import pytest\n    pytest.skip('not here')\n",
    "SkipTest": "    import unittest\n    raise unittest.SkipTest('not here')\n",
    "xfail": "    import pytest\n    pytest.xfail('known')\n",
    "skip for failure": """
    import builtins, pytest
    builtins.AssertionError = pytest.skip.Exception
""",
    "code": """
    import gc, types
    def nothing():
        pass
    for one in gc.get_objects():
        if isinstance(one, types.FunctionType) and one.__name__.startswith("test_"):
            one.__code__ = (lambda *a, **k: None).__code__
""",
    "contract": """
    from sandbox import contract
    contract.settled = lambda *a, **k: []
    groups = {}
    for line in text.splitlines():
        _, controllers, group = line.split(":", 2)
        groups[controllers or "unified"] = group
    return groups
""",
    "launcher": """
    from sandbox.launcher import Launcher
    Launcher.__call__ = lambda self, *a, **k: None
""",
    "equal to all": """
    from unittest.mock import ANY
    return ANY
""",
    "equal to all, by a class": """
    class All(dict):
        __hash__ = None
        def __eq__(self, other):
            return True
        def __ne__(self, other):
            return False
        def __getitem__(self, name):
            return self
    return All()
""",
    "trace": """
    import sys
    def trace(frame, event, argument):
        return trace
    sys.settrace(trace)
    groups = {}
    for line in text.splitlines():
        _, controllers, group = line.split(":", 2)
        groups[controllers or "unified"] = group
    return groups
""",
    "killed": "    import os\n    os.kill(os.getppid(), 9)\n    os.kill(os.getpid(), 9)\n",
}


@pytest.mark.parametrize("name", ATTACKS)
def test_no_mark_without_an_answer(name: str) -> None:
    body = ATTACKS[name] + ("" if "return" in ATTACKS[name] else "    return {}\n")
    ((_, outcome, observed, _),) = judged(body, canaries=True)
    assert outcome not in ("passed", "skipped"), observed


@pytest.mark.parametrize("name", ["report", "call", "hook", "told", "contract", "trace"])
def test_who_tampers_is_found_out(name: str) -> None:
    body = ATTACKS[name] + ("" if "return" in ATTACKS[name] else "    return {}\n")
    ((_, outcome, observed, _),) = judged(body, canaries=True)
    assert outcome == "cheated", observed


def test_who_tampers_spoils_no_other_s_mark() -> None:
    body = ATTACKS["report"] + "    return {}\n"
    found = judged(body, "2.1", "2.2", "2.4", canaries=True)
    assert {name: outcome for name, outcome, *_ in found} == {
        "2.1": "passed", "2.2": "cheated", "2.4": "passed",
    }  # fmt: skip


@pytest.mark.parametrize("what", ["link", "pipe", "directory"])
def test_the_judge_reads_no_file_of_the_machine(what: str, tmp_path: Path) -> None:
    """And waits for nobody, where its files were exchanged for something else."""
    secret = tmp_path / "secret"
    secret.write_text("the answer\n" * 3)
    make = {"link": f"os.symlink({str(secret)!r}, path)", "pipe": "os.mkfifo(path)",
            "directory": "os.mkdir(path)"}[what]  # fmt: skip
    body = f"""
    for path in ("/tmp/told", "/tmp/log"):
        os.unlink(path)
        {make}
    os._exit(0)
"""
    ((_, outcome, observed, _),) = judged(body)
    assert outcome == "crash"
    assert "the answer" not in " ".join(observed)


def test_what_it_leaves_is_removed_whatever_it_is(tmp_path: Path) -> None:
    body = """
    os.mkdir("/tmp/deep")
    os.chdir("/tmp/deep")
    for _ in range(3000):
        os.mkdir("d")
        os.chdir("d")
    os.chdir("/tmp")
    os.mkdir("/tmp/closed", 0)
    os.symlink("/", "/tmp/closed/root")
    return {}
"""
    try:
        judged(body, TMPDIR=str(tmp_path))
        assert list(tmp_path.iterdir()) == []
    finally:  # where it fails, pytest would stumble over it, too
        subprocess.run(["rm", "-rf", *tmp_path.iterdir()], check=True)


# ---------------------------------------------------------------- a region stays a region

ESCAPES = {
    "dedent": "    return {}\nclass Hierarchy:\n    pass\n",
    "a function beside": "    return {}\ndef groups_of(*a):\n    return {}\n",
    "a string that swallows": "    return {}\n    '''\n",
    "a decorator": "    return {}\n@staticmethod\n",
    "global": "    global groups_of\n    groups_of = dict\n    return {}\n",
    "global inside": "    def inner():\n        global plain\n        plain = str\n    inner()\n",
    "equal to all": ATTACKS["equal to all"],
    "equal to all, by a class": ATTACKS["equal to all, by a class"],
    "equal to all, by a type": "    return type('A', (), {'__eq__': lambda *a: True})()\n",
    "an odd line": "    x = 1 # \x0cimport os\n    return {}\n",
    "a statement that goes on": "    return dict(a=1) if text else \\\n",
}


def grafted(body: str) -> str:
    ours = (ROOT / "steps" / FILE).read_text()
    return regions.replaced(ours, lambda r: body if r.exercise == "2.2" else r.body)


@pytest.mark.parametrize("name", ESCAPES)
def test_a_region_cannot_end_its_function(name: str) -> None:
    ours, theirs = (ROOT / "steps" / FILE).read_text(), grafted(ESCAPES[name])
    try:
        assert regions.escaped(ours, theirs) != ""
    except SyntaxError:
        pass  # and that is told before


@pytest.mark.parametrize(
    "body",
    [
        "    return {}\n",
        "    # a comment\n\n    def inner(a):\n        b = a\n        return b\n    return {}\n",
        "    class Own:\n        pass\n    for _ in text:\n        pass\n    return {}\n",
        "    text = '''\n# no mark\n'''\n    return {}\n",
        "        # indented further\n    return {}\n",
    ],
)
def test_what_stays_inside_is_no_escape(body: str) -> None:
    ours = (ROOT / "steps" / FILE).read_text()
    assert regions.escaped(ours, grafted(body)) == ""


def test_our_own_solutions_stay_inside() -> None:
    for text in regions.marked(str(ROOT / "steps")).values():
        assert regions.escaped(text, text) == ""


def test_an_escape_is_told() -> None:
    ((_, outcome, observed, hint),) = judged("    return {}\ndef groups_of(*a):\n    return {}\n")
    assert outcome == "crash" and "outside of the exercise" in observed[0]
    assert "between the two marks" in hint
