"""Templates by themselves: what Go's text/template, with Docker's functions, makes of the same."""

import json
from pathlib import Path
from typing import Any

import pytest

from mydocker.engine.words.gotypes import typed
from mydocker.engine.words.govalues import Row
from mydocker.engine.words.templates import BAD_TEMPLATE, Template
from mydocker.kernel.errors import Invalid

VALUE = {
    "Name": "box", "Up": True, "Down": False, "Zero": 0, "Three": 3, "None": None, "Empty": "",
    "List": ["a", "b", "c"], "Map": {"b": 2, "a": 1}, "Odd": '<é&">', "Half": 0.5, "Whole": 2.0,
    "Nothings": [],
}  # fmt: skip


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{json .Map}}", '{"b":2,"a":1}'),
        ("{{json .Name}} {{json .None}} {{json .Up}}", '"box" null true'),
        ("{{json .Odd}}", r'"<é&\">"'),  # which Docker does not escape for HTML
        ("{{.List | json}}", '["a","b","c"]'),
        ("{{truncate .Name 2}}|{{truncate .Name 3}}|{{truncate .Name 9}}", "bo|box|box"),
        ('{{eq .Name "x" "box" "y"}} {{eq .Name "x" "y" "z"}}', "true false"),
        ('{{eq .Name "box" "x"}} {{eq .Name "x"}}', "true false"),
        ('{{ne .Name "x"}} {{ne .Name "box"}}', "true false"),
        ("{{lt .Zero 1}}{{lt .Three 3}} {{le .Three 3}}{{le .Three 2}}", "truefalse truefalse"),
        ("{{gt .Three 2}}{{gt .Three 3}} {{ge .Three 3}}{{ge .Three 4}}", "truefalse truefalse"),
        ("{{and .Up .Name}} {{and .Down .Name}} {{and .Up .Zero}}", "box false 0"),
        ("{{or .Down .Name}} {{or .Up .Name}} {{or .Down .Zero}}", "box true 0"),
        ("{{not .Up}} {{not .Empty}}", "false true"),
        ("{{upper .Name}} {{lower (upper .Name)}} {{title .Name}}", "BOX box Box"),
        ('{{join .List "-"}} {{index .List 1}} {{index .Map "a"}} {{len .List}}', "a-b-c b 1 3"),
        ('{{range split "x,y" ","}}[{{.}}]{{end}}', "[x][y]"),
        ('{{printf "%5s|%-5s|%05d|%q|%v|%%" .Name .Name .Three .Name .List}}',
         '  box|box  |00003|"box"|[a b c]|%'),
        ("{{pad .Name 2 1}}|", "  box |"),
        ("{{.Up}} {{.None}} {{.Map}} {{.Half}} {{.Whole}}", "true <no value> map[a:1 b:2] 0.5 2"),
        ("{{range $i, $v := .List}}{{$i}}{{$v}}{{end}}", "0a1b2c"),
        ("{{range .Nothings}}x{{else}}none{{end}}", "none"),
        ("{{with .Name}}<{{.}}>{{end}}{{with .Empty}}x{{else}}none{{end}}", "<box>none"),
        ('{{$x := .Name}}{{if eq $x "a"}}1{{else if eq $x "box"}}2{{else}}3{{end}}', "2"),
        ("a  {{- .Name -}}  b", "aboxb"),
        ("{{println .Name}}", "box\n"),
    ],
)  # fmt: skip
def test_filled_in(template: str, text: str) -> None:
    assert Template(template)(VALUE) == text


def test_json_can_be_read_again() -> None:
    assert json.loads(Template("{{json .}}")(VALUE)) == VALUE


@pytest.mark.parametrize(
    "template",
    ["{{.Nothing}}", "{{.Name.First}}", "{{.None.X}}", "{{index .List 3}}", "{{index .List -1}}"],
)
def test_what_is_not_there(template: str) -> None:
    with pytest.raises(Invalid, match="executing"):
        Template(template)(VALUE)


# What a docker client of version 28 said to each template, of objects that a dockerd of version
# 20.10 showed: in which way it ended, and what it printed. Most that is wrong is told in its words.
DOCKER = json.loads(Path(__file__).with_name("templates.json").read_text())
CASES: list[tuple[str, str, int, str]] = DOCKER["cases"]
TYPES = {"Created": "Container"}  # a container that was never started


def answer(kind: str, template: str) -> tuple[int | None, str]:
    value: Any = typed(DOCKER["values"][kind], TYPES.get(kind, kind))
    try:
        return 0, Template(template, failed=BAD_TEMPLATE).told(value)
    except Invalid as refused:
        return refused.exit_code, refused.message


def test_as_docker_fills_them_in() -> None:
    different, words = [], 0
    for kind, template, code, said in CASES:
        ours = answer(kind, template)
        words += bool(code) and ours == (code, said)
        if ours[0] != code or (code == 0 and ours[1] != said):
            different.append(f"{kind} {template}\n  docker: {code} {said}\n  ours:   {ours}")
    assert not different, f"{len(different)} of {len(CASES)}:\n" + "\n".join(different)
    wrong = sum(1 for case in CASES if case[2])
    assert len(CASES) > 800 and words >= wrong - 20, f"in Docker's words: {words} of {wrong}"


def test_a_field_that_is_not_set_is_nothing_of_its_type() -> None:
    value = typed({"Config": {"Labels": None}, "HostConfig": {}}, "Container")
    template = "{{.Config.Entrypoint}}{{.Config.Labels}}{{.HostConfig.PidsLimit}}{{.State}}"
    assert Template(template).told(value) == "[]map[]<nil><nil>"
    assert (
        Template("{{json .Config.Entrypoint}} {{json .HostConfig.Memory}}").told(value) == "null 0"
    )


def test_a_line_of_a_list() -> None:
    row = Row("a row", {"Name": "<box>", "ID": "1"}, Label=lambda name: name * 2)
    assert Template("{{json .}}")(row) == '{"ID":"1","Name":"\\u003cbox\\u003e"}'
    assert Template('{{.Name}} {{.Label "x"}}')(row) == "<box> xx"
    with pytest.raises(Invalid, match="can't evaluate field Nosuch in type a row"):
        Template("{{.Nosuch}}")(row)
    assert Template("{{upper .Name}}", titles=True)(Row("titles", {"Name": "Name"})) == "Name"


@pytest.mark.parametrize("template", ['{{define "T"}}{{template "T"}}{{end}}{{template "T"}}'])
def test_what_has_no_end_is_refused(template: str) -> None:
    with pytest.raises(Invalid, match="maximum template depth"):
        Template(template)({})
