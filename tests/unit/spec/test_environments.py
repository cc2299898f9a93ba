"""Environments: which one is meant, what it lays over the project, and where its state is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlctl.spec.environments import StateBackend
from mlctl.spec.heading import read_heading, read_names
from mlctl.spec.overlay import idle_removals, laid_over
from mlctl.spec.project import Chosen, Project, load_project
from mlctl.spec.reading import Reader
from mlctl.types.address import Address
from mlctl.types.diagnostic import Diagnostic, MlctlError
from tests.unit.spec.toys import registry, texts


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def load(text: str, env: str | None = None) -> Project:
    Path("mlctl.yaml").write_text(text)
    return load_project(Path.cwd(), registry(), chosen=Chosen(env))


def refused(text: str, env: str | None = None) -> list[Diagnostic]:
    with pytest.raises(MlctlError) as caught:
        load(text, env)
    return list(caught.value.diagnostics)


@pytest.mark.parametrize(
    ("environments", "wanted", "name"),
    [
        ("", None, "default"),
        ("", "default", "default"),
        ("environments: {dev: {}}", None, "dev"),
        ("environments: {dev: {}, prod: {default: true}}", None, "prod"),
        ("environments: {dev: {}, prod: {default: true}}", "dev", "dev"),
        ("environments: {}", None, "default"),
    ],
)
def test_the_environment_that_is_meant(environments: str, wanted: str | None, name: str) -> None:
    assert load(f"project: x\n{environments}\n", wanted).environment == name


@pytest.mark.parametrize(
    ("environments", "wanted", "code", "said"),
    [
        ("environments: {dev: {}, prod: {}}", None, "env.unchosen", "the project declares `dev` and `prod`"),
        ("environments: {dev: {}, prod: {}}", "prdo", "env.unknown", "did you mean `prod`?"),
        ("", "prod", "env.unknown", "the project declares no environments"),
        ("environments: {dev: {}}", "default", "env.unknown", "known here: `dev`"),
        ("environments: {dev: {default: true}, prod: {default: true}}", "dev", "spec.bad-value", "keep one of them"),
        ("environments: {key: {}, dev: {}}", "dev", "spec.bad-name", ".mlctl/key holds something else"),
        ("environments: {a b: {}, dev: {}}", "dev", "spec.bad-name", "a name begins with a letter"),
        ("environments: [dev]", None, "spec.wrong-type", "a list stands there"),
        ("environments: {dev: 5}", None, "spec.wrong-type", "the number `5` stands there"),
        ("environments: {dev: {variables: 5}}", None, "spec.wrong-type", "the number `5` stands there"),
    ],
)
def test_environments_that_cannot_be_chosen(environments: str, wanted: str | None, code: str, said: str) -> None:
    found = refused(f"project: x\n{environments}\n", wanted)[0]
    assert found.code == code
    assert said in f"{found.why} {found.fix}"


OVER = """\
project: x
tracking: {uri: base, retries: 5}
environments:
  dev: {}
  prod:
    owner: {team: ops}
    tracking: {uri: prod}
    datasets:
      d: {rows: 7, key: [b]}
      only_prod: {path: q}
    training: {t: null}
    evaluations: {e: {description: null}}
datasets:
  d: {path: p, key: [a, c]}
training:
  t: {data: {labels: d}}
evaluations:
  e: {model: m, description: text}
"""


def test_blocks_merge_lists_replace_and_null_takes_away() -> None:
    dev, prod = load(OVER, "dev"), load(OVER, "prod")
    assert [str(address) for address in prod.order] == ["datasets.d", "datasets.only_prod", "evaluations.e"]
    spec = prod.resources[Address("datasets", "d")].spec.model_dump(include={"path", "rows", "key", "owner"})
    assert spec == {"path": "p", "rows": 7, "key": ["b"], "owner": "ops"}
    assert prod.settings["tracking"] == {"uri": "prod", "retries": 5}
    assert prod.resources[Address("evaluations", "e")].spec.description == ""
    assert dev.resources[Address("datasets", "d")].spec.model_dump(include={"key"}) == {"key": ["a", "c"]}
    assert dev.digest != prod.digest


def test_places_are_in_the_layer_that_decides() -> None:
    text = """\
project: x
environments:
  prod:
    datasets:
      d: {rows: many, pth: q, key: {a: 1}}
    training: {t: {data: {extra: [nowhere]}}}
    datasetz: {}
datasets:
  d: {path: 5}
training:
  t: {data: {labels: d}, epochs: no}
"""
    assert texts(refused(text)) == [
        ("spec.wrong-type", "mlctl.yaml:5:17", "datasets.d.rows takes a whole number"),
        ("spec.unknown-field", "mlctl.yaml:5:23", "unknown field `pth` in datasets.d"),
        ("spec.wrong-type", "mlctl.yaml:5:36", "datasets.d.key takes a list"),
        ("spec.unknown-section", "mlctl.yaml:7:5", "unknown section `datasetz`"),
        ("spec.wrong-type", "mlctl.yaml:9:13", "datasets.d.path takes a text"),
        ("spec.wrong-type", "mlctl.yaml:11:34", "training.t.epochs takes a whole number"),
    ]
    dangling = text.replace("rows: many, pth: q, key: {a: 1}", "rows: 1").replace("    datasetz: {}\n", "")
    dangling = dangling.replace("path: 5", "path: p").replace("epochs: no", "epochs: 2")
    assert texts(refused(dangling)) == [
        ("spec.dangling-reference", "mlctl.yaml:6:35", "there is no `nowhere` in `datasets`")
    ]


def test_taking_away_what_is_not_there_is_a_mistake() -> None:
    text = "project: x\nenvironments: {dev: {datasets: {a: null, d: {rows: null}}, tracking: null, training: null}}\ndatasets: {d: {path: p}}\n"
    assert [item.code for item in refused(text)] == ["spec.no-effect"] * 4
    assert refused(text)[0].fix == "known here: `d`"


@pytest.mark.parametrize("field", ["project: y", "include: ['*']", "environments: {}", "moved: []"])
def test_what_is_the_same_everywhere_cannot_be_laid_over(field: str) -> None:
    (found,) = refused(f"project: x\nenvironments: {{dev: {{{field}}}}}\n")
    assert (found.code, str(found.where)) == ("spec.misplaced", "mlctl.yaml:2:22")


def test_an_environment_made_for_a_while_has_the_overlay_of_its_base_and_a_name_of_its_own(tmp_path: Path) -> None:
    folder = tmp_path / ".mlctl" / "pr-1"
    folder.mkdir(parents=True)
    (folder / "environment.json").write_text(json.dumps({"from": "prod"}))
    project = load(OVER, "pr-1")
    assert (project.environment, project.base, project.digest) == ("pr-1", "prod", load(OVER, "prod").digest)
    again = load_project(
        tmp_path / "elsewhere", registry(), tmp_path / "elsewhere" / "mlctl.yaml", Chosen("pr-1"), project.texts
    )
    assert again.digest == project.digest
    (folder / "environment.json").write_text(json.dumps({"from": "gone"}))
    assert refused(OVER, "pr-1")[0].code == "env.unknown"
    (folder / "environment.json").write_text("[")
    assert refused(OVER, "pr-1")[0].code == "env.damaged"


STATE = "project: shop\nstate: {backend: s3, bucket: b-1, region: eu-1, encryption: {sse: AES256}}\n"


@pytest.mark.parametrize(
    ("environment", "backend"),
    [
        ("{}", {"backend": "s3", "bucket": "b-1", "region": "eu-1", "encryption": {"sse": "AES256"}}),
        ("{state: {bucket: b-2, region: null}}", {"backend": "s3", "bucket": "b-2", "encryption": {"sse": "AES256"}}),
        ("{state: {backend: local}}", {"backend": "local"}),
        ("{variables: {where: b-9}, state: {bucket: '${var.where}'}}", {"backend": "s3", "bucket": "b-9", "region": "eu-1", "encryption": {"sse": "AES256"}}),
    ],
)  # fmt: skip
def test_an_environment_may_have_a_state_elsewhere(tmp_path: Path, environment: str, backend: object) -> None:
    text = STATE + f"variables: {{where: {{type: string, default: w-w}}}}\nenvironments: {{dev: {environment}}}\n"
    (tmp_path / "mlctl.yaml").write_text(text + "datasets: {d: {what: is this}}\n")  # what else is wrong does not count
    heading = read_heading(Reader(tmp_path), tmp_path / "mlctl.yaml", Chosen())
    assert heading.backend.model_dump(exclude_none=True, exclude_unset=True) == backend
    assert (heading.project, heading.environment.name) == ("shop", "dev")


@pytest.mark.parametrize(
    ("state", "code", "place"),
    [
        ("{backend: s4}", "spec.bad-value", "mlctl.yaml:2:18"),
        ("{backend: s3}", "spec.bad-value", "mlctl.yaml:2:1"),
        ("{bucket: bbb}", "spec.bad-value", "mlctl.yaml:2:1"),
        ("{backend: s3, bucket: bbb, secret_key: x}", "spec.unknown-field", "mlctl.yaml:2:35"),
        ("{backend: s3, bucket: '${datasets.d.path}'}", "spec.bad-expression", "mlctl.yaml:2:1"),
        ("{backend: s3, bucket: '${var.nothing}'}", "spec.unknown-variable", "mlctl.yaml:2:30"),
        ("local", "spec.wrong-type", "mlctl.yaml:2:8"),
    ],
)
def test_a_state_that_cannot_be_found_is_refused_by_every_command(
    tmp_path: Path, state: str, code: str, place: str
) -> None:
    text = f"project: x\nstate: {state}\n"
    found = refused(text)
    assert (found[0].code, str(found[0].where)) == (code, place)
    with pytest.raises(MlctlError) as caught:
        read_heading(Reader(tmp_path), tmp_path / "mlctl.yaml", Chosen())
    assert caught.value.diagnostics[0] == found[0]


def test_a_file_that_declares_neither_is_not_parsed_to_find_the_state(tmp_path: Path) -> None:
    (tmp_path / "mlctl.yaml").write_text("project: x\ndatasets: [\n")
    heading = read_heading(Reader(tmp_path), tmp_path / "mlctl.yaml", Chosen())
    assert (heading.environment.name, heading.backend) == ("default", StateBackend())
    (tmp_path / "mlctl.yaml").write_text('project: x\n{"environments": {}\n')
    with pytest.raises(MlctlError):  # it cannot be known where the state is
        read_heading(Reader(tmp_path), tmp_path / "mlctl.yaml", Chosen())


@pytest.mark.parametrize(
    "text", ['{"environments": {a: {}, b: {}}}', '"\\x65nvironments": {a: {}, b: {}}', " environments : {a: , b: {}}"]
)
def test_environments_are_found_however_they_are_written(tmp_path: Path, text: str) -> None:
    (tmp_path / "mlctl.yaml").write_text(text + "\n")
    assert read_names(Reader(tmp_path), tmp_path / "mlctl.yaml") == ["a", "b"]


_VALUES = st.recursive(
    st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
_BLOCKS = st.dictionaries(st.sampled_from("abc"), _VALUES, max_size=3)


def _with_nulls(values: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.recursive(
        values | st.none(), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=8
    )


@given(_BLOCKS, st.dictionaries(st.sampled_from("abc"), _with_nulls(st.integers()), max_size=3))
def test_laying_over_twice_is_laying_over_once_and_keeps_both_as_they_are(base: object, over: object) -> None:
    before = json.dumps([base, over])
    once = laid_over(base, over)
    assert laid_over(once, over) == once
    assert laid_over(base, {}) == base
    assert json.dumps([base, over]) == before
    assert not any(item is None for item in _leaves(once))


_LEAVES = st.integers() | st.lists(st.integers(), max_size=2)
_ALIKE = st.fixed_dictionaries(
    {}, optional={"a": _LEAVES, "b": _LEAVES, "c": st.fixed_dictionaries({}, optional={"d": _LEAVES, "e": _LEAVES})}
)


@given(_ALIKE, _ALIKE, _ALIKE)
def test_where_blocks_stay_blocks_and_nothing_is_taken_away_it_does_not_matter_which_two_layers_are_put_together_first(
    a: object, b: object, c: object
) -> None:
    assert laid_over(laid_over(a, b), c) == laid_over(a, laid_over(b, c))


@given(_BLOCKS)
def test_only_what_is_there_can_be_taken_away(base: Mapping[str, object]) -> None:
    assert laid_over(base, dict.fromkeys(base)) == {}
    assert list(idle_removals(base, dict.fromkeys(base))) == []
    assert list(idle_removals(base, {"z": None, "y": {"x": None}})) == [("z",), ("y", "x")]


def _leaves(value: object) -> list[object]:
    return [leaf for item in value.values() for leaf in _leaves(item)] if isinstance(value, Mapping) else [value]
