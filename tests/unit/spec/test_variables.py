"""Variables: one value from five sources, typed, and nothing of a secret in a file or an argument."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mlctl.spec.project import Chosen, Project, load_project
from mlctl.spec.variables import read
from mlctl.types.address import Address
from mlctl.types.diagnostic import Diagnostic, MlctlError
from tests.unit.spec.toys import context, registry, texts

TRAINING = """
datasets: {d: {path: p}}
training: {t: {data: {labels: d}, epochs: "${var.epochs}"}}
"""
TEXT = (
    "project: x\nvariables: {epochs: {type: int, default: 1}}\nenvironments: {dev: {}, prod: {variables: {epochs: 2}}}\n"
    + TRAINING
)


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def load(text: str, *values: str, files: Sequence[str] = (), env: str | None = None, **more: Any) -> Project:
    Path("mlctl.yaml").write_text(text)
    given = tuple((name, value) for name, _, value in (item.partition("=") for item in values))
    return load_project(Path.cwd(), registry(), chosen=Chosen(env, given, tuple(map(Path, files))), **more)


def refused(text: str, *values: str, files: Sequence[str] = (), env: str | None = None) -> list[Diagnostic]:
    with pytest.raises(MlctlError) as caught:
        load(text, *values, files=files, env=env)
    return list(caught.value.diagnostics)


def epochs(project: Project) -> object:
    return project.resources[Address("training", "t")].spec.epochs  # type: ignore[attr-defined]


def test_each_source_beats_those_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("a.yaml").write_text("epochs: 4\n")
    Path("b.yaml").write_text("epochs: 5\n")
    assert epochs(load(TEXT, env="dev")) == 1
    assert epochs(load(TEXT, env="prod")) == 2
    monkeypatch.setenv("MLCTL_VAR_epochs", "3")
    assert epochs(load(TEXT, env="prod")) == 3
    assert epochs(load(TEXT, env="prod", files=["a.yaml"])) == 4
    assert epochs(load(TEXT, env="prod", files=["a.yaml", "b.yaml"])) == 5
    assert epochs(load(TEXT, "epochs=6", env="prod", files=["b.yaml"])) == 6
    assert epochs(load(TEXT, "epochs=6", "epochs=7", env="prod")) == 7


@pytest.mark.parametrize(
    ("text", "value"),
    [("5", 5), ("0o10", 8), ("2e-5", 2e-5), ("no", "no"), ("true", True), ("[1, a]", [1, "a"]), ("{a: 1}", {"a": 1}), ("[", "[")],
)  # fmt: skip
def test_text_is_read_as_in_a_project_file(text: str, value: object) -> None:
    assert read(text) == value


def test_alone_a_value_keeps_its_type_and_inside_a_text_it_is_written_as_yaml_would() -> None:
    text = """
project: x
variables:
  on: {type: bool, default: true}
  rate: {type: float, default: 1e-5}
  sizes: {type: list, default: [64, 32]}
  deep: {type: map, default: {a: {b: 7}}}
datasets: {d: {path: "${var.on}/${var.rate}", rows: "${var.deep.a.b}"}}
training: {t: {data: {labels: d}, shuffle: "${var.on}", model: {type: mlp, hidden: "${var.sizes}"}}}
"""
    project = load(text)
    assert project.resources[Address("datasets", "d")].spec.model_dump(include={"path", "rows"}) == {
        "path": "true/1e-05",
        "rows": 7,
    }
    training: Any = project.resources[Address("training", "t")].spec
    assert (training.shuffle, training.model.hidden) == (True, (64, 32))


def test_settings_take_values_too_and_nothing_that_is_only_known_later() -> None:
    text = "project: x\nvariables: {n: {type: int, default: 9}}\ntracking: {retries: '${var.n}'}\ndatasets: {d: {path: p}}\n"
    assert load(text).settings["tracking"]["retries"] == 9
    (found,) = refused("project: x\ntracking: {uri: '${datasets.d.path}'}\ndatasets: {d: {path: p}}\n")
    assert (found.code, str(found.where)) == ("spec.bad-expression", "mlctl.yaml:2:1")


def test_everything_that_is_wrong_is_told_at_once_with_its_place() -> None:
    Path("v.yaml").write_text("epochs: many\nepoch: 3\n")
    text = """\
project: x
variables:
  epochs: {type: int}
  mode: {type: string, one_of: [fast, slow], default: quick}
  rate: {type: flaot}
  lost: {type: string}
  a-b: {type: int}
datasets: {d: {path: "${var.eppochs}"}, e: {path: "${var.rate}"}}
"""
    assert texts(refused(text, "modes=fast", files=["v.yaml"])) == [
        ("spec.unknown-variable", "", "there is no variable `modes` for `--var`"),
        ("spec.bad-value", "mlctl.yaml:4:55", "variables.mode cannot be `quick`"),
        ("spec.bad-value", "mlctl.yaml:5:16", "variables.rate.type cannot be `flaot`"),
        ("spec.missing-value", "mlctl.yaml:6:3", "the variable `lost` has no value"),
        ("spec.bad-name", "mlctl.yaml:7:3", "`a-b` cannot be a name in `variables`"),
        ("spec.unknown-variable", "mlctl.yaml:8:22", "there is no variable `eppochs`"),
        ("spec.wrong-type", "v.yaml:1:9", "the variable `epochs` takes a whole number"),
        ("spec.unknown-variable", "v.yaml:2:1", "there is no variable `epoch`"),
    ]


def test_a_near_miss_in_the_environment_is_named_where_a_value_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLCTL_VAR_epoch", "3")
    (found,) = refused("project: x\nvariables: {epochs: {type: int}}\n")
    assert "MLCTL_VAR_epoch is set" in found.why
    monkeypatch.setenv("MLCTL_VAR_of_another_project", "3")
    assert load("project: x\nvariables: {epochs: {type: int, default: 1}}\n").values == {"epochs": 1}


def test_the_environment_is_read_and_a_name_that_is_not_set_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGION", "eu")
    project = load("project: x\ndatasets: {d: {path: 'data/${env.REGION}'}}\n")
    assert project.resources[Address("datasets", "d")].spec.path == "data/eu"  # type: ignore[attr-defined]
    assert project.values == {"env.REGION": "eu"}
    (found,) = refused("project: x\ndatasets: {d: {path: 'data/${env.NO_SUCH_REGION}'}}\n")
    assert (found.code, str(found.where)) == ("spec.missing-value", "mlctl.yaml:2:22")


SECRET = "project: x\nvariables: {token: {type: string, sensitive: true}}\ndatasets: {d: {path: 'p', description: '${var.token}'}}\n"
VALUE = "correct-horse-battery"


def test_a_secret_is_put_in_and_stands_in_nothing_that_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLCTL_VAR_token", VALUE)
    monkeypatch.setenv("DB_PASSWORD", VALUE + "-2")
    project = load(SECRET + "tracking: {uri: '${env.DB_PASSWORD}'}\n")
    assert project.resources[Address("datasets", "d")].spec.description == VALUE
    assert project.settings["tracking"]["uri"] == VALUE + "-2"
    assert dict(project.secrets.values) == {"var.token": VALUE, "env.DB_PASSWORD": VALUE + "-2"}
    assert project.values == {}
    assert VALUE not in str((project.texts, project.values, project.digest))
    key = tmp_path / ".mlctl" / "key"
    assert (len(key.read_bytes()), key.stat().st_mode & 0o777) == (32, 0o600)
    assert load(SECRET + "tracking: {uri: '${env.DB_PASSWORD}'}\n").digest == project.digest
    monkeypatch.setenv("MLCTL_VAR_token", VALUE[::-1])
    assert load(SECRET).digest != project.digest


def test_a_project_without_secrets_has_no_key(tmp_path: Path) -> None:
    load(TEXT, env="dev")
    assert not (tmp_path / ".mlctl").exists()


def test_a_key_may_be_given_and_a_short_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLCTL_VAR_token", VALUE)
    monkeypatch.setenv("MLCTL_KEY", "k" * 16)
    load(SECRET)
    assert not (tmp_path / ".mlctl").exists()
    monkeypatch.setenv("MLCTL_KEY", "short")
    assert refused(SECRET)[0].code == "spec.short-key"


def test_a_key_file_that_was_cut_is_not_taken_for_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLCTL_VAR_token", VALUE)
    (tmp_path / ".mlctl").mkdir()
    (tmp_path / ".mlctl" / "key").write_bytes(b"half")
    assert refused(SECRET)[0].code == "spec.no-key"


def test_a_missing_secret_stops_only_what_needs_it(tmp_path: Path) -> None:
    project = load(SECRET + "tracking: {uri: '${env.NO_SUCH_TOKEN}'}\n")
    assert sorted(project.unset) == ["env.NO_SUCH_TOKEN", "var.token"]
    assert project.resources[Address("datasets", "d")].spec.description == "(sensitive)"
    found = [item.summary for item in project.check(context(tmp_path))]
    assert found[:2] == ["the variable `token` has no value", "`NO_SUCH_TOKEN` is not set"]


@pytest.mark.parametrize(
    ("variable", "env", "code"),
    [
        ("{type: string, sensitive: true, default: hunter2-hunter2}", "", "spec.secret-in-file"),
        ("{type: int, sensitive: true}", "", "spec.bad-value"),
        ("{type: string, sensitive: true}", "dev: {variables: {token: hunter2-hunter2}}", "spec.secret-in-file"),
    ],
)
def test_what_a_secret_may_not_be(variable: str, env: str, code: str) -> None:
    found = refused(f"project: x\nvariables: {{token: {variable}}}\nenvironments: {{{env}}}\n")
    assert code in [item.code for item in found]
    assert "hunter2" not in str([(item.summary, item.why, item.fix) for item in found])


def test_a_secret_is_not_taken_from_an_argument_nor_when_it_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [item.code for item in refused(SECRET, f"token={VALUE}")] == ["spec.secret-in-arguments"]
    for value, code in (("tiny77x", "spec.short-secret"), ("a${env.HOME}bcdefgh", "spec.bad-secret")):
        monkeypatch.setenv("MLCTL_VAR_token", value)
        (found,) = refused(SECRET)
        assert found.code == code
        assert value not in str(found)


def test_a_kept_project_is_loaded_from_its_texts_and_values_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "e.yaml").write_text("datasets: {e: {path: '${env.REGION}'}}\n")
    monkeypatch.setenv("REGION", "eu")
    monkeypatch.setenv("MLCTL_VAR_epochs", "3")
    project = load(TEXT + "include: ['**/*.yaml', 'more/[a-f].yaml']\n", env="prod")
    assert list(project.texts) == ["mlctl.yaml", "more/e.yaml"]
    (tmp_path / "mlctl.yaml").write_text("broken: [")
    (tmp_path / "more" / "e.yaml").unlink()
    monkeypatch.setenv("REGION", "us")
    monkeypatch.setenv("MLCTL_VAR_epochs", "99")
    again = load_project(tmp_path, registry(), chosen=Chosen("prod"), texts=project.texts, values=project.values)
    assert (again.digest, again.values, again.texts) == (project.digest, project.values, project.texts)
    assert epochs(again) == 3
