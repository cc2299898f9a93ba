"""Right-sizing chooses what going through everything by hand would choose, and says of each other option what it fails by."""

from __future__ import annotations

import datetime
import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlctl.estimate import spot
from mlctl.estimate.devices import NAMED, Device
from mlctl.estimate.options import Option, options
from mlctl.estimate.prices import TIERS, PriceRow, Prices
from mlctl.estimate.sizing import Constraint, Judged, Sizing, Wish, size
from tests.unit.estimate.fleet import GIB, Scripted

DAY = datetime.date(2026, 11, 1)


def row(gpu: str, usd: float, tier: str = "on_demand", provider: str = "A", min_gpus: int = 1) -> PriceRow:
    return PriceRow(gpu, provider, tier, usd, DAY, "a test", min_gpus=min_gpus)  # type: ignore[arg-type]


MARKET = (
    row("L4", 0.7), row("L4", 0.3, "spot"), row("A10G", 1.0), row("L40S", 1.2), row("L40S", 0.9, "spot"), row("A100", 2.0),
    row("A100-80GB", 2.4), row("A100-80GB", 1.4, "spot"), row("A100-80GB", 2.3, provider="B", min_gpus=8), row("H100", 3.6),
    row("H100", 2.4, "spot"), row("H100", 2.65, "reserved_1y"), row("H200", 4.9), row("B200", 6.7, min_gpus=8),
)  # fmt: skip


def of(sizing: Sizing, gpu: str, count: int = 1, tier: str = "on_demand", provider: str = "A") -> Judged:
    every = [*sizing.others, *([sizing.chosen] if sizing.chosen else [])]
    return next(
        item
        for item in every
        if (item.option.device.name, item.option.device.count, item.option.tier, item.option.provider)
        == (gpu, count, tier, provider)
    )


# --- the same, written again from the description: nothing of `sizing` but its result is used ---------------------------------


def reason(workload: Scripted, option: Option, wish: Wish) -> str | None:
    """The first thing that an option fails by, in the order of the description."""
    device, tier = option.device, option.tier
    likely = workload.memory / device.count + workload.each
    if likely * workload.doubt > 0.92 * device.memory:
        return "memory"
    if wish.deadline is not None:
        time = finished(workload, option)
        if time is None:
            return "unknown"
        if time > wish.deadline:
            return "deadline"
    if workload.lasting:
        step = workload.memory / device.count / 1e12
        room = 0.8 * max(0.0, device.memory * device.count - workload.memory) / 1e9
        for name, fails in (
            ("tpot", wish.tpot is not None and step * 1.5 > wish.tpot),
            ("ttft", wish.ttft is not None and step * 10 > wish.ttft),
            ("concurrency", wish.concurrency is not None and room < wish.concurrency),
        ):
            if fails:
                return name
    if device.name in workload.unsupported:
        return "software"
    if tier == "spot" and (workload.lasting or workload.checkpoint_seconds is None):
        return "interruptions"
    return None


def bill(workload: Scripted, option: Option) -> float | None:
    """Likely dollars: of an hour for a service, else of all of it; None where the time is not known."""
    each = sum(item.usd for item in option.price.rows) / len(option.price.rows)
    hourly = each * option.paid
    if workload.lasting:
        return hourly
    taken = workload.on(option.device).seconds
    if taken is None:
        return None
    if option.tier == "spot":
        assert workload.checkpoint_seconds is not None
        return spot.expected(
            taken, option.hourly, checkpoint_seconds=workload.checkpoint_seconds, nodes=-(-option.device.count // 8)
        ).cost.mid
    return hourly * taken.mid / 3600


def finished(workload: Scripted, option: Option) -> float | None:
    taken = workload.on(option.device).seconds
    if taken is None:
        return None
    if option.tier == "spot" and workload.checkpoint_seconds is not None:
        found = spot.expected(
            taken, option.hourly, checkpoint_seconds=workload.checkpoint_seconds, nodes=-(-option.device.count // 8)
        )
        return found.elapsed.high
    return taken.high


def worked(workload: Scripted, option: Option) -> float:
    """The share of a paid hour that gets work done, where how long it takes is not known."""
    if workload.lasting or option.tier != "spot" or workload.checkpoint_seconds is None:
        return 1.0
    up, saves = spot.TYPICAL.mean_up.mid / -(-option.device.count // 8), workload.checkpoint_seconds
    return spot.useful(saves, spot.daly(saves, up), up, spot.RESTART.mid)


def brute_force(workload: Scripted, every: list[Option], wish: Wish) -> tuple[Option | None, dict[int, str]]:
    """The choice, and by place the reason of each other option."""
    reasons = {place: reason(workload, option, wish) for place, option in enumerate(every)}
    passing = [place for place, found in reasons.items() if found is None]
    bills = {place: bill(workload, every[place]) for place in passing}
    if any(value is not None for value in bills.values()):
        for place in passing:
            if bills[place] is None:
                reasons[place] = "unknown"
        passing = [place for place in passing if bills[place] is not None]
        costs = {place: value for place, value in bills.items() if value is not None}
    else:
        costs = {place: every[place].hourly.mid / worked(workload, every[place]) for place in passing}
    if not passing:
        return None, {place: found for place, found in reasons.items() if found}
    least = min(costs.values())
    best = None
    for place in passing:
        if costs[place] != least and costs[place] >= 1.05 * least:
            reasons[place] = "cost"
            continue
        reasons[place] = "tie"
        option = every[place]
        rank = (
            option.paid, -(-option.device.count // 8), option.tier == "spot", costs[place],
            option.device.name, option.device.count, option.tier, option.provider,
        )  # fmt: skip
        if best is None or rank < best[0]:
            best = (rank, place)
    assert best is not None
    return every[best[1]], {place: found for place, found in reasons.items() if place != best[1] and found}


def thirty() -> list[tuple[Scripted, Wish]]:
    """Trainings of several sizes with and without a deadline, some that cannot be interrupted, and services with bounds."""
    found: list[tuple[Scripted, Wish]] = []
    for memory, deadline in itertools.product((4, 30, 90, 400), (None, 3600.0, 12 * 3600.0)):
        found.append((Scripted(memory=memory * GIB, work=memory * 2e17), Wish(deadline=deadline)))
    for memory, work in itertools.product((2, 60), (1e16, 1e20)):
        found.append((Scripted(memory=memory * GIB, work=work, checkpoint_seconds=None), Wish()))
        lacks = {"L4": "fp8 asks for more", "L40S": "no link between two of them"}
        found.append((Scripted(memory=memory * GIB, work=work, unsupported=lacks), Wish(deadline=5e5)))
    for memory, tpot in itertools.product((14, 140), (None, 0.05, 0.2)):
        wish = Wish(tpot=tpot, concurrency=32)
        found.append((Scripted(memory=memory * GIB, lasting=True, address="deployments.m"), wish))
    found.append((Scripted(memory=14 * GIB, lasting=True), Wish(ttft=0.001)))
    found.append((Scripted(memory=4000 * GIB), Wish()))
    found.append((Scripted(memory=10 * GIB, timed=False), Wish()))
    found.append((Scripted(memory=10 * GIB, timed=False), Wish(deadline=60.0)))
    return found


def same_as_by_hand(workload: Scripted, wish: Wish, every: list[Option]) -> None:
    found = size(workload, every, wish)
    option, reasons = brute_force(workload, every, wish)
    assert (found.chosen and found.chosen.option) == option
    told = {id(item.option): item for item in found.others}
    assert len(found.others) == len(every) - (option is not None)
    for place, expected in reasons.items():
        assert (told[id(every[place])].lost, bool(told[id(every[place])].why)) == (expected, True)


def test_of_thirty_workloads_the_choice_and_each_reason_are_those_of_going_through_everything_by_hand() -> None:
    workloads = thirty()
    assert len(workloads) == 30
    for workload, wish in workloads:
        same_as_by_hand(workload, wish, list(options(MARKET)))
        same_as_by_hand(workload, wish, list(options(MARKET, counts=(1, 3, 16), tiers=TIERS)))
        same_as_by_hand(workload, wish, list(options(Prices().rows)))


@settings(max_examples=60, deadline=None)
@given(
    memory=st.floats(0.1, 2000), each=st.floats(0, 20), work=st.floats(1e14, 1e22), lasting=st.booleans(), saves=st.booleans(),
    deadline=st.none() | st.floats(60, 1e7), tpot=st.none() | st.floats(0.001, 1), room=st.none() | st.integers(1, 1000),
    lacks=st.sets(st.sampled_from(sorted(NAMED))), prices=st.lists(
        st.tuples(st.sampled_from(sorted(NAMED)), st.floats(0.1, 20), st.sampled_from(TIERS), st.sampled_from("AB"),
                  st.sampled_from([1, 1, 2, 8])), max_size=12),
)  # fmt: skip
def test_of_any_workload_and_market_the_choice_is_that_of_going_through_everything_by_hand(
    memory: float, each: float, work: float, lasting: bool, saves: bool, deadline: float | None, tpot: float | None,
    room: int | None, lacks: set[str], prices: list[tuple[str, float, str, str, int]],
) -> None:  # fmt: skip
    workload = Scripted(
        memory * GIB, each * GIB, work, lasting=lasting, checkpoint_seconds=20.0 if saves else None,
        unsupported=dict.fromkeys(lacks, "not made for it"),
    )  # fmt: skip
    wish = Wish(None if lasting else deadline, tpot if lasting else None, None, room if lasting else None)
    rows = list({(item[0], item[2], item[3]): row(item[0], item[1], *item[2:]) for item in prices}.values())
    same_as_by_hand(workload, wish, list(options(rows, tiers=TIERS)))


def test_each_reason_there_is_decides_for_some_option_of_the_thirty() -> None:
    seen = {item.lost for workload, wish in thirty() for item in size(workload, options(MARKET), wish).others}
    assert seen == set(Constraint)


def test_the_order_of_the_options_does_not_matter() -> None:
    every = list(options(MARKET))
    first = size(Scripted(), every)
    for seed in range(5):
        mixed = every[:]
        random.Random(seed).shuffle(mixed)
        again = size(Scripted(), mixed)
        assert again.chosen == first.chosen
        assert [item.option for item in again.others] == [item.option for item in first.others]


def test_what_may_not_fit_is_never_chosen_and_says_what_it_may_need() -> None:
    workload = Scripted(memory=20 * GIB, each=0, doubt=1.2)
    found = size(workload, options(MARKET, counts=(1,)))
    lost = of(found, "L4")
    assert lost.lost is Constraint.MEMORY
    assert "may need 24.0 GiB (likely 20.0 GiB), and 20.7 GiB of 22.5 GiB may be used of one L4" in lost.why
    assert found.chosen is not None
    assert found.chosen.option.device.memory * 0.92 >= 24 * GIB


def test_a_deadline_counts_the_high_end_and_the_wait_for_spot_devices() -> None:
    workload = Scripted(memory=4 * GIB, work=989e12 * 0.4 * 3600)  # an hour of one H100
    found = size(workload, options(MARKET, counts=(1,)), Wish(deadline=2 * 3600))
    assert found.chosen is not None
    assert (found.chosen.option.device.name, found.chosen.option.tier) == ("H100", "on_demand")
    assert of(found, "H100", tier="spot").lost is Constraint.DEADLINE
    assert "waiting for spot devices included" in of(found, "H100", tier="spot").why
    assert "may take" in of(found, "A100-80GB").why
    assert "the deadline is 2.0 h" in of(found, "A100-80GB").why


def test_whole_machines_are_paid_for_where_they_are_sold() -> None:
    found = size(Scripted(), options(MARKET, counts=(1,)))
    lost = of(found, "B200")
    assert lost.option.paid == 8
    assert lost.lost is Constraint.COST
    assert "8 are rented for 1" in lost.why


def test_costs_that_are_alike_are_decided_by_fewer_devices_then_by_those_that_stay() -> None:
    rows = (row("A100-80GB", 2.40), row("A100-80GB", 2.45, provider="B"), row("H100", 7.60))
    found = size(Scripted(), options(rows, counts=(1, 2)))
    assert found.chosen is not None
    assert found.chosen.option.provider == "A"
    other = of(found, "A100-80GB", provider="B")
    assert (other.lost, other.why) == (Constraint.TIE, "costs about the same, and is not better in anything")
    even = (row("L4", 1.0), row("L4", 1.0 * _useful(), "spot"))
    tied = size(Scripted(memory=GIB), options(even, counts=(1,)))
    assert tied.chosen is not None
    assert tied.chosen.option.tier == "on_demand"
    assert of(tied, "L4", tier="spot").why == "costs about the same, and its devices may be taken away"


def _useful() -> float:
    """The spot price at which what is lost makes an L4 as dear as one that stays."""
    option = next(options((row("L4", 1.0),), counts=(1,)))
    taken = Scripted(memory=GIB).on(option.device).seconds
    assert taken is not None
    found = spot.expected(taken, option.hourly, checkpoint_seconds=30.0)
    return option.hourly.mid * taken.mid / 3600 / found.cost.mid


def test_a_device_that_stays_idle_is_said_to_be_too_large_by_what_was_measured() -> None:
    workload = Scripted(memory=30 * GIB, each=0, device=NAMED["H100"])
    assert size(workload, options(MARKET)).today.oversized.startswith(
        "30.0 GiB of 79.6 GiB is foreseen to be used (38%)"
    )
    told = size(workload, options(MARKET), measured=20 * GIB).today.oversized
    assert told.startswith("20.0 GiB of 79.6 GiB was measured to be used (25%), and ")
    assert size(workload, options(MARKET), measured=40 * GIB).today.oversized == ""


def test_a_device_is_not_too_large_where_no_smaller_one_would_do() -> None:
    workload = Scripted(memory=30 * GIB, each=0, device=NAMED["H100"], unsupported=dict.fromkeys(NAMED, "never"))
    assert size(workload, options(MARKET)).today.oversized == ""


def test_what_is_saved_is_today_less_the_choice() -> None:
    today = next(options((row("H100", 3.6),), counts=(1,)))
    found = size(Scripted(device=NAMED["H100"]), options(MARKET), today=today)
    assert found.chosen is not None
    assert found.chosen.usd is not None
    assert found.today.usd is not None
    assert found.saves == pytest.approx(found.today.usd.mid - found.chosen.usd.mid)
    assert size(Scripted(), options(MARKET)).saves is None


def test_where_no_time_is_known_the_hour_decides_and_a_deadline_cannot_be_kept() -> None:
    workload = Scripted(timed=False)
    found = size(workload, options(MARKET, tiers=("on_demand",)))
    assert found.by_hour
    assert found.chosen is not None
    assert found.chosen.option.device.name == "L4"
    late = size(workload, options(MARKET), Wish(deadline=60))
    assert late.chosen is None
    assert {item.lost for item in late.others if item.lost is not Constraint.MEMORY} == {Constraint.UNKNOWN}


def test_what_spot_devices_lose_counts_where_no_time_is_known() -> None:
    rows = [row("H100", 2.0), row("H100", 1.8, tier="spot")]
    found = size(Scripted(timed=False, checkpoint_seconds=200.0), options(rows, counts=(1,)))
    assert found.chosen is not None
    assert found.chosen.option.tier == "on_demand"
    (other,) = found.others
    assert 0.5 < other.useful < 0.9
    worth = 1.8 / other.useful
    assert (
        other.why
        == f"${worth:.2f} an hour instead of $2.00 (+{worth / 2 - 1:.0%}); {other.useful:.0%} of the paid time is useful"
    )
    cheap = size(Scripted(timed=False), options([row("H100", 1.0, tier="spot")], counts=(1,)), today=other.option)
    assert cheap.chosen is not None
    assert cheap.saves == pytest.approx(1.8 / cheap.today.useful - 1.0 / cheap.chosen.useful)


def test_a_service_never_runs_on_devices_that_are_taken_away() -> None:
    found = size(Scripted(lasting=True), options(MARKET))
    assert of(found, "L4", tier="spot").lost is Constraint.INTERRUPTIONS
    assert found.by_hour


def test_only_devices_and_tiers_that_are_asked_for_are_options() -> None:
    every = list(options(MARKET, gpus=("H100",), tiers=("reserved_1y",), counts=(1, 2)))
    assert [(item.name, item.tier, item.paid) for item in every] == [
        ("H100", "reserved_1y", 1),
        ("2 x H100", "reserved_1y", 2),
    ]
    assert not [item for item in options(MARKET) if item.tier == "reserved_1y"]
    assert not list(options((row("Abacus", 1.0),)))


def test_a_cpu_is_never_said_to_be_too_large() -> None:
    cpu = Device("cpu", 8, 64 * GIB, host=True)
    assert size(Scripted(memory=GIB, device=cpu, tier=None), options(MARKET)).today.oversized == ""
