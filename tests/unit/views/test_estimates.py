"""Estimates as people read them: in the plan, in `why`, in a comment, and for a whole plan."""

from mlctl.types.address import Address, ObjectKey
from mlctl.types.change import Action, Change, Plan, Reason
from mlctl.types.estimate import Estimate, Limit, Range
from mlctl.views.human import estimates
from mlctl.views.human.plan import render
from mlctl.views.json.plan import change_json
from mlctl.views.json.plan import lines as plan_lines
from mlctl.views.markdown.plan import render as comment

GIB = 2.0**30
FULL = Estimate(
    "H100", 8, 80 * GIB, Range(20 * GIB, 30 * GIB, 45 * GIB), {"weights": 20 * GIB, "logits": 2 * GIB, "data": 10.0},
    Range(3600, 7200, 14_400, "calibrated from 3 runs"), Range(58.0, 146.0, 420.0, "prices of 2026-10-24"),
    notes=("zero2: takes 30 GiB", "the prices are 50 days old"),
)  # fmt: skip


def change(estimate: Estimate | None, name: str = "a") -> Change:
    return Change(Action.CREATE, ObjectKey(Address("training", name), "k"), Reason.NEW, estimate=estimate)


def shown(*changes: Change) -> list[str]:
    return render(Plan(changes, "l", 1, "d")).splitlines()


def test_a_line_under_the_change_says_memory_time_and_money_with_their_basis() -> None:
    assert shown(change(FULL))[1:4] == [
        "      estimate: memory 30.0 GiB (20.0 to 45.0 GiB) of 80.0 GiB on each of 8 H100, time 2.0 h (60 min to 4.0 h), "
        "$146 ($58.00 to $420); by formula, calibrated from 3 runs, prices of 2026-10-24",
        "        zero2: takes 30 GiB",
        "        the prices are 50 days old",
    ]


def test_gpus_that_nobody_names_are_called_so() -> None:
    several = Estimate("gpu", 8, None, Range.exactly(2 * GIB))
    assert "on each of 8 GPUs" in shown(change(several))[1]
    assert "on one GPU" in shown(change(Estimate("gpu", 1, None, Range.exactly(2 * GIB))))[1]


def test_what_is_not_known_is_said_in_a_line() -> None:
    assert shown(change(Estimate("cpu", 1, notes=("known once datasets.x is made",))))[1] == (
        "      estimate: known once datasets.x is made"
    )


def test_a_warning_comes_before_the_figures() -> None:
    lines = shown(change(Estimate("cpu", 1, memory=Range(1e9, 2e9, 3e9), warnings=("it may not fit: \x1b[2J",))))
    assert lines[1] == "      warning: it may not fit: \\x1b[2J"
    assert lines[2].startswith("      estimate: memory 1.9 GiB (954 MiB to 2.8 GiB) on this machine")


def test_a_plan_with_several_says_what_all_take_together() -> None:
    assert "Estimated in all, one after another: time 4.0 h (2.0 to 8.0 h), $292 ($116 to $840)." in shown(
        change(FULL), change(FULL, "b")
    )
    assert not any(line.startswith("Estimated") for line in shown(change(FULL)))
    assert not any(line.startswith("Estimated") for line in shown(change(FULL), change(Estimate("cpu", 1), "b")))


def test_why_tells_what_the_memory_is_made_of() -> None:
    assert list(estimates.explained(FULL))[-1] == "  of that weights 20.0 GiB, logits 2.0 GiB"


def test_a_comment_holds_the_estimate_and_the_sum() -> None:
    text = comment(Plan((change(FULL), change(FULL, "b")), "l", 1, "d"))
    assert "Estimated in all" in text.splitlines()[2]
    assert "memory 30.0 GiB" in text


SERVICE = Estimate("L4", 2, hourly=Range(1.2, 1.6, 2.0, "prices of 2026-10-24"), lasting=True, tier="on_demand")


def test_what_lasts_is_told_by_the_hour_and_the_month() -> None:
    assert shown(change(SERVICE))[1] == (
        "      estimate: $1.60 ($1.20 to $2.00) an hour while it is there, about $1,168 a month; prices of 2026-10-24"
    )


def test_making_and_keeping_are_summed_apart() -> None:
    lines = shown(change(FULL), change(SERVICE, "b"), change(SERVICE, "c"))
    assert lines[-2:] == [
        "Estimated in all, one after another: time 2.0 h (60 min to 4.0 h), $146 ($58.00 to $420).",
        "What lasts costs $3.20 ($2.40 to $4.00) an hour while it is there, about $2,336 a month.",
    ]


def test_an_unknown_time_at_a_known_price_is_told_by_the_hour_and_so_is_its_end() -> None:
    made = Estimate(
        "H100", 8, hourly=Range.exactly(29.12), tier="on_demand", limit=Limit(7200, "max_usd_per_run", carried=True)
    )
    assert shown(change(made))[1:3] == [
        "      estimate: $29.12 an hour; by formula",
        "        ended after 2.0 h at the latest, by `budget.max_usd_per_run`",
    ]


def test_programs_read_the_sums() -> None:
    plan = Plan((change(FULL), change(SERVICE, "b")), "l", 1, "d")
    (summary,) = [line for line in plan_lines(plan) if line["type"] == "change_summary"]
    assert summary["estimate"]["usd"]["mid"] == 146.0
    assert summary["estimate"]["hourly"]["mid"] == 1.6
    (without,) = [line for line in plan_lines(Plan((change(None),), "l", 1, "d")) if line["type"] == "change_summary"]
    assert "estimate" not in without


def test_machines_read_all_of_it() -> None:
    stored = change_json(change(FULL))["estimate"]
    assert stored["memory"] == {"low": 21474800000.0, "mid": 32212300000.0, "high": 48318400000.0, "basis": "formula"}
    assert stored["usd"]["basis"] == "prices of 2026-10-24"
    assert change_json(change(None))["estimate"] is None
