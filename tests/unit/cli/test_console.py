"""The console: completion of what is there, and lines of standard input one by one."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mlctl.cli.commands.console import app, complete
from mlctl.cli.evaluating import Console
from mlctl.engine.ledger import Ledger
from mlctl.types.address import Address, ObjectKey
from mlctl.types.diagnostic import MlctlError
from mlctl.types.state import Pending, Record, State
from mlctl.workspace import Workspace

NAMES = ["datasets.visits", "datasets.visits.rows", 'datasets.visits["eu"].rows', "training.a.metrics", "var.top"]


def completions(text: str) -> list[str]:
    found = []
    while (item := complete(NAMES, text, len(found))) is not None:
        found.append(item)
    return found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("d", ["datasets"]),
        ("datasets.", ["datasets.visits", 'datasets.visits["eu"]']),
        ("datasets.visits.", ["datasets.visits.rows"]),
        ("at ${var.", ["at ${var.top"]),
        ("x", []),
    ],
)
def test_a_word_is_completed_up_to_its_next_dot(text: str, found: list[str]) -> None:
    assert completions(text) == found


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    (tmp_path / "mlctl.yaml").write_text("project: p\nentities:\n  a: {key: x}\n  new: {key: y}\n")
    address = Address("entities", "a")
    records = [
        Record(ObjectKey(address, "k"), sequence=1, outputs={"n": 3, "deep": {"list": [1, {"x-y": 2}]}}),
        Record(ObjectKey(address, "begun"), sequence=2, pending=Pending.APPLY),
        Record(ObjectKey(Address("entities", 'b["eu"]'), "k"), sequence=3, outputs={"n": 4}),
    ]
    state = State("l", 1, {item.key: item for item in records})
    monkeypatch.setattr(Workspace, "ledger", lambda self: Ledger(state))
    return Workspace(tmp_path)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("entities.a.n", 3),
        ("entities.a.deep.list[0]", 1),
        ("entities.a.deep.list[1].\"x-y\"", 2),
        ('entities.b["eu"].n', 4),
        ('${entities.b["eu"].n}', 4),
        ("${entities.a.n}/${entities.a.deep}", '3/{"list": [1, {"x-y": 2}]}'),
        ("entities.new", None),
        ("sum(values(entities)[].n)", 7),
        ("length(resources)", 3),
        ("resources[?name=='a'] | [0].identity", "k"),
        ("project", "p"),
    ],
)  # fmt: skip
def test_expressions(made: Workspace, expression: str, value: object) -> None:
    assert Console(made).value(expression) == value


@pytest.mark.parametrize(
    ("expression", "code"),
    [
        ("entities.c.n", "cli.unknown-name"),
        ("entities.a.m", "cli.unknown-name"),
        ("entities.new.n", "console.not-made"),
        ("${entities.a.n", "console.not-closed"),
        ("entities.a.deep[", "console.bad-expression"),
        ("nonsense(1)", "console.bad-expression"),
        ("var.x", "cli.unknown-name"),
    ],
)
def test_what_has_no_value_says_why(made: Workspace, expression: str, code: str) -> None:
    with pytest.raises(MlctlError, match=code):
        Console(made).value(expression)


@pytest.fixture
def many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    uses = "modules:\n  eu: {source: m.yaml, inputs: {key: id}}\n  of: {source: m.yaml, for_each: [us, asia], inputs: {key: id}}\n"
    (tmp_path / "mlctl.yaml").write_text(f"project: p\n{uses}entities:\n  a: {{for_each: [x, y], key: id}}\n")
    outputs = "{n: '${entities.b.n}', all: [1, 'n is ${entities.b.n}'], deep: '${entities.b.deep}'}"
    (tmp_path / "m.yaml").write_text(
        f"module: m\ninputs: {{key: {{type: string}}}}\nentities:\n  b: {{key: '${{input.key}}'}}\noutputs: {outputs}\n"
    )
    names = ['a["x"]', 'a["y"]', "eu.b", 'of["us"].b', 'of["asia"].b']
    records = [
        Record(ObjectKey(Address("entities", name), "k"), sequence=at, outputs={"n": at, "deep": {"m": -at}})
        for at, name in enumerate(names)
    ]
    state = State("l", 1, {item.key: item for item in records})
    monkeypatch.setattr(Workspace, "ledger", lambda self: Ledger(state))
    return Workspace(tmp_path)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("${entities.a[*].n}", {"x": 0, "y": 1}),
        ("entities.a[*].deep.m", {"x": 0, "y": -1}),
        ("${module.eu.n}", 2),
        ("module.eu.all", [1, "n is 2"]),
        ("module.eu.deep.m", -2),
        ('module.of["us"].n', 3),
        ("${module.of[*].n}", {"asia": 4, "us": 3}),
        ("at ${module.eu.n}", "at 2"),
        ("resources[*].outputs.n | length(@)", 5),
    ],
)
def test_what_a_project_file_can_say_of_instances_and_modules_can_be_asked(
    many: Workspace, expression: str, value: object
) -> None:
    assert Console(many).value(expression) == value


@pytest.mark.parametrize(
    ("expression", "meant"),
    [
        ('entities.a["z"].n', 'did you mean `entities.a["'),
        ("module.eu.m", "known here"),
        ("module.ue.n", "module.eu"),
        ("module.of.n", "module.of"),
        ("module.eu.deep.x", "known here: `m`"),
    ],
)
def test_an_instance_or_a_module_that_is_not_there_is_told_with_what_is(
    many: Workspace, expression: str, meant: str
) -> None:
    with pytest.raises(MlctlError, match=r"cli\.unknown-name") as refused:
        Console(many).value(expression)
    assert meant in refused.value.diagnostics[0].fix


def test_each_line_of_the_input_is_an_expression_and_a_wrong_one_does_not_end_it(made: Workspace) -> None:
    text = "entities.a.n\n\n# a note\nentities.a.m\nproject\n"
    done = CliRunner().invoke(app, ["-C", str(made.root), "--json"], input=text, standalone_mode=False)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line.get("value", line.get("code")) for line in lines] == [3, "cli.unknown-name", "p"]
    assert done.return_value == 1


def test_names_to_complete_are_addresses_outputs_and_variables(made: Workspace) -> None:
    assert {"entities.a", "entities.a.n", "entities.new", 'entities.b["eu"].n', "resources", "project"} <= {
        *Console(made).names
    }
