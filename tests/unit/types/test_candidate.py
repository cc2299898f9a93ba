"""A trained model as it is kept with a registered version, also by earlier versions of mlctl."""

from __future__ import annotations

from typing import Any

import pytest

from mlctl.types.jobs.server import ServedFeatures
from mlctl.types.jobs.train import TableCandidate, TextCandidate, candidate_of

STORE = {"project": "p", "registry": "r", "online": {"type": "sqlite", "path": "o"}, "offline": {"type": "duckdb"}}
MADE = {
    "view": "v", "root": "a/model/transformations/0", "file": "f.py", "function": "f", "closure": ["f.py"], "code_digest": "c",
    "request": {}, "inputs": ["amount"], "features": {"x": "float64"},
}  # fmt: skip


def stored(**changed: Any) -> dict[str, Any]:
    """What version 0.1 kept."""
    view = {
        "view": "spending",
        "join_key": "id",
        "key_type": "string",
        "path": "s",
        "features": {"amount": "float64"},
        "ttl_seconds": 60,
    }
    serving = {
        "columns": ["amount"], "join_key": "id", "views": [{"view": "spending", "features": ["amount"], "ttl_seconds": 60}], "store": STORE,
    }  # fmt: skip
    return {
        "model": "a/model", "digest": "d", "run_id": "r", "experiment_id": "e", "model_uri": "u", "keys": "k", "training_profile": "a/p.json",
        "target": "t", "task": "binary", "serving": serving, "views": [view], **changed,
    }  # fmt: skip


def test_a_champion_that_was_registered_with_one_key_column_is_still_understood() -> None:
    candidate = TableCandidate.model_validate(stored())
    serving = ServedFeatures.model_validate(candidate.serving)
    assert [(key.name, key.type) for key in serving.keys] == [("id", "string")]
    assert serving.views[0].keys == candidate.views[0].keys == serving.keys
    assert TableCandidate.model_validate_json(candidate.model_dump_json()) == candidate


def test_one_without_views_is_too() -> None:
    serving = {"columns": ["amount"], "join_key": None, "views": [], "store": None}
    candidate = TableCandidate.model_validate(stored(serving=serving, views=[]))
    assert ServedFeatures.model_validate(candidate.serving) == ServedFeatures(columns=["amount"])


def test_a_copy_of_a_model_finds_its_code_in_the_copy() -> None:
    keys = [{"name": "id", "type": "int64"}]
    view = {"view": "spending", "keys": keys, "path": "s", "features": {"amount": "float64"}, "ttl_seconds": 60}
    candidate = TableCandidate.model_validate(stored(serving={"columns": ["x"]}, views=[view], transformations=[MADE]))
    copy = candidate.at(["b/copy", "b/p.json"])
    assert [item.root for item in copy.transformations] == ["b/copy/transformations/0"]
    assert copy.serving["transformations"][0]["root"] == "b/copy/transformations/0"
    assert (copy.model, copy.training_profile, copy.digest) == ("b/copy", "b/p.json", "d")


LANGUAGE = {
    "model": "a/model", "digest": "d", "run_id": "r", "experiment_id": "e", "model_uri": "u", "keys": "k", "task": "causal_lm",
    "text": {"messages": "messages", "max_length": 64, "loss_on": "completions"}, "base": "models/base",
}  # fmt: skip


def test_the_task_tells_what_kind_of_model_it_is() -> None:
    table, language = candidate_of(stored()), candidate_of({**LANGUAGE, "rows": 3, "metrics": {}})
    assert isinstance(table, TableCandidate)
    assert isinstance(language, TextCandidate)
    assert candidate_of(language.model_dump(mode="json")) == language
    assert language.at(["b/copy"]).model == "b/copy"
    assert "serving" not in language.outputs()


@pytest.mark.parametrize("task", [None, "custom"])
def test_a_model_of_another_kind_is_none(task: str | None) -> None:
    with pytest.raises(ValueError, match="task"):
        candidate_of({**LANGUAGE, "task": task})
