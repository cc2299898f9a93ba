"""Values put into a project in memory: they count as if they stood in the file, and are refused as they would be there."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlctl.spec.assigned import Assignment
from mlctl.spec.project import Project, load_project
from mlctl.types.address import Address
from mlctl.types.diagnostic import Diagnostic, MlctlError
from tests.unit.spec.toys import registry

PROJECT = """\
project: x
datasets:
  rows: {path: rows.csv, key: [id]}
training:
  m: {data: {labels: rows}, model: {type: mlp, hidden: [8, 4]}, epochs: 3}
"""


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mlctl.yaml").write_text(PROJECT)


def load(*texts: str) -> Project:
    return load_project(Path.cwd(), registry(), given=[Assignment.of(text) for text in texts])


def refused(*texts: str) -> list[Diagnostic]:
    with pytest.raises(MlctlError) as caught:
        load(*texts)
    return list(caught.value.diagnostics)


def spec(project: Project) -> dict[str, object]:
    found: dict[str, object] = project.resources[Address("training", "m")].spec.model_dump(exclude_defaults=True)
    return found


def test_a_value_counts_and_the_file_stays_as_it_is() -> None:
    assert spec(load("training.m.epochs=7"))["epochs"] == 7
    assert Path("mlctl.yaml").read_text() == PROJECT
    assert spec(load())["epochs"] == 3


def test_an_input_of_a_module_counts_and_what_it_makes_is_told_apart() -> None:
    Path("m.yaml").write_text(
        "module: m\ninputs: {n: {type: int}}\n"
        "training: {t: {data: {labels: rows}, model: {type: mlp, hidden: [8]}, epochs: '${input.n}'}}\n"
    )
    Path("mlctl.yaml").write_text(
        PROJECT
        + "  many: {for_each: [a, b], data: {labels: rows}, model: {type: mlp, hidden: [8]}}\nmodules: {eu: {source: m.yaml, inputs: {n: 2}}}\n"
    )
    made = load("modules.eu.inputs.n=5").resources[Address.parse("training.eu.t")]
    assert made.spec.model_dump()["epochs"] == 5
    (inside,) = refused("training.eu.t.epochs=5")
    assert "modules.eu.inputs" in inside.fix
    (instance,) = refused('training.many["a"].epochs=5')
    assert "training.many.FIELD" in instance.fix
    (other,) = refused("modules.us.inputs.n=5")
    assert (other.code, other.fix) == ("spec.dangling-reference", "known here: `eu`")


def test_of_two_values_of_one_field_the_last_counts() -> None:
    assert spec(load("training.m.epochs=7", "training.m.epochs=9"))["epochs"] == 9


def test_a_block_takes_the_place_of_the_one_that_was_there() -> None:
    found = load("training.m.model={type: python, entrypoint: a.py:build}")
    assert spec(found)["model"] == {"type": "python", "entrypoint": "a.py:build"}


def test_null_takes_a_field_or_a_resource_away() -> None:
    assert "epochs" not in spec(load("training.m.epochs=null"))
    assert Address("training", "m") not in load("training.m=null").resources


def test_a_value_has_another_digest_than_the_file() -> None:
    assert load("training.m.epochs=7").digest != load().digest == load("training.m.epochs=3").digest


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("training.m.epohcs=7", "spec.unknown-field", "did you mean `epochs`?"),
        ("training.m.epochs=many", "spec.wrong-type", "write a number"),
        ("training.m.model={type: mlp, hiden: [3]}", "spec.unknown-field", "did you mean `hidden`?"),
        ("training.n.epochs=7", "spec.dangling-reference", "`m`"),
        ("trainng.m.epochs=7", "spec.unknown-section", "did you mean `training`?"),
        ("variables.size=7", "spec.unknown-section", "--var size="),
        ("training.m.model={type: mlp", "spec.syntax", "}"),
        ("training.m.data.labels=nothing", "spec.dangling-reference", "rows"),
        ("training.m.epochs.deep=7", "spec.wrong-type", ""),
    ],
)
def test_nonsense_is_refused_with_its_place_and_a_way_out(text: str, code: str, said: str) -> None:
    found = refused(text)
    assert code in [item.code for item in found]
    told = next(item for item in found if item.code == code)
    assert said in told.fix
    assert told.where is not None
    assert told.where.file == f"--set {text}"


@pytest.mark.parametrize(
    "text",
    ["", "training", "training.m.epochs", "=7", "training..epochs=7", "epochs=7", "training.m.x=1\n2",
     "training.m.x=1\r  n: {}", "training.m.x=1\u2028n: 2"],
)  # fmt: skip
def test_what_is_no_assignment_is_refused(text: str) -> None:
    with pytest.raises(MlctlError) as caught:
        Assignment.of(text)
    assert caught.value.diagnostics[0].code == "cli.usage"


def test_a_name_with_signs_of_yaml_is_a_name() -> None:
    assert refused("training.m.@x=1")[0].code == "spec.unknown-field"
    assert refused("training.m.null=1")[0].code == "spec.unknown-field"


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from(["training", "m", "datasets", "rows", "model", "hidden", "é", "a b", "null", "1", "${x}"]), min_size=1, max_size=5),
    st.text(max_size=20),
)  # fmt: skip
def test_whatever_is_assigned_is_taken_or_refused_in_words(path: list[str], value: str) -> None:
    told: list[Diagnostic] = []
    try:
        load(f"{'.'.join(path)}={value}")
    except MlctlError as error:
        told = list(error.diagnostics)
    assert all(item.summary for item in told)
