"""A run of a monitor as a decision: acted upon, made again to the bit, and told of the past."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mlctl.cli.monitoring import draw_trend
from mlctl.cli.replaying import replay
from mlctl.files import decisions
from mlctl.provider import Context
from mlctl.providers.evidently import actions
from mlctl.providers.evidently.backtest import alarms, backtest, span
from mlctl.providers.evidently.run import run_monitor
from mlctl.providers.evidently.trend import trend
from mlctl.testing.harness import make_context
from mlctl.types.diagnostic import MlctlError
from tests.integration.monitor.test_monitor_run import NOW, PREDICTIONS, apply, write_log

pytestmark = pytest.mark.tools


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    return make_context(tmp_path)


def test_an_alarm_is_acted_upon_and_its_decision_comes_out_the_same(ctx: Context) -> None:
    record = replace(apply(ctx), spec={"on_alarm": {"file": "alarms.jsonl", "report": True, "retrain": "training.t"}})
    path = write_log(ctx.root, 600, shift=0.5)
    result = run_monitor(record, ctx, NOW, acts=True)
    taken = actions.settle(record, result, ctx, "me", draw_trend)
    assert not taken.warnings
    assert json.loads((ctx.root / "alarms.jsonl").read_text())["alarms"][0]["name"] == "age"
    assert "<circle" in (ctx.root / str(taken.done["report"])).read_text()
    assert [item.name for item in trend(record, ctx) if item.alarms][:1] == ["age"]

    found, folder = decisions.find(ctx.home, str(taken.done["decision"]))
    (ctx.root / "profile.json").unlink()
    for kept in (ctx.home / "objects").rglob("reference*.json"):
        kept.unlink()  # frozen anew, or gone: the ledger has its own
    write_log(ctx.root, 5, shift=3.0, seed=9)  # the log goes on
    again = replay(found, folder, ctx)
    assert again.same, again.differences
    assert (again.code, (ctx.root / "alarms.jsonl").read_text().count("\n")) == (found.code, 1)

    text = path.read_text()
    path.write_text(text.replace('"r3"', '"r-3"'))
    with pytest.raises(MlctlError, match=r"decision\.evidence-gone"):
        replay(found, folder, ctx)
    path.unlink()
    with pytest.raises(MlctlError, match="evidence-gone") as gone:
        replay(found, folder, ctx)
    assert gone.value.diagnostics[0].why == "it was rotated away"


def test_a_backtest_tells_on_which_days_it_would_have_alarmed(ctx: Context) -> None:
    record = apply(ctx, window="1d", min_rows=50)
    for day, shift in ((6, 0.0), (7, 0.0), (8, 1.0), (9, 1.0)):
        source = write_log(ctx.root, 300, shift=shift, seed=day)
        moved = source.read_text().replace("2026-05-09", f"2026-05-0{day}")
        source.unlink()
        (ctx.root / PREDICTIONS / f"2026-05-0{day}.jsonl.new").write_text(moved)
    for path in (ctx.root / PREDICTIONS).glob("*.new"):
        path.rename(path.with_suffix(""))
    asked = span(record, ctx, None, datetime(2026, 5, 9, 23, tzinfo=UTC), 86400.0)
    assert len(list(asked.moments())) == 4
    found = backtest(record, ctx, asked)
    assert [item["verdict"] for item in found] == ["ok", "ok", "alarm", "alarm"]
    assert alarms(found)["data: age"] == 2
    assert list(decisions.kept(ctx.home)) == []
    assert not (ctx.folder(record.key) / "runs").exists()  # nothing of it is kept

    with pytest.raises(MlctlError, match=r"cli\.usage"):
        span(record, ctx, NOW, NOW - timedelta(days=1), 60.0)
    with pytest.raises(MlctlError, match="too-many-moments"):
        span(record, ctx, NOW - timedelta(days=10), NOW, 1.0)


def test_a_backtest_of_an_empty_log_says_so(ctx: Context) -> None:
    with pytest.raises(MlctlError, match="empty-log"):
        span(apply(ctx), ctx, None, None, 3600.0)
