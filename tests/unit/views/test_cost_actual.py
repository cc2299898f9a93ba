"""What runs and deployments did cost, as people and programs read it."""

from __future__ import annotations

from datetime import UTC, datetime

from mlctl.estimate.actuals import STEP, ApiCost, Run, Service
from mlctl.types.estimate import Estimate, Range
from mlctl.types.log_counts import Counts, Tokens
from mlctl.views.human.cost_actual import render
from mlctl.views.json.cost_actual import lines
from mlctl.views.json.cost_events import COST_EVENTS

SINCE = datetime(2026, 10, 23, tzinfo=UTC)
FORETOLD = Estimate(
    "H100", 8, seconds=Range(1800, 4260, 9000), usd=Range(8, 34.4, 202), hourly=Range.exactly(29.12), tier="on_demand"
)
RUNS = [
    Run("training.big", "training.big#1", "2026-11-20T10:00:00Z", FORETOLD, 4215.0, 34.1),
    Run("training.search", "training.search#1", "2026-11-21T10:00:00Z", FORETOLD, 9000.0, 72.8, STEP),
    Run(
        "training.here",
        "training.here#1",
        "2026-11-22T10:00:00Z",
        Estimate("cpu", 1),
        60.0,
        why="what it ran on has no price",
    ),
]
COUNTS = Counts(2100, 2000, "2026-11-01", "2026-11-22", {("2026-11-02", 7): Tokens(2000, 900_000, 100_000, 0)})
API = ApiCost("anthropic", "claude-sonnet-4-5", "genai-prices 0.2.3", 4.2, 4.2)
SERVICES = [
    Service("deployments.chat", "2026-11-12T00:00:00Z", 240.0, True, 0.8, COUNTS, api=API),
    Service(
        "deployments.far",
        "2026-11-12T00:00:00Z",
        240.0,
        True,
        None,
        None,
        ("its prediction log is not on this machine",),
    ),
]


def test_tables_say_what_is_known_and_that_the_rest_is_not() -> None:
    text = render(RUNS, SERVICES, SINCE, color=False)
    found = [" ".join(line.split()) for line in text.splitlines()]
    assert "training.big 2026-11-20 70 min 71 min $34.10 $34.40 0.99" in found
    assert "training.here 2026-11-22 60 s unknown" in found
    assert "deployments.chat 10.0 days $0.80 $192 2,000 $96.00 1,000,000 $192" in found
    assert "deployments.far 10.0 days unknown unknown unknown unknown unknown" in found
    assert "training.search: by the time of the whole step, with its waits" in found
    assert "training.here: its cost is unknown: what it ran on has no price" in found
    assert "deployments.chat: 100 requests had no answer, and are in no price of one" in found
    assert (
        "deployments.chat: anthropic/claude-sonnet-4-5 would cost $4.20 for the same tokens, $4.20 for a million (genai-prices 0.2.3)"
        in found
    )
    assert found[-1] == "Since 2026-10-23: runs $107, 1 unknown; deployments $192, 1 unknown."


def test_nothing_is_said_where_there_is_nothing() -> None:
    assert render([], [], SINCE, color=False) == "Nothing was made since 2026-10-23, and nothing is deployed.\n"


def test_programs_read_null_for_what_is_not_known() -> None:
    told = list(lines(RUNS, SERVICES, SINCE))
    assert [item["type"] for item in told] == ["cost_run"] * 3 + ["cost_deployment"] * 2 + ["cost_actual"]
    assert told[2]["usd"] is None
    assert told[4]["usd_per_thousand_requests"] is None
    assert told[5] == {
        "type": "cost_actual", "since": "2026-10-23T00:00:00+00:00", "runs": 3, "runs_usd": 106.9, "runs_unknown": 1,
        "deployments": 2, "deployments_usd": 192.0, "deployments_unknown": 1,
    }  # fmt: skip


def test_a_sum_of_which_nothing_is_known_is_not_0() -> None:
    gone = Service("deployments.gone", "2026-11-12T00:00:00Z", None, False, 0.8, None)
    assert list(lines(RUNS[2:], [gone], SINCE))[-1] == {
        "type": "cost_actual", "since": "2026-10-23T00:00:00+00:00", "runs": 1, "runs_usd": None, "runs_unknown": 1,
        "deployments": 1, "deployments_usd": None, "deployments_unknown": 1,
    }  # fmt: skip
    text = render(RUNS[2:], [gone], SINCE, color=False)
    assert text.splitlines()[-1] == "Since 2026-10-23: runs unknown; deployments unknown."
    assert "deployments.gone unknown $0.80 unknown unknown unknown unknown" in [
        " ".join(line.split()) for line in text.splitlines()
    ]


def test_every_field_is_one_of_its_event() -> None:
    for line in lines(RUNS, SERVICES, SINCE):
        event = COST_EVENTS[line["type"]]
        assert line.keys() - {"type"} == event.required.keys()
