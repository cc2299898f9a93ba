"""Modules: the same blocks under several names, with inputs, outputs and names of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlctl.spec.project import Project, load_project
from mlctl.types.address import Address
from tests.unit.spec.toys import context, load, problems, registry, texts

MODULE = """\
module: churn
inputs:
  path: {type: string}
  epochs: {type: int, default: 5}
  model: {type: string, default: none}
datasets:
  labels: {path: "${input.path}"}
data_checks:
  ok: {dataset: labels, references: labels}
training:
  churn:
    data: {labels: labels, extra: [shared], by_name: {a: labels}}
    epochs: ${input.epochs}
    depends_on: [data_checks.ok]
    description: "warm: ${input.model}"
outputs:
  model: ${training.churn.model}
  path: ${input.path}
"""
MAIN = """\
project: x
datasets:
  shared: {path: s}
  labels: {path: other}
modules:
  eu: {source: m.yaml, inputs: {path: eu, epochs: 3}}
  many: {source: m.yaml, for_each: [a, b], inputs: {path: "in/${each.key}", model: "${module.eu.model}"}}
evaluations:
  e: {model: "${module.eu.model}", register: churn}
  all: {model: m, tags: "${module.many[*].model}"}
  each: {for_each: [a, b], model: "${module.many[each.key].model}", description: "at ${module.eu.path}"}
data_checks:
  outside: {dataset: eu.labels, references: 'many["a"].labels'}
"""


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def spec(project: Project, address: str) -> Any:
    return project.resources[Address.parse(address)].spec


def test_names_mean_what_is_in_the_module_first_and_then_what_is_around_it(tmp_path: Path) -> None:
    project = load(tmp_path, MAIN, m__yaml=MODULE)
    training = spec(project, "training.eu.churn")
    assert (training.data.labels, training.data.extra, training.data.by_name) == (
        "eu.labels",
        ["shared"],
        {"a": "eu.labels"},
    )
    assert (training.epochs, training.depends_on) == (3, ["data_checks.eu.ok"])
    assert (spec(project, "data_checks.eu.ok").dataset, spec(project, "data_checks.eu.ok").references) == (
        "eu.labels",
        "eu.labels",
    )
    assert {str(address) for address in project.edges[Address.parse("training.eu.churn")]} == {
        "datasets.eu.labels", "datasets.shared", "data_checks.eu.ok", "data_checks.outside",
    }  # fmt: skip
    assert str(project.where(Address.parse("training.eu.churn"), ("epochs",))) == "m.yaml:13:13"
    assert list(project.texts) == ["mlctl.yaml", "m.yaml"]


def test_outputs_stand_for_what_they_name_inside(tmp_path: Path) -> None:
    project = load(tmp_path, MAIN, m__yaml=MODULE)
    assert spec(project, "evaluations.e").model == "${training.eu.churn.model}"
    assert spec(project, "evaluations.all").tags == {key: f'${{training.many["{key}"].churn.model}}' for key in "ab"}
    assert spec(project, 'evaluations.each["b"]').model == '${training.many["b"].churn.model}'
    assert spec(project, 'evaluations.each["b"]').description == "at eu"
    assert Address.parse('training.many["b"].churn') in project.edges[Address.parse('evaluations.each["b"]')]


def test_what_is_given_to_a_module_means_what_it_meant_outside(tmp_path: Path) -> None:
    project = load(tmp_path, MAIN, m__yaml=MODULE)
    # `module.eu.model` is the training of `eu`, although the module `many` has a `training.churn` of its own
    assert spec(project, 'training.many["a"].churn').description == "warm: ${training.eu.churn.model}"
    assert spec(project, 'datasets.many["a"].labels').path == "in/a"


def test_modules_use_modules(tmp_path: Path) -> None:
    outer = 'module: o\ninputs: {p: {type: string}}\nmodules: {inner: {source: m.yaml, inputs: {path: "${input.p}/deep"}}}\n'
    outer += 'datasets: {shared: {path: "${module.inner.path}"}}\noutputs: {model: "${module.inner.model}"}\n'
    text = (
        "project: x\nmodules: {o: {source: o.yaml, inputs: {p: top}}}\nevaluations: {e: {model: '${module.o.model}'}}\n"
    )
    project = load(tmp_path, text, m__yaml=MODULE, o__yaml=outer)
    assert spec(project, "datasets.o.inner.labels").path == spec(project, "datasets.o.shared").path == "top/deep"
    assert spec(project, "training.o.inner.churn").data.extra == ["o.shared"]
    assert spec(project, "evaluations.e").model == "${training.o.inner.churn.model}"


def test_a_kept_project_has_its_modules_too(tmp_path: Path) -> None:
    project = load(tmp_path, MAIN, m__yaml=MODULE)
    (tmp_path / "m.yaml").unlink()
    again = load_project(tmp_path, registry(), texts=project.texts, values=project.values)
    assert again.digest == project.digest


def test_an_environment_lays_over_the_use_of_a_module(tmp_path: Path) -> None:
    project = load(tmp_path, MAIN + "environments: {dev: {modules: {eu: {inputs: {epochs: 1}}}}}\n", m__yaml=MODULE)
    assert spec(project, "training.eu.churn").epochs == 1


@pytest.mark.parametrize(
    ("old", "new", "code", "place", "said"),
    [
        ("path: eu, epochs: 3", "path: eu, epochs: many", "spec.wrong-type", "mlctl.yaml:6:51", "takes a whole number"),
        ("path: eu, epochs: 3", "path: eu, epoch: 3", "spec.unknown-input", "mlctl.yaml:6:43", "no input `epoch`"),
        ("path: eu, epochs: 3", "epochs: 3", "spec.missing-value", "mlctl.yaml:6:3", "needs the input `path`"),
        ("eu: {source: m.yaml", "eu: {source: n.yaml", "spec.missing-file", "mlctl.yaml:6:16", "no module file `n.yaml`"),
        ("eu: {source: m.yaml", "eu: {source: ../m.yaml", "spec.path-outside", "mlctl.yaml:6:16", "leaves the project folder"),
        ("eu: {source: m.yaml", "eu: {source: 'https://host/m.yaml'", "spec.path-outside", "mlctl.yaml:6:16", "leaves the project folder"),
        ("eu: {source: m.yaml", "eu: {sorce: m.yaml", "spec.unknown-field", "mlctl.yaml:6:8", "unknown field `sorce`"),
        ("${module.eu.model}\", register", "${module.eu.modle}\", register", "spec.unknown-output", "mlctl.yaml:9:14", "no output `modle`"),
        ("${module.eu.model}\", register", "${module.ue.model}\", register", "spec.unknown-module", "mlctl.yaml:9:14", "no module `ue`"),
        ("${module.eu.model}\", register", "${module.many.model}\", register", "spec.needs-key", "mlctl.yaml:9:14", "`many` has several instances"),
        ("dataset: eu.labels", "dataset: eu.lables", "spec.dangling-reference", "mlctl.yaml:13:22", "there is no `eu.lables`"),
        ("  eu: {", "  e u: {", "spec.bad-name", "mlctl.yaml:6:3", "cannot be the name of a module"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_use_is_told_there(
    tmp_path: Path, old: str, new: str, code: str, place: str, said: str
) -> None:
    assert old in MAIN
    found = problems(tmp_path, MAIN.replace(old, new, 1), m__yaml=MODULE)
    assert (code, place) in [(item.code, str(item.where)) for item in found]
    assert any(said in item.summary for item in found if item.code == code)


@pytest.mark.parametrize(
    ("old", "new", "code", "place", "said"),
    [
        ("${input.epochs}", "${input.epcohs}", "spec.unknown-input", "m.yaml:13:13", "no input `epcohs`"),
        ("${input.epochs}", "${var.epochs}", "spec.bad-expression", "m.yaml:13:13", "`${var.epochs}` cannot stand in a module"),
        ("extra: [shared]", "extra: [sharde]", "spec.dangling-reference", "m.yaml:12:36", "there is no `sharde`"),
        ("    epochs: $", "    epohcs: $", "spec.unknown-field", "m.yaml:13:5", "unknown field `epohcs`"),
        ("module: churn", "modul: churn", "spec.missing-field", "m.yaml:1:1", "needs the field `module`"),
        ("module: churn", "module: churn\nenvironments: {}", "spec.misplaced", "m.yaml:2:1", "`environments` cannot stand in a module"),
        ("module: churn", "module: churn\ntracking: {}", "spec.misplaced", "m.yaml:2:1", "`tracking` cannot stand in a module"),
        ("{type: int, default: 5}", "{type: int, default: x}", "spec.wrong-type", "m.yaml:4:32", "inputs.epochs takes a whole number"),
        ("{type: string}", "{type: string, sensitive: true}", "spec.unknown-field", "m.yaml:3:24", "unknown field `sensitive`"),
        ("  model: ${training.churn.model}", "  model: ${input.nothing}", "spec.unknown-input", "m.yaml:17:10", "no input `nothing`"),
        ("module: churn", "module: [", "spec.syntax", "m.yaml:1:9", "not valid YAML"),
    ],
)  # fmt: skip
def test_what_is_wrong_inside_is_told_once_in_the_file_of_the_module(
    tmp_path: Path, old: str, new: str, code: str, place: str, said: str
) -> None:
    assert old in MODULE
    found = problems(tmp_path, MAIN, m__yaml=MODULE.replace(old, new, 1))
    here = [item for item in found if (item.code, str(item.where)) == (code, place)]
    assert len(here) == 1, texts(found)
    assert said in here[0].summary


def test_modules_that_never_end_are_refused(tmp_path: Path) -> None:
    text = "project: x\nmodules: {a: {source: a.yaml}}\n"
    (found,) = problems(
        tmp_path,
        text,
        a__yaml="module: a\nmodules: {b: {source: b.yaml}}\n",
        b__yaml="module: b\nmodules: {a: {source: a.yaml}}\n",
    )
    assert (found.code, str(found.where), found.summary) == ("spec.cycle", "b.yaml:2:23", "a module uses itself")
    chain = {f"m{n}__yaml": f"module: m\nmodules: {{next: {{source: m{n + 1}.yaml}}}}\n" for n in range(7)}
    (found,) = problems(tmp_path, "project: x\nmodules: {m: {source: m0.yaml}}\n", **chain, m7__yaml="module: m\n")
    assert (found.summary, str(found.where)) == ("modules are nested too deeply", "m4.yaml:2:26")


def test_inputs_and_outputs_that_wait_for_each_other_are_refused(tmp_path: Path) -> None:
    module = "module: m\ninputs: {a: {type: string}}\noutputs: {b: '${input.a}'}\n"
    text = "project: x\nmodules:\n  m: {source: m.yaml, inputs: {a: '${module.n.b}'}}\n  n: {source: m.yaml, inputs: {a: '${module.m.b}'}}\n"
    assert "spec.cycle" in [item.code for item in problems(tmp_path, text, m__yaml=module)]


def test_kinds_are_asked_about_each_use_and_heard_once(tmp_path: Path) -> None:
    project = load(
        tmp_path,
        MAIN.replace("path: eu,", "path: nowhere,"),
        m__yaml=MODULE.replace('labels: {path: "${input.path}"}', "labels: {path: nowhere}"),
    )
    found = [item for item in project.check(context(tmp_path)) if "nowhere" in item.summary]
    assert [(str(item.where), item.address) for item in found] == [("m.yaml:7:18", "datasets.eu.labels")]
