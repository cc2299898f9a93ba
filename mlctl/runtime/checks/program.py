"""Check a dataset against its rules. A rule that fails is a verdict, not an error: the job is done either way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mlctl.files import atomic
from mlctl.runtime.checks import quarantine
from mlctl.runtime.checks.checker import Checker, Library
from mlctl.runtime.checks.checker_rule import RuleCheck, Scene
from mlctl.runtime.checks.executor import DuckdbExecutor, Executor, open_duckdb
from mlctl.runtime.checks.gx_engine import Suite
from mlctl.runtime.checks.verdict import Verdict, plural
from mlctl.runtime.profile.database import quote
from mlctl.runtime.report import Report
from mlctl.types.diagnostic import MlctlError
from mlctl.types.job import JobResult, JobStatus
from mlctl.types.jobs.checks import (
    ChecksParams,
    Expectation,
    GreatExpectationsEngine,
    PushdownEngine,
    SparkEngine,
    parse_rule,
)
from mlctl.types.jobs.contract import DataContract
from mlctl.types.jobs.profile import Source
from mlctl.types.state import Gate
from mlctl.types.value import digest

DOCS_FOLDER = "data_docs"


def main(params: dict[str, Any], report: Report) -> JobResult:
    """Judge every rule, write the report and the quarantine, and give the gate's verdict."""
    asked = ChecksParams.model_validate(params)
    rules = [parse_rule(rule) for rule in asked.rules]
    names = [next(iter(rule)) for rule in asked.rules]
    now = datetime.now(UTC)
    contract = None if asked.contract is None else read_contract(asked.contract)
    with executor(asked, report.folder) as engine:
        scene = Scene(
            engine,
            asked.dataset,
            quote(asked.dataset),
            asked.source.key,
            asked.source.timestamp,
            contract,
            now,
            report.progress,
        )
        library = _library(asked, scene)
        checker = Checker(scene, library, lambda text, done, total: report.progress(text, done, total, "rules"))
        rows, verdicts = checker.judge(names, rules)
        written = None
        if asked.quarantine is not None:
            report.progress("writing the quarantine")
            written = quarantine.write(scene, verdicts, asked.quarantine)
    gate = verdict_of(verdicts, written)
    outputs = found(asked, rows, verdicts, gate, written)
    about: dict[str, Any] = {
        "summary": gate.summary,
        "engine": asked.engine.type,
        "checked_at": now.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "counts": counts(verdicts),
        "seconds": {name: round(seconds, 3) for name, seconds in checker.timings.items() if seconds >= 0.001},
    }
    if isinstance(asked.source, Source):
        about["files"] = asked.source.files
    atomic.write_json(Path(asked.report), about | {name: item for name, item in outputs.items() if name != "digest"})
    return JobResult(JobStatus.DONE, outputs | {"report": asked.report}, gate)


@contextmanager
def executor(asked: ChecksParams, folder: Path) -> Iterator[Executor]:
    """The engine that the check asks for, over its datasets."""
    if isinstance(asked.engine, SparkEngine):
        from mlctl.runtime.checks.spark import open_spark

        with open_spark(asked, folder) as spark:
            yield spark
    elif isinstance(asked.engine, PushdownEngine):
        from mlctl.runtime.checks.pushdown import open_pushdown

        with open_pushdown(asked) as database:
            yield database
    else:
        writes = [] if asked.quarantine is None else [quarantine.beside(asked.quarantine.path)]
        with open_duckdb(asked, folder, writes) as duckdb:
            yield duckdb


def verdict_of(verdicts: Sequence[Verdict], written: Mapping[str, Any] | None) -> Gate:
    """The gate: closed by a rule of severity `error` that failed. Its lines name what failed, and what is only a warning."""
    known = counts(verdicts)
    bad, total = known["failed"], plural(len(verdicts), "rule")
    summary = f"{bad} of {total} failed" if bad else f"{total} passed"
    if known["warnings"]:
        passed = summary if bad else f"{known['passed']} of {total} passed"
        summary = f"{passed}, {plural(known['warnings'], 'warning')}"
    lines = [item.line() for item in sorted(verdicts, key=lambda item: item.severity) if not item.passed]
    if written is not None:
        lines.append(_quarantined(written))
    return Gate(not bad, summary, tuple(lines))


def counts(verdicts: Sequence[Verdict]) -> dict[str, int]:
    """How many rules there are, and what became of them."""
    return {
        "rules": len(verdicts),
        "passed": sum(item.passed for item in verdicts),
        "failed": sum(item.closes for item in verdicts),
        "warnings": sum(not item.passed and not item.closes for item in verdicts),
    }


def found(
    asked: ChecksParams, rows: int, verdicts: Sequence[Verdict], gate: Gate, written: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The outputs. What the rules say in detail is no part of the digest: a reworded rule of the same verdict changes nothing."""
    known: dict[str, Any] = {"passed": gate.passed, "rows": rows, "rules": [item.to_json() for item in verdicts]}
    until = [item.fresh_until for item in verdicts if item.fresh_until]
    if until:
        known["fresh_until"] = min(until)
    if written is not None:
        known["quarantine"] = dict(written)
    docs = docs_folder(asked)
    if docs is not None and docs.is_dir():  # not without rows, nor where the library has no rule to judge
        known["data_docs"] = (docs / "site" / "index.html").as_posix()
    return known | {"digest": digest([asked.source_digest, gate.passed])}


def read_contract(path: str) -> DataContract:
    """The recorded contract. Raises MlctlError when there is none, or when it is none."""
    try:
        return DataContract.model_validate_json(Path(path).read_bytes())
    except OSError:
        raise MlctlError.of(
            "data.no-contract",
            f"there is no data contract in `{path}`",
            "a rule compares the data with what was recorded there",
            "run `mlctl data contract record` on a version of the dataset that is good",
        ) from None
    except ValidationError as error:
        raise MlctlError.of(
            "data.bad-contract",
            f"`{path}` is no data contract",
            str(error.errors(include_url=False)[0]["msg"]),
            "record it again with `mlctl data contract record`, or restore it from git",
        ) from None


class _ByName(Suite):
    """Of a check by DuckDB, Great Expectations judges only the rules that name its expectations."""

    def takes(self, check: RuleCheck) -> bool:
        """Expectations by name."""
        return isinstance(check.rule, Expectation)


class _Nothing:
    """Of a check elsewhere it judges nothing: rules that name its expectations are refused before anything runs."""

    def takes(self, check: RuleCheck) -> bool:
        """None."""
        return False

    def judge(self, checks: Mapping[int, RuleCheck], rows: int) -> Mapping[int, Verdict]:
        """It is never asked."""
        raise TypeError("this engine has no frames")


def docs_folder(asked: ChecksParams) -> Path | None:
    """Where the library's own pages go, if they are wanted."""
    wanted = isinstance(asked.engine, GreatExpectationsEngine) and asked.engine.data_docs
    return Path(asked.report).parent / DOCS_FOLDER if wanted else None


def _library(asked: ChecksParams, scene: Scene) -> Library:
    """What Great Expectations judges itself."""
    if isinstance(asked.engine, GreatExpectationsEngine):
        return Suite(scene, docs_folder(asked))
    return _ByName(scene) if isinstance(scene.executor, DuckdbExecutor) else _Nothing()


def _quarantined(written: Mapping[str, Any]) -> str:
    of = f" of {written['offending']:,}" if "offending" in written else ""
    return f"quarantine: {written['rows']:,}{of} offending rows in {written['path']}"
