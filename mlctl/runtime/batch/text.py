"""Parts of a batch by a language model: key, answer, and which model it was."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as arrow
import pyarrow.parquet as parquet

from mlctl.runtime.batch.answers import Answer, Engine, Prompt
from mlctl.runtime.batch.parts import Part, PartFile
from mlctl.runtime.batch.rows import ROWS_FILE, Rows, kept, prompts
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.batch import BatchJob, Generation, VllmEngine

_AT_ONCE = 64


class TextScorer:
    """Makes parts."""

    def __init__(self, job: BatchJob, generation: Generation, folder: Path, stopped: Callable[[], bool]) -> None:
        """Raises MlctlError for an engine that does not start."""
        self._job, self._generation, self._folder = job, generation, folder
        self._engine = _engine(job, generation, folder, stopped)
        self._rows = Rows(folder)
        self._kept = kept(job)
        stored = parquet.read_schema(folder / ROWS_FILE)
        made = [arrow.field(name, arrow.string()) for name in ("answer", "error", "model", "model_version")]
        self._schema = arrow.schema([*(stored.field(name) for name in self._kept), *made])

    def make(self, part: Part, done: Callable[[int], None]) -> None:
        """Write one part. Raises MlctlError, and then nothing is there."""
        at_once = self._engine.at_once or max(1, part.stop - part.start)
        with PartFile(self._folder, part, self._schema) as file:
            for table in self._rows.between(part.start, part.stop, at_once):
                answers = self._answers(table, done)
                failed = [item.error for item in answers if item.error is not None]
                if failed and len(failed) == len(answers):
                    raise MlctlError.of(
                        "batch.no-answers",
                        f"none of the {len(failed):,} rows after row {part.start:,} got an answer",
                        failed[0],
                        "correct what they ask, or the engine's settings",
                    )
                file.write(self._with(table, answers), failed=len(failed))

    def _answers(self, table: Any, done: Callable[[int], None]) -> list[Answer]:
        given = [self._prompt(text) for text in prompts(table)]
        asked = [item for item in given if not isinstance(item, Answer)]
        done(len(given) - len(asked))
        answers = iter(self._engine.answer(asked, done) if asked else [])
        return [item if isinstance(item, Answer) else next(answers) for item in given]

    def _prompt(self, text: str | None) -> Prompt | Answer:
        """What the engine is asked for a row, or why it is not."""
        if text is None:
            return Answer(None, "the row has no prompt")
        if self._generation.messages is None:
            return text
        try:
            found = json.loads(text)
        except ValueError:
            return Answer(None, "the conversation is not JSON")
        if not (isinstance(found, list) and found and all(map(_is_message, found))):
            return Answer(None, "the conversation is not a list of {role, content}")
        return [{"role": item["role"], "content": item["content"]} for item in found]

    def _with(self, table: Any, answers: Sequence[Answer]) -> Any:
        name, version = self._job.model.name, self._job.model.version
        columns = [
            *(table.column(item) for item in self._kept),
            arrow.array([item.text for item in answers], arrow.string()),
            arrow.array([item.error for item in answers], arrow.string()),
            arrow.array([name] * len(answers), arrow.string()),
            arrow.array([version] * len(answers), arrow.string()),
        ]
        return arrow.table(columns, schema=self._schema)


class Transformers:
    """The model in this very process, as it is served by `mlflow.pyfunc`."""

    at_once: int | None = _AT_ONCE

    def __init__(self, model: Path, max_new_tokens: int) -> None:
        from mlctl.runtime.trainer.text.base import begin

        begin()
        from mlctl.runtime.trainer.text.model import Served

        self._most = max_new_tokens
        try:
            self._served = Served(model)
        except (OSError, ValueError, KeyError) as error:
            raise MlctlError.of(
                "model.unusable",
                f"the model in {model} does not load: {type(error).__name__}",
                str(error).strip().splitlines()[0] if str(error).strip() else "",
                "run `mlctl plan --refresh=deep`, or see the log",
            ) from error

    def answer(self, asked: Sequence[Prompt], done: Callable[[int], None]) -> list[Answer]:
        """The likeliest token each time."""
        found = self._served.predict(list(asked), {"max_new_tokens": self._most})
        done(len(asked))
        return [Answer(text) for text in found]


def _engine(job: BatchJob, generation: Generation, folder: Path, stopped: Callable[[], bool]) -> Engine:
    if isinstance(generation.engine, VllmEngine):
        from mlctl.runtime.batch.vllm import Vllm

        return Vllm(job, generation, generation.engine, folder, stopped)
    return Transformers(Path(job.model.folder), generation.max_new_tokens)


def _is_message(item: object) -> bool:
    return isinstance(item, dict) and isinstance(item.get("role"), str) and isinstance(item.get("content"), str)
