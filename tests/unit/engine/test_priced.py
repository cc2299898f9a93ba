"""Prices in plans: what was made with which, what has changed since, and which are too old. None makes anything anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from mlctl.engine import priced
from mlctl.engine.saved import file as planfile
from mlctl.engine.saved import staleness
from mlctl.estimate import money
from mlctl.estimate.prices import GIVEN, PriceRow, Prices
from mlctl.provider import Context, Desired
from mlctl.testing.fake import fake_kinds
from mlctl.types.change import Change, Plan
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.types.estimate import Estimate, Range, Repriced
from mlctl.types.secret import Secrets
from mlctl.types.state import Record
from mlctl.views.human import plan as human
from mlctl.views.json import plan as json_view
from tests.properties.worlds import Blocks, World

DAY = date(2026, 11, 1)
BLOCKS: Blocks = {"builds.model": {"value": 4}, "services.chat": {"value": 1, "uses_builds": ["model"]}}
ANOTHER: Blocks = {**BLOCKS, "builds.model": {"value": 5}}
RESERVED = "services.chat"


def row(usd: float, as_of: date = DAY, source: str = "a list", gpu: str = "H100") -> PriceRow:
    return PriceRow(gpu, "p", "on_demand", usd, as_of, source)


class PricedWorld(World):
    """Builds take an hour of an H100, and services are on one for as long as they are there."""

    prices = Prices([lambda: (row(3.64),)], today=DAY)

    def __post_init__(self) -> None:
        super().__post_init__()
        for kind in fake_kinds(self.tool):
            if kind.section in ("builds", "services"):
                self.kinds[kind.section] = _priced(type(kind), lasting=kind.section == "services")(self.tool)

    def context(self, lineage: str = "") -> Context:
        return replace(super().context(lineage), prices=self.prices)

    def now(self, *rows: PriceRow, given: Sequence[PriceRow] = (), allow_stale: bool = False) -> None:
        self.prices = Prices([lambda: rows], given, today=DAY, allow_stale=allow_stale)


def _priced(kind: type, *, lasting: bool) -> type:
    class OnDevices(kind):  # type: ignore[misc]
        def estimate(self, desired: Desired, made: Sequence[Record], ctx: Context) -> Estimate:
            price = ctx.prices.price("H100", "on_demand")
            if price is None:
                return Estimate("H100", 1)
            if lasting:
                return Estimate("H100", 1, hourly=money.hourly(1, price), lasting=True)
            hour = Range.exactly(3600.0)
            return Estimate("H100", 1, seconds=hour, usd=money.cost(hour, money.hourly(1, price)))

    return OnDevices


@pytest.fixture
def world(tmp_path: Path) -> PricedWorld:
    return PricedWorld(tmp_path)


def actions(plan: Plan) -> list[tuple[str, str, str]]:
    return [(str(change.key), change.action, change.reason) for change in plan]


def told(plan: Plan) -> dict[str, list[str]]:
    return {str(change.address): [item.words for item in change.repriced] for change in plan if change.repriced}


def test_what_was_made_remembers_the_prices_it_was_planned_with(world: PricedWorld) -> None:
    world.apply(BLOCKS)
    for record in world.ledger():
        known = priced.made_with(record)
        assert known is not None
        assert [(rate.gpu, rate.tier, rate.usd.mid, rate.as_of, rate.source) for rate in known.rates] == [
            ("H100", "on_demand", 3.64, "2026-11-01", "a list")
        ]


def test_a_price_makes_nothing_anew_and_is_told_of_what_costs_for_as_long_as_it_is_there(world: PricedWorld) -> None:
    world.apply(BLOCKS)
    before = actions(world.plan(BLOCKS))
    world.now(row(4.10))
    plan = world.plan(BLOCKS)
    assert actions(plan) == before
    assert plan.empty
    assert told(plan) == {RESERVED: ["H100 on_demand $3.64 -> $4.10 per hour"]}
    text = human.render(plan)
    assert "No changes." in text
    assert f"note {RESERVED}: prices changed since: H100 on_demand $3.64 -> $4.10 per hour" in text


def test_of_a_build_that_is_about_to_be_made_again_the_changed_price_is_told(world: PricedWorld) -> None:
    world.apply(BLOCKS)
    world.now(row(4.10))
    found = told(world.plan(ANOTHER))
    assert found["builds.model"] == ["H100 on_demand $3.64 -> $4.10 per hour"]
    assert "      prices changed since: H100 on_demand $3.64 -> $4.10 per hour" in human.render(world.plan(ANOTHER))


def test_a_price_that_nothing_uses_touches_no_line(world: PricedWorld) -> None:
    world.apply(BLOCKS)
    world.now(row(3.64), row(9.0, gpu="L4"))
    assert told(world.plan(BLOCKS)) == told(world.plan(ANOTHER)) == {}


def test_another_date_or_source_of_the_same_price_is_no_change_of_it(world: PricedWorld) -> None:
    world.apply(BLOCKS)
    world.now(row(3.64, date(2026, 10, 30), "another list"))
    assert told(world.plan(BLOCKS)) == {}


def test_a_wider_range_of_the_same_price_is_told_as_that() -> None:
    found = Repriced("H100", "spot", Range(1.0, 2.0, 3.0), Range(1.0, 2.0, 4.0))
    assert found.words == "H100 spot $1.00 to $3.00 -> $1.00 to $4.00 per hour"


def test_a_record_of_another_form_has_no_prices(world: PricedWorld) -> None:
    world.apply(BLOCKS)
    (record, *_) = world.ledger()
    for stored in ("x", {}, {"rates": 3}, {**Estimate("H100", 1).to_json(), "rates": [{"gpu": "H100"}]}):
        assert priced.made_with(replace(record, provenance={"estimate": stored})) is None
    assert priced.made_with(replace(record, provenance={})) is None


def test_a_price_of_more_than_180_days_ago_is_refused_with_its_row_and_how_to_mend_it(world: PricedWorld) -> None:
    world.now(row(3.0, date(2026, 5, 4), "an old list"))
    plan = world.plan(BLOCKS)
    with pytest.raises(MlctlError) as error:
        priced.check(priced.estimates(plan), world.prices)
    (found,) = error.value.diagnostics
    assert error.value.exit_code is ExitCode.ERROR
    assert found.code == "prices.stale"
    assert found.summary == "the price of H100 (on_demand) is 181 days old: an old list, 2026-05-04"
    assert "--price H100:on_demand=USD" in found.fix
    assert "--allow-stale" in found.fix


def test_a_stale_price_that_is_allowed_or_not_used_refuses_nothing(world: PricedWorld) -> None:
    old = date(2026, 1, 1)
    world.now(row(3.0), row(1.0, old, gpu="L4"))
    assert priced.check(priced.estimates(world.plan(BLOCKS)), world.prices) == []
    world.now(row(3.0, old), allow_stale=True)
    assert priced.check(priced.estimates(world.plan(BLOCKS)), world.prices) == []
    world.now(row(3.0))
    world.apply(BLOCKS)
    world.now(row(3.0, old))
    assert priced.check(priced.estimates(world.plan(BLOCKS)), world.prices) == []  # nothing is about to be made


def test_an_old_price_is_warned_of_on_the_lines_that_use_it(world: PricedWorld) -> None:
    world.now(row(3.0, date(2026, 9, 1)))
    text = human.render(world.plan(BLOCKS))
    assert text.count("warning: the price of H100 (on_demand) is 61 days old: a list, 2026-09-01") == 2


def test_a_price_that_was_given_and_has_no_effect_is_told(world: PricedWorld) -> None:
    world.now(row(3.0), given=[row(2.0, source=GIVEN), row(1.0, source=GIVEN, gpu="L4")])
    (found,) = priced.check(priced.estimates(world.plan(BLOCKS)), world.prices)
    assert (found.code, found.severity) == ("prices.not-used", "warning")
    assert "L4 (on_demand)" in found.summary


def test_the_digest_of_a_plan_is_that_of_the_rows_it_used(world: PricedWorld) -> None:
    def prices_of(plan: Plan) -> str:
        (line,) = [line for line in json_view.lines(plan) if line["type"] == "prices"]
        assert [rate["gpu"] for rate in line["rates"]] == ["H100"]
        return str(line["digest"])

    first = prices_of(world.plan(BLOCKS))
    world.now(row(3.64), row(1.0, gpu="L4"))
    assert prices_of(world.plan(BLOCKS)) == first
    world.now(row(3.65))
    assert prices_of(world.plan(BLOCKS)) != first


def test_a_plan_without_prices_says_nothing_of_them(tmp_path: Path) -> None:
    plan = World(tmp_path).plan(BLOCKS)
    assert [line["type"] for line in json_view.lines(plan)] == ["planned_change", "planned_change", "change_summary"]
    assert priced.stored(plan, Prices()) == {}


def test_a_saved_plan_keeps_the_prices_that_were_given_and_is_not_stale_by_others(world: PricedWorld) -> None:
    world.now(row(3.0), given=[row(2.0, source=GIVEN)])
    plan = world.plan(BLOCKS)
    ledger, project = world.ledger(), world.project(BLOCKS)
    saved = planfile.save("apply", plan, project, ledger, Secrets(), prices=world.prices)
    planfile.write(world.root / "x.plan", saved)
    again = planfile.read(world.root / "x.plan")
    assert again.plan.changes == plan.changes
    assert again.prices["given"] == {"H100:on_demand": 2.0}
    assert again.prices["digest"] == priced.rates_digest(priced.rates(priced.estimates(plan)))
    world.now(row(3.0))
    now = world.plan(BLOCKS)
    staleness.check_same(again, now, project, ledger)
    (found,) = priced.differing(again.plan, now)
    assert found.summary == "prices changed since the plan was saved: H100 on_demand $2.00 -> $3.00 per hour"


def test_a_plan_of_before_prices_were_kept_can_be_read(world: PricedWorld) -> None:
    plan = World(world.root).plan(BLOCKS)
    saved = planfile.save("apply", plan, world.project(BLOCKS), world.ledger(), Secrets())
    planfile.write(world.root / "x.plan", saved)
    assert "prices" not in (world.root / "x.plan").read_text()
    assert planfile.read(world.root / "x.plan").prices == {}


def test_an_unchanged_build_is_not_told_of_since_it_is_paid_for(world: PricedWorld) -> None:
    world.apply(BLOCKS)
    world.now(row(4.10))
    unchanged: list[Change] = [change for change in world.plan(BLOCKS) if str(change.address) == "builds.model"]
    assert [change.repriced for change in unchanged] == [()]


@pytest.mark.parametrize(("tier", "meant"), [(None, "owned"), ("spot", "spot")])
def test_a_price_of_another_tier_is_told_with_the_one_that_is_asked_for(tier: str | None, meant: str) -> None:
    asked = Estimate(device="H100", devices=1, tier=tier)
    (found,) = priced.check([asked], Prices(given=[row(3.0, source=GIVEN)]))
    assert f"write `--price H100:{meant}=3`" in found.fix
    (other,) = priced.check([asked], Prices(given=[row(3.0, source=GIVEN, gpu="L4")]))
    assert "correct the device" in other.fix
