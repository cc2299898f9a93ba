"""Make what the ranks read: tokens of the text, split and packed into rows. Done once; a resumed training finds it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet

from mlctl.files import atomic
from mlctl.runtime.report import Report
from mlctl.runtime.trainer.plan import PreparedText, RankPlan
from mlctl.runtime.trainer.text.apart import check_packing
from mlctl.runtime.trainer.text.layout import Coded, code_documents, write_rows
from mlctl.runtime.trainer.text.pack import pack
from mlctl.runtime.trainer.text.split import Split, split_by_time, split_random
from mlctl.runtime.trainer.text.tokens import Encoder
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.recipe import Recipe
from mlctl.types.jobs.train import TextData

TOKENS_FOLDER = "tokens"
KEYS_FILE = "keys.parquet"
DOCUMENT = "document"  # the column of KEYS_FILE
_MANIFEST = "manifest.json"


def prepare(recipe: Recipe, data: TextData, base: Path, folder: Path, report: Report) -> RankPlan:
    """The plan of the ranks, with the tokens it names in place. Raises MlctlError."""
    place = folder / TOKENS_FOLDER
    if not (place / _MANIFEST).exists():
        _make(recipe, data, base, folder, report)
    stored = statistics(folder)
    tokens = PreparedText(
        folder=str(place.resolve()),
        base=str(base.resolve()),
        train=stored["train_rows"],
        validation=stored["validation_rows"],
        train_tokens=stored["train_tokens"],
        max_length=data.max_length,
        pad_token=stored["pad_token"],
    )
    # the ranks begin with the folder `tokens.base`, which has the adapters in it already
    begun = recipe.model_copy(update={"model": recipe.model.model_copy(update={"adapters": []})})
    return RankPlan(data=tokens, model={"type": "causal_lm", "base": tokens.base}, recipe=begun)


def statistics(folder: Path) -> dict[str, Any]:
    """What was counted while the tokens were made."""
    found: dict[str, Any] = json.loads((folder / TOKENS_FOLDER / _MANIFEST).read_bytes())
    return found


def _make(recipe: Recipe, data: TextData, base: Path, folder: Path, report: Report) -> None:
    raw, stage = folder / f".{TOKENS_FOLDER}.raw", folder / f".{TOKENS_FOLDER}.new"
    for path in (raw, stage):
        shutil.rmtree(path, ignore_errors=True)  # what a kill left
        path.mkdir(parents=True)
    encoder = Encoder(base, data)
    coded = code_documents(data.dataset, data, encoder, raw, report, timed=_timed(data))
    if not len(coded.lengths):
        raise _no_rows(data, coded)
    split = _split(data, recipe.seed, coded)
    _check_split(data, split, len(coded.lengths))
    report.progress("laying out rows of tokens")
    lengths = np.asarray(coded.lengths, dtype=np.int64)
    sides = [_rows(side, lengths, data) for side in (split.train, split.validation)]
    if len(sides[0]) < recipe.layout.data:
        raise MlctlError.of(
            "training.no-rows",
            f"{len(sides[0])} rows are too few for {recipe.layout.data} data-parallel processes",
            "each needs one at least" + ("; documents share rows (`data.packing`)" if data.packing else ""),
            "use fewer processes, a smaller `data.max_length`, or bring more data",
        )
    if data.packing and any(len(row) > 1 for row in (*sides[0], *sides[1])):
        check_packing(base)
    tokens = write_rows(coded, [*sides[0], *sides[1]], len(sides[0]), stage)
    _write_keys(coded, folder / KEYS_FILE)
    counts = {
        "documents": coded.read,
        "cut": coded.cut,
        "cut_away": coded.cut_away,
        "unanswered": coded.unanswered,
        "repeated": split.repeated,
        "copies": len(coded.lengths) - len(np.unique(coded.names)),
        "train_documents": len(split.train),
        "validation_documents": len(split.validation),
        "train_rows": len(sides[0]),
        "validation_rows": len(sides[1]),
        "pad_token": encoder.pad_token,
        **tokens,
    }
    atomic.write_json(stage / _MANIFEST, counts)
    os.replace(stage, folder / TOKENS_FOLDER)
    atomic.sync_folder(folder)
    shutil.rmtree(raw)
    report.progress(_summary(data, counts))


def _timed(data: TextData) -> bool:
    """Whether the split needs times. Raises MlctlError when there are none."""
    timed = data.split_by == "time"
    if timed and data.dataset.timestamp is None:
        raise MlctlError.of(
            "training.no-timestamp",
            "a split by time needs times",
            f"`{data.dataset.name}` has no `timestamp`",
            "set `timestamp:` on the dataset, or `split: {by: random, ...}`",
        )
    return timed


def _split(data: TextData, seed: int, coded: Coded) -> Split:
    if data.split_by == "time":
        return split_by_time(coded.names, np.asarray(coded.times, dtype=np.int64), data.test_share)
    return split_random(coded.names, data.test_share, seed)


def _check_split(data: TextData, split: Split, count: int) -> None:
    if len(split.train) and len(split.validation):
        return
    why = f"{count} documents cannot be split" if count < 2 else "all documents are copies of one text"
    if data.split_by == "time":
        why = "all documents have the same time, or the later ones are copies of earlier ones"
    raise MlctlError.of(
        "training.empty-split",
        f"the split leaves {len(split.train)} documents to learn from and {len(split.validation)} to validate on",
        why,
        "change `data.split`, or bring more data",
    )


def _rows(chosen: Any, lengths: Any, data: TextData) -> list[list[int]]:
    """Documents of each row."""
    if not data.packing:
        return [[int(index)] for index in chosen]
    return [[int(chosen[index]) for index in row] for row in pack(lengths[chosen], data.max_length)]


def _write_keys(coded: Coded, path: Path) -> None:
    """The digests of all documents that were used, to hold against those of an evaluation."""
    beside = path.with_name(f".{path.name}.new")
    names = pa.array([item.ljust(16, b"\0").hex() for item in sorted(set(coded.names.tolist()))], type=pa.string())
    parquet.write_table(pa.table({DOCUMENT: names}), beside)
    os.replace(beside, path)


def _summary(data: TextData, counts: dict[str, Any]) -> str:
    """One line on what was made, and on what was left out or cut."""
    rows = counts["train_rows"] + counts["validation_rows"]
    tokens = counts["train_tokens"] + counts["validation_tokens"]
    said = [
        f"{counts['train_documents'] + counts['validation_documents']:,} documents in {rows:,} rows, {tokens:,} tokens"
    ]
    if counts["cut"]:
        said.append(f"{counts['cut']:,} were cut to {data.max_length} tokens")
    if counts["cut_away"]:
        said.append(f"{counts['cut_away']:,} were left out, since the cut left nothing of their answers")
    if counts["unanswered"]:
        said.append(f"{counts['unanswered']:,} were left out, since they have no answer")
    if counts["repeated"]:
        said.append(f"{counts['repeated']:,} later copies of earlier texts were left out of the validation")
    return "; ".join(said)


def _no_rows(data: TextData, coded: Coded) -> MlctlError:
    why = f"`{data.dataset.name}` has no rows with text"
    fix = "check the data that the dataset names"
    if coded.cut_away:
        why, fix = f"all answers begin after `data.max_length` ({data.max_length}) tokens", "raise `data.max_length`"
    elif coded.unanswered:
        why, fix = "no document has an answer to learn", "check the roles, or set `data.loss_on: all`"
    return MlctlError.of("training.no-rows", "no document is left to learn from", why, fix)
