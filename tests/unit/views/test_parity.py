"""The verdicts of parity as people read them."""

from __future__ import annotations

from mlctl.types.jobs.features import Difference, Parity
from mlctl.types.jobs.parity import FeatureSkew, LogParity, SkewedRow, ViewLag
from mlctl.views.human import parity

VIEW = Parity(
    passed=True, view="v", at="2026-01-01", keys=10_000, values=20_000, mismatched=0, null_mismatches=0, max_relative=0.0,
    tolerance=1e-5, worst=None,
)  # fmt: skip
LOG = LogParity(
    passed=True, since=None, until="2026-01-02", predictions=10, compared=9, without_keys=1, other_versions=0, unreadable=0,
    tolerance=1e-5, features=[], lags=[], worst=[],
)  # fmt: skip


def test_a_view_that_is_equal_is_one_line() -> None:
    assert parity.online(VIEW, color=False) == (
        "v: offline = online for 10,000 keys, 20,000 values at 2026-01-01; largest relative difference 0, 1e-05 allowed\n"
    )


def test_a_view_that_differs_names_the_worst_and_what_was_not_compared() -> None:
    worst = Difference(key=[1, "x"], feature="f", offline=1.0, online=None, relative=None)
    found = VIEW.model_copy(update={"passed": False, "null_mismatches": 1, "ahead": 3, "worst": worst})
    text = parity.online(found, color=False)
    assert "OFFLINE AND ONLINE DIFFER" in text
    assert "3 keys are served by something newer" in text
    assert "`f` of [1, 'x']: 1.0 offline, None online" in text


def test_a_log_tells_stale_from_wrong() -> None:
    skew = FeatureSkew(feature="f", view="v", compared=9, stale=2, mismatched=1, null_mismatches=0, max_relative=0.5)
    row = SkewedRow(
        request_id="r1", ts="2026-01-01", key={"id": 1}, feature="f", served=1.0, expected=2.0, relative=0.5
    )
    lag = ViewLag(view="v", stale_rows=2, absent_rows=0, max_lag_seconds=90.0, max_age_seconds=3600.0)
    found = LOG.model_copy(update={"passed": False, "features": [skew], "lags": [lag], "worst": [row]})
    text = parity.log(found, "api", color=False)
    assert "THE MODEL SAW WHAT TRAINING WOULD NOT HAVE SEEN" in text
    assert "9 of 10 predictions compared (1 without keys)" in text
    assert "v was behind for 2 predictions, 0 of them without a value; at most 90s late" in text
    assert "r1 at 2026-01-01: `f` of id=1 was 1.0, and 2.0 is right" in text


def test_a_log_without_predictions_proves_nothing() -> None:
    text = parity.log(LOG.model_copy(update={"predictions": 0, "compared": 0}), "api", color=False)
    assert text.startswith("api: there is nothing to compare")
