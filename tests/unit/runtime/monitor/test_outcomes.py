"""Which label is about which prediction, what becomes of the others, and what a detector is fed."""

import json
import math
from array import array
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlctl.runtime.monitor import cohorts
from mlctl.runtime.monitor.cohorts import Ripe
from mlctl.runtime.monitor.detection import detect
from mlctl.runtime.monitor.estimated import with_impact
from mlctl.runtime.monitor.found import Found
from mlctl.runtime.monitor.joining import Event, Finder, Predictions, read_predictions
from mlctl.stats.drift import Verdict
from mlctl.types.jobs.labels import Joining, LabelsPart
from mlctl.types.jobs.monitor import Alarm, Impact
from mlctl.types.jobs.profile import Source

DAY = 86400.0
SOURCE = Source(files=["o.parquet"], format="parquet", columns={})


def joining(**fields: Any) -> Joining:
    return Joining(dataset="o", source=SOURCE, timestamp="at", within_window_seconds=2 * DAY, **fields)


def predictions(*rows: tuple[float, str, str | None]) -> Predictions:
    """Rows of (time in days, request id, key); without any key, none was asked for."""
    keyed = any(key is not None for _, _, key in rows)
    found = Predictions()
    for moment, id, key in rows:
        found.times.append(moment * DAY)
        found.scores.append(0.9)
        found.decided.append(1.0)
        found.versions.append("1")
        found.ids.append(id)
        found.keys.append((key,) if keyed else ())
        found.units.append(id)
    return found


def labelled(
    found: Predictions, rule: Joining, *events: Event, until: float = 10, classes: bool = True
) -> cohorts.Outcomes:
    return cohorts.label(found, Finder(found, rule), events, until * DAY, classes)


def said(moment: float | None, id: str | None, value: float | None, key: str | None = None) -> Event:
    return Event(None if moment is None else moment * DAY, id, () if key is None else (key,), value)


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (said(0.5, "a", 1.0), "early"), (said(3.5, "a", 1.0), "late"), (said(11, "a", 1.0), "future"), (said(None, "a", 1.0), "untimed"),
        (said(1.5, "z", 1.0), "unmatched"), (said(1.5, None, 1.0), "nameless"), (said(1.5, "twice", 1.0), "ambiguous"),
        (said(1.5, "a", None), "not_a_number"), (said(1.5, "a", 0.5), "not_a_class"),
    ],
)  # fmt: skip
def test_a_label_that_is_none_is_counted_by_name_and_the_prediction_stays_without(event: Event, why: str) -> None:
    found = predictions((1, "a", None), (1, "twice", None), (1, "twice", None))
    outcomes = labelled(found, joining(id="request"), event)
    assert dict(outcomes.refused) == {why: 1}
    assert list(outcomes.states) == [cohorts.NONE] * 3


def test_the_first_label_counts_and_one_that_says_otherwise_takes_it_back() -> None:
    found = predictions((1, "a", None), (1, "b", None))
    events = [said(1.2, "a", 1.0), said(1.3, "a", 1.0), said(1.2, "b", 1.0), said(1.4, "b", 0.0), said(1.5, "b", 1.0)]
    outcomes = labelled(found, joining(id="request"), *events)
    assert dict(outcomes.refused) == {"repeated": 1, "contradictory": 2}
    assert outcomes.labels[0] == 1.0
    assert math.isnan(outcomes.labels[1])
    assert outcomes.lags[0] == pytest.approx(0.2 * DAY)


def test_a_label_of_a_key_is_about_the_latest_prediction_that_was_there() -> None:
    found = predictions((1, "a", "u"), (2, "b", "u"), (5, "c", "u"), (2, "d", None))
    outcomes = labelled(
        found, joining(key=["user"]), said(2.5, None, 1.0, "u"), said(4.5, None, 1.0, "u"), said(0.5, None, 0.0, "u")
    )
    assert list(outcomes.states) == [cohorts.SUPERSEDED, cohorts.LABELLED, cohorts.NONE, cohorts.NONE]
    assert dict(outcomes.refused) == {"late": 1, "unmatched": 1}


def test_rows_of_one_request_are_told_apart_by_their_keys() -> None:
    found = predictions((1, "a", "u"), (1, "a", "v"))
    outcomes = labelled(found, joining(id="request", key=["user"]), said(1.5, "a", 1.0, "v"))
    assert list(outcomes.states) == [cohorts.NONE, cohorts.LABELLED]


def test_days_are_measured_at_one_age_and_young_predictions_wait(tmp_path: Path) -> None:
    found = predictions((1, "a", None), (1.1, "b", None), (8.5, "c", None), (9, "d", None))
    outcomes = labelled(found, joining(id="request"), said(1.2, "a", 0.0), said(9.1, "d", 0.0))
    limit = 8 * DAY
    assert cohorts.counts(found, outcomes, limit) == {
        "labelled": 2,
        "pending": 1,
        "missing": 1,
        "contradictory": 0,
        "superseded": 0,
    }
    days = cohorts.by_day(found, outcomes, limit, ["error_rate"])
    assert [(day["day"], day["maturity"], day["metrics"]["error_rate"]) for day in days] == [
        ("1970-01-02", 1.0, 1.0), ("1970-01-09", 0.0, None), ("1970-01-10", 0.0, None),
    ]  # fmt: skip
    assert cohorts.coverage(cohorts.ripe(found, outcomes, limit, "1").states) == 0.5
    assert len(cohorts.ripe(found, outcomes, limit, "2").times) == 0


def test_a_log_is_read_in_the_order_of_time_whatever_the_order_of_its_lines(tmp_path: Path) -> None:
    start = datetime(2026, 5, 1, 12, tzinfo=UTC)
    rows = [
        {"ts": (start + timedelta(seconds=second)).isoformat(), "request_id": f"r{second}", "version": "1", "score": 0.5, "prediction": 1, **more}
        for second, more in ((3, {}), (1, {"score": None, "prediction": "yes"}), (2, {"role": "shadow"}), (5, {"code": 503}), (4, {"key": {"user": 7.0}}))
    ]  # fmt: skip
    lines = [json.dumps(row) for row in rows]
    (tmp_path / "2026-05-01.jsonl").write_text("\n".join([*lines, '{"ts": "2026-05-01T12', ""]))
    found = read_predictions(tmp_path, start, start + timedelta(hours=1), ["user"])
    assert found.ids == ["r1", "r3", "r4"]
    assert found.keys == [(None,), (None,), ("7",)]
    assert math.isnan(found.scores[0])
    assert math.isnan(found.decided[0])
    assert len(read_predictions(tmp_path / "none", start, start, [])) == 0


def part(**fields: Any) -> LabelsPart:
    values: dict[str, Any] = {
        "joining": joining(id="request"), "label": "y", "task": "binary", "window_seconds": DAY, "metrics": ["error_rate"], "alpha": 0.05,
        "min_labels": 30, "min_coverage": 0.5, "detector": "e_detector", "loss": "error_rate", "baseline": 0.1, "run_length": 1000.0, "identity": "one",
    }  # fmt: skip
    return LabelsPart(**{**values, **fields})


def ripe(wrong: Any, first: float = 0.0) -> Ripe:
    """One prediction an hour; those that are wrong, and None for those without a label."""
    labels = np.array([math.nan if item is None else 0.0 if item else 1.0 for item in wrong])
    times = (np.arange(len(labels)) + first) * 3600
    ones = np.ones(len(labels))
    return Ripe(times, ones * 0.9, ones, labels, np.zeros(len(labels), dtype=np.uint8))


def test_a_killed_run_is_repeated_and_a_later_one_is_fed_only_what_ripened_since() -> None:
    wrong = ([False] * 9 + [True]) * 60
    first = detect(part(), ripe(wrong[:400]), 0.0, 399 * 3600, {})
    assert (
        detect(part(), ripe(wrong[:400]), 0.0, 399 * 3600, {}) == first
    )  # the same again, whatever a kill left undone
    memory = json.loads(json.dumps(first.memory))
    second = detect(part(), ripe(wrong), 0.0, 600 * 3600, memory)
    assert (second.figures["rows"], second.figures["fed"]) == (600, 200)
    assert second.memory == detect(part(), ripe(wrong), 0.0, 600 * 3600, {}).memory
    again = detect(part(), ripe(wrong), 0.0, 600 * 3600, second.memory)
    assert again.figures["fed"] == 0


def test_labels_wait_for_the_detector_until_enough_of_what_ripened_have_one() -> None:
    wrong: list[Any] = ([False] * 9 + [True]) * 40
    first = detect(part(), ripe(wrong[:200]), 0.0, 199 * 3600, {})
    few = [*wrong[:200], *[None] * 120, *wrong[320:]]  # the export of the labels is late
    early = detect(part(), ripe(few), 0.0, 399 * 3600, json.loads(json.dumps(first.memory)))
    assert (early.figures["fed"], early.figures["waiting"], early.memory["through"]) == (0, 80, 199 * 3600)
    assert early.says.endswith("; 80 labels wait until 50% of the predictions that ripened have one")
    whole = detect(part(), ripe(wrong), 0.0, 399 * 3600, json.loads(json.dumps(early.memory)))
    assert (whole.figures["fed"], whole.figures["waiting"]) == (200, 0)
    assert whole.memory == detect(part(), ripe(wrong), 0.0, 399 * 3600, {}).memory
    gone = detect(part(), ripe(wrong, first=2000), 1990 * 3600, 2400 * 3600, early.memory)
    assert "had too few labels, and were not looked at" in gone.says
    assert detect(part(min_coverage=0.4), ripe(few), 0.0, 399 * 3600, first.memory).figures["fed"] == 80


def test_something_else_to_look_for_begins_anew_and_an_alarm_stands_until_then() -> None:
    risen = [False] * 100 + [True, False] * 100
    found = detect(part(), ripe(risen), 0.0, 1e9, {})
    assert found.crossed
    assert found.figures["since"] == "1970-01-05"
    assert found.rise is not None
    assert found.rise > 0.2
    calm = detect(part(), ripe([False] * 50, first=1000), 0.0, 2e9, found.memory)
    assert calm.crossed
    assert not detect(part(identity="two"), ripe([False] * 50), 0.0, 2e9, found.memory).crossed


def test_time_that_went_by_without_a_run_is_told() -> None:
    first = detect(part(), ripe([False] * 50), 0.0, 49 * 3600, {})
    late = detect(part(), ripe([False] * 50, first=2000), 1990 * 3600, 2100 * 3600, first.memory)
    assert late.figures["gap_seconds"] == (1990 - 49) * 3600
    assert late.says.endswith("; 80.9 days went by without a run, and were not looked at")
    assert first.figures["gap_seconds"] == 0


@pytest.mark.parametrize("wrong", [[], [None] * 50])
def test_without_a_label_nothing_is_fed(wrong: list[Any]) -> None:
    found = detect(part(), ripe(wrong), 0.0, 1e9, {})
    assert (found.crossed, found.figures["rows"], found.says) == (
        False,
        0,
        "error_rate from 0.1: no change in 0 labels",
    )


def test_data_alarms_say_what_the_estimate_makes_of_them_unless_they_know_better() -> None:
    own = Impact(metric="m", change=1, low=0, high=2, basis="its own")
    alarms = tuple(
        Alarm(part="data", name=name, says="", method="ks", impact=impact) for name, impact in (("a", None), ("b", own))
    )
    figures = {"value": 0.2, "metric": "error_rate", "change": 0.05, "change_low": 0.04, "change_high": 0.06}
    found = {"data": Found(Verdict.ALARM, "", {}, alarms), "estimated": Found(Verdict.OK, "", figures)}
    told = with_impact(found)["data"].alarms
    assert told[0].impact is not None
    assert (told[0].impact.metric, told[0].impact.change, told[1].impact) == ("error_rate", 0.05, own)
    assert (
        with_impact({**found, "estimated": Found(Verdict.NO_DATA, "", {**figures, "value": None})})["data"].alarms
        == alarms
    )
    assert with_impact({"data": found["data"]}) == {"data": found["data"]}


def test_memory_fits_in_a_result_however_long_it_ran() -> None:
    found = detect(part(), ripe([False] * 24 * 500), 0.0, 1e9, {})
    assert len(found.memory["days"]) == 400
    assert found.memory["before"] == 24 * 100
    assert array("d", [item[0] for item in found.memory["days"].values()])[0] == 24
