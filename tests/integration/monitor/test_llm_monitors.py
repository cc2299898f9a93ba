"""Monitors of a language model end to end: the log that the middleware writes, the real program, a real judge over HTTP."""

import csv
import json
import random
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mlctl.provider import Context
from mlctl.providers.evidently import evidence, keeping, replay
from mlctl.providers.evidently.backtest import Span, backtest
from mlctl.providers.evidently.monitor import Monitor
from mlctl.providers.evidently.run import MonitorResult, result_text, run_monitor
from mlctl.stats.drift import Verdict
from mlctl.testing.harness import apply_once, make_context
from mlctl.types.address import Address, ObjectKey
from mlctl.types.secret import Secrets
from mlctl.types.state import Record
from tests.integration.monitor.openai_like import Behaviour, serving
from tests.llm_traffic import NOW, PREDICTIONS, text, write

pytestmark = pytest.mark.tools

WINDOWS = {"window": "7d", "baseline": "21d"}
KEY = "sk-hunter22hunter22"
PRICES = {"gpt-4o-2024-08-06": {"input_per_million": 2.5, "output_per_million": 10}}


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    return make_context(tmp_path)


@pytest.fixture
def server() -> Iterator[tuple[str, Behaviour]]:
    with serving() as found:
        yield found


def apply(ctx: Context, url: str = "http://127.0.0.1:1", **parts: Any) -> Record:
    outputs = {"predictions": PREDICTIONS, "url": url, "model": "helper", "digest": "d"}
    made = {"deployments.chat": outputs}
    for name in ("golden", "labelled"):
        path = ctx.root / f"{name}.csv"
        if path.exists():
            with open(path, newline="") as stream:
                columns = dict.fromkeys(next(csv.reader(stream)), "varchar") | (
                    {"good": "bigint"} if name == "labelled" else {}
                )
            made[f"datasets.{name}"] = {
                "files": [path.name],
                "format": "csv",
                "columns": columns,
                "key": [],
                "partitions": {},
                "digest": name,
            }
    inputs = {name: Record(ObjectKey(Address.parse(name), ""), outputs=item) for name, item in made.items()}
    return apply_once(Monitor(), "monitors.m", {"deployment": "chat", **parts}, ctx, inputs)


def table(path: Path, *rows: tuple[str, ...]) -> None:
    with open(path, "w", newline="") as stream:
        csv.writer(stream).writerows(rows)


def made_again(record: Record, result: MonitorResult, ctx: Context) -> bool:
    """Whether the ledger's entry of a run comes out the same."""
    decision = keeping.decision(record, result, ctx, {}, "test")
    evidence.keep_frozen(record, ctx)
    return dict(replay.replay(decision, ctx.root / "again", ctx)) == dict(decision.outputs)


def test_each_kind_of_drift_alarms_in_its_own_part_and_a_run_is_made_again(ctx: Context) -> None:
    def drifted(row: dict[str, Any], draw: random.Random) -> None:
        row["template"] = draw.choice(["support@1", "support@2"])
        if draw.random() < 0.4:  # other users, who ask about something else, at the same length
            row["prompt"] = text("travel", len(row["prompt"].split()), draw)
        row["finish_reason"] = draw.choice(["stop", "length"])
        row["completion_tokens"] = 2 * row["completion_tokens"]

    write(ctx.root, drifted, a_day=60)
    record = apply(ctx, prompts=WINDOWS, responses=WINDOWS, cost={**WINDOWS, "prices": PRICES})
    calm = run_monitor(record, ctx, NOW - timedelta(days=7))
    assert (calm.verdict, calm.outputs["alarms"]) == (Verdict.OK, []), result_text(calm)
    result = run_monitor(record, ctx, NOW)
    assert {(alarm["part"], alarm["name"]) for alarm in result.outputs["alarms"]} == {
        ("prompts", "topics"), ("responses", "completion_tokens"), ("responses", "finish_reason"), ("cost", "cost_per_request"),
    }  # fmt: skip
    assert result.outputs["alarms"][0]["impact"]["metric"] == "usd_per_day"  # what is known to cost comes first
    parts = result.outputs["parts"]
    assert [(item["change"], item["template"]) for item in parts["prompts"]["changes"]] == [("new", "support@2")]
    assert "train" in " ".join(parts["prompts"]["risen_words"]) or "ticket" in parts["prompts"]["risen_words"]
    page = (ctx.root / str(result.outputs["report"])).read_text()
    assert "USD a day" in page
    assert re.search(r"(src|href)=.?https?:", page) is None
    assert "together" in result_text(result)
    assert made_again(record, result, ctx)


def test_golden_prompts_are_asked_at_most_so_often_and_alarm_when_the_answers_change(
    ctx: Context, server: tuple[str, Behaviour]
) -> None:
    url, behaviour = server
    write(ctx.root)
    prompts = [f"what is {number}" for number in range(12)]
    behaviour.answers = {prompt: f"it is the number {prompt[8:]} as ever" for prompt in prompts}
    table(ctx.root / "golden.csv", ("ask",), *((prompt,) for prompt in prompts))
    golden = {"dataset": "golden", "prompt": "ask", "every": "1d"}
    record = apply(ctx, url, responses={**WINDOWS, "golden": golden})
    first = run_monitor(record, ctx, NOW - timedelta(days=1))
    assert first.verdict is Verdict.OK, result_text(first)
    assert len(behaviour.seen) == 12
    assert {item["temperature"] for item in behaviour.seen} == {0}
    assert behaviour.headers[0]["x-mlctl-template"] == "mlctl/golden"
    again = run_monitor(record, ctx, NOW - timedelta(hours=1))
    assert (again.verdict, len(behaviour.seen)) == (Verdict.OK, 12)  # not yet

    behaviour.answers = dict.fromkeys(prompts[:9], "I have been replaced") | {
        prompt: behaviour.answers[prompt] for prompt in prompts[9:]
    }
    changed = run_monitor(record, ctx, NOW)
    (alarm,) = changed.outputs["alarms"]
    assert (alarm["part"], alarm["name"]) == ("responses", "golden_answers")
    asked = len(behaviour.seen)
    assert made_again(record, changed, ctx)
    (past,) = backtest(record, ctx, Span(NOW - timedelta(days=2), NOW - timedelta(days=2), 86400.0))
    assert past["parts"]["responses"]["golden"]["answered"] == 0
    assert len(behaviour.seen) == asked  # neither asks anybody

    behaviour.down = True
    silent = run_monitor(record, ctx, NOW + timedelta(days=1))
    assert silent.verdict is Verdict.NO_DATA
    assert "HTTP status 403" in result_text(silent)
    assert made_again(record, silent, ctx)


def judged(row: dict[str, Any], quality: float, draw: random.Random) -> None:
    row["answer"] = f"{'GOOD' if draw.random() < quality else 'BAD'} #{row['request_id'][1:]}"


def test_a_judge_warns_until_people_agree_with_it_and_what_it_said_is_not_asked_for_again(
    ctx: Context, server: tuple[str, Behaviour]
) -> None:
    url, behaviour = server
    ctx = replace(ctx, secrets=Secrets({"env.JUDGE_KEY": KEY}, b"key of the project"))
    draw = random.Random(3)
    write(ctx.root, lambda row, _: judged(row, 0.3, draw), a_day=20)
    before = (path for path in (ctx.root / PREDICTIONS).iterdir() if path.stem < "2026-05-13")
    for path in before:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        for row in rows:
            judged(row, 0.9, draw)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    rubric = {
        "url": f"{url}/v1",
        "model": "judge-1",
        "api_key": KEY,
        "rubric": "The answer has to be good for something.",
        "sample": 60,
        "min_rows": 40,
    }
    record = apply(ctx, judge={**WINDOWS, **rubric})
    alone = run_monitor(record, ctx, NOW)
    found = alone.outputs["parts"]["judge"]
    assert (alone.verdict, alone.outputs["alarms"]) == (Verdict.OK, []), result_text(alone)
    assert "on probation" in found["warnings"][0]
    assert 0.9 < found["swap_consistency"] < 1
    assert found["rate"]["corrected"] is None
    assert {(item["temperature"], item["seed"]) for item in behaviour.seen} == {(0, 20_261_122)}

    asked = len(behaviour.seen)
    people = [(draw.choice(["GOOD", "BAD"]), number) for number in range(120)]
    table(ctx.root / "labelled.csv", ("ask", "said", "good"), *(("q", f"{word} #{number}", str(int(word == "GOOD"))) for word, number in people))  # fmt: skip
    labels = {"dataset": "labelled", "prompt": "ask", "answer": "said", "label": "good"}
    record = apply(ctx, judge={**WINDOWS, **rubric, "human_labels": labels, "anchors": 15})
    trusted = run_monitor(record, ctx, NOW)
    found = trusted.outputs["parts"]["judge"]
    assert [alarm["name"] for alarm in trusted.outputs["alarms"]] == ["judged_as_failed"], result_text(trusted)
    assert found["agreement"]["labels"] == 120
    assert found["agreement"]["kappa"] > 0.7
    assert found["rate"]["low"] < 0.3 < found["rate"]["high"]  # the true share that is good
    assert len(behaviour.seen) == asked + 2 * (120 + 15)  # the sample's verdicts were there
    assert made_again(record, trusted, ctx)

    assert {item["authorization"] for item in behaviour.headers} == {f"Bearer {KEY}"}
    kept = [path for path in ctx.root.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert kept == []

    behaviour.strict = True  # another judge answers by the same name
    changed = run_monitor(record, ctx, NOW + timedelta(seconds=1))
    assert "judge_anchors" in [alarm["name"] for alarm in changed.outputs["alarms"]]
