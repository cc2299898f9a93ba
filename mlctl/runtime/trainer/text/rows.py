"""Documents out of a dataset's files, in the order of the files and a few at a time: conversations, prompts with completions, texts."""

# ruff: noqa: S608 (names go through quote())

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlctl.runtime.profile.database import database, quote
from mlctl.runtime.profile.source import relation
from mlctl.types.diagnostic import MlctlError, did_you_mean
from mlctl.types.jobs.train import TableInput, TextForm

ROLES = ("system", "developer", "user", "assistant", "tool")
ANSWERS = "assistant"
_BATCH_ROWS = 1000
_OTHER_NAMES = {"human": "user", "gpt": ANSWERS, "bot": ANSWERS, "model": ANSWERS, "ai": ANSWERS}


@dataclass(frozen=True, slots=True)
class Document:
    """One row: the turns of a conversation, or the parts of a text, each with its role and content; of what time it is."""

    row: int  # from 1, over all files
    turns: list[dict[str, Any]]
    time: int | None  # microseconds

    def digest(self) -> bytes:
        """16 bytes that are the same for the same text, whatever its spaces and capitals."""
        parts = [[turn["role"], " ".join(turn["content"].split()).casefold()] for turn in self.turns]
        return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).digest()


def documents(dataset: TableInput, form: TextForm, folder: Path, *, timed: bool = False) -> Iterator[list[Document]]:
    """All rows, a batch at a time; DuckDB spills below `folder`. Raises MlctlError for a column or a row that does not fit."""
    columns = _columns(dataset, form)
    chosen = [_selected(dataset, name) for name in columns.values()]
    if timed and dataset.timestamp is not None:
        chosen.append(f"epoch_us(CAST({quote(dataset.timestamp)} AS TIMESTAMP))")
    names = ", ".join(f"{item} AS c{index}" for index, item in enumerate(chosen))
    read = 0
    with database(folder) as connection:
        for batch in connection.sql(f"SELECT {names} FROM {relation(dataset.source)}").to_arrow_reader(_BATCH_ROWS):
            found = []
            for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                read += 1
                time = values[len(columns)] if len(values) > len(columns) else None
                if timed and time is None:
                    raise _bad_row(dataset, read, f"it has no `{dataset.timestamp}`", "a split by time needs it")
                turns = _turns(dataset, read, dict(zip(columns, values, strict=False)))
                if turns:
                    found.append(Document(read, turns, time))
            yield found


def columns_of(form: TextForm) -> dict[str, str]:
    """Which column is what: role or `messages` to its name."""
    named = {"messages": form.messages, "prompt": form.prompt, "completion": form.completion, "text": form.text}
    return {role: name for role, name in named.items() if name is not None}


def _columns(dataset: TableInput, form: TextForm) -> dict[str, str]:
    columns = columns_of(form)
    for role, name in columns.items():
        if name not in dataset.columns:
            raise MlctlError.of(
                "training.no-column",
                f"`{dataset.name}` has no column `{name}`",
                f"`data.{role}` names it; the columns are {', '.join(sorted(dataset.columns))}",
                did_you_mean(name, list(dataset.columns)) or "name a column of the dataset",
            )
        kind = dataset.columns[name]
        if role != "messages" and (kind == "json" or kind.endswith("]") or kind.startswith(("struct", "map"))):
            raise MlctlError.of(
                "training.not-text",
                f"`{name}` of `{dataset.name}` is not text but {kind}",
                f"`data.{role}` takes plain text",
                "name a column of conversations in `data.messages` instead",
            )
    return columns


def _selected(dataset: TableInput, name: str) -> str:
    """A column as text: JSON where its values are nested."""
    kind = dataset.columns[name]
    nested = kind.endswith("]") or kind.startswith(("struct", "map"))
    return f"CAST({f'to_json({quote(name)})' if nested else quote(name)} AS VARCHAR)"


def _turns(dataset: TableInput, row: int, values: Mapping[str, str | None]) -> list[dict[str, Any]]:
    """The turns of a row; none for one that is empty."""
    if "messages" in values:
        return _conversation(dataset, row, values["messages"])
    if "completion" in values and not values["completion"]:
        return []
    return [{"role": role, "content": text} for role, text in values.items() if text]


def _conversation(dataset: TableInput, row: int, stored: str | None) -> list[dict[str, Any]]:
    if not stored:
        return []
    try:
        turns = json.loads(stored)
    except ValueError:
        turns = None
    fix = 'write each conversation as [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]'
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise _bad_row(dataset, row, f"{stored[:80]!r} is not a list of messages", fix)
    found = [{name: value for name, value in turn.items() if value is not None} for turn in turns]
    for turn in found:
        if not isinstance(turn.get("role"), str) or not isinstance(turn.get("content"), str):
            raise _bad_row(dataset, row, f"a message has the fields {', '.join(sorted(turn)) or 'none'}", fix)
        if turn["role"] not in ROLES:
            hint = _OTHER_NAMES.get(turn["role"].lower())
            why = f"a message has the role {turn['role']!r}; roles are {', '.join(ROLES)}"
            raise _bad_row(dataset, row, why, f"write `{hint}` for `{turn['role']}`" if hint else fix)
    return found


def _bad_row(dataset: TableInput, row: int, why: str, fix: str) -> MlctlError:
    return MlctlError.of("training.bad-document", f"row {row:,} of `{dataset.name}` cannot be learnt from", why, fix)
