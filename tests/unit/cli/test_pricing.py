"""Prices on the command line: what they mean, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from mlctl.cli import reviewing
from mlctl.cli.pricing import given, keeping, of_saved
from mlctl.engine.saved.file import SavedPlan
from mlctl.estimate.prices import GIVEN, Pricing
from mlctl.spec.price_files import DAY_VARIABLE
from mlctl.types.change import Plan
from mlctl.types.diagnostic import MlctlError
from mlctl.workspace import Workspace

_GIVEN = {"digest": "", "given": {"H100:on_demand": 2.5, "L4:spot": 0.1}, "allow_stale": True}
SAVED = SavedPlan(
    "apply",
    Plan((), "", 0, ""),
    *("p", "mlctl.yaml", {}, {}, {}, {}, {}, "0", "2026-01-31T10:00:00Z", ""),
    prices=_GIVEN,
)


def test_a_price_is_of_a_device_and_a_tier(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DAY_VARIABLE, "2026-11-02")
    rows = given(["H100=2.1", "h100:spot=1.4", "A100-SXM4-80GB:reserved_3y=1", "cpu=0.2"])
    assert [(row.gpu, row.tier, row.usd) for row in rows] == [
        ("H100", "on_demand", 2.1), ("H100", "spot", 1.4), ("A100-80GB", "reserved_3y", 1.0), ("cpu", "owned", 0.2)
    ]  # fmt: skip
    assert {(row.source, row.as_of) for row in rows} == {(GIVEN, date(2026, 11, 2))}


@pytest.mark.parametrize(
    ("texts", "summary", "fix"),
    [
        (["H100"], "`--price H100` is not GPU=USD", "--price H100=2.1"),
        (["=2"], "`--price =2` is not GPU=USD", ""),
        (["H10=2"], "`H10` is no device", "did you mean `H100`?"),
        (["H100:spt=2"], "`spt` is no tier", "did you mean `spot`?"),
        (["H100:8=2"], "`8` is no tier", "`spot`"),
        (["H100=cheap"], "`cheap` is no price", "--price H100=2.1"),
        (["H100=0"], "`0` is no price", ""),
        (["H100=-1"], "`-1` is no price", ""),
        (["H100=nan"], "`nan` is no price", ""),
        (["H100=inf"], "`inf` is no price", ""),
        (["H100=1", "H100-80GB:on_demand=2"], "H100 (on_demand) has a price already", "leave one out"),
    ],
)
def test_what_is_no_price_is_refused_with_what_to_write(texts: list[str], summary: str, fix: str) -> None:
    with pytest.raises(MlctlError) as error:
        given(texts)
    (found,) = error.value.diagnostics
    assert found.code == "cli.usage"
    assert summary in found.summary
    assert fix in found.fix


def test_a_saved_plan_is_applied_with_the_prices_it_was_given_and_those_given_now_win() -> None:
    found = of_saved(SAVED, Pricing(given(["H100=3"])))
    assert [(row.gpu, row.tier, row.usd) for row in found.rows] == [("H100", "on_demand", 3.0), ("L4", "spot", 0.1)]
    assert found.rows[1].as_of == date(2026, 1, 31)  # it grows old since then, and not since today
    assert found.allow_stale
    assert of_saved(replace(SAVED, prices={}), Pricing()) == Pricing()


def test_who_goes_back_is_not_kept_from_it_by_prices_that_have_grown_old(tmp_path: Path) -> None:
    past, saved = Workspace(tmp_path), replace(SAVED, texts={"mlctl.yaml": "project: p\n"}, prices={})
    assert reviewing.of_texts(past, saved).prices.refused(date(2020, 1, 1))
    assert not reviewing.of_past(past, saved).prices.refused(date(2020, 1, 1))


def test_who_carries_a_saved_plan_on_is_told_the_prices_that_were_given_to_its_apply() -> None:
    kept = keeping(SAVED, of_saved(SAVED, Pricing(given(["H100=3"]), allow_stale=True)))
    assert kept.prices["given"] == {"H100:on_demand": 3.0, "L4:spot": 0.1}
    assert [(row.gpu, row.usd) for row in of_saved(kept, Pricing()).rows] == [("H100", 3.0), ("L4", 0.1)]
    assert kept.prices["allow_stale"]
    assert replace(kept, prices={}) == replace(SAVED, prices={})
    assert keeping(SAVED, of_saved(SAVED, Pricing())).prices["given"] == SAVED.prices["given"]
