"""Schedules: cron as cron reads it, targets as graph references, and a crontab line that survives any path."""

import shlex
import time
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mlctl.provider import Context
from mlctl.providers.local import cron
from mlctl.providers.local.schedule import Schedule, ScheduleSpec, next_runs, render
from mlctl.testing.harness import apply_once, make_context, make_desired
from mlctl.types.address import Address, ObjectKey
from mlctl.types.change import EdgeKind
from mlctl.types.diagnostic import MlctlError
from mlctl.types.state import Record

NIGHTLY = {"cron": "0 3 * * *", "run": "retrain", "targets": ["training.shops"]}
MONDAY = datetime(2026, 11, 2, 10, 30)


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    return make_context(tmp_path)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 3 * * *", ["11-03 03:00", "11-04 03:00", "11-05 03:00"]),
        ("*/20 * * * *", ["11-02 10:40", "11-02 11:00", "11-02 11:20"]),
        ("30 10 * * *", ["11-03 10:30", "11-04 10:30", "11-05 10:30"]),  # this very minute has begun
        ("0 9-17/4 * * mon-fri", ["11-02 13:00", "11-02 17:00", "11-03 09:00"]),
        ("0 0 * * 7", ["11-08 00:00", "11-15 00:00", "11-22 00:00"]),
        ("0 0 13 * fri", ["11-06 00:00", "11-13 00:00", "11-20 00:00"]),  # both day fields: either is enough
        (
            "0 0 */2 * fri",
            ["11-13 00:00", "11-27 00:00", "12-11 00:00"],
        ),  # a field that begins with `*` does not count as one of both
        ("15,45 23 31 dec *", ["12-31 23:15", "12-31 23:45", "12-31 23:15"]),
    ],
)
def test_next_runs(expression: str, expected: list[str]) -> None:
    assert [moment.strftime("%m-%d %H:%M") for moment in next_runs(expression, MONDAY)] == expected


def test_leap_days_are_waited_for() -> None:
    assert next_runs("0 0 29 2 *", MONDAY, 2) == [datetime(2028, 2, 29), datetime(2032, 2, 29)]


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("* * * *", "this one has 4"),
        ("0 3 * * * root", "this one has 6"),
        ("", "this one has 0"),
        ("60 * * * *", "it goes from 0 to 59"),
        ("* 24 * * *", "0 to 23"),
        ("* * 0 * *", "1 to 31"),
        ("* * * 13 *", "1 to 12"),
        ("* * * * 8", "0 to 7"),
        ("*/0 * * * *", "a step is 1 or more"),
        ("5/10 * * * *", "after `*` or a range"),
        ("x * * * *", "not a minute"),
        ("* * * foo *", "jan, feb"),
        ("* * * * fri-mon", "runs backwards"),
        ("1- * * * *", "not a minute"),
        ("-1 * * * *", "not a minute"),
        ("1,,2 * * * *", "not a minute"),
        ("0 0 30 2 *", "would never run"),
        ("0 0 31 4,6 *", "would never run"),
        ("@daily", "write `0 0 * * *`"),
        ("@reboot", "write the five fields"),
        ("* * * * mon\n* * * * *", "this one has 10"),
    ],
)
def test_bad_expressions(expression: str, why: str, ctx: Context) -> None:
    (found,) = Schedule().check(ScheduleSpec.model_validate({**NIGHTLY, "cron": expression}), ctx)
    assert (found.code, found.path) == ("schedule.bad-cron", ("cron",))
    assert why in found.why


def fields(least: int, most: int) -> st.SearchStrategy[tuple[str, set[int]]]:
    """A field and the values it stands for, made apart from the parser."""
    number = st.integers(least, most)
    one = number.map(lambda value: (str(value), {value}))
    span = st.tuples(number, number, st.integers(1, 9)).map(
        lambda item: (
            f"{min(item[:2])}-{max(item[:2])}/{item[2]}",
            {value for value in range(min(item[:2]), max(item[:2]) + 1) if (value - min(item[:2])) % item[2] == 0},
        )
    )
    star = st.integers(1, most).map(
        lambda step: (f"*/{step}", {value for value in range(least, most + 1) if (value - least) % step == 0})
    )
    several = st.lists(st.one_of(one, span), min_size=1, max_size=3).map(
        lambda items: (",".join(text for text, _ in items), set().union(*(values for _, values in items)))
    )
    return st.one_of(several, star)


@settings(max_examples=60, deadline=None)
@given(fields(0, 59), fields(0, 23), fields(1, 31), fields(1, 12))
def test_runs_are_the_minutes_that_fit(minute: Any, hour: Any, day: Any, month: Any) -> None:
    assume(min(day[1]) <= 28)
    expression = cron.parse(f"{minute[0]} {hour[0]} {day[0]} {month[0]} *")
    found = list(islice(expression.after(MONDAY), 40))
    assert found == sorted(set(found))
    assert all(
        item > MONDAY
        and item.minute in minute[1]
        and item.hour in hour[1]
        and item.day in day[1]
        and item.month in month[1]
        for item in found
    )
    last = found[-1].date()
    days = sum(
        date.fromordinal(n).month in month[1] and date.fromordinal(n).day in day[1]
        for n in range(MONDAY.toordinal() + 1, last.toordinal())
    )
    between = [item for item in found if MONDAY.date() < item.date() < last]
    assert len(between) == days * len(minute[1]) * len(hour[1])  # none is left out


@pytest.mark.parametrize(
    ("run", "target", "code"),
    [
        ("retrain", "monitors.drift", "schedule.wrong-target"),
        ("monitor", "training.shops", "schedule.wrong-target"),
        ("retrain", "shops", "schedule.wrong-target"),
        ("retrain", "training.", "schedule.wrong-target"),
    ],
)
def test_wrong_targets(run: str, target: str, code: str, ctx: Context) -> None:
    (found,) = Schedule().check(
        ScheduleSpec.model_validate({"cron": "0 3 * * *", "run": run, "targets": [target]}), ctx
    )
    assert (found.code, found.path) == (code, ("targets", 0))
    twice = Schedule().check(ScheduleSpec.model_validate({**NIGHTLY, "targets": ["training.a", "training.a"]}), ctx)
    assert [(item.code, item.path) for item in twice] == [("schedule.target-twice", ("targets", 1))]


def test_targets_are_references_by_order() -> None:
    spec = ScheduleSpec.model_validate({**NIGHTLY, "targets": ["training.a", "not one", "training.b"]})
    assert [(link.path, str(link.address), link.edge) for link in spec.links()] == [
        (("targets", 0), "training.a", EdgeKind.ORDER),
        (("targets", 2), "training.b", EdgeKind.ORDER),
    ]


def test_outputs_do_not_depend_on_the_clock(ctx: Context) -> None:
    record = apply_once(Schedule(), "schedules.nightly", NIGHTLY, ctx)
    assert record.outputs["command"] == ["retrain", "training.shops", "--auto-approve"]
    assert record.outputs == apply_once(Schedule(), "schedules.nightly", NIGHTLY, ctx).outputs
    for name, value in {"cron": "1 3 * * *", "targets": ["training.x"]}.items():
        assert (
            apply_once(Schedule(), "schedules.nightly", {**NIGHTLY, name: value}, ctx).outputs["digest"]
            != record.outputs["digest"]
        )
    watch = apply_once(
        Schedule(), "schedules.w", {"cron": "0 * * * *", "run": "monitor", "targets": ["monitors.a", "monitors.b"]}, ctx
    )
    assert watch.outputs["command"] == ["monitor", "run", "a", "b"]
    assert Schedule().describe(watch) == "0 * * * *  monitors.a, monitors.b"


@pytest.mark.parametrize("root", ["/srv/shop", '/srv/it\'s 100% "mine" $HOME;rm'])
def test_render_survives_cron_and_the_shell(root: str, ctx: Context) -> None:
    record = apply_once(Schedule(), "schedules.nightly", NIGHTLY, ctx)
    line = render(record, Path(root), "/opt/my env/mlctl")
    time_part, command = line[: len("0 3 * * *")], line[len("0 3 * * * ") :]
    assert time_part == "0 3 * * *"
    assert "%" not in command.replace(r"\%", "")  # cron ends the command at a bare one
    words = shlex.split(command.replace(r"\%", "%"))
    assert words == [
        "/opt/my env/mlctl",
        "-C",
        root,
        "retrain",
        "training.shops",
        "--auto-approve",
        ">>",
        f"{root}/.mlctl/schedule-nightly.log",
        "2>&1",
    ]


def test_an_expression_cannot_smuggle_in_a_second_line(ctx: Context) -> None:
    record = apply_once(Schedule(), "schedules.nightly", {**NIGHTLY, "cron": "0 3\n* *\t*  "}, ctx)
    assert render(record, Path("/srv"), "mlctl").startswith("0 3 * * * mlctl -C /srv ")


def test_render_refuses_what_no_crontab_can_hold(ctx: Context) -> None:
    record = apply_once(Schedule(), "schedules.nightly", NIGHTLY, ctx)
    with pytest.raises(MlctlError, match="newline"):
        render(record, Path("/srv/a\nb"), "mlctl")
    with pytest.raises(MlctlError, match="not-applied"):
        render(Record(ObjectKey(Address("schedules", "x"), "")), Path("/srv"), "mlctl")


def test_ten_thousand_schedules_cost_little(ctx: Context) -> None:
    kind = Schedule()
    record = apply_once(kind, "schedules.nightly", NIGHTLY, ctx)
    began = time.process_time()
    for _ in range(1000):
        spec = ScheduleSpec.model_validate(NIGHTLY)
        assert not kind.check(spec, ctx)
        assert len(list(spec.links())) == 1
        seen = kind.read(record, ctx)
        assert seen is not None
        assert kind.diff(make_desired(kind, "schedules.nightly", NIGHTLY, ctx), record, seen) == ()
    assert time.process_time() - began < 0.5  # 0.03 s on a quiet machine


def test_aware_times_keep_their_zone() -> None:
    moment = MONDAY.astimezone()
    assert next_runs("0 3 * * *", moment, 1)[0].tzinfo is moment.tzinfo
    assert next_runs("* * * * *", MONDAY + timedelta(seconds=59), 1) == [datetime(2026, 11, 2, 10, 31)]


def test_a_schedule_runs_in_the_environment_it_was_applied_in(ctx: Context) -> None:
    record = apply_once(Schedule(), "schedules.nightly", NIGHTLY, replace(ctx, environment="prod"))
    assert record.outputs["command"] == ["-e", "prod", "retrain", "training.shops", "--auto-approve"]


def test_an_instance_as_a_target_reaches_mlctl_as_it_is(ctx: Context) -> None:
    target = 'training.churn["lr=0.1"]'
    record = apply_once(Schedule(), "schedules.nightly", {**NIGHTLY, "targets": [target]}, ctx)
    words = shlex.split(render(record, Path("/p"), "mlctl"))
    assert words[words.index("retrain") + 1] == target
