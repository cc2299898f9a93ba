"""Budgets: what is refused before anything exists, what is refused when its turn comes, and what is only said."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlctl.engine import applier, budget, budget_words
from mlctl.engine.applied import Applied
from mlctl.engine.budget import judge
from mlctl.engine.budget_lines import Line
from mlctl.engine.patience import patiently
from mlctl.engine.store import LocalStore
from mlctl.estimate.prices import PriceRow, Prices
from mlctl.provider import Context, Desired, Outcome, Spec
from mlctl.spec.project import Project
from mlctl.testing.fake import fake_kinds
from mlctl.types.change import Selection
from mlctl.types.diagnostic import Diagnostic, ExitCode, MlctlError, Severity
from mlctl.types.estimate import MONTH_HOURS, Estimate, Limit, Range, Rate
from mlctl.types.interrupt import Manner
from mlctl.types.state import Record
from tests.properties.worlds import EVERYTHING, Blocks, World

HOUR = 3600.0


def build(usd: Range | None = None, *, hours: Range | None = None, hourly: Range | None = None) -> Estimate:
    rate = hourly or Range.exactly(8.0)
    seconds = None if hours is None else hours * HOUR
    return Estimate("H100", 8, seconds=seconds, usd=usd, hourly=rate, tier="on_demand")


def service(hourly: float, *, tier: str = "on_demand") -> Estimate:
    return Estimate("L4", 1, hourly=Range.exactly(hourly), tier=tier, lasting=True)


def codes(limits: Mapping[str, float], *lines: Line) -> list[tuple[str, str, bool]]:
    return [(item.by, item.code, item.refuses) for item in judge(limits, lines)]


def test_the_likely_cost_refuses_and_the_upper_end_warns() -> None:
    line = Line("training.a", build(Range(5, 10, 30)))
    assert codes({"max_usd_per_run": 9.99}, line) == [("max_usd_per_run", "budget.exceeded", True)]
    assert codes({"max_usd_per_run": 10}, line) == [("max_usd_per_run", "budget.may-exceed", False)]
    assert codes({"max_usd_per_run": 30}, line) == []


def test_each_field_of_a_budget_counts_what_it_says() -> None:
    lines = (
        Line("training.a", build(Range.exactly(60), hours=Range.exactly(5))),
        Line("training.b", build(Range.exactly(50), hours=Range.exactly(7))),
        Line("deployments.c", service(2.0)),
    )
    assert codes({"max_usd": 109}, *lines) == [("max_usd", "budget.exceeded", True)]
    assert codes({"max_usd": 110}, *lines) == []
    found = judge({"max_usd_per_run": 55}, lines)
    assert [(item.address, item.refuses) for item in found] == [("training.a", True)]
    assert [item.address for item in judge({"max_hours": 6}, lines)] == ["training.b"]
    assert codes({"max_usd_per_month": 2 * MONTH_HOURS - 1}, *lines) == [("max_usd_per_month", "budget.exceeded", True)]
    assert codes({"max_usd_per_month": 2 * MONTH_HOURS}, *lines) == []


def test_the_dearest_is_named_first_with_its_figures() -> None:
    lines = [
        Line(f"training.{name}", build(Range.exactly(usd), hours=Range.exactly(2)))
        for name, usd in (("a", 1), ("b", 40))
    ]
    (found,) = judge({"max_usd": 20}, lines)
    assert found.summary == "all of this plan is likely to cost $41.00; it may cost $20.00"
    assert found.why.splitlines() == [
        "training.b: about $40.00: 2.0 h on 8 H100 at $8.00 an hour",
        "training.a: about $1.00: 2.0 h on 8 H100 at $8.00 an hour",
    ]


def test_a_cost_that_is_not_known_is_not_nothing() -> None:
    unpriced = Line("training.a", Estimate("B300", 8, seconds=Range.exactly(60), tier="on_demand"))
    assert codes({"max_usd": 1e9}, unpriced) == [("max_usd", "budget.no-price", True)]
    assert codes({"max_usd_per_month": 1e9}, unpriced) == []  # it is made, and does not last
    assert codes({"max_hours": 1}, unpriced) == []
    lasting = Line("deployments.a", replace(unpriced.estimate, seconds=None, lasting=True))
    assert codes({"max_usd_per_month": 1e9}, lasting) == [("max_usd_per_month", "budget.no-price", True)]
    assert codes({"max_usd_per_month": 1e9}, replace(lasting, there=True)) == [
        ("max_usd_per_month", "budget.no-price", False)
    ]
    owned = Line("training.b", Estimate("cpu", 1))
    assert codes({"max_usd": 1, "max_usd_per_run": 1}, owned) == []


def test_a_time_that_is_not_known_yet_is_said_to_be() -> None:
    line = Line("training.a", replace(build(), notes=("its time is known once datasets.x is made",)))
    (found,) = judge({"max_usd": 5}, [line])
    assert (found.code, found.refuses) == ("budget.not-known", False)
    assert found.why == "its time is known once datasets.x is made"
    assert codes({"max_hours": 5}, line) == [("max_hours", "budget.not-known", False)]


def test_what_lasts_already_is_no_reason_to_refuse_what_adds_nothing() -> None:
    there, fresh = Line("deployments.a", service(10.0), there=True), Line("deployments.b", service(0.01))
    assert codes({"max_usd_per_month": 100}, there) == [("max_usd_per_month", "budget.exceeded", False)]
    assert codes({"max_usd_per_month": 100}, there, fresh) == [("max_usd_per_month", "budget.exceeded", True)]


FIGURES = (
    st.lists(st.floats(0.001, 1e6), min_size=3, max_size=3)
    .map(sorted)
    .map(lambda found: Range(found[0], found[1], found[2]))
)
LINES = st.lists(
    st.builds(
        lambda usd, hours, lasting: replace(build(usd, hours=hours, hourly=usd), lasting=lasting),
        st.none() | FIGURES, st.none() | FIGURES, st.booleans(),
    ),
    min_size=1, max_size=12,
)  # fmt: skip


@given(LINES, st.randoms(use_true_random=False), st.floats(0.001, 1e7))
def test_no_order_of_lines_changes_the_verdict(estimates: list[Estimate], random: Any, most: float) -> None:
    lines = [Line(f"training.t{number}", item) for number, item in enumerate(estimates)]
    limits = dict.fromkeys(("max_usd", "max_usd_per_run", "max_hours", "max_usd_per_month"), most)
    shuffled = list(lines)
    random.shuffle(shuffled)
    assert judge(limits, shuffled) == judge(limits, lines)


@given(LINES, st.floats(0.001, 1e7), st.floats(1.0, 100.0))
def test_a_larger_budget_never_refuses_what_a_smaller_one_lets_through(
    estimates: list[Estimate], most: float, times: float
) -> None:
    lines = [Line(f"training.t{number}", item) for number, item in enumerate(estimates)]
    names = ("max_usd", "max_usd_per_run", "max_hours", "max_usd_per_month")
    small, large = (judge(dict.fromkeys(names, value), lines) for value in (most, most * times))
    refused = {(item.by, item.address) for item in small if item.refuses}
    assert {(item.by, item.address) for item in large if item.refuses} <= refused


@dataclass
class Budgeted(World):
    """A world whose project has a budget, and whose builds cost as many dollars as their value. One whose value is at least
    100 is not known to before its input is made."""

    limits: dict[str, float] = field(default_factory=dict)
    let_go: bool = False
    told: list[dict[str, Any]] = field(default_factory=list)  # the budgets that kinds were given
    took: float | None = None  # what the first build does cost, when it is made
    taken: float = 0.0  # seconds for which what is gone on with had its devices before

    def __post_init__(self) -> None:
        super().__post_init__()
        world = self
        for section in ("builds", "services"):
            kind: Any = next(item for item in fake_kinds(self.tool) if item.section == section)

            class Costly(type(kind)):  # type: ignore[misc]
                def estimate(self, desired: Desired, made: Sequence[Record], ctx: Context) -> Estimate | None:
                    value = float(desired.spec.value)
                    if self.section == "services":
                        return service(value)
                    known = value < 100 or isinstance(desired.identity, str)
                    limit = Limit(0.05, "max_hours", carried=False) if value == 77 else None
                    usd = Range(value / 2, value, value * 2) if known else None
                    begun = world.ledger().get(desired.key) if isinstance(desired.identity, str) else None
                    taken = world.taken if begun is not None and begun.pending is not None else 0.0
                    return replace(build(usd), limit=limit, taken=taken)

                def apply(self, desired: Desired, prior: Record | None, ctx: Context) -> Outcome:
                    if desired.spec.value == 77:  # works until it is told to stop
                        assert ctx.stop.wait(20)
                        raise MlctlError.of("job.stopped", "it saved and left", exit_code=ExitCode.INTERRUPTED)
                    if desired.spec.value == 11 and world.let_go:  # whoever follows it goes away
                        raise MlctlError.of("job.detached", "it goes on alone", exit_code=ExitCode.INTERRUPTED)
                    world.told.append(dict(ctx.settings.get("budget", {})))
                    outcome = super().apply(desired, prior, ctx)
                    usd = {} if world.took is None else {"estimate": {"actual": {"usd": world.took}}}
                    return Outcome(outcome.id, {**outcome.outputs, **usd}, outcome.gate)

            self.kinds[section] = Costly(self.tool)

    def project(self, *args: Any, **kwargs: Any) -> Project:
        return replace(super().project(*args, **kwargs), settings={"budget": dict(self.limits)})

    def context(self, lineage: str = "") -> Context:
        return replace(super().context(lineage), settings={"budget": dict(self.limits)})

    def run(self, name: str, blocks: Blocks, selection: Selection = EVERYTHING) -> Applied:
        """Plan and apply as the run of that name."""
        project = self.project(blocks)
        with LocalStore(self.home).session("apply") as session:
            plan = self.plan(blocks, selection)
            return applier.apply(
                plan, project, self.kinds.__getitem__, session, self.context(), lambda event: None, parallelism=1, name=name
            )  # fmt: skip

    def asked(self, blocks: Blocks, selection: Selection | None = None) -> list[Diagnostic]:
        plan = self.plan(blocks) if selection is None else self.plan(blocks, selection)
        return budget.check(plan, self.project(blocks), self.ledger(), PRICES)


ROWS = [("H100", "on_demand", 4.0), ("H100", "spot", 2.0), ("A100", "on_demand", 3.0), ("B200", "on_demand", 9.0)]
PRICES = Prices(given=[PriceRow(gpu, "p", tier, usd, date(2026, 11, 1), "s") for gpu, tier, usd in ROWS])  # type: ignore[arg-type]
CHAIN: Blocks = {"builds.data": {"value": 2}, "builds.model": {"value": 140, "uses_builds": ["data"]}}


def test_a_plan_beyond_its_budget_is_refused_with_what_would_help(tmp_path: Path) -> None:
    world = Budgeted(tmp_path, limits={"max_usd": 20})
    with pytest.raises(MlctlError) as caught:
        world.asked({"builds.a": {"value": 12}, "builds.b": {"value": 13}})
    assert caught.value.exit_code is ExitCode.POLICY
    (told,) = caught.value.diagnostics
    assert (told.code, told.severity) == ("budget.exceeded", Severity.ERROR)
    spot, cheaper, tools, last = told.fix.splitlines()
    assert spot == "spot machines for builds.b: H100 $2.00, about $6.50 in all before what interruptions waste"
    assert cheaper.startswith("cheaper by the hour than H100 $4.00: A100 $3.00, ")
    assert "`mlctl cost size`" in tools
    assert last == "or raise `budget.max_usd`"
    assert world.tool.calls == []


def test_devices_of_a_dear_cloud_are_held_against_what_others_ask_for_them() -> None:
    rate = Rate("H100", "on_demand", Range.exactly(6.88), "2026-11-01", "s", "d", provider="AWS")
    line = Line("training.a", replace(build(Range.exactly(55)), rates=(rate,)))
    spot, elsewhere, cheaper, *_ = budget_words.fix("budget.exceeded", "max_usd", [line], PRICES).splitlines()
    assert spot == "spot machines for training.a: H100 $2.00, about $15.99 in all before what interruptions waste"
    assert elsewhere == "the same devices of other providers: H100 $4.00"
    assert cheaper.startswith("cheaper by the hour than H100 $6.88: ")
    assert "H100" not in cheaper.partition(":")[2]


def test_a_price_that_is_too_old_to_go_by_is_no_advice() -> None:
    row = PriceRow("L4", "p", "on_demand", 3.5, date(2026, 3, 1), "s")
    line = Line("training.a", build(Range.exactly(55)))
    for today, told in ((date(2026, 5, 1), True), (date(2026, 11, 20), False)):
        prices = Prices(given=[*PRICES.given, row], today=today)
        assert ("L4 $3.50" in budget_words.fix("budget.exceeded", "max_usd", [line], prices)) is told


def test_a_plan_that_does_nothing_is_never_refused(tmp_path: Path) -> None:
    world = Budgeted(tmp_path, limits={})
    blocks: Blocks = {"builds.a": {"value": 12}, "services.s": {"value": 12}}
    world.apply(blocks)
    world.limits = {"max_usd": 1, "max_usd_per_month": 1}
    assert world.asked(blocks) == []


def test_what_lasts_is_counted_over_the_whole_project(tmp_path: Path) -> None:
    world = Budgeted(tmp_path, limits={"max_usd_per_month": 25 * MONTH_HOURS})
    first: Blocks = {"services.a": {"value": 12}}
    assert world.asked(first) == []
    world.apply(first)
    assert world.asked({**first, "services.b": {"value": 13}}) == []
    with pytest.raises(MlctlError) as caught:
        world.asked({**first, "services.b": {"value": 14}})
    told = caught.value.diagnostics[0]
    assert "services.a: on 1 L4 at $12.00 an hour, there already" in told.why
    assert world.asked({"services.b": {"value": 14}}) == []  # the other one goes
    (warned,) = world.asked({"services.a": {"value": 60}})  # the same devices: nothing is added
    assert (warned.code, warned.severity) == ("budget.exceeded", Severity.WARNING)


def test_what_was_not_known_is_asked_again_before_it_begins_and_what_is_made_stays(tmp_path: Path) -> None:
    world = Budgeted(tmp_path, limits={"max_usd": 100})
    told = world.asked(CHAIN)
    assert [(item.code, item.severity) for item in told] == [("budget.not-known", Severity.WARNING)]
    applied = world.apply(CHAIN)
    assert applied is not None
    assert [str(step.change.address) for step in applied.failed] == ["builds.model"]
    assert [item.code for item in applied.failed[0].diagnostics] == ["budget.exceeded"]
    assert applied.exit_code is ExitCode.POLICY
    assert [call.partition("#")[0] for call in world.tool.calls] == ["make builds.data"]
    assert [str(record.key.address) for record in world.ledger()] == ["builds.data"]  # no trace of what was refused
    world.limits = {"max_usd": 150}
    again = world.apply(CHAIN)
    assert again is not None
    assert again.exit_code is ExitCode.OK


def test_what_a_step_did_cost_counts_for_those_after_it(tmp_path: Path) -> None:
    blocks: Blocks = {"builds.a": {"value": 10}, "builds.b": {"value": 11, "uses_builds": ["a"]}}
    for took, code in ((10.0, ExitCode.OK), (40.0, ExitCode.POLICY)):
        world = Budgeted(tmp_path / str(took), limits={"max_usd": 50}, took=took)
        applied = world.apply(blocks)
        assert applied is not None
        assert applied.exit_code is code


def test_what_a_step_held_its_devices_for_counts_although_it_failed(tmp_path: Path) -> None:
    world = Budgeted(tmp_path, limits={"max_usd": 50})
    blocks: Blocks = {"builds.a": {"value": 10}, "builds.b": {"value": 11}}
    plan = world.plan(blocks)
    first, second = ({str(item.address): item for item in plan}[name] for name in blocks)
    dear = replace(first, estimate=build(Range(5, 10, 20), hourly=Range.exactly(40)))
    for seconds, refused in ((600.0, False), (3600.0, True)):
        account = budget.Account(plan, world.project(blocks), world.ledger(), PRICES)
        account.admit(dear)
        account.failed(dear, seconds)
        if refused:
            with pytest.raises(MlctlError) as caught:
                account.admit(second)
            assert "all of this plan is likely to cost $51.00" in caught.value.diagnostics[0].summary
        else:
            account.admit(second)


def test_a_step_that_fails_is_counted_by_the_apply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, bool]] = []
    monkeypatch.setattr(
        budget.Account, "failed", lambda self, change, seconds: told.append((str(change.address), seconds >= 0.05))
    )
    Budgeted(tmp_path, limits={"max_hours": 1}).apply({"builds.a": {"value": 77}})
    assert told == [("builds.a", True)]


def test_what_has_had_its_time_is_ended_and_is_not_tried_again(tmp_path: Path) -> None:
    world = Budgeted(tmp_path, limits={"max_hours": 1})
    applied = world.apply({"builds.a": {"value": 77, "retries": 3}})
    assert applied is not None
    (told,) = applied.failed[0].diagnostics
    assert told.code == "budget.reached"
    assert "`budget.max_hours` allows no more" in told.summary
    assert applied.exit_code is ExitCode.POLICY


def test_a_limit_that_somebody_else_keeps_ends_nothing_here(tmp_path: Path) -> None:
    ctx = World(tmp_path).context()
    seen: list[bool] = []

    def do(ctx: Context) -> int:
        seen.append(ctx.stop.wait(0.1))
        return 1

    assert patiently(do, Spec(), ctx, Limit(0.01, "max_usd", carried=True)) == 1
    assert seen == [False]


@pytest.mark.parametrize(("seconds", "tries"), [(1e-9, 1), (60.0, 3)])
def test_no_try_is_begun_after_a_limit_that_each_would_have_anew(tmp_path: Path, seconds: float, tries: int) -> None:
    ctx = World(tmp_path).context()
    tried: list[int] = []

    def do(ctx: Context) -> int:
        tried.append(1)
        raise MlctlError.of("executor.lost", "the cluster lost it")

    spec = Spec.model_validate({"retries": {"max": 2, "backoff": "1ms"}})
    with pytest.raises(MlctlError) as caught:
        patiently(do, spec, ctx, Limit(seconds, "max_usd", carried=True))
    assert caught.value.diagnostics[0].code == "executor.lost"
    assert len(tried) == tries


def test_the_shorter_of_timeout_and_limit_counts(tmp_path: Path) -> None:
    ctx = World(tmp_path).context()

    def do(ctx: Context) -> int:
        assert ctx.stop.wait(20)
        assert ctx.stop.manner is Manner.STOP
        raise MlctlError.of("job.stopped", "it left")

    for timeout, code in (("5ms", "step.timeout"), ("10m", "budget.reached")):
        with pytest.raises(MlctlError) as caught:
            patiently(do, Spec.model_validate({"timeout": timeout}), ctx, Limit(0.02, "max_hours", carried=False))
        assert caught.value.diagnostics[0].code == code
    assert threading.active_count() < 50
