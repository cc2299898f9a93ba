"""What must hold of price lists whatever is in them: which rows count, what they are known by, and that none is lost on the way."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from mlctl.estimate.catalogues import from_skypilot
from mlctl.estimate.prices import TIERS, PriceRow, Prices, price_of, rows_digest
from mlctl.spec import price_files
from mlctl.spec.price_merging import merged
from mlctl.spec.source import Source

DAY = date(2026, 11, 1)
GPUS = ("L4", "A100", "H100")
WORDS = st.sampled_from(["08", "0o7", "1e3", "-", "yes", "~", "0x1F", "12:30:45"]) | st.text(
    st.characters(codec="utf-8", categories=("L", "N", "P", "Zs")), min_size=1, max_size=12
).filter(str.strip)


@st.composite
def rows(draw: st.DrawFn) -> PriceRow:
    usd = round(draw(st.floats(0.01, 100)), 4)
    return PriceRow(
        draw(st.sampled_from(GPUS)),
        draw(st.sampled_from(["a", "b"]) | WORDS),
        draw(st.sampled_from(TIERS)),
        usd,
        DAY - timedelta(days=draw(st.integers(0, 400))),
        draw(WORDS),
        low=draw(st.none() | st.just(round(usd / 2, 4))),
        high=draw(st.none() | st.just(usd * 2)),
        region=draw(st.sampled_from(["", "eu"])),
        min_gpus=draw(st.sampled_from([1, 8])),
        confidence=draw(st.sampled_from(["listed", "market", "index", "remembered"])),
    )


LISTS = st.lists(rows(), max_size=12)


@given(LISTS, LISTS, LISTS)
def test_a_price_comes_from_the_last_list_that_has_the_device_and_tier(
    one: list[PriceRow], two: list[PriceRow], given_: list[PriceRow]
) -> None:
    prices = Prices([lambda: one, lambda: two], given_)
    for gpu in GPUS:
        for tier in TIERS:
            layers = [
                [row for row in layer if (row.gpu, row.tier) == (gpu, tier)]
                for layer in (Prices().rows, one, two, given_)
            ]
            counting = next((layer for layer in reversed(layers) if layer), [])
            assert sorted(row.usd for row in prices.rows if (row.gpu, row.tier) == (gpu, tier)) == sorted(
                row.usd for row in counting
            )


@given(st.lists(rows(), min_size=1, max_size=12))
def test_a_price_lies_between_the_least_and_the_greatest_of_its_rows(found: list[PriceRow]) -> None:
    price = price_of(found)
    assert price is not None
    assert price.usd.low <= price.usd.mid <= price.usd.high
    assert min(row.usd for row in found) <= price.usd.mid <= max(row.usd for row in found)
    assert price.as_of == min(row.as_of for row in price.rows)


@given(LISTS, st.randoms())
def test_a_digest_does_not_depend_on_the_order_of_rows_and_does_on_each_of_them(found: list[PriceRow], random) -> None:  # type: ignore[no-untyped-def]
    shuffled = list(found)
    random.shuffle(shuffled)
    assert rows_digest(shuffled) == rows_digest(found)
    for place, row in enumerate(found):
        changed = [*found[:place], replace(row, usd=row.usd + 0.01, high=row.usd * 3), *found[place + 1 :]]
        assert rows_digest(changed) != rows_digest(found)


@settings(deadline=None, max_examples=60)
@given(LISTS, LISTS)
def test_what_is_merged_into_a_list_is_read_again_and_nothing_else_is_touched(
    old: list[PriceRow], new: list[PriceRow]
) -> None:
    def place(row: PriceRow) -> tuple[object, ...]:
        return row.gpu, row.provider, row.tier, row.region, row.min_gpus

    before = {place(row): row for row in old}
    text = merged("x", "", list(before.values())).text
    found = merged("x", text, new)
    after, problems = price_files.parsed(Source.of_text("x", found.text))
    assert problems == []
    assert {place(row): row for row in after} == before | {place(row): row for row in new}
    assert [place(row) for row in after[: len(before)]] == list(before)
    assert merged("x", found.text, new).text == found.text
    assert len(found.added) + len(found.changed) + found.same == len({place(row) for row in new})


@given(
    st.lists(
        st.tuples(st.sampled_from(GPUS), st.sampled_from([1, 2, 8]), st.integers(1, 5000), st.integers(0, 900), st.sampled_from(["eu", "us"])),
        min_size=1, max_size=15,
    )
)  # fmt: skip
def test_no_row_of_a_catalogue_is_cheaper_or_dearer_than_its_lines(lines: list[tuple[str, int, int, int, str]]) -> None:
    header = "InstanceType,AcceleratorName,AcceleratorCount,Price,Region,SpotPrice"
    body = [
        f"m{n},{gpu},{count},{cents / 100},{region},{spot / 100 or ''}"
        for n, (gpu, count, cents, spot, region) in enumerate(lines)
    ]
    found = from_skypilot("\n".join([header, *body]), provider="p", as_of=DAY, source="s")
    for row in found.rows:
        each = [
            round((cents if row.tier == "on_demand" else spot) / 100 / count, 5)
            for gpu, count, cents, spot, region in lines
            if gpu == row.gpu
            and count == row.min_gpus
            and row.region in ("", region)
            and (row.tier == "on_demand" or spot)
        ]
        assert row.usd == min(each)
    assert {(row.gpu, row.tier) for row in found.rows} == {(gpu, "on_demand") for gpu, *_ in lines} | {
        (gpu, "spot") for gpu, _, _, spot, _ in lines if spot
    }
