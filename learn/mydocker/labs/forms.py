"""Grades in the forms that other programs read. Pure functions: text comes out.

* JSON: everything, a list of submissions.
* CSV: one line a submission, one column an exercise, for a spreadsheet.
* JUnit's XML, as continuous integration shows it: a wrong answer is a failure, a crash an error.
* Gradescope's ``results.json`` and GitHub Classroom's autograding result: one submission.
"""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

from mydocker.labs.copies import Progress
from mydocker.labs.grading import Grade
from mydocker.labs.verdicts import CHEATED, CRASH, SKIPPED, TIMEOUT, UNWRITTEN, Verdict

_SAID = {
    UNWRITTEN: "not begun",
    CRASH: "crashed",
    TIMEOUT: "did not end in time",
    SKIPPED: "cannot be judged on this machine",
    CHEATED: "the judge was interfered with",
}


def said(verdict: Verdict) -> str:
    """A verdict in lines for the student: what was observed, and what it usually means."""
    lines = [_SAID.get(verdict.outcome, verdict.outcome), *verdict.observed]
    if verdict.hint:
        lines.append(f"hint: {verdict.hint}")
    if verdict.remark:
        lines.append(verdict.remark)
    return "\n".join(lines)


def as_json(grades: Sequence[Grade], seed: str) -> str:
    """Everything."""
    return json.dumps({"seed": seed, "submissions": [_plain(one) for one in grades]}, indent=2)


def _plain(grade: Grade) -> dict[str, Any]:
    return {
        "student": grade.student,
        "lab": grade.step,
        "points": grade.points,
        "max_points": grade.most,
        "refused": list(grade.refused),
        "seed": grade.seed,
        "seconds": grade.seconds,
        "exercises": [
            {
                "id": verdict.exercise.id,
                "title": verdict.exercise.title,
                "outcome": verdict.outcome,
                "points": verdict.points,
                "max_points": verdict.exercise.points,
                "test": verdict.test,
                "observed": list(verdict.observed),
                "hint": verdict.hint,
                "remark": verdict.remark,
                "checks": way.checks,
                "hints": way.hints,
                "solution_seen": way.solution_seen,
            }
            for verdict in grade.verdicts
            for way in [grade.progress.get(verdict.exercise.id, Progress())]
        ],
    }


def as_csv(grades: Sequence[Grade]) -> str:
    """One line a submission; the columns are those of all exercises that occur."""
    names = list(dict.fromkeys(one.id for grade in grades for one in grade.exercises))
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["student", "lab", "points", "max_points", "refused", "seed", *names])
    for grade in grades:
        outcomes = {verdict.exercise.id: verdict.outcome for verdict in grade.verdicts}
        refused = "; ".join(grade.refused)
        row = [grade.student, grade.step, grade.points, grade.most, refused, grade.seed]
        table.writerow([*map(_safe, map(str, row)), *(outcomes.get(name, "") for name in names)])
    return text.getvalue()


def _safe(cell: str) -> str:
    """A spreadsheet runs a cell that begins so: a student may be called whatever he likes."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t")) else cell


def as_junit(grades: Sequence[Grade]) -> str:
    """A test suite for each submission, a test case for each exercise."""
    from xml.etree import ElementTree as Xml

    top = Xml.Element("testsuites", name="mydocker labs")
    for grade in grades:
        suite = Xml.SubElement(top, "testsuite", name=grade.student, time=str(grade.seconds))
        properties = Xml.SubElement(suite, "properties")
        Xml.SubElement(properties, "property", name="seed", value=grade.seed)
        counts = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
        for name, kind, message, text in _cases(grade):
            case = Xml.SubElement(suite, "testcase", classname=f"lab{grade.step:02d}", name=name)
            counts["tests"] += 1
            if kind:
                element = Xml.SubElement(case, kind, message=_xml(message))
                element.text = _xml(text)
                counts[{"failure": "failures", "error": "errors"}.get(kind, kind)] += 1
        for count, number in counts.items():
            suite.set(count, str(number))
    Xml.indent(top)
    return Xml.tostring(top, encoding="unicode", xml_declaration=True) + "\n"


_KINDS = {"passed": "", CRASH: "error", TIMEOUT: "error", SKIPPED: "skipped"}


def _cases(grade: Grade) -> Iterator[tuple[str, str, str, str]]:
    for verdict in grade.verdicts:
        name = f"{verdict.exercise.id} {verdict.exercise.title}"
        kind = _KINDS.get(verdict.outcome, "failure")
        yield name, kind, verdict.outcome, said(verdict)
    if grade.refused:
        yield "submission", "error", "refused", "\n".join(grade.refused)


def _xml(text: str) -> str:
    """Text without the characters that no XML may hold."""
    return "".join(c for c in text if c.isprintable() or c in "\n\t")


def as_gradescope(grade: Grade) -> str:
    """What an autograder of Gradescope leaves in ``results.json``."""
    tests = [
        {
            "number": verdict.exercise.id,
            "name": verdict.exercise.title,
            "score": verdict.points,
            "max_score": verdict.exercise.points,
            "status": "passed" if verdict.passed else "failed",
            "output": "" if verdict.passed else said(verdict),
        }
        for verdict in grade.verdicts
    ]
    told = {
        "score": grade.points,
        "execution_time": grade.seconds,
        "output": _refusal(grade) or f"lab {grade.step:02d}, seed {grade.seed}",
        "stdout_visibility": "hidden",
        "tests": tests,
        "extra_data": {"seed": grade.seed, "student": grade.student},
    }
    return json.dumps(told, indent=2)


def as_classroom(grade: Grade) -> str:
    """The result that GitHub Classroom's autograding reporter takes (its version 1)."""
    tests = [
        {
            "name": f"{verdict.exercise.id} {verdict.exercise.title}",
            "status": "pass" if verdict.passed else _status(verdict),
            "message": "" if verdict.passed else said(verdict),
            "test_code": " ".join(verdict.exercise.tests),
            "filename": "",
            "line_no": 0,
            "execution_time": 0,
            "score": verdict.points,
        }
        for verdict in grade.verdicts
    ]
    if grade.refused:
        refusal = {"name": "submission", "status": "error", "message": _refusal(grade)}
        tests = [{**refusal, "test_code": "", "filename": "", "line_no": 0, "score": 0}]
    status = "pass" if grade.points == grade.most else "fail"
    told = {"version": 1, "status": status, "max_score": grade.most, "tests": tests}
    return json.dumps(told, indent=2)


def _status(verdict: Verdict) -> str:
    return "error" if verdict.outcome in (CRASH, TIMEOUT) else "fail"


def _refusal(grade: Grade) -> str:
    if not grade.refused:
        return ""
    return "refused, for this may not be changed:\n" + "\n".join(grade.refused)
