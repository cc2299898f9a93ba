import pytest

from mlctl.types.estimate import Estimate, Limit, Range, total
from mlctl.types.spoken import spoken_bytes, spoken_dollars, spoken_seconds


@pytest.mark.parametrize(
    ("low", "mid", "high"), [(2, 1, 3), (1, 3, 2), (-1, 0, 1), (0, 1, float("inf")), (0, float("nan"), 1)]
)
def test_a_range_is_in_order_and_of_this_world(low: float, mid: float, high: float) -> None:
    with pytest.raises(ValueError, match="does not hold"):
        Range(low, mid, high)


def test_a_sum_keeps_the_basis_that_both_have() -> None:
    runs = "calibrated from 2 runs"
    assert (Range(1, 2, 3, runs) + Range(1, 1, 1, runs)) == Range(2, 3, 4, runs)
    assert (Range(1, 2, 3, runs) + Range(1, 1, 1)).basis == "formula"


def test_a_total_is_told_only_where_every_part_is_known() -> None:
    known, unknown = Estimate("cpu", 1, seconds=Range(1, 2, 3)), Estimate("cpu", 1)
    both = total([known, known])
    assert both is not None
    assert both.seconds == Range(2, 4, 6)
    partly = total([known, unknown])
    assert partly is not None
    assert partly.seconds is None
    assert total([]) is None


def test_an_estimate_comes_back_as_it_was_written() -> None:
    estimate = Estimate(
        "H100", 8, 80.0, Range(1, 2, 3), {"weights": 1.0}, Range(4, 5, 6, "x"), None, Range(7, 8, 9), True, ("n",), ("w",),
        tier="spot", limit=Limit(3600.0, "max_hours", carried=True),
    )  # fmt: skip
    assert Estimate.from_json(estimate.to_json()) == estimate


def test_what_was_written_before_there_was_money_is_still_read() -> None:
    stored = {
        "device": "cpu",
        "devices": 1,
        "capacity": None,
        "memory": None,
        "parts": {},
        "seconds": None,
        "usd": None,
    }
    assert Estimate.from_json({**stored, "notes": [], "warnings": []}) == Estimate("cpu", 1)


def test_what_lasts_is_left_out_of_what_is_made() -> None:
    build = Estimate("H100", 8, seconds=Range(1, 2, 3), usd=Range(4, 5, 6), hourly=Range(7, 8, 9))
    service = Estimate("L4", 1, hourly=Range(1, 1, 2), lasting=True)
    both = total([build, service])
    assert both is not None
    assert (both.seconds, both.usd, both.hourly) == (build.seconds, build.usd, service.hourly)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.04, "0.0 s"),
        (2.46, "2.5 s"),
        (9.96, "10 s"),
        (89, "89 s"),
        (91, "1.5 min"),
        (3600, "60 min"),
        (7_000, "1.9 h"),
        (200_000, "2.3 days"),
    ],
)
def test_times_are_said_in_two_digits(seconds: float, words: str) -> None:
    assert spoken_seconds(seconds) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "$0.00"),
        (0.004, "$0.004"),
        (0.0000903, "$0.00009"),
        (0.00998, "$0.01"),
        (3.64, "$3.64"),
        (99.996, "$100"),
        (412.4, "$412"),
        (21_024, "$21,000"),
        (1e6, "$1,000,000"),
    ],
)
def test_sums_are_said_in_three_digits(value: float, words: str) -> None:
    assert spoken_dollars(value) == words


@pytest.mark.parametrize(
    ("amount", "words"),
    [(100, "0 KiB"), (2**20, "1.0 MiB"), (640 * 2**20, "640 MiB"), (15 * 2**30, "15.0 GiB"), (3 * 2**40, "3.0 TiB")],
)
def test_sizes_are_said_in_the_unit_that_fits(amount: float, words: str) -> None:
    assert spoken_bytes(amount) == words
