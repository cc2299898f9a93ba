"""How a rollout is shown to people."""

from __future__ import annotations

from typing import Any

from mlctl.views.human.rollout import history, line, text
from mlctl.views.human.sparkline import sparkline


def report(**more: Any) -> dict[str, Any]:
    series = {"rate": [1.0, 2.0], "error_rate": [0.0, 0.5], "p99": [None, 0.02]}
    variants = [
        {"name": "stable", "model": "churn", "version": "7", "condition": "ready", "percent": 90.0, "deaths": 0,
         "requests": 9000, "errors": 90, "p50": 0.004, "p95": 0.01, "p99": 0.02, "series": series},
        {"name": "candidate", "model": "churn", "version": "8", "condition": "down", "percent": 10.0, "deaths": 2, "series": series},
    ]  # fmt: skip
    step = {"number": 1, "of": 3, "strategy": "canary", "name": "10 %", "weight": 10.0, "mirror": 0.0, "seconds": 12.0,
            "pause_seconds": 600.0, "confirm": False, "gate": "guard", "in_effect": True}  # fmt: skip
    finding = {"metric": "error_rate", "says": "inconclusive", "why": "1.0 % against 1.0 %"}
    gate = {"name": "guard", "says": "inconclusive", "why": "", "findings": [finding], "requests": 210, "baseline_requests": 1900,
            "min_requests": 500, "next_look": 3.0}  # fmt: skip
    held = [{"model": "churn", "version": "6", "why": "error_rate\x1b[2J", "by": "gate", "at": 0.0}]
    return {
        "address": "deployments.api", "phase": "stepping", "reason": "step 1 of 3: waits for its gate", "says": "canary: step 1 of 3",
        "since": 100.0, "controller": {"running": True, "pid": 1}, "gateway": {"alive": True, "problem": None}, "step": step,
        "variants": variants, "gate": gate, "paused": None, "held": held, "promotions": 1, "failures": 1, "shadow": None, **more,
    }  # fmt: skip


def test_all_there_is_to_see_is_shown_and_nothing_steers_the_terminal() -> None:
    shown = text(report(), now=160.0)
    assert "deployments.api  rolling out for 1 min 00 s" in shown
    assert "10 %; 10 % of the requests; 12 s of 10 min 00 s" in shown
    assert "stable     churn v7   90 %  ready             9,000  1.00 %  4 ms  10 ms  20 ms" in shown
    assert "down, died 2×" in shown
    assert "errors candidate  ▁█  50.00 %" in shown
    assert "P99    stable     ·█  20 ms" in shown
    assert "gate guard: inconclusive (210 requests of 500, 1,900 of the baseline)" in shown
    assert "  inconclusive 1.0 % against 1.0 %" in shown
    assert "held churn v6 since 1970-01-01 00:00: error_rate\\x1b[2J" in shown
    assert "\x1b" not in shown


def test_what_is_wrong_is_said_first() -> None:
    problem = [{"code": "deploy.port-in-use", "summary": "port 8080 is taken"}]
    shown = text(
        report(controller={"running": False, "pid": None}, gateway={"alive": False, "problem": problem}), now=160.0
    ).splitlines()
    assert shown[1] == "the controller is not running; `mlctl apply` starts it again"
    assert shown[2] == "the gateway: port 8080 is taken (deploy.port-in-use)"


def test_copies_and_pauses_are_told() -> None:
    shadow = {"compared": 1200, "mismatches": 3, "examples": ["r1: 0.5 and 0.7"]}
    shown = text(report(shadow=shadow, paused={"who": "ann", "why": "lunch", "at": ""}), now=160.0)
    assert "copies: 1,200 answers compared, 3 differ\n  r1: 0.5 and 0.7" in shown
    assert "paused by ann: lunch" in shown


def test_a_line_for_where_nothing_can_be_redrawn() -> None:
    assert line(report()) == "deployments.api: canary: step 1 of 3; gate guard: inconclusive, "
    assert list(history([{"at": "2026-01-01T00:00:00.123+00:00", "what": "held", "text": "churn v8"}])) == [
        "2026-01-01T00:00:00Z  held       churn v8"
    ]


def test_a_line_of_figures() -> None:
    assert sparkline([0.0, 0.5, 1.0, None]) == "▁▅█·"
    assert sparkline([0.0, 0.0]) == "▁▁"
    assert sparkline([1.0], top=4.0) == "▃"
    assert len(sparkline([1.0] * 100)) == 30
    assert sparkline([]) == ""
