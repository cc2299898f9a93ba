"""Evaluations run for real: the gate, the champion, the registry and its alias."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mlctl.provider import Condition
from mlctl.types.diagnostic import MlctlError
from mlctl.types.state import Record
from tests.integration.training.project import Project

pytestmark = pytest.mark.tools

BARS = {"roc_auc": {"min": 0.65, "not_worse_than": "champion", "margin": 0.002}, "log_loss": {"max": 0.7}}


def block(model: str, **changed: Any) -> dict[str, Any]:
    register = {"name": "shops", "alias": "champion"}
    return {"model": f"${{{model}.model}}", "dataset": "holdout", "require": BARS, "register": register, **changed}


def versions(project: Project) -> list[tuple[Any, ...]]:
    return project.sql(
        "SELECT version FROM model_versions WHERE name = 'shops' AND current_stage != 'Deleted_Internal'"
    )


def aliases(project: Project) -> list[tuple[Any, ...]]:
    return project.sql("SELECT alias, version FROM registered_model_aliases WHERE name = 'shops'")


@pytest.fixture(scope="module")
def champion(project: Project, weak: Record) -> Record:
    """The weak model got in when the bar was low."""
    return project.evaluate("evaluations.gate", block("training.weak", require={"roc_auc": {"min": 0.1}}))


@pytest.fixture(scope="module")
def better(project: Project, champion: Record, single: Record) -> Record:
    """The better one took its place."""
    return project.evaluate("evaluations.gate", block("training.single"))


def test_the_first_that_passes_becomes_champion(champion: Record, weak: Record) -> None:
    assert champion.gate is not None
    assert champion.gate.passed
    assert (champion.outputs["version"], champion.outputs["alias"]) == ("1", "champion")
    assert champion.outputs["model"] == weak.outputs["model"]
    assert champion.outputs["champion_metrics"] is None


def test_a_better_one_is_compared_on_the_same_rows_and_takes_the_alias(
    project: Project, champion: Record, better: Record
) -> None:
    assert better.gate is not None
    assert better.gate.passed
    assert better.outputs["version"] == "2"
    # the champion's figures are those it had when it was judged itself: the rows are the same
    assert better.outputs["champion_metrics"] == pytest.approx(champion.outputs["metrics"])
    assert aliases(project) == [("champion", 2)]
    assert project.evaluation.read(better, project.ctx) is not None
    page = project.ctx.folder(better.key) / "evaluation.html"
    assert "<polyline" in page.read_text()


@pytest.fixture(scope="module")
def failed(project: Project, better: Record) -> Record:
    """The weak one tried again, against the better one."""
    return project.evaluate("evaluations.again", block("training.weak", require={"roc_auc": BARS["roc_auc"]}))


def test_a_worse_one_fails_and_leaves_the_champion(project: Project, better: Record, failed: Record) -> None:
    assert failed.gate is not None
    assert not failed.gate.passed
    worse = next(item for item in failed.gate.details if "champion" in item)
    assert worse.startswith("roc_auc 0.")
    assert worse.endswith("(margin 0.002)")
    assert (failed.outputs["version"], failed.outputs["model"]) == ("2", better.outputs["model"])
    assert failed.outputs["candidate"] is not None
    assert aliases(project) == [("champion", 2)]


def test_an_evaluation_alone_changed_makes_no_new_version(project: Project, better: Record) -> None:
    changed = project.evaluate("evaluations.gate", block("training.single", require={"accuracy": {"min": 0.5}}))
    assert changed.key != better.key
    assert changed.outputs["version"] == "2"
    assert changed.digest == better.digest
    assert len(versions(project)) == 2


def test_rows_that_were_trained_on_fail_the_gate(project: Project, single: Record) -> None:
    project.add_labels("leaky", range(11, 15))
    leaky = project.evaluate("evaluations.leaky", block("training.single", dataset="leaky"))
    assert leaky.gate is not None
    assert not leaky.gate.passed
    assert "eval.leakage: 60 rows were trained on" in leaky.gate.details[0]
    assert "household_id 0" in leaky.gate.details[0]


def test_no_rows_never_pass(project: Project, single: Record) -> None:
    columns = {"household_id": "bigint", "event_timestamp": "timestamp", "shops": "bigint"}
    project.write_table("nobody", [], columns, timestamp="event_timestamp", key=["household_id", "event_timestamp"])
    values = block("training.single", dataset="nobody", require={"roc_auc": {"min": 0.0}})
    found = project.evaluate("evaluations.nobody", values)
    assert found.gate is not None
    assert not found.gate.passed
    assert "there are no rows" in found.gate.summary


def test_a_reverted_project_moves_the_alias_and_others_see_it(
    project: Project, champion: Record, better: Record, failed: Record
) -> None:
    old = project.evaluate("evaluations.gate", block("training.weak", require={"roc_auc": {"min": 0.1}}), champion)
    assert old.key == champion.key
    assert aliases(project) == [("champion", 1)]
    for record in (better, failed):
        seen = project.evaluation.read(record, project.ctx)
        assert seen is not None
        assert (seen.condition, seen.fields) == (Condition.BROKEN, {"alias_version": "1"})
    asked = project.evaluation.read(better, replace(project.ctx, deep=True))  # by MLflow itself, not by its tables
    assert asked == project.evaluation.read(better, project.ctx)

    # a verdict against a former champion is reached anew
    anew = project.evaluate("evaluations.again", block("training.weak", require={"roc_auc": BARS["roc_auc"]}), failed)
    assert anew.outputs["version"] == "1"
    assert not any("champion" in item for item in anew.gate.details)  # type: ignore[union-attr]

    healed = project.evaluate("evaluations.gate", block("training.single"), better)
    assert healed.outputs["version"] == "2"
    assert aliases(project) == [("champion", 2)]
    assert len(versions(project)) == 2
    assert project.evaluation.read(healed, project.ctx).fields == {}  # type: ignore[union-attr]


def test_what_others_registered_is_left_alone(project: Project, single: Record) -> None:
    project.mlflow("client.create_registered_model('theirs')")
    values = block(
        "training.single", register={"name": "theirs", "alias": "champion"}, require={"roc_auc": {"min": 0.1}}
    )
    with pytest.raises(MlctlError) as raised:
        project.evaluate("evaluations.theirs", values)
    assert [item.code for item in raised.value.diagnostics] == ["provider.not-ours"]
    assert project.sql("SELECT count(*) FROM registered_model_aliases WHERE name = 'theirs'") == [(0,)]


def test_deleting_takes_back_what_was_registered(project: Project, single: Record) -> None:
    values = block("training.single", register={"name": "gone", "alias": "best"}, require={"roc_auc": {"min": 0.1}})
    record = project.evaluate("evaluations.gone", values)
    assert project.sql("SELECT count(*) FROM registered_models WHERE name = 'gone'") == [(1,)]
    project.evaluation.delete(record, project.ctx)
    assert project.sql("SELECT count(*) FROM registered_models WHERE name = 'gone'") == [(0,)]
    assert not project.ctx.folder(record.key).exists()
    project.evaluation.delete(record, project.ctx)  # gone already
