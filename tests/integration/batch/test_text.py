"""A batch of a language model, answered by Transformers in this very process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.batch import BatchJob
from tests.integration.batch.project import table
from tests.integration.text.tiny import conversation, make_model

pytestmark = pytest.mark.tools


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    make_model(folder / "model")
    (folder / "model" / "mlctl.json").write_text(json.dumps({"form": "messages"}))
    return folder


def job(root: Path, rows: list[Any], column: str = "prompt") -> BatchJob:
    (root / "rows.jsonl").write_text(
        "".join(json.dumps({"id": index, column: row}) + "\n" for index, row in enumerate(rows))
    )
    return BatchJob.model_validate(
        {
            "model": {"name": "helper", "version": "3", "folder": str(root / "model"), "digest": "d", "serving": None},
            "dataset": {
                "name": "chats", "files": [str(root / "rows.jsonl")], "format": "jsonl", "digest": "d", "key": ["id"],
                "columns": {"id": "bigint", column: "varchar" if column == "prompt" else "json"},
            },
            "where": None, "columns": [], "rows_per_part": 3, "executor": {"type": "local"},
            "generation": {column: column, "max_new_tokens": 4, "temperature": 0.0, "engine": {"type": "transformers"}},
        }
    )  # fmt: skip


def made(wanted: BatchJob, folder: Path) -> list[dict[str, Any]]:
    """All parts, as the program makes them."""
    from mlctl.runtime.batch.parts import parts
    from mlctl.runtime.batch.rows import prepare
    from mlctl.runtime.batch.text import TextScorer

    folder.mkdir()
    count = prepare(wanted, folder)
    assert wanted.generation is not None
    scorer = TextScorer(wanted, wanted.generation, folder, lambda: False)
    for part in parts(count, wanted.rows_per_part):
        scorer.make(part, lambda more: None)
    return table(folder / "parts")


def test_each_prompt_gets_the_answer_it_gets_in_serving_and_a_row_without_one_says_why(
    root: Path, tmp_path: Path
) -> None:
    from mlctl.runtime.trainer.text.model import Served

    prompts = ["what is red", None, "one two", "the colour of the bird", "cat"]
    rows = made(job(root, prompts), tmp_path / "job")
    served = Served(root / "model")
    wanted = [None if text is None else served.predict([text], {"max_new_tokens": 4})[0] for text in prompts]
    assert [row["answer"] for row in rows] == wanted
    assert [row["error"] for row in rows] == [None, "the row has no prompt", None, None, None]
    assert {(row["model"], row["model_version"]) for row in rows} == {("helper", "3")}
    assert [row["id"] for row in rows] == [0, 1, 2, 3, 4]


def test_conversations_are_read_and_what_is_none_is_told(root: Path, tmp_path: Path) -> None:
    chats = [conversation(1)[:1], [{"role": "user"}], conversation(2)[:1]]
    rows = made(job(root, chats, "messages"), tmp_path / "job")
    assert [row["error"] for row in rows] == [None, "the conversation is not a list of {role, content}", None]
    assert all(isinstance(row["answer"], str) for row in rows if row["error"] is None)


def test_a_part_without_any_answer_is_no_success(root: Path, tmp_path: Path) -> None:
    with pytest.raises(MlctlError) as caught:
        made(job(root, [[], []], "messages"), tmp_path / "job")
    assert caught.value.diagnostics[0].code == "batch.no-answers"
    assert not list((tmp_path / "job" / "parts").glob("*"))
