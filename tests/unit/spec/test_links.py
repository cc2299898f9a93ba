from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.spec.toys import problems


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("field", "code", "summary", "fix"),
    [
        ("churn@champoin", "spec.dangling-reference", "nothing in this project provides the model `churn@champoin`", "did you mean `churn@champion`?"),
        ("${evaluations.gat.model}", "spec.dangling-reference", "there is no `gat` in `evaluations`", "did you mean `gate`?"),
        ("${evaluation.gate.model}", "spec.dangling-reference", "this project has no section `evaluation`", "did you mean `evaluations`?"),
        ("${var.model}", "spec.unknown-variable", "there is no variable `model`", "declare it: `variables: {model: {type: string}}`"),
        ("${env.NO_MODEL}", "spec.missing-value", "`NO_MODEL` is not set", "set NO_MODEL where the command runs"),
        ("${evaluations.gate}", "spec.bad-expression", "`${evaluations.gate}` cannot be resolved", "write `${section.name.output}`, for example `${training.churn.model}`"),
        ("a ${b", "spec.bad-expression", "an expression in deployments.d.model is not closed", "write `${section.name.output}`"),
        ("${}", "spec.bad-expression", "`${}` cannot be resolved", "write `${section.name.output}`, for example `${training.churn.model}`"),
    ],
)  # fmt: skip
def test_names_and_expressions_that_lead_nowhere(tmp_path: Path, field: str, code: str, summary: str, fix: str) -> None:
    text = f"project: x\nevaluations: {{gate: {{model: m, register: churn@champion}}}}\ndeployments: {{d: {{model: '{field}'}}}}\n"
    (found,) = problems(tmp_path, text)
    assert (found.code, found.summary, found.fix) == (code, summary, fix)
    assert str(found.where) == "mlctl.yaml:3:26"


def test_references_to_the_wrong_section(tmp_path: Path) -> None:
    text = """\
project: x
datasets: {trips: {path: p}}
evaluations: {gate: {model: m}}
data_checks:
  a: {dataset: evaluations.gate}
  b: {dataset: gate}
  c: {dataset: datasets.trips}
  d: {dataset: "${datasets.trips.path}"}
"""
    assert [(item.code, item.summary, item.fix) for item in problems(tmp_path, text)] == [
        ("spec.wrong-section", "data_checks.a.dataset takes a resource of `datasets`", "known here: `trips`"),
        ("spec.wrong-section", "data_checks.b.dataset takes a resource of `datasets`", "known here: `trips`"),
        ("spec.dangling-reference", "data_checks.c.dataset takes a name, not an address", "write `trips`"),
        (
            "spec.expression-outside-text",
            "data_checks.d.dataset cannot be an expression",
            "write the name of the resource",
        ),
    ]


def test_one_name_is_provided_once(tmp_path: Path) -> None:
    text = "project: x\nevaluations:\n  a: {model: m, register: c@x}\n  b: {model: m, register: c@x}\n"
    (found,) = problems(tmp_path, text)
    assert (found.code, str(found.where)) == ("spec.duplicate-provided", "mlctl.yaml:4:3")


def test_nothing_is_said_about_users_of_a_block_that_is_wrong_itself(tmp_path: Path) -> None:
    text = "project: x\nevaluations: {gate: {modell: m, register: c@x}}\ndeployments: {d: {model: c@x}, e: {model: '${evaluations.gate.m}'}}\n"
    assert {item.address for item in problems(tmp_path, text)} == {"evaluations.gate"}
