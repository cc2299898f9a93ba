"""What is refused of an `on_alarm` block, and with what advice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mlctl.provider import Context
from mlctl.providers.evidently import action_rules
from mlctl.providers.evidently.spec.actions import OnAlarm
from mlctl.providers.evidently.spec.monitor import MonitorSpec
from mlctl.testing.harness import make_context
from mlctl.types.address import Address
from mlctl.types.change import EdgeKind
from mlctl.types.secret import HIDDEN, Secrets

URL = "https://alerts.example/0123456789"


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    return replace(
        make_context(tmp_path), secrets=Secrets({"env.HOOK_WEBHOOK": URL, "env.HOOK_TOKEN": "token-0123456"}, b"k")
    )


def codes(ctx: Context, **on_alarm: Any) -> list[str]:
    spec = MonitorSpec.model_validate(
        {"deployment": "api", "reference": "p", "data": {"methods": ["ks"]}, "on_alarm": on_alarm}
    )
    return [item.code for item in action_rules.check(spec, ctx)]


@pytest.mark.parametrize(
    "block",
    [
        {},
        {"report": False},
        {"webhook": {"url": "alerts.example/x"}},
        {"webhook": {"url": "ftp://alerts.example/x"}},
        {"webhook": {"url": URL, "retries": 6}},
        {"webhook": {"url": URL, "timeout": "2m"}},
        {"retrain": "churn"},
        {"retrain": "deployments.churn"},
        {"file": ""},
        {"min_impact": {"roc_auc": 0}},
        {"mail": "me@example"},
    ],
    ids=str,
)
def test_what_would_do_nothing_or_cannot_be_done_is_refused(block: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        OnAlarm.model_validate(block)


def test_secrets_have_to_be_secrets(ctx: Context) -> None:
    assert codes(ctx, webhook={"url": URL}) == []
    assert codes(ctx, webhook={"url": HIDDEN}) == []  # one that is not set, in a command that only looks
    assert codes(ctx, webhook={"url": "https://alerts.example/other"}) == ["monitor.webhook-in-the-clear"]
    told = {"url": URL, "headers": {"Authorization": "Bearer token-0123456", "X-Team": "retail"}}
    assert codes(ctx, webhook=told) == []
    assert codes(ctx, webhook={"url": URL, "headers": {"Authorization": "Bearer other"}}) == [
        "monitor.header-in-the-clear"
    ]
    assert codes(ctx, webhook={"url": URL, "headers": {"X-Team": "a\r\nHost: b"}}) == ["monitor.bad-header"]


def test_a_file_stays_in_the_project(ctx: Context) -> None:
    (ctx.root / "out").mkdir()
    assert codes(ctx, file="out/alarms.jsonl") == []
    assert codes(ctx, file="../alarms.jsonl") == ["spec.path-outside"]
    assert codes(ctx, file="out") == ["monitor.file-is-folder"]


def test_a_limit_that_nothing_is_held_against_is_refused(ctx: Context) -> None:
    assert codes(ctx, min_impact={"roc_auc": 0.1}) == ["monitor.impact-unknown"]
    told = {
        "deployment": "api",
        "reference": "p",
        "data": {"methods": ["ks"]},
        "estimated": {"metric": "roc_auc", "margin": 0.05},
    }
    spec = MonitorSpec.model_validate({**told, "on_alarm": {"min_impact": {"roc_auc": 0.02, "error_rate": 0.02}}})
    assert [item.path[-1] for item in action_rules.check(spec, ctx)] == ["error_rate"]


def test_the_training_is_named_and_not_used() -> None:
    spec = MonitorSpec.model_validate({"deployment": "api", "on_alarm": {"retrain": 'training.churn["eu"]'}})
    ((link,),) = [tuple(spec.links())]
    assert (link.address, link.edge, link.path) == (
        Address("training", 'churn["eu"]'),
        EdgeKind.ORDER,
        ("on_alarm", "retrain"),
    )
