"""Rows of tokens on disk: documents are coded a batch at a time into flat files, and then laid out row by row through memory maps.

Memory holds a few numbers a document, however long they are.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mlctl.runtime.report import Report
from mlctl.runtime.trainer.plan import OFFSETS_FILE
from mlctl.runtime.trainer.text.rows import documents
from mlctl.runtime.trainer.text.tokens import Encoder
from mlctl.types.jobs.train import TableInput, TextForm

IDS_FILE, LABELS_FILE, POSITIONS_FILE, WEIGHTS_FILE = "input_ids.npy", "labels.npy", "position_ids.npy", "weights.npy"
IGNORED = -100  # the label of a token that does not count
_IDS, _COUNTED = "ids", "counted"


@dataclass
class Coded:
    """All documents in flat files, and what is known of each."""

    folder: Path
    lengths: Any = field(default_factory=lambda: array("q"))
    rows: Any = field(default_factory=lambda: array("q"))
    times: Any = field(default_factory=lambda: array("q"))
    digests: bytearray = field(default_factory=bytearray)
    read: int = 0
    cut: int = 0
    cut_away: int = 0  # documents of which the cut left nothing that counts
    unanswered: int = 0  # documents of which nothing ever counted

    @property
    def names(self) -> Any:
        """The digests as an array (documents,)."""
        return np.frombuffer(bytes(self.digests), dtype="S16")

    def opened(self) -> tuple[Any, Any, Any]:
        """Tokens, which of them count, and where each document starts."""
        starts = np.concatenate([[0], np.cumsum(np.asarray(self.lengths, dtype=np.int64))])
        ids = np.memmap(self.folder / _IDS, dtype=np.int32, mode="r")
        return ids, np.memmap(self.folder / _COUNTED, dtype=np.bool_, mode="r"), starts


def code_documents(
    dataset: TableInput, form: TextForm, encoder: Encoder, folder: Path, report: Report, *, timed: bool = False
) -> Coded:
    """Code all documents into flat files in a folder, cut to `max_length`, but for those of which nothing counts. Raises MlctlError."""
    coded = Coded(folder)
    with open(folder / _IDS, "wb") as ids, open(folder / _COUNTED, "wb") as counted:
        for batch in documents(dataset, form, folder, timed=timed):
            for document, tokens in zip(batch, encoder.encode(batch), strict=True):
                coded.read += 1
                kept = tokens.counted[: form.max_length]
                if not kept.any():
                    coded.cut_away += bool(tokens.counted.any())
                    coded.unanswered += not tokens.counted.any()
                    continue
                coded.cut += len(tokens.ids) > form.max_length
                ids.write(tokens.ids[: form.max_length].tobytes())
                counted.write(kept.tobytes())
                coded.lengths.append(len(kept))
                coded.rows.append(document.row)
                coded.digests += document.digest()
                if document.time is not None:
                    coded.times.append(document.time)
            report.progress("coding text", coded.read, dataset.rows, "documents")
    return coded


def write_rows(coded: Coded, rows: Sequence[Sequence[int]], train: int, place: Path) -> dict[str, int]:
    """The arrays that `PreparedText` describes; gives how many tokens there are on either side, and how many count."""
    ids, counted, starts = coded.opened()
    sizes = [sum(int(starts[index + 1] - starts[index]) for index in row) for row in rows]
    offsets = np.concatenate([[0], np.cumsum(np.asarray(sizes, dtype=np.int64))])
    weights = np.zeros(len(rows), dtype=np.int64)
    arrays = [
        np.lib.format.open_memmap(place / name, mode="w+", dtype=np.int32, shape=(int(offsets[-1]),))
        for name in (IDS_FILE, LABELS_FILE, POSITIONS_FILE)
    ]
    at = 0
    for number, row in enumerate(rows):
        for index in row:
            part = slice(int(starts[index]), int(starts[index + 1]))
            there = slice(at, at + part.stop - part.start)
            arrays[0][there] = ids[part]
            arrays[1][there] = np.where(counted[part], ids[part], IGNORED)
            arrays[2][there] = np.arange(part.stop - part.start, dtype=np.int32)
            weights[number] += int(counted[part].sum())
            at = there.stop
    for written in arrays:
        written.flush()
    for name, values in ((OFFSETS_FILE, offsets), (WEIGHTS_FILE, weights)):
        with open(place / name, "wb") as stream:
            np.save(stream, values)
            stream.flush()
            os.fsync(stream.fileno())
    return {
        "train_tokens": int(offsets[train]),
        "validation_tokens": int(offsets[-1] - offsets[train]),
        "train_counted": int(weights[:train].sum()),
        "validation_counted": int(weights[train:].sum()),
    }
