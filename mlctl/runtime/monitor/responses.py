"""The part `responses`: how long answers are, why they end, how often they are refused, empty or no JSON, and who gave them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from html import escape
from typing import Any

from mlctl.runtime.monitor import exchanges, golden
from mlctl.runtime.monitor.exchanges import Row, Spans
from mlctl.runtime.monitor.found import Found
from mlctl.runtime.monitor.refusals import Refusals
from mlctl.runtime.monitor.told import Tested, decided, tests_table
from mlctl.runtime.report import Report
from mlctl.stats import drift
from mlctl.stats.drift import Verdict
from mlctl.stats.ratio_change import change
from mlctl.types.jobs.monitor import Alarm, MonitorJob
from mlctl.types.jobs.monitor_llm import ResponsesPart

LENGTH, FINISH = "completion_tokens", "finish_reason"
REFUSED, EMPTY, NOT_JSON = "refused", "empty", "not_json"
MODEL = "response_model"
_FIELDS = (
    LENGTH, FINISH, "answer", "answer_characters", "answer_json", "answer_digest", "json_asked", "request_model", MODEL, "model", "version",
    "adapter", "request_id",
)  # fmt: skip


def watch(job: MonitorJob, part: ResponsesPart, report: Report) -> Found:
    """Read, test what versions in both spans answered, ask golden prompts, and decide over all of it."""
    report.progress("reading answers")
    spans = exchanges.read(job, part.window_seconds, part.baseline_window_seconds, _FIELDS)
    known = set(map(_version, spans.now.rows)) & set(map(_version, spans.before.rows))
    same = spans.only(lambda row: _version(row) in known)
    lacking = spans.lacking(part.min_rows) or _by_other_versions(same, part.min_rows)
    unseen: list[str] = []
    tests = [] if lacking else [*_distributions(part, same), *_changes(part, same, unseen)]
    asked = None
    if part.golden is not None:
        own = (row for row in spans.now.rows if row["model"] == part.golden.model)
        latest = max(own, key=lambda row: row["ts"], default=None)
        version = None if latest is None else str(latest["version"])
        memory = job.memory.get("responses", {}).get("golden", {})
        asked = golden.check(job, part.golden, memory, version, report)
        tests += [asked.test] if asked.test is not None else []
    tested, alarms = decided("responses", tests, part.alpha)
    alarms = [*_other_models(spans), *alarms]
    figures = {
        "rows": len(spans.now.rows), "rows_before": len(spans.before.rows), "tested_rows": len(same.now.rows), "tests": tested,
        "finish_reasons": _shares(same, FINISH), "response_models": _shares(spans, MODEL), "cannot_see": unseen,
        "golden": None if asked is None else asked.figures, "memory": {"golden": {} if asked is None else asked.memory},
    }  # fmt: skip
    verdict = Verdict.ALARM if alarms else Verdict.NO_DATA if lacking or _unasked(asked) else Verdict.OK
    return Found(verdict, _summary(lacking, asked, figures, alarms), figures, tuple(alarms), lambda: _draw(figures))


def _version(row: Row) -> tuple[str, str, str]:
    return str(row["model"]), str(row["version"]), str(row["adapter"] or "-")


def _by_other_versions(same: Spans, least: int) -> str:
    """Answers of another version may differ without any drift: a release is judged by its gates."""
    few = same.lacking(least)
    return f"the version of the model is new: {few}" if few else ""


def _distributions(part: ResponsesPart, spans: Spans) -> list[Tested]:
    lengths = [span.values(LENGTH) for span in (spans.before, spans.now)]
    tests = []
    if min(map(len, lengths)) >= part.min_rows:
        middles = [sorted(values)[len(values) // 2] for values in lengths]
        says = f"answers are of other lengths: half are above {middles[1]:g} tokens, and were above {middles[0]:g}"
        tests.append(Tested.of_rows(LENGTH, "ks", drift.ks(*lengths), part.margins["length"], says))
    ends = [
        Counter(str(row[FINISH]) for row in span.rows if row[FINISH] is not None) for span in (spans.before, spans.now)
    ]
    if min(count.total() for count in ends) >= part.min_rows:
        names = sorted({*ends[0], *ends[1]})
        found = drift.chi_square(*([float(count[name]) for name in names] for count in ends))
        shares = {name: [count[name] / count.total() for count in ends] for name in names}
        most = max(names, key=lambda name: abs(shares[name][1] - shares[name][0]))
        says = f"answers end otherwise: {shares[most][1]:.1%} by `{most}`, {shares[most][0]:.1%} before"
        tests.append(Tested.of_rows(FINISH, "chi_square", found, part.margins[FINISH], says))
    return tests


def _rates(part: ResponsesPart) -> dict[str, Callable[[Row], float | None]]:
    """What counts of an answer as refused, empty, and no JSON: 1, 0, or None where the log does not tell."""

    def empty(row: Row) -> float | None:
        if row["answer_characters"] is not None:
            return float(row["answer_characters"] == 0)
        return None if row[LENGTH] is None else float(row["answer_digest"] is None)

    def not_json(row: Row) -> float | None:
        wanted = part.expect_json or row["json_asked"]
        return None if not wanted or row["answer_json"] is None else float(not row["answer_json"])

    rates: dict[str, Callable[[Row], float | None]] = {EMPTY: empty, NOT_JSON: not_json}
    if part.refusals:
        declines = Refusals(part.refusals)
        rates[REFUSED] = lambda row: float(declines(row["answer"])) if isinstance(row["answer"], str) else None
    return rates


def _changes(part: ResponsesPart, spans: Spans, unseen: list[str]) -> list[Tested]:
    """Rates against before, by user. What too few answers tell is noted."""
    tests = []
    for name, value in _rates(part).items():
        now, before = (exchanges.by_unit(span.rows, value) for span in (spans.now, spans.before))
        found = change(now, before, part.margins[name], higher_is_better=False)
        if found is None or min(now.n, before.n) < part.min_rows:
            why = {REFUSED: "no texts are logged", NOT_JSON: "too few were to be JSON, or it is not logged"}.get(
                name, ""
            )
            unseen.append(f"{name.replace('_', ' ')} answers{f': {why}' if why else ''}")
        else:
            tests.append(Tested.of_rate(name, found, part.margins[name], now.value or 0.0, before.value or 0.0))
    return tests


def _other_models(spans: Spans) -> list[Alarm]:
    """Where one version of a deployment, asked for one model, is answered by another than before: a fact, and no test."""
    known: dict[tuple[Any, ...], set[str]] = {}
    for row in spans.before.rows:
        if row[MODEL] is not None:
            known.setdefault((*_version(row), row["request_model"]), set()).add(row[MODEL])
    came: Counter[tuple[str, str]] = Counter()
    for row in spans.now.rows:
        before = known.get((*_version(row), row["request_model"]))
        if row[MODEL] is not None and before and row[MODEL] not in before:
            came[(", ".join(sorted(before)), row[MODEL])] += 1
    return [
        Alarm(
            part="responses", name=MODEL, method="exact",
            says=f"`{new}` gave {count} answers, where `{old}` gave all before: the model was changed behind its name",
        )
        for (old, new), count in came.most_common(5)
    ]  # fmt: skip


def _shares(spans: Spans, name: str) -> dict[str, dict[str, int]]:
    counts = [
        Counter(str(row[name]) for row in span.rows if row[name] is not None) for span in (spans.now, spans.before)
    ]
    return {value: {"requests": counts[0][value], "requests_before": counts[1][value]} for value in sorted({*counts[0], *counts[1]})}  # fmt: skip


def _unasked(asked: golden.Checked | None) -> bool:
    """Whether golden prompts were to be asked, and were not answered."""
    return asked is not None and not asked.figures["enough"]


def _summary(lacking: str, asked: golden.Checked | None, figures: Mapping[str, Any], alarms: list[Alarm]) -> str:
    if alarms:
        return "; ".join(alarm.says for alarm in alarms)
    told = f"; {asked.figures['says']}" if asked is not None else ""
    return (lacking or f"{figures['tested_rows']} answers as before") + told


def _draw(figures: Mapping[str, Any]) -> str:
    blind = "".join(f"<p>Not seen: {escape(text)}.</p>" for text in figures["cannot_see"])
    return tests_table(figures["tests"]) + blind
