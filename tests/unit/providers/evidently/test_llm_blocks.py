"""Blocks about language models up to the run: what is refused, what is frozen, and the guide."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from mlctl.provider import Context
from mlctl.providers.evidently.monitor import Monitor
from mlctl.providers.evidently.spec import prompts as prompts_spec
from mlctl.providers.evidently.spec import responses as responses_spec
from mlctl.providers.evidently.spec.monitor import MonitorSpec
from mlctl.testing.harness import apply_once, make_context
from mlctl.types.address import Address, ObjectKey
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.monitor import Parts
from mlctl.types.secret import Secrets
from mlctl.types.state import Record

GUIDE = (Path(__file__).parents[4] / "docs" / "guides" / "llm-monitors.md").read_text()
PRICE = {"input_per_million": 2.5, "output_per_million": 10}
JUDGE = {"url": "http://127.0.0.1:9/v1", "model": "j", "rubric": "The answer is true, and to the point."}
COLUMNS = {"ask": "varchar", "said": "varchar", "good": "bigint", "word": "varchar"}


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    return make_context(tmp_path)


def apply(ctx: Context, deployment: dict[str, Any] | None = None, **parts: Any) -> Record:
    made = {
        "deployments.api": {"predictions": "log", "url": "http://127.0.0.1:9", "model": "helper", "digest": "d", **(deployment or {})},
        "datasets.answers": {"files": ["a.parquet"], "format": "parquet", "columns": COLUMNS, "key": [], "partitions": {}, "digest": "a"},
    }  # fmt: skip
    inputs = {name: Record(ObjectKey(Address.parse(name), ""), outputs=outputs) for name, outputs in made.items()}
    return apply_once(Monitor(), "monitors.m", {"deployment": "api", **parts}, ctx, inputs)


def problems(ctx: Context, **parts: Any) -> list[str]:
    return [item.code for item in Monitor().check(MonitorSpec.model_validate({"deployment": "api", **parts}), ctx)]


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ({"cost": {}}, "one of `prices`, `provider` and `usd_per_hour`"),
        ({"cost": {"prices": {"m": PRICE}, "provider": "openai"}}, "one of `prices`, `provider` and `usd_per_hour`"),
        ({"cost": {"prices": {"m": [PRICE, PRICE]}}}, "two prices from the same day on"),
        ({"cost": {"prices": {"m": {**PRICE, "input_per_million": -1}}}}, "greater than or equal to 0"),
        ({"cost": {"prices": {"m": {**PRICE, "per_request": 1}}}}, "Extra inputs"),
        ({"responses": {"refusals": {"en": ["("]}}}, "Input should be|no regular expression|at least"),
        ({"responses": {"refusals": {"en": ["(cannot"]}}}, "no regular expression"),
        ({"responses": {"refusals": {"en": ["(no)*"]}}}, "found in every answer"),
        ({"responses": {"refusals": {"en": ["cannot"]}, "languages": ["en"]}}, "no effect beside `refusals`"),
        ({"responses": {"refusals": False, "margin": {"refused": 0.1}}}, "not looked for"),
        ({"judge": {**JUDGE, "rubric": "Judge {{ outputs }} by its length."}}, "plain text"),
        ({"judge": {**JUDGE, "anchors": 5}}, "no effect without `human_labels`"),
        ({"judge": {**JUDGE, "sample": 50}}, "`min_rows` wants 100"),
        ({"judge": {**JUDGE, "url": "ftp://x"}}, "http"),
    ],
)
def test_what_has_no_effect_or_no_sense_is_refused(parts: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        MonitorSpec.model_validate({"deployment": "api", **parts})


def test_margins_that_nothing_is_held_against_are_refused(ctx: Context) -> None:
    assert problems(ctx, prompts={"topics": False, "margin": {"topics": 0.7}}) == ["monitor.no-effect"]
    assert problems(ctx, prompts={"margin": {"topics": 0.2}}) == ["monitor.bad-margin"]
    assert problems(ctx, prompts={}) == []


def test_keys_are_secrets_and_a_plain_one_is_refused(ctx: Context) -> None:
    golden = {"dataset": "answers", "prompt": "ask", "token": "hunter22hunter22"}
    parts = {"judge": {**JUDGE, "api_key": "hunter22hunter22"}, "responses": {"golden": golden}}
    assert problems(ctx, **parts) == ["monitor.secret-in-the-clear"] * 2
    assert problems(replace(ctx, secrets=Secrets({"env.KEY": "hunter22hunter22"})), **parts) == []


def test_a_provider_that_the_table_does_not_know_is_refused_with_its_likeness(ctx: Context) -> None:
    pytest.importorskip("genai_prices")
    spec = MonitorSpec.model_validate({"deployment": "api", "cost": {"provider": "opnai"}})
    (problem,) = Monitor().check(spec, ctx)
    assert problem.code == "monitor.unknown-provider"
    assert "openai" in problem.fix
    assert problems(ctx, cost={"provider": "openai"}) == []


def test_a_rise_of_the_bill_that_does_not_matter_can_be_named(ctx: Context) -> None:
    little = {"on_alarm": {"min_impact": {"usd_per_day": 5}}}
    assert problems(ctx, cost={"usd_per_hour": 1}, **little) == []
    assert problems(ctx, prompts={}, **little) == ["monitor.impact-unknown"]


def test_what_is_frozen_is_what_the_program_takes(ctx: Context) -> None:
    labels = {"dataset": "answers", "prompt": "ask", "answer": "said", "label": "good"}
    prices = {"m": [PRICE, {**PRICE, "valid_from": "2026-05-01", "cached_per_million": 1}]}
    golden = {"dataset": "answers", "prompt": "ask"}
    record = apply(
        ctx, prompts={}, responses={"golden": golden, "languages": ["de"]}, cost={"prices": prices}, judge={**JUDGE, "human_labels": labels}
    )  # fmt: skip
    parts = Parts.model_validate(record.outputs["parts"])
    assert parts.responses is not None
    assert parts.responses.golden is not None
    assert parts.responses.refusals == {"de": responses_spec.REFUSALS["de"]}
    assert parts.cost is not None
    assert parts.cost.prices["m"][1].valid_from is not None
    assert parts.judge is not None
    assert parts.judge.anchors == 20
    assert "golden prompts every" in Monitor().describe(record)
    other = apply(ctx, responses={"golden": {**golden, "max_tokens": 8}})
    assert other.outputs["parts"]["responses"]["golden"]["identity"] != parts.responses.golden.identity


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ({"responses": {"golden": {"dataset": "answers", "prompt": "asked"}}}, "monitor.no-column"),
        ({"judge": {**JUDGE, "human_labels": {"dataset": "answers", "prompt": "ask", "answer": "said", "label": "word"}}}, "monitor.not-a-number"),
    ],
)  # fmt: skip
def test_columns_that_are_not_there_or_hold_words_are_refused_by_apply(ctx: Context, parts: dict[str, Any], code: str) -> None:  # fmt: skip
    with pytest.raises(MlctlError) as caught:
        apply(ctx, **parts)
    assert caught.value.diagnostics[0].code == code


def test_golden_prompts_need_somebody_to_ask(ctx: Context) -> None:
    with pytest.raises(MlctlError) as caught:
        apply(ctx, {"url": None}, responses={"golden": {"dataset": "answers", "prompt": "ask"}})
    assert caught.value.diagnostics[0].code == "monitor.no-address"


def test_the_guides_monitors_are_understood_and_its_margins_are_those_in_force(ctx: Context) -> None:
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)]
    specs = [spec for block in blocks for spec in block.get("monitors", {}).values()]
    assert len(specs) == 4
    for spec in specs:
        plain = yaml.safe_load(re.sub(r"\$\{env\.\w+\}", "(sensitive)", yaml.safe_dump(spec)))
        assert list(Monitor().check(MonitorSpec.model_validate(plain), ctx)) == []
    told = {name: float(margin) for name, margin in re.findall(r"^\| `(\w+)` \|.*\| ([\d.]+) \|$", GUIDE, re.MULTILINE)}
    assert told == {"length": 0.1, "topics": prompts_spec.MARGINS["topics"], **responses_spec.MARGINS}
