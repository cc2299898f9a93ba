"""Golden prompts: asked of the deployment now and then, at temperature 0, and held against what they were answered at first.

Prompts of users change; these do not. So what changes in their answers is the model: also one that a provider exchanged
under the same name.
"""

from __future__ import annotations

import http.client
import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mlctl.runtime.monitor.asked import Asked, key_of
from mlctl.runtime.monitor.told import Tested
from mlctl.runtime.profile.database import database, quote
from mlctl.runtime.profile.source import relation
from mlctl.runtime.report import Report
from mlctl.types.jobs.monitor import MonitorJob
from mlctl.types.jobs.monitor_llm import GOLDEN_TEMPLATE, Golden

NAME, FILE = "golden_answers", "golden.jsonl"
LEAST = 5  # answers without which nothing is said
_ANSWERED = 0.8  # of the prompts, for a verdict
_IN_A_ROW = 3  # failures after which nobody is asked any more
_CHARACTERS = 8000
_MOST_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of it: figures, what to remember, and the test once there is something to hold it against."""

    figures: dict[str, Any]
    memory: dict[str, Any]
    test: Tested | None = None


def check(job: MonitorJob, part: Golden, memory: Mapping[str, Any], version: str | None, report: Report) -> Checked:
    """Ask if it is time to, and compare. Answers of another version of the model are a new beginning."""
    until = datetime.fromisoformat(job.until)
    if version is None and memory:
        version = memory["identity"][1]  # nobody asked in the window: as far as is known it is the one of before
    known = memory if memory.get("identity") == [part.identity, version] else {}
    if known and (until - datetime.fromisoformat(known["asked_at"])).total_seconds() < part.every_seconds:
        return _judged(part, dict(known["figures"]), known)
    prompts = _prompts(part, report.folder)
    answers, failure = _answers(job, part, [prompt for prompt, _ in prompts], report)
    figures: dict[str, Any] = {
        "asked_at": job.until, "prompts": len(prompts), "answered": len(answers), "failure": failure, "version": version,
        "score": None, "first_score": None, "changed": [], "enough": len(answers) >= max(LEAST, _ANSWERED * len(prompts)),
    }  # fmt: skip
    if not figures["enough"]:
        figures["says"] = (
            f"{len(answers)} of {len(prompts)} golden prompts were answered{f': {failure}' if failure else ''}"
        )
        return Checked(figures, dict(known))
    expected = {prompt: answer for prompt, answer in prompts if answer is not None}
    first: Mapping[str, str] = known.get("answers", {}) if part.answer is None else expected
    if part.answer is None and not first:
        figures["says"] = f"the first answers to {len(answers)} golden prompts are kept"
        return Checked(figures, _kept(part, version, job, figures, {prompt: 1.0 for prompt in answers}, answers))
    scores = {prompt: score(part.compare, first[prompt], said) for prompt, said in answers.items() if prompt in first}
    before: Mapping[str, float] = known.get("first_scores", {})
    if not before:
        figures |= {"score": _mean(list(scores.values()))}
        figures["says"] = f"the first answers score {figures['score']:.3f}, which is kept"
        return Checked(figures, _kept(part, version, job, figures, scores, {}))
    drops = {prompt: before[prompt] - now for prompt, now in scores.items() if prompt in before}
    figures |= {
        "score": _mean([scores[prompt] for prompt in drops]), "first_score": _mean([before[prompt] for prompt in drops]),
        "compared": len(drops), "drop": _mean(list(drops.values())), "spread": _spread(list(drops.values())),
        "changed": [prompt[:200] for prompt, drop in sorted(drops.items(), key=lambda item: -item[1])[:3] if drop > 0],
    }  # fmt: skip
    figures["says"] = f"golden answers score {figures['score']:.3f} where they scored {figures['first_score']:.3f}"
    return _judged(part, figures, _kept(part, version, job, figures, before, dict(known.get("answers", {}))))


def _judged(part: Golden, figures: dict[str, Any], memory: Mapping[str, Any]) -> Checked:
    """With the test, if there is a first time to compare with."""
    if figures.get("drop") is None:
        return Checked(figures, dict(memory))
    p = _p_value(figures["drop"] - part.margin, figures["spread"], figures["compared"])
    test = Tested(
        NAME, "paired_t", figures["drop"], part.margin, p, figures["says"], figures["score"], figures["first_score"], beyond=True
    )  # fmt: skip
    return Checked(figures, dict(memory), test)


def _kept(
    part: Golden, version: str | None, job: MonitorJob, figures: Mapping[str, Any], scores: Mapping[str, float],
    answers: Mapping[str, str],
) -> dict[str, Any]:  # fmt: skip
    return {
        "identity": [part.identity, version], "asked_at": job.until, "figures": dict(figures), "first_scores": dict(scores),
        "answers": dict(answers),
    }  # fmt: skip


def score(compare: str, expected: str, said: str) -> float:
    """How like an answer is to the one expected: equal or not, or the F1 of their words, as SQuAD has it (Rajpurkar 2016)."""
    one, other = expected.split(), said.split()
    if compare == "exact":
        return float(one == other)
    a, b = Counter(word.casefold() for word in one), Counter(word.casefold() for word in other)
    if not a or not b:
        return float(not a and not b)
    common = sum((a & b).values())
    return 2 * common / (a.total() + b.total())


def _p_value(excess: float, error: float, rows: int) -> float:
    """One-sided, of a mean drop beyond the margin, by Student's t."""
    if error == 0:
        return 0.0 if excess > 0 else 1.0
    from scipy.special import stdtr

    return float(stdtr(rows - 1, -excess / error))


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _spread(values: list[float]) -> float:
    """The standard error of the mean."""
    mean = _mean(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / max(len(values) - 1, 1) / max(len(values), 1))


def _prompts(part: Golden, folder: Path) -> list[tuple[str, str | None]]:
    """The prompts, each once, and the answers that are expected."""
    answer = "NULL" if part.answer is None else f"CAST({quote(part.answer)} AS VARCHAR)"
    query = (
        f"SELECT CAST({quote(part.prompt)} AS VARCHAR) AS p, {answer} AS a FROM {relation(part.source)} ORDER BY ALL"  # noqa: S608
    )
    found: dict[str, str | None] = {}
    with database(folder) as connection:
        for prompt, expected in connection.execute(query).fetchall():
            if prompt and (part.answer is None or expected is not None):
                found.setdefault(prompt, expected)
            if len(found) == part.most:
                break
    return list(found.items())


def _answers(job: MonitorJob, part: Golden, prompts: list[str], report: Report) -> tuple[dict[str, str], str | None]:
    """What is answered now, or was answered in this run before it was cut off; and why some are missing."""
    kept = Asked(Path(part.kept) / FILE)
    found, failures, why = {}, 0, None
    for number, prompt in enumerate(prompts):
        key = key_of("golden", part.identity, job.until, prompt)
        known = kept.get(key)
        if known is None and job.asks and failures < _IN_A_ROW:
            report.progress("asking golden prompts", number, len(prompts), "prompts")
            try:
                known = {"said": _ask(part, prompt, job.until)}
            except (OSError, ValueError, http.client.HTTPException) as error:
                known = {"failed": f"{type(error).__name__}: {error}"[:300]}
            kept.put(key, known)  # failures too: this run is made again as it was
        if known is not None and "said" in known:
            found[prompt], failures = known["said"], 0
        elif known is not None:
            failures, why = failures + 1, known["failed"]
    return found, why


def _ask(part: Golden, prompt: str, moment: str) -> str:
    """One answer, by the API of OpenAI. Raises OSError, ValueError or HTTPException.

    The `user` differs each time, so that no cache in between gives an old answer.
    """
    place = urlsplit(part.url)
    messages = [{"role": "system", "content": part.system}] if part.system else []
    body = {
        "model": part.model, "messages": [*messages, {"role": "user", "content": prompt}], "temperature": 0, "seed": 0,
        "max_tokens": part.max_tokens, "stream": False, "user": f"mlctl golden {moment}",
    }  # fmt: skip
    headers = {"content-type": "application/json", "x-mlctl-template": GOLDEN_TEMPLATE}
    if part.token is not None:
        headers["authorization"] = f"Bearer {part.token}"
    made = http.client.HTTPSConnection if place.scheme == "https" else http.client.HTTPConnection
    connection = made(str(place.hostname), place.port, timeout=part.timeout_seconds)
    try:
        connection.request("POST", f"{place.path.rstrip('/')}/v1/chat/completions", json.dumps(body), headers)
        response = connection.getresponse()
        data = response.read(_MOST_BYTES)
    finally:
        connection.close()
    if response.status != 200:
        raise ValueError(f"HTTP status {response.status}")
    try:
        said = json.loads(data)["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        raise ValueError("the answer is not of the API for chats") from None
    return str(said or "")[:_CHARACTERS]
