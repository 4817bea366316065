"""Templates by themselves: what Go's text/template, with Docker's functions, makes of the same."""

import json

import pytest

from mydocker.engine.words.templates import Template
from mydocker.kernel.errors import Invalid

VALUE = {
    "Name": "box", "Up": True, "Down": False, "Zero": 0, "Three": 3, "None": None, "Empty": "",
    "List": ["a", "b", "c"], "Map": {"b": 2, "a": 1}, "Odd": '<é&">', "Half": 0.5, "Whole": 2.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{json .Map}}", '{"b":2,"a":1}'),
        ("{{json .Name}} {{json .None}} {{json .Up}}", '"box" null true'),
        ("{{json .Odd}}", r'"\u003cé\u0026\"\u003e"'),  # as Go escapes for HTML
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
        ("{{range .Empty}}x{{else}}none{{end}}", "none"),
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
