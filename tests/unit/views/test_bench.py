"""What a load test shows: figures that it measured, and none that it cannot know."""

from __future__ import annotations

import pytest

from mlctl.runtime.bench.loading import summed
from mlctl.runtime.bench.sending import Answer
from mlctl.types.jobs.bench import BenchReport, Load, Point, Sent
from mlctl.types.requirement import parse_requirement
from mlctl.views.html.bench import render
from mlctl.views.human.bench import cautions, text

EIGHT = Load(kind="closed", value=8)


def measured(number: int, tokens: int = 0) -> Point:
    answers = [
        Answer("200", 0.1 + place / 1000, good=True, ttft=0.05 if tokens else None, tokens=tokens, prompt_tokens=62 if tokens else None)
        for place in range(number)
    ]  # fmt: skip
    return summed(EIGHT, answers, 10.0, 0)


@pytest.mark.parametrize(
    ("number", "shown", "said"),
    [
        (6, "-", "8 clients: the largest of 6 times is no P99, which takes 100; measure for longer (`--duration`)"),
        (99, "-", "8 clients: the largest of 99 times is no P99, which takes 100; measure for longer (`--duration`)"),
        (100, "~198 ms", "8 clients: ~ P99 of 100 times is that of the slowest few; 1,000 make it steady"),
        (1000, "1.09 s", None),
    ],
)
def test_a_p99_of_few_requests_is_not_shown_as_one(number: int, shown: str, said: str | None) -> None:
    point = measured(number)
    assert list(cautions([point])) == ([] if said is None else [said])
    report = BenchReport(url="http://127.0.0.1:1", points=[point])
    assert f" {shown} " in text("deployments.api", report, []).splitlines()[2]
    page = render("deployments.api", report, [])
    assert f"<td class='n'>{shown}</td>" in page
    assert ("<p>8 clients: " in page) is (said is not None)


def test_what_was_not_measured_enough_meets_no_bound() -> None:
    few, enough = measured(6), measured(200)
    for name in ("p99", "p95"):
        assert not parse_requirement(f"{name} < 60s").met(few)
        assert parse_requirement(f"{name} < 60s").met(enough)
    assert parse_requirement("p50 < 60s").met(few)
    verdict = (parse_requirement("p99 < 60s"), EIGHT, None, False)
    printed = text("deployments.api", BenchReport(url="u", points=[few]), [verdict])
    assert "✗ p99 < 60s: not enough measured to tell" in printed


def test_how_long_prompts_and_answers_were_and_what_was_sent_are_told() -> None:
    sent = Sent(source="synthetic", bodies=64, digest="0123456789abcdef", max_tokens=64)
    report = BenchReport(url="u", points=[measured(5, tokens=64)], sent=sent)
    printed = text("deployments.api", report, [])
    heads, row = printed.splitlines()[1:3]
    assert heads.split()[-2:] == ["PROMPT", "ANSWER"]
    assert row.split()[-2:] == ["62", "64"]
    assert (
        "prompts and answers in tokens, on average: 64 made-up chats, answers of at most 64 (0123456789ab)" in printed
    )
    told = report.model_dump(mode="json")["points"][0]
    assert told["answer_tokens"] == {"mean": 64.0, "least": 64, "most": 64}
    assert told["latency"]["number"] == 5
    assert "PROMPT" not in text("deployments.api", BenchReport(url="u", points=[measured(5)]), [])
