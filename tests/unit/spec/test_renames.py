"""`moved`, `import`, `policies`, `owner`: what a project says beside its resources."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlctl.spec.project import load_project
from mlctl.types.address import Address
from tests.unit.spec.toys import load, problems, registry


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


HEAD = "project: x\ndatasets: {b: {path: p}, m: {for_each: [k], path: q}}\n"


def test_moves_end_where_the_last_one_does(tmp_path: Path) -> None:
    moved = "moved: [{from: datasets.a, to: datasets.b}, {from: datasets.z, to: datasets.a}, {from: datasets.o, to: 'datasets.m[\"k\"]'}]\n"
    project = load(tmp_path, HEAD + moved)
    assert [(str(old), str(new)) for old, new in project.moved] == [
        ("datasets.a", "datasets.b"), ("datasets.z", "datasets.b"), ("datasets.o", 'datasets.m["k"]'),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("moved", "code", "place"),
    [
        ("[{from: datasets.a, to: datasets.c}]", "spec.dangling-reference", "mlctl.yaml:3:32"),
        ("[{from: datasets.b, to: datasets.m}]", "spec.duplicate-address", "mlctl.yaml:3:16"),
        ("[{from: datasets.a, to: training.b}]", "spec.wrong-section", "mlctl.yaml:3:9"),
        (
            "[{from: datasets.a, to: datasets.b}, {from: datasets.a, to: datasets.m}]",
            "spec.duplicate-address",
            "mlctl.yaml:3:52",
        ),
        (
            "[{from: datasets.a, to: datasets.b}, {from: datasets.c, to: datasets.b}]",
            "spec.duplicate-address",
            "mlctl.yaml:3:68",
        ),
        ("[{from: datasets.y, to: datasets.z}, {from: datasets.z, to: datasets.y}]", "spec.cycle", "mlctl.yaml:3:9"),
        ("[{from: a, to: datasets.b}]", "spec.bad-address", "mlctl.yaml:3:16"),
        ("[{from: datasets.a, to: datasets.b, why: x}]", "spec.unknown-field", "mlctl.yaml:3:44"),
        ("{from: datasets.a, to: datasets.b}", "spec.wrong-type", "mlctl.yaml:3:8"),
        ("[datasets.a]", "spec.wrong-type", "mlctl.yaml:3:9"),
    ],
)
def test_moves_that_cannot_be(tmp_path: Path, moved: str, code: str, place: str) -> None:
    found = problems(tmp_path, f"{HEAD}moved: {moved}\n")
    assert (found[0].code, str(found[0].where)) == (code, place)


def test_a_move_to_what_this_environment_has_not_is_no_mistake(tmp_path: Path) -> None:
    text = HEAD + "environments: {dev: {datasets: {b: null}}}\nmoved: [{from: datasets.a, to: datasets.b}]\n"
    assert load(tmp_path, text).moved == ()


def test_imports_are_ids_by_address(tmp_path: Path) -> None:
    text = (
        HEAD
        + "variables: {run: {type: string, default: r1}}\nimport: [{to: datasets.b, id: 'runs:/${var.run}/model'}]\n"
    )
    assert load(tmp_path, text).imports == {Address("datasets", "b"): "runs:/r1/model"}


@pytest.mark.parametrize(
    ("imported", "code", "place"),
    [
        ("[{to: datasets.c, id: x}]", "spec.dangling-reference", "mlctl.yaml:3:15"),
        ("[{to: datasets.b, id: x}, {to: datasets.b, id: y}]", "spec.duplicate-address", "mlctl.yaml:3:40"),
        ("[{to: datasets.b, id: ''}]", "spec.bad-value", "mlctl.yaml:3:31"),
        ("[{to: datasets.b}]", "spec.missing-field", "mlctl.yaml:3:10"),
        ("[{to: datasets.b, id: '${datasets.m.id}'}]", "spec.bad-expression", "mlctl.yaml:3:31"),
        ("[{to: datasets.b, id: '${var.x}'}]", "spec.unknown-variable", "mlctl.yaml:3:31"),
    ],
)
def test_imports_that_cannot_be(tmp_path: Path, imported: str, code: str, place: str) -> None:
    (found,) = problems(tmp_path, f"{HEAD}import: {imported}\n")
    assert (found.code, str(found.where)) == (code, place)


POLICY = """\
project: x
environments: {dev: {}, prod: {default: true}}
policies:
  all: {deny: "changes[?action == 'destroy']", message: nothing goes}
  some:
    require: length(changes) > `0`
    severity: warning
    environments: [dev]
    waivers: [{who: ada, until: 2026-12-31, why: the move, address: "training.*"}]
"""


def test_policies_are_those_that_count_in_the_environment(tmp_path: Path) -> None:
    project = load(tmp_path, POLICY)
    assert list(project.policies) == ["all"]
    assert str(project.where_block(("policies", "all"))) == "mlctl.yaml:4:3"
    dev = load(tmp_path, POLICY.replace("dev: {}, prod: {default: true}", "dev: {default: true}, prod: {}"))
    (waiver,) = dev.policies["some"].waivers
    assert (str(waiver.until), waiver.address) == ("2026-12-31", "training.*")


@pytest.mark.parametrize(
    ("old", "new", "code", "place"),
    [
        ("changes[?action == 'destroy']", "changes[?action = 'destroy']", "spec.bad-value", "mlctl.yaml:4:15"),
        ("changes[?action == 'destroy']", "", "spec.bad-value", "mlctl.yaml:4:15"),
        ("changes[?action == 'destroy']", "changes[?!spec.owner]", "spec.bad-value", "mlctl.yaml:4:15"),
        ("changes[?action == 'destroy']", "resources[?!gates[?a == 'b']]", "spec.bad-value", "mlctl.yaml:4:15"),
        ("message: nothing", "require: x, message: nothing", "spec.bad-value", "mlctl.yaml:4:3"),
        ("severity: warning", "severity: fatal", "spec.bad-value", "mlctl.yaml:7:15"),
        ("environments: [dev]", "environments: [dve]", "spec.dangling-reference", "mlctl.yaml:8:20"),
        ("until: 2026-12-31", "until: soon", "spec.wrong-type", "mlctl.yaml:9:33"),
        ("why: the move, ", "", "spec.missing-field", "mlctl.yaml:9:15"),
    ],
)
def test_policies_that_cannot_be(tmp_path: Path, old: str, new: str, code: str, place: str) -> None:
    assert old in POLICY
    found = problems(tmp_path, POLICY.replace(old, new, 1))
    assert (found[0].code, str(found[0].where)) == (code, place)


def test_the_team_owns_what_names_no_owner(tmp_path: Path) -> None:
    (tmp_path / "mlctl.yaml").write_text(
        "project: x\nowner: {team: core}\ndatasets: {a: {path: p}, b: {path: q, owner: me}}\n"
    )
    project = load_project(tmp_path, registry())
    assert [resource.spec.owner for resource in project.resources.values()] == ["core", "me"]
