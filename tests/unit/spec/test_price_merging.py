"""New rows into a price list: what is there stays, with its comments, and nothing is written that would read differently."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from mlctl.estimate.prices import PriceRow
from mlctl.spec import price_files
from mlctl.spec.price_merging import merged
from mlctl.spec.source import Source
from mlctl.types.diagnostic import MlctlError

ROW = PriceRow("H100", "us", "spot", 2.0, date(2026, 11, 1), "a list")
TEXT = """# what we pay
rows:
  # of the contract
  - {gpu: H100, provider: us, tier: spot, usd: 9, low: 8, as_of: 2026-01-01, source: "old: one"}  # by hand
  - gpu: A100   # ours
    provider: wir  # ünsere
    tier: owned
    # with power
    usd: 1.50
    low: 1.2
    as_of: 2026-01-01
    source: 'the cellar'
# the end
"""


def rows(text: str) -> tuple[PriceRow, ...]:
    found, problems = price_files.parsed(Source.of_text("x", text))
    assert not problems
    return found


def test_a_new_list_is_begun() -> None:
    found = merged("x", "", [ROW])
    assert rows(found.text) == (ROW,)
    assert (found.added, found.changed, found.same, found.kept) == ((ROW,), (), 0, 0)
    assert found.text.startswith("#")


def test_a_row_of_the_same_place_is_replaced_and_all_else_stays_to_the_letter() -> None:
    other = replace(ROW, gpu="L4")
    found = merged("x", TEXT, [ROW, other])
    assert found.text == TEXT.replace(
        '{gpu: H100, provider: us, tier: spot, usd: 9, low: 8, as_of: 2026-01-01, source: "old: one"}',
        "{gpu: H100, provider: us, tier: spot, usd: 2.0, as_of: 2026-11-01, source: a list}",
    ).replace(
        "# the end",
        "  - {gpu: L4, provider: us, tier: spot, usd: 2.0, as_of: 2026-11-01, source: a list}\n# the end",
    )
    assert [(was.usd, now.usd) for was, now in found.changed] == [(9.0, 2.0)]
    assert (found.added, found.same, found.kept) == ((other,), 0, 1)


def test_of_a_row_in_lines_only_what_differs_is_written() -> None:
    found = merged("x", TEXT, [PriceRow("A100", "wir", "owned", 1.7, date(2026, 1, 1), "the cellar")])
    assert found.text == TEXT.replace("usd: 1.50\n    low: 1.2\n", "usd: 1.7\n").replace("'the cellar'", "the cellar")


def test_the_same_rows_a_second_time_change_nothing() -> None:
    first = merged("x", TEXT, [ROW])
    again = merged("x", first.text, [ROW])
    assert again.text == first.text
    assert (again.added, again.changed, again.same, again.kept) == ((), (), 1, 1)


@pytest.mark.parametrize(
    "text", ["rows: []\n", "rows:\n", "rows:", "rows:\n# none\n", "rows:\n- {gpu: L4, provider: us, tier: spot, usd: 1, as_of: 2026-01-01, source: a}",
             "rows: [{gpu: L4, provider: us, tier: spot, usd: 1, as_of: 2026-01-01, source: a}]"],
)  # fmt: skip
def test_rows_are_added_whatever_the_list_looks_like(text: str) -> None:
    assert rows(merged("x", text, [ROW]).text) == (*rows(text), ROW)


@pytest.mark.parametrize(
    "name", ["yes", "1", "2026-01-01", "a: b", "a, b", "{x}", "# no", "Ünal's", 'a "b"', "null", "- x"]
)
def test_whatever_a_source_is_called_it_is_read_again_as_that(name: str) -> None:
    row = replace(ROW, source=name, provider=name, region=name)
    assert rows(merged("x", TEXT, [row]).text)[-1] == row


def test_a_list_that_is_wrong_or_says_one_thing_twice_is_left_alone() -> None:
    for text, code in (
        ("rows: [7]\n", "spec.wrong-type"),
        (
            "rows: [&a {gpu: L4, provider: us, tier: spot, usd: 1, as_of: 2026-01-01, source: a}, *a]\n",
            "prices.not-safe",
        ),
    ):
        with pytest.raises(MlctlError) as error:
            merged("x", text, [ROW])
        assert [item.code for item in error.value.diagnostics] == [code]
