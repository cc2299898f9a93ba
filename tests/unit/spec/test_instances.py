"""One block for several resources: their keys, what they may say, and how others name them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlctl.spec.instances import LIMIT, Refused, of_each, of_matrix, written
from mlctl.spec.scalars import plain
from mlctl.types.address import Address
from mlctl.types.change import EdgeKind
from tests.unit.spec.toys import context, load, problems, texts


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def names(instances: object) -> list[str]:
    return [item.key for item in instances]  # type: ignore[attr-defined]


def test_a_matrix_is_every_combination_in_the_order_of_the_file() -> None:
    matrix = {
        "lr": [1e-3, 1e-5],
        "big": [True, False],
        "exclude": [{"lr": 1e-5, "big": True}],
        "include": [{"big": True, "lr": 1}],
    }
    found = of_matrix(matrix, "t")
    assert names(found) == ["lr=0.001,big=true", "lr=0.001,big=false", "lr=1e-05,big=false", "lr=1,big=true"]
    assert found[0].matrix == found[0].value == {"lr": 1e-3, "big": True}


def test_keys_come_from_a_list_or_from_the_names_of_a_block() -> None:
    assert names(of_each(["eu", 1, 2.5, False], "t")) == ["eu", "1", "2.5", "false"]
    assert [(item.key, item.value) for item in of_each({"a": {"n": 1}, "b": None}, "t")] == [
        ("a", {"n": 1}),
        ("b", None),
    ]


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans())
def test_what_is_written_reads_back_as_the_same(value: object) -> None:
    assert plain(written(value)) == value


@pytest.mark.parametrize(
    ("make", "value", "code", "said"),
    [
        (of_each, [], "spec.empty", "t.for_each is empty"),
        (of_each, 5, "spec.wrong-type", "t.for_each takes a list or a block"),
        (of_each, [{"a": 1}], "spec.bad-value", "t.for_each takes a list of texts"),
        (of_each, ["a", "a"], "spec.duplicate-key", "two instances with the key `a`"),
        (of_each, ["1", 1], "spec.duplicate-key", "two instances with the key `1`"),
        (of_each, ["a b"], "spec.bad-key", "`a b` cannot be the key"),
        (of_each, ["../x"], "spec.bad-key", "`../x` cannot be the key"),
        (of_each, ["x" * 81], "spec.bad-key", "cannot be the key"),
        (of_each, list(range(LIMIT + 1)), "spec.too-many", "1,001 instances"),
        (of_matrix, [], "spec.wrong-type", "t.matrix takes a block of lists"),
        (of_matrix, {}, "spec.empty", "t.matrix is empty"),
        (of_matrix, {"a": []}, "spec.empty", "t.matrix.a is empty"),
        (of_matrix, {"a": [[1]]}, "spec.wrong-type", "t.matrix.a takes a list of texts, numbers or truth values"),
        (of_matrix, {"a": 5}, "spec.wrong-type", "t.matrix.a takes a list"),
        (of_matrix, {name: list(range(100)) for name in "abcdefgh"}, "spec.too-many", "10,000,000,000,000,000 instances"),
        (of_matrix, {"a": [1], "exclude": [{"a": 2}]}, "spec.no-effect", "leaves nothing out"),
        (of_matrix, {"a": [1], "exclude": [{"b": 2}]}, "spec.unknown-field", "no dimension `b`"),
        (of_matrix, {"a": [1], "exclude": [{"a": 1}]}, "spec.empty", "t.matrix is empty"),
        (of_matrix, {"a": [1], "b": [1], "include": [{"a": 2}]}, "spec.missing-field", "is not whole"),
        (of_matrix, {"a": [1], "include": [{"a": 1}]}, "spec.duplicate-key", "two instances with the key `a=1`"),
        (of_matrix, {"a": [1], "include": 3}, "spec.wrong-type", "t.matrix.include takes a list of blocks"),
    ],
)  # fmt: skip
def test_what_makes_no_instances(make: Any, value: object, code: str, said: str) -> None:
    with pytest.raises(Refused) as caught:
        make(value, "t")
    assert caught.value.problem.code == code
    assert said in caught.value.problem.summary


MATRIX = """\
project: x
datasets:
  d:
    for_each: {eu: {rows: 1, dir: a}, us: {rows: 2, dir: b}}
    path: ${each.value.dir}/${each.key}.csv
    rows: ${each.value.rows}
data_checks:
  ok: {for_each: datasets.d, dataset: 'd["${each.key}"]', references: 'd["eu"]'}
training:
  t:
    matrix: {lr: [0.1, 0.01], on: [eu]}
    data: {labels: 'd["${matrix.on}"]'}
    learning_rate: ${matrix.lr}
evaluations:
  e: {for_each: training.t, model: "${training.t[each.key].model}"}
  one: {model: '${training.t["lr=0.1,on=eu"].model}', depends_on: [training.t, 'data_checks.ok["us"]']}
"""


def test_instances_are_resources_of_their_own(tmp_path: Path) -> None:
    project = load(tmp_path, MATRIX)
    assert [str(address) for address in project.order] == [
        'datasets.d["eu"]', 'data_checks.ok["eu"]', 'datasets.d["us"]', 'data_checks.ok["us"]',
        'training.t["lr=0.01,on=eu"]', 'evaluations.e["lr=0.01,on=eu"]', 'training.t["lr=0.1,on=eu"]',
        'evaluations.e["lr=0.1,on=eu"]', "evaluations.one",
    ]  # fmt: skip
    spec: Any = project.resources[Address.parse('datasets.d["us"]')].spec
    assert (spec.path, spec.rows) == ("b/us.csv", 2)
    training: Any = project.resources[Address.parse('training.t["lr=0.01,on=eu"]')].spec
    assert training.learning_rate == 0.01
    edges = project.edges[Address.parse("evaluations.one")]
    assert {str(address): [*kinds] for address, kinds in edges.items() if EdgeKind.ORDER in kinds and EdgeKind.INPUT not in kinds} == {
        'training.t["lr=0.01,on=eu"]': [EdgeKind.ORDER], 'data_checks.ok["us"]': [EdgeKind.ORDER],
    }  # fmt: skip
    assert str(project.where(Address.parse('datasets.d["us"]'), ("path",))) == "mlctl.yaml:5:11"


def test_all_instances_are_asked_for_by_a_star(tmp_path: Path) -> None:
    text = MATRIX + "deployments: {}\n"
    text = text.replace("data: {labels: 'd[\"${matrix.on}\"]'}", "data: {labels: 'd[\"eu\"]', by_name: {}}")
    text = text.replace("  one: {model", '  all: {model: m, tags: "${training.t[*].model}"}\n  one: {model')
    project = load(tmp_path, text)
    spec: Any = project.resources[Address.parse("evaluations.all")].spec
    assert spec.tags == {
        "lr=0.1,on=eu": '${training.t["lr=0.1,on=eu"].model}',
        "lr=0.01,on=eu": '${training.t["lr=0.01,on=eu"].model}',
    }
    assert len(project.edges[Address.parse("evaluations.all")]) == 2


@pytest.mark.parametrize(
    ("old", "new", "code", "place", "said"),
    [
        ("'d[\"${matrix.on}\"]'", "d", "spec.needs-key", "mlctl.yaml:12:20", "datasets.d has several instances"),
        ("'d[\"${matrix.on}\"]'", "'d[\"as\"]'", "spec.dangling-reference", "mlctl.yaml:12:20", "there is no `d[\"as\"]`"),
        ("${matrix.lr}", "${matrix.rl}", "spec.bad-expression", "mlctl.yaml:13:20", "the matrix has no `rl`"),
        ("${each.value.dir}", "${each.value.dri}", "spec.bad-expression", "mlctl.yaml:5:11", "has no `dri`"),
        ("${each.value.dir}", "${each.valeu}", "spec.bad-expression", "mlctl.yaml:5:11", "`${each.valeu}` cannot be resolved"),
        ("${each.value.dir}", "${each.value}", "spec.bad-expression", "mlctl.yaml:5:11", "cannot be a part of a text"),
        ("training.t[each.key].model", "training.t.model", "spec.needs-key", "mlctl.yaml:15:36", "training.t has several instances"),
        ("model: \"${training.t[each.key].model}\"", "model: \"${training.t[*].model}\"", "spec.wrong-type", "mlctl.yaml:15:36", "takes a text"),
        ("for_each: datasets.d", "for_each: datasets.e", "spec.dangling-reference", "mlctl.yaml:8:18", "there is no `datasets.e`"),
        ("for_each: datasets.d", "for_each: evaluations.one", "spec.bad-value", "mlctl.yaml:8:18", "evaluations.one has no instances"),
        ("for_each: datasets.d", "for_each: eu", "spec.bad-address", "mlctl.yaml:8:18", "takes a list, a block or `section.name`"),
        ("for_each: datasets.d", "for_each: data_checks.ok", "spec.cycle", "mlctl.yaml:8:18", "wait for each other"),
        ("for_each: datasets.d", "for_each: '${training.x.keys}'", "spec.bad-expression", "mlctl.yaml:8:18", "cannot wait for an output"),
        ("for_each: datasets.d", "for_each: datasets.d, matrix: {a: [1]}", "spec.bad-value", "mlctl.yaml:8:30", "`for_each` and `matrix`"),
        ("  one: {model: '${training", "  one: {model: '${each.key} ${training", "spec.bad-expression", "mlctl.yaml:16:16", "needs `for_each`"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_once_at_its_place(
    tmp_path: Path, old: str, new: str, code: str, place: str, said: str
) -> None:
    assert old in MATRIX
    found = problems(tmp_path, MATRIX.replace(old, new))
    assert (found[0].code, str(found[0].where)) == (code, place)
    assert said in found[0].summary
    assert len({(item.where, item.code) for item in found}) == len(found)


def test_what_all_instances_have_is_told_of_their_block_and_what_one_has_of_that_one(tmp_path: Path) -> None:
    text = "project: x\ndatasets:\n  d:\n    for_each: {a: {n: 1}, b: {n: x}, c: {n: 3}}\n    path: 5\n    rows: ${each.value.n}\n"
    assert texts(problems(tmp_path, text)) == [
        ("spec.wrong-type", "mlctl.yaml:5:11", "datasets.d.path takes a text"),
        ("spec.wrong-type", "mlctl.yaml:6:11", 'datasets.d["b"].rows takes a whole number'),
    ]
    project = load(tmp_path, text.replace("path: 5", "path: nowhere").replace("n: x", "n: 2"))
    (found,) = project.check(context(tmp_path))
    assert (found.address, str(found.where)) == ("datasets.d", "mlctl.yaml:5:11")
