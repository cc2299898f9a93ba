"""The part `prompts`: another template is a change somebody made, and is told; other questions are drift, and are tested."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from mlctl.runtime.monitor import exchanges
from mlctl.runtime.monitor.exchanges import Row, Spans
from mlctl.runtime.monitor.found import Found
from mlctl.runtime.monitor.told import Tested, decided, table, tests_table
from mlctl.runtime.report import Report
from mlctl.stats import drift
from mlctl.stats.drift import Verdict
from mlctl.types.jobs.monitor import MonitorJob
from mlctl.types.jobs.monitor_llm import PromptsPart

LENGTH, TOKENS, TOPICS = "prompt_characters", "prompt_tokens", "topics"
_FIELDS = ("template", "system_digest", LENGTH, TOKENS, "prompt", "request_id")
_MOST_TEXTS = 2000  # of each side
_TOLD = 20  # templates

_Version = tuple[
    str | None, str | None
]  # the template that a client named, and the digest of the system's instructions


def watch(job: MonitorJob, part: PromptsPart, report: Report) -> Found:
    """Read, tell which templates are new, and test what was asked by those that are not."""
    report.progress("reading prompts")
    spans = exchanges.read(job, part.window_seconds, part.baseline_window_seconds, _FIELDS)
    versions = [Counter(_version(row) for row in span.rows) for span in (spans.before, spans.now)]
    changes = _changes(*versions)
    known = {template for template, _ in versions[0]} & {template for template, _ in versions[1]}
    same = spans.only(lambda row: row["template"] in known)
    lacking = spans.lacking(part.min_rows) or _by_other_templates(same, part.min_rows)
    tests, unseen, words = ([], [], []) if lacking else _tests(part, same, bool(changes), report)
    tested, alarms = decided("prompts", tests, part.alpha)
    verdict = Verdict.ALARM if alarms else Verdict.OK if tests else Verdict.NO_DATA
    figures = {
        "rows": len(spans.now.rows), "rows_before": len(spans.before.rows), "tested_rows": len(same.now.rows), "tests": tested,
        "templates": _told(versions), "changes": changes, "cannot_see": unseen, "risen_words": words,
    }  # fmt: skip
    return Found(verdict, _summary(lacking, figures, [alarm.says for alarm in alarms]), figures, tuple(alarms), lambda: _draw(figures))  # fmt: skip


def _version(row: Row) -> _Version:
    return row["template"], row["system_digest"]


def _changes(before: Counter[_Version], now: Counter[_Version]) -> list[dict[str, Any]]:
    """Templates that came and went, most used first. With nothing to compare with, none is new."""
    if not before or not now:
        return []
    came = [(version, count, "new") for version, count in now.most_common() if version not in before]
    went = [(version, count, "gone") for version, count in before.most_common() if version not in now]
    return [
        {"change": how, "template": version[0], "system_digest": version[1], "requests": count}
        for version, count, how in (came + went)[:_TOLD]
    ]


def _told(versions: Sequence[Counter[_Version]]) -> list[dict[str, Any]]:
    before, now = versions
    return [
        {
            "template": version[0],
            "system_digest": version[1],
            "requests": now[version],
            "requests_before": before[version],
        }
        for version, _ in (before + now).most_common(_TOLD)
    ]


def _by_other_templates(same: Spans, least: int) -> str:
    few = same.lacking(least)
    return f"the templates changed, and too few prompts came by those of before: {few}" if few else ""


def _tests(part: PromptsPart, spans: Spans, changed: bool, report: Report) -> tuple[list[Tested], list[str], list[str]]:
    """Tests of what was asked, what they cannot see, and the words that came up."""
    tests, unseen = [], []
    lengths = [span.values(LENGTH) for span in (spans.before, spans.now)]
    if min(map(len, lengths)) >= part.min_rows:
        tests.append(_length(part, LENGTH, "prompts are of other lengths", *lengths))
    elif changed:
        unseen.append("lengths: the log has tokens alone, among them those of a template that changed")
    else:
        tokens = [span.values(TOKENS) for span in (spans.before, spans.now)]
        unseen.append("which prompts grew: the log has tokens alone, among them those of the template")
        if min(map(len, tokens)) >= part.min_rows:
            tests.append(_length(part, TOKENS, "prompts have other numbers of tokens", *tokens))
    if not part.topics:
        return tests, [*unseen, "what prompts are about: `topics` is off"], []
    texts = [
        [
            row["prompt"]
            for row in exchanges.drawn([row for row in span.rows if isinstance(row["prompt"], str)], _MOST_TEXTS)
        ]
        for span in (spans.before, spans.now)
    ]
    if min(map(len, texts)) < part.min_rows:
        return tests, [*unseen, "what prompts are about, and in which language: no texts are logged"], []
    from mlctl.runtime.monitor.topics import told_apart

    report.progress("telling prompts apart")
    found, words = told_apart(*texts)
    says = f"prompts can be told from those of before ({found.effect:.3f} of the area under the ROC curve)"
    if words:
        says += f": more of {', '.join(words)}"
    tests.append(Tested.of_rows(TOPICS, "domain_classifier", found, part.margins[TOPICS], says))
    return tests, unseen, words if found.effect >= part.margins[TOPICS] else []


def _length(part: PromptsPart, name: str, says: str, before: list[float], now: list[float]) -> Tested:
    found = drift.ks(before, now)
    middles = [sorted(values)[len(values) // 2] for values in (before, now)]
    return Tested.of_rows(
        name,
        "ks",
        found,
        part.margins["length"],
        f"{says}: half are above {middles[1]:g}, and were above {middles[0]:g}",
    )


def _summary(lacking: str, figures: Mapping[str, Any], says: list[str]) -> str:
    changes = figures["changes"]
    new = sum(item["change"] == "new" for item in changes)
    told = f"; templates changed: {new} new, {len(changes) - new} gone" if changes else ""
    if says:
        return "; ".join(says) + told
    if lacking or not figures["tests"]:
        return (lacking or "nothing of the prompts is logged that could be tested") + told
    return f"{figures['tested_rows']} prompts as before{told}"


def _draw(figures: Mapping[str, Any]) -> str:
    rows = [
        [item["template"] or "-", item["system_digest"] or "-", str(item["requests"]), str(item["requests_before"])]
        for item in figures["templates"]
    ]
    blind = "".join(f"<p>Not seen: {escape(text)}.</p>" for text in figures["cannot_see"])
    return tests_table(figures["tests"]) + "<h3>Templates</h3>" + table(["template", "system", "now", "before"], rows) + blind  # fmt: skip
