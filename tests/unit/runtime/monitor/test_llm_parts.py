"""What the parts about language models alarm on, what they only tell, and what they never take for nothing."""

import json
import random
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from mlctl.providers.evidently.spec import prompts as prompts_spec
from mlctl.providers.evidently.spec import responses as responses_spec
from mlctl.runtime.monitor import cost, golden, prompts, responses
from mlctl.runtime.monitor.asked import Asked
from mlctl.runtime.monitor.found import Found
from mlctl.runtime.monitor.prices import INPUT, OUTPUT, Listed, Table
from mlctl.runtime.monitor.refusals import Refusals
from mlctl.runtime.report import Report
from mlctl.stats.drift import Verdict
from mlctl.types.jobs.monitor import MonitorJob, Parts
from mlctl.types.jobs.monitor_llm import CostPart, Price, PromptsPart, ResponsesPart
from tests.llm_traffic import NOW, PREDICTIONS, Edit, text, write

DAY = 86400.0
WINDOWS = {"window_seconds": 7 * DAY, "baseline_window_seconds": 21 * DAY, "alpha": 0.05, "min_rows": 100}
PRICES = {"gpt-4o-2024-08-06": [Price(input_per_million=2.5, output_per_million=10, cached_per_million=1.25)]}


def job(root: Path, **fields: Any) -> MonitorJob:
    return MonitorJob(monitor="m", predictions=str(root / PREDICTIONS), until=NOW.isoformat(), parts=Parts(), **fields)


def of_prompts(root: Path, now: Edit | None = None, **fields: Any) -> Found:
    write(root, now)
    part = PromptsPart(**{**WINDOWS, "margins": prompts_spec.MARGINS, "topics": False, **fields})
    return prompts.watch(job(root), part, Report(root))


def of_responses(root: Path, now: Edit | None = None, **fields: Any) -> Found:
    write(root, now)
    patterns = responses_spec.REFUSALS
    part = ResponsesPart(
        **{**WINDOWS, "margins": responses_spec.MARGINS, "refusals": patterns, "expect_json": False, **fields}
    )
    return responses.watch(job(root), part, Report(root))


def of_cost(root: Path, now: Edit | None = None, **fields: Any) -> Found:
    write(root, now)
    part = CostPart(**{**WINDOWS, "margin": 0.2, "prices": PRICES, **fields})
    return cost.watch(job(root), part, Report(root))


def longer(row: dict[str, Any], draw: random.Random) -> None:
    row["prompt"] = text("invoices", draw.randint(30, 90), draw)
    row["prompt_characters"] = len(row["prompt"])


def other_template(row: dict[str, Any], draw: random.Random) -> None:
    row["template"], row["system_digest"] = "support@2", "bb" * 8


def test_without_drift_every_part_is_ok(tmp_path: Path) -> None:
    assert of_prompts(tmp_path).verdict is Verdict.OK
    assert of_responses(tmp_path).verdict is Verdict.OK
    assert of_cost(tmp_path).verdict is Verdict.OK


def test_longer_prompts_of_the_same_template_are_drift(tmp_path: Path) -> None:
    found = of_prompts(tmp_path, longer)
    assert [alarm.name for alarm in found.alarms] == ["prompt_characters"]
    assert found.figures["changes"] == []


def test_another_system_prompt_is_told_and_no_drift(tmp_path: Path) -> None:
    def edit(row: dict[str, Any], draw: random.Random) -> None:
        row["system_digest"] = "bb" * 8
        row["prompt_tokens"] += 500  # the new instructions are longer

    found = of_prompts(tmp_path, edit)
    assert found.verdict is Verdict.OK
    assert [(item["change"], item["system_digest"]) for item in found.figures["changes"]] == [("new", "bb" * 8), ("gone", "aa" * 8)]  # fmt: skip


def test_prompts_that_all_come_by_a_new_template_are_not_compared(tmp_path: Path) -> None:
    def both(row: dict[str, Any], draw: random.Random) -> None:
        other_template(row, draw)
        longer(row, draw)

    found = of_prompts(tmp_path, both)
    assert found.verdict is Verdict.NO_DATA
    assert "the templates changed" in found.summary


def test_where_nothing_is_captured_tokens_are_tested_and_the_report_says_what_is_not_seen(tmp_path: Path) -> None:
    hidden = ("prompt", "system", "answer", "prompt_characters", "answer_characters", "answer_json", "json_asked", "system_digest")  # fmt: skip

    def blind(row: dict[str, Any], draw: random.Random) -> None:
        for name in hidden:
            del row[name]

    write(tmp_path)
    for path in (tmp_path / PREDICTIONS).iterdir():
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        for one in rows:
            blind(one, random.Random(1))
        path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    part = PromptsPart(**WINDOWS, margins=prompts_spec.MARGINS, topics=True)
    found = prompts.watch(job(tmp_path), part, Report(tmp_path))
    assert list(found.figures["tests"]) == ["prompt_tokens"]
    assert len(found.figures["cannot_see"]) == 2


@pytest.mark.parametrize(
    ("edit", "name"),
    [
        (lambda row, draw: row.update(completion_tokens=row["completion_tokens"] * 2), "completion_tokens"),
        (lambda row, draw: row.update(finish_reason=draw.choice(["stop", "length"])), "finish_reason"),
        (lambda row, draw: row.update(answer="I'm sorry, but I can't help with that." if draw.random() < 0.2 else row["answer"]), "refused"),
        (lambda row, draw: row.update(answer_characters=0) if draw.random() < 0.2 else None, "empty"),
    ],
)  # fmt: skip
def test_answers_that_changed_alarm_by_what_changed(tmp_path: Path, edit: Edit, name: str) -> None:
    found = of_responses(tmp_path, edit)
    assert [alarm.name for alarm in found.alarms] == [name]


def test_answers_that_were_to_be_json_and_are_not_alarm(tmp_path: Path) -> None:
    write(tmp_path)
    for path in (tmp_path / PREDICTIONS).iterdir():
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        for one in rows:
            one["json_asked"] = True
            one["answer_json"] = path.stem < "2026-05-13" or int(one["request_id"][1:]) % 5 > 0
        path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    part = ResponsesPart(**WINDOWS, margins=responses_spec.MARGINS, refusals={}, expect_json=False)
    found = responses.watch(job(tmp_path), part, Report(tmp_path))
    assert [alarm.name for alarm in found.alarms] == ["not_json"]


def test_another_model_behind_the_same_name_is_an_alarm_without_any_test(tmp_path: Path) -> None:
    def one_answer(row: dict[str, Any], draw: random.Random) -> None:
        if row["request_id"] == "r45":
            row["response_model"] = "gpt-4o-2024-11-20"

    found = of_responses(tmp_path, one_answer)
    assert [(alarm.name, alarm.method, alarm.p_adjusted) for alarm in found.alarms] == [("response_model", "exact", None)]  # fmt: skip
    assert "gpt-4o-2024-11-20" in found.summary


def test_a_release_of_ours_is_no_drift_of_answers(tmp_path: Path) -> None:
    def release(row: dict[str, Any], draw: random.Random) -> None:
        row |= {"version": "2", "response_model": "other", "completion_tokens": 500}

    found = of_responses(tmp_path, release)
    assert (found.verdict, found.alarms) == (Verdict.NO_DATA, ())
    assert "the version of the model is new" in found.summary


def test_requests_of_the_monitor_itself_are_nobodys(tmp_path: Path) -> None:
    found = of_prompts(tmp_path, lambda row, draw: row.update(template="mlctl/golden"))
    assert found.figures["rows"] == 0


@pytest.mark.parametrize(
    ("answer", "declines"),
    [
        ("I’m sorry, but I can’t help with that.", True), ("As an AI language model, I cannot give medical advice.", True),
        ("I cannot provide that.", True), ("I am unable to assist with this request.", True),
        ("Es tut mir leid, aber dabei kann ich nicht helfen.", True), ("Ich kann Ihnen dabei leider nicht weiterhelfen.", True),
        ("Désolé, je ne peux pas vous aider.", True), ("Lo siento, pero no puedo ayudarte con eso.", True),
        ("Mi dispiace, non posso aiutarti.", True), ("You can't help but smile at this.", False),
        ("The train is late. I am sorry for the delay!", False), ("Ich kann Ihnen das gern erklären.", False),
        ("Wenn Sie nicht zahlen, kann es eine Mahnung geben.", False), ("x" * 400 + " I cannot help with that.", False),
    ],
)  # fmt: skip
def test_refusals_are_known_by_their_first_words(answer: str, declines: bool) -> None:
    assert Refusals(responses_spec.REFUSALS)(answer) is declines


def test_a_dearer_request_alarms_with_what_it_costs_a_day_and_the_parts_add_up(tmp_path: Path) -> None:
    found = of_cost(tmp_path, lambda row, draw: row.update(completion_tokens=row["completion_tokens"] * 2))
    (alarm,) = found.alarms
    assert alarm.impact is not None
    assert alarm.impact.low < alarm.impact.change < alarm.impact.high
    because = found.figures["because_of"]
    assert sum(because.values()) == pytest.approx(found.figures["change_per_day"], abs=1e-12)
    assert because["price"] == 0
    assert because["tokens"] > 0


def test_a_model_without_a_price_costs_an_unknown_sum_and_never_nothing(tmp_path: Path) -> None:
    found = of_cost(tmp_path, lambda row, draw: row.update(response_model="new-model"))
    assert found.verdict is Verdict.NO_DATA
    assert found.figures["unknown_prices"] == {"new-model has no price": 210}
    assert found.figures["now"]["usd"] == 0
    assert found.figures["now"]["priced"] == 0
    assert found.figures["because_of"] is None


def test_answers_out_of_our_own_cache_are_not_paid_for_again(tmp_path: Path) -> None:
    found = of_cost(tmp_path, lambda row, draw: row.update(cached=True) if draw.random() < 0.3 else None)
    assert found.figures["now"]["from_cache"] + found.figures["now"]["priced"] == 210


def asked(**fields: Any) -> dict[str, Any]:
    tokens = {"prompt_tokens": 1000, "completion_tokens": 100, "cached_tokens": None}
    return {"model": "m", "request_model": None, "response_model": "gpt-4o", "ts": NOW, **tokens, **fields}


def test_a_request_costs_what_it_cost_on_its_day_and_cached_tokens_what_they_cost() -> None:
    old = Price(input_per_million=5, output_per_million=15)
    new = Price(input_per_million=2.5, output_per_million=10, cached_per_million=1.25, valid_from=NOW.date())
    prices = Listed({"gpt-4o": [old, new]})
    before = prices.cost(asked(ts=NOW - timedelta(days=1)))
    assert before == {INPUT: Fraction(5, 1000), OUTPUT: Fraction(15, 10_000)}
    assert prices.cost(asked(cached_tokens=500)) == {INPUT: Fraction(1875, 1_000_000), OUTPUT: Fraction(1, 1000)}
    assert prices.cost(asked(ts=NOW - timedelta(days=1), cached_tokens=1)) is None
    assert prices.cost(asked(response_model="x")) is None
    assert prices.unknown == {"cached tokens of gpt-4o have no price": 1, "x has no price": 1}


def test_the_table_of_prices_knows_the_reference_figure() -> None:
    pytest.importorskip("genai_prices")
    table = Table("openai")
    cost_of = table.cost(asked())
    assert cost_of is not None
    assert sum(cost_of.values()) == Fraction(35, 10_000)  # 1000 in and 100 out of gpt-4o
    assert table.cost(asked(response_model="nobody-knows")) is None
    assert table.unknown.total() == 1


def test_what_was_answered_outlives_a_kill_in_the_middle_of_a_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    Asked(path).put("one", {"said": "yes"})
    with open(path, "ab") as stream:
        stream.write(b'{"key": "two", "ans')
    Asked(path).put("three", 3)
    again = Asked(path)
    assert [again.get(key) for key in ("one", "two", "three")] == [{"said": "yes"}, None, 3]
    assert path.stat().st_mode & 0o777 == 0o600


def test_golden_answers_are_compared_by_words_or_to_the_letter() -> None:
    assert golden.score("exact", "Paris  is it", "Paris is it") == 1.0
    assert golden.score("exact", "Paris", "paris") == 0.0
    assert golden.score("similarity", "the capital is Paris", "Paris is the capital") == 1.0
    assert golden.score("similarity", "one two", "one three") == 0.5
    assert golden.score("similarity", "", "") == 1.0
