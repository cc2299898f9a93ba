"""Language models: how well each foretells the answers of the same documents, and what it answers itself."""

from __future__ import annotations

import gc
import heapq
import math
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet

from mlctl.runtime.evaluate import registry
from mlctl.runtime.evaluate.answers import answer_metrics
from mlctl.runtime.evaluate.kept import Kept, key_of
from mlctl.runtime.evaluate.measured import Measured
from mlctl.runtime.report import Report
from mlctl.runtime.trainer.hf_engine.rows import TokenRows
from mlctl.runtime.trainer.plan import PreparedText
from mlctl.runtime.trainer.text.base import begin, check_folder, hub_folder, load_dtype, load_folder
from mlctl.runtime.trainer.text.layout import Coded, code_documents, write_rows
from mlctl.runtime.trainer.text.measure import device, mean_loss
from mlctl.runtime.trainer.text.model import generate
from mlctl.runtime.trainer.text.prepare import DOCUMENT
from mlctl.runtime.trainer.text.rows import Document, documents
from mlctl.runtime.trainer.text.tokens import Encoder
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.evaluate import ANSWER_METRICS, EvaluateJob
from mlctl.types.jobs.train import Candidate, TextCandidate, TextForm
from mlctl.types.value import digest, digest_bytes

_SAMPLES = 3


def measure(
    job: EvaluateJob, candidate: TextCandidate, rival: Candidate | None, client: Any, report: Report
) -> Measured:
    """Measure candidate, rival and base. Raises MlctlError when the candidate cannot be measured."""
    begin()
    work = report.folder / "tokens"
    if not Path(candidate.model).is_dir():
        raise MlctlError.of(
            "eval.bad-model",
            f"the model in {candidate.model} is gone",
            "it is measured as the training left it",
            "run `mlctl apply` to make it again",
        )
    own = _Judge(job, candidate.text, Path(candidate.model), "the candidate", work / "candidate", report)
    obstacles, leaked = _leakage(own.coded, Path(candidate.keys))
    found, champion, base = own.metrics(job.require.keys()), None, None
    if rival is not None and own.count and any(bar.versus_champion for bar in job.require.values()):
        try:
            rival = _alike(registry.at_hand(client, rival, report.folder))
            other = _Judge(job, candidate.text, Path(rival.model), "the champion", work / "champion", report)
            champion = other.metrics({name for name, bar in job.require.items() if bar.versus_champion})
        except MlctlError as error:
            obstacles.append(f"the champion cannot be measured on these rows: {error.diagnostics[0].summary}")
        else:
            champion, strange = _comparable(champion, own, other, job)
            obstacles += strange
    if own.count and any(bar.versus_base for bar in job.require.values()):
        try:
            place = _base(candidate)
            asked = {name for name, bar in job.require.items() if bar.versus_base}
            base = _Judge(job, candidate.text, place, "the base", work / "base", report).metrics(asked)
        except MlctlError as error:
            obstacles.append(f"the base cannot be measured on these rows: {error.diagnostics[0].summary}")
    shutil.rmtree(work, ignore_errors=True)
    facts = {"documents_read": own.coded.read, "documents_cut": own.coded.cut}
    return Measured(own.count, found, champion, base, obstacles, leaked, {}, facts)


class _Judge:
    """One model on the documents of the dataset, coded by its own tokenizer and chat template."""

    def __init__(self, job: EvaluateJob, form: TextForm, folder: Path, name: str, work: Path, report: Report) -> None:
        self._job, self._form, self._folder = job, form, folder
        self._name, self._work, self._report = name, work, report
        check_folder(folder)
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        self.encoder = Encoder(folder, form)
        self.coded = code_documents(job.dataset, form, self.encoder, work, report)
        self.count = len(self.coded.lengths)

    def metrics(self, asked: Collection[str]) -> dict[str, float]:
        """What was asked for, and always the loss; nothing without rows. What was measured of the same before is not measured again."""
        if not self.count:
            return {}
        kept, keys = Kept(self._report.folder), self._keys()
        known = kept.find(keys["loss"])
        answers = kept.find(keys["answers"]) if ANSWER_METRICS & set(asked) else {}
        if known is not None and answers is not None:
            self._report.progress(f"{self._name} was measured on these documents before")
            return {**known, **answers}
        module = load_folder(self._folder, load_dtype(self._folder)).to(device())
        try:
            if known is None:
                known = self._loss(module)
                kept.keep(keys["loss"], known)
            if answers is None:
                answers = self._answers(module)
                kept.keep(keys["answers"], answers)
            return {**known, **answers}
        finally:
            del module
            gc.collect()

    def _keys(self) -> dict[str, str]:
        """What its loss and its answers depend on."""
        form, generation = self._form.model_dump(mode="json"), self._job.generation.model_dump(mode="json")
        # the documents themselves, too: a file may have been written over since its dataset was made
        read = digest_bytes(bytes(self.coded.digests))
        data = [self._job.dataset.digest, self._job.dataset.source.model_dump(mode="json"), read]
        asked = {"loss": {"form": form}, "answers": {"form": form, "generation": generation}}
        return {name: key_of(self._folder, digest(data), what, device().type) for name, what in asked.items()}

    def _loss(self, module: Any) -> dict[str, float]:
        loss = mean_loss(module, self._tokens(), range(self.count), self._told)
        if not math.isfinite(loss):
            raise MlctlError.of(
                "eval.bad-scores", f"the loss of {self._name} is {loss}", "", "look at what the training logged"
            )
        return {"loss": loss, "perplexity": math.exp(min(loss, 700.0))}

    def _told(self, done: int) -> None:
        self._report.progress(f"measuring {self._name}", done, self.count, "documents")

    def _tokens(self) -> TokenRows:
        write_rows(self.coded, [[index] for index in range(self.count)], 0, self._work)
        data = PreparedText(
            folder=str(self._work), base=str(self._folder), train=0, validation=self.count, train_tokens=0,
            max_length=self._form.max_length, pad_token=self.encoder.pad_token,
        )  # fmt: skip
        return TokenRows(data)

    def _answers(self, module: Any) -> dict[str, float]:
        """The metrics of what it writes, over documents that are drawn by their content."""
        asked = self._job.generation
        drawn = heapq.nsmallest(
            asked.documents,
            (
                (document.digest(), document.row, document)
                for batch in documents(self._job.dataset, self._form, self._work)
                for document in batch
            ),
            key=lambda item: item[:2],
        )
        given, expected = _prompts(self.encoder, [item[2] for item in drawn], self._form.max_length)
        if not given:
            return {}
        written: list[str] = []
        for start in range(0, len(given), 8):
            self._report.progress(f"asking {self._name}", start, len(given), "documents")
            written += generate(module, self.encoder.tokenizer, given[start : start + 8], asked.max_new_tokens)
        return answer_metrics(expected, written)


def _prompts(encoder: Encoder, drawn: Sequence[Document], longest: int) -> tuple[list[list[int]], list[str]]:
    """What the model is given, and what is expected of it; a prompt that fills a row by itself leaves no place for an answer."""
    pairs = [found for document in drawn if (found := encoder.prompt(document)) is not None and len(found[0]) < longest]
    return [ids for ids, _ in pairs], [answer for _, answer in pairs]


def _leakage(coded: Coded, keys: Path) -> tuple[list[str], int]:
    """Documents that are among those of the training, by their content."""
    if not coded.lengths:
        return [], 0
    trained = set(parquet.read_table(keys, columns=[DOCUMENT])[DOCUMENT].to_pylist())
    rows = [
        row
        for row, name in zip(coded.rows, coded.names.tolist(), strict=True)
        if name.ljust(16, b"\0").hex() in trained
    ]
    if not rows:
        return [], 0
    documents = "document was" if len(rows) == 1 else "documents were"
    samples = "; ".join(f"row {row:,}" for row in rows[:_SAMPLES])
    return [f"eval.leakage: {len(rows):,} {documents} trained on, for example {samples}"], len(rows)


def _comparable(
    found: dict[str, float], own: _Judge, other: _Judge, job: EvaluateJob
) -> tuple[dict[str, float], list[str]]:
    """The champion's figures that mean the same: a loss is one for each token, and tokens differ between vocabularies."""
    if own.encoder.tokenizer.get_vocab() == other.encoder.tokenizer.get_vocab():
        return found, []
    kept = {name: value for name, value in found.items() if name in ANSWER_METRICS}
    compared = [name for name, bar in job.require.items() if bar.versus_champion and name not in ANSWER_METRICS]
    why = "the champion has another vocabulary, and a loss for each token says nothing across vocabularies"
    return kept, [f"{compared[0]} cannot be compared: {why}"] if compared else []


def _alike(rival: Candidate) -> TextCandidate:
    if not isinstance(rival, TextCandidate):
        raise MlctlError.of(
            "eval.other-kind", "it reads rows of features", "the candidate is a language model", "register it elsewhere"
        )
    return rival


def _base(candidate: TextCandidate) -> Path:
    if candidate.base_revision is None:
        return Path(candidate.base)
    return hub_folder(candidate.base, candidate.base_revision)
