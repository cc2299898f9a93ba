"""The part `judge`: a language model judges a sample of the answers, once people have judged the judge."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mlctl.runtime.monitor import exchanges
from mlctl.runtime.monitor.found import Found
from mlctl.runtime.monitor.judging import Exchange, Judge, Ruling
from mlctl.runtime.monitor.told import Tested, decided, short, table, tests_table
from mlctl.runtime.profile.database import database, quote
from mlctl.runtime.profile.source import relation
from mlctl.runtime.report import Report
from mlctl.stats.drift import Verdict
from mlctl.stats.kappa import LEAST_KAPPA, LEAST_LABELS, Agreement
from mlctl.stats.ratio_change import Ratio, change
from mlctl.types.jobs.monitor import Alarm, MonitorJob
from mlctl.types.jobs.monitor_llm import HumanLabels, JudgePart

RATE, ANCHORS = "judged_as_failed", "judge_anchors"
_FIELDS = ("prompt", "answer", "request_id")
_MOST_LABELS = 1000
_ANSWERED = 0.8  # of what the judge was asked, for a verdict
_MOVED = 0.05  # of the anchors: more that are judged otherwise than at first is a judge who changed
_LEAST_ANCHORS = 10


def watch(job: MonitorJob, part: JudgePart, report: Report) -> Found:
    """Judge the judge, then the answers of now and before."""
    spans = exchanges.read(job, part.window_seconds, part.baseline_window_seconds, _FIELDS)
    judge = Judge(job, part, report)
    agreement, anchors = _probation(part, judge, report)
    sides = []
    for name, span in (("answers", spans.now), ("answers of before", spans.before)):
        rows = exchanges.drawn([row for row in span.rows if _has_texts(row)], part.sample)
        rulings = judge.rule([Exchange(row["prompt"], row["answer"]) for row in rows], name)
        sides.append(_Side(rows, rulings))
    now, before = sides
    lacking = _lacking(part, now, before, judge.failure)
    tests = [] if lacking else _tests(part, now, before)
    told, alarms = decided("judge", [*tests, *_anchored(anchors)], part.alpha)
    trusted = agreement is not None and agreement.trusted()
    figures: dict[str, Any] = {
        "judge": part.model, "rows": now.judged, "rows_before": before.judged, "unanswered": now.unanswered + before.unanswered,
        "failure": judge.failure, "trusted": trusted, "agreement": _agreement(agreement), "swap_consistency": _consistency(sides),
        "rate": _rate(agreement, now), "rate_before": _rate(agreement, before), "tests": told, "anchors": anchors, "warnings": [],
    }  # fmt: skip
    standing = _standing(agreement)
    if not trusted:
        figures["warnings"] = [f"{alarm.says}; no alarm: {standing}" for alarm in alarms]
        alarms = []
    verdict = Verdict.ALARM if alarms else Verdict.NO_DATA if lacking else Verdict.OK
    return Found(verdict, _summary(lacking, standing, figures, alarms), figures, tuple(alarms), lambda: _draw(figures))


def _has_texts(row: Mapping[str, Any]) -> bool:
    """Whether there is something to judge; empty answers are a matter of the part `responses`."""
    return isinstance(row["prompt"], str) and isinstance(row["answer"], str) and row["answer"] != ""


class _Side:
    """The judged sample of one span."""

    def __init__(self, rows: Sequence[Mapping[str, Any]], rulings: Sequence[Ruling | None]) -> None:
        self.pairs = [(row, ruling) for row, ruling in zip(rows, rulings, strict=True) if ruling is not None]
        self.asked = len(rows)

    @property
    def judged(self) -> int:
        """How many have a ruling."""
        return len(self.pairs)

    @property
    def unanswered(self) -> int:
        """How many have none."""
        return self.asked - len(self.pairs)

    def failed(self) -> Ratio:
        """By user, whose requests are not independent."""
        rows = [{"whose": row["whose"], "failed": float(not ruling.passed)} for row, ruling in self.pairs]
        return exchanges.by_unit(rows, lambda row: row["failed"])


def _probation(part: JudgePart, judge: Judge, report: Report) -> tuple[Agreement | None, dict[str, Any] | None]:
    """The judge beside people, and whether it still says of some of those answers what it said first."""
    if part.labels is None:
        return None, None
    labelled = _labelled(part.labels, report)
    items = [item for item, _ in labelled]
    first = judge.rule(items, "what people judged")
    both = [(ruling, people) for ruling, (_, people) in zip(first, labelled, strict=True) if ruling is not None]
    agreement = Agreement.of([ruling.passed for ruling, _ in both], [people for _, people in both])
    chosen = items[: part.anchors]
    again = judge.rule(chosen, "anchors", anew=True)
    pairs = [(old, new) for old, new in zip(first, again, strict=False) if old is not None and new is not None]
    moved = sum(old.passed != new.passed for old, new in pairs)
    return agreement, {"asked": len(chosen), "answered": len(pairs), "moved": moved} if chosen else None


def _labelled(part: HumanLabels, report: Report) -> list[tuple[Exchange, bool]]:
    """Answers that people judged, in an order that says nothing of them."""
    names = ", ".join(f"CAST({quote(name)} AS VARCHAR)" for name in (part.prompt, part.answer))
    query = f"SELECT {names}, TRY_CAST({quote(part.label)} AS DOUBLE) FROM {relation(part.source)}"  # noqa: S608
    found: dict[Exchange, set[bool]] = {}
    with database(report.folder) as connection:
        for prompt, answer, label in connection.execute(query).fetchall():
            if prompt is not None and answer is not None and label in (0.0, 1.0):
                found.setdefault(Exchange(prompt, answer), set()).add(label == 1.0)
    agreed = [
        (item, labels.pop()) for item, labels in found.items() if len(labels) == 1
    ]  # people who differ say nothing
    return sorted(agreed, key=lambda pair: pair[0].place)[:_MOST_LABELS]


def _tests(part: JudgePart, now: _Side, before: _Side) -> list[Tested]:
    """Whether more is judged as failed than before. Both samples are judged by one judge: what it gets wrong, it gets wrong in both."""
    new, old = now.failed(), before.failed()
    found = change(new, old, part.margin, higher_is_better=False)
    return [] if found is None else [Tested.of_rate(RATE, found, part.margin, new.value or 0.0, old.value or 0.0)]


def _anchored(anchors: Mapping[str, Any] | None) -> list[Tested]:
    """Whether the judge itself changed: anchors are the same answers each time."""
    if anchors is None or anchors["answered"] < _LEAST_ANCHORS:
        return []
    rows, moved = anchors["answered"], anchors["moved"]
    p = sum(math.comb(rows, k) * _MOVED**k * (1 - _MOVED) ** (rows - k) for k in range(moved, rows + 1))
    says = f"the judge changed: it judges {moved} of {rows} anchors otherwise than at first"
    return [Tested(ANCHORS, "binomial", moved / rows, _MOVED, min(p, 1.0), says, moved / rows, 0.0, beyond=True)]


def _lacking(part: JudgePart, now: _Side, before: _Side, failure: str | None) -> str:
    few = min(now.judged, before.judged)
    if few >= part.min_rows and min(now.judged / now.asked, before.judged / before.asked) >= _ANSWERED:
        return ""
    if now.asked == 0:
        return "the log has no texts to judge: the deployment needs `observe.capture: redacted` or `full`"
    why = f"; the judge: {failure}" if failure else ""
    return f"{now.judged} answers of the window are judged and {before.judged} of before, and {part.min_rows} of each are needed{why}"


def _agreement(found: Agreement | None) -> dict[str, Any] | None:
    if found is None:
        return None
    kappa = found.kappa()
    return {
        "labels": found.rows, "kappa": None if kappa is None else kappa[0], "standard_error": None if kappa is None else kappa[1],
        "sensitivity": found.sensitivity, "specificity": found.specificity,
    }  # fmt: skip


def _standing(found: Agreement | None) -> str:
    """Why the judge may alarm, or may not."""
    if found is None:
        return "the judge is on probation, with no human labels to judge it by"
    kappa = found.kappa()
    told = "no kappa" if kappa is None else f"kappa {kappa[0]:.2f}"
    if found.trusted():
        return f"the judge agrees with people: {told} on {found.rows} labels"
    return f"the judge is on probation: {told} on {found.rows} labels, and {LEAST_KAPPA:g} on {LEAST_LABELS} are needed"


def _rate(agreement: Agreement | None, side: _Side) -> dict[str, Any]:
    """The share of answers that pass: as judged, and as people would find it."""
    passed = sum(ruling.passed for _, ruling in side.pairs)
    fixed = None if agreement is None else agreement.corrected(passed, side.judged)
    return {
        "judged": passed / side.judged if side.judged else None, "corrected": None if fixed is None else fixed[0],
        "low": None if fixed is None else fixed[1], "high": None if fixed is None else fixed[2],
    }  # fmt: skip


def _consistency(sides: Sequence[_Side]) -> float | None:
    rulings = [ruling for side in sides for _, ruling in side.pairs]
    return sum(ruling.consistent for ruling in rulings) / len(rulings) if rulings else None


def _summary(lacking: str, standing: str, figures: Mapping[str, Any], alarms: list[Alarm]) -> str:
    if alarms:
        return "; ".join(alarm.says for alarm in alarms)
    if figures["warnings"]:
        return f"warning: {'; '.join(figures['warnings'])}"
    return f"{lacking or 'as many answers pass as before'}; {standing}"


def _draw(figures: Mapping[str, Any]) -> str:
    rates = table(
        ["answers that pass", "as judged", "as people would", "from", "to"],
        [[name, *(short(figures[key][field]) for field in ("judged", "corrected", "low", "high"))] for name, key in (("now", "rate"), ("before", "rate_before"))],
    )  # fmt: skip
    agreed = figures["agreement"] or {}
    facts = table(["judge", ""], [[name.replace("_", " "), short(value)] for name, value in {**agreed, "swap_consistency": figures["swap_consistency"]}.items()])  # fmt: skip
    return tests_table(figures["tests"]) + rates + facts
