"""Price lists in files: where they are looked for, and what is wrong with one, with its place."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from mlctl.estimate.prices import PriceRow
from mlctl.registry import Registry
from mlctl.spec import price_files
from mlctl.spec.economics import Budget, PricesSettings
from mlctl.spec.jsonschema import project_schema
from mlctl.spec.project import Project, load_project
from mlctl.spec.source import Source
from mlctl.types.diagnostic import MlctlError
from mlctl.workspace import Workspace

GOOD = "{gpu: H100, provider: us, tier: spot, usd: 2, as_of: 2026-11-01, source: a bill}"
ROW = PriceRow("H100", "us", "spot", 2.0, date(2026, 11, 1), "a bill")


@pytest.fixture(autouse=True)
def _nobodys_prices(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in (price_files.VARIABLE, price_files.DAY_VARIABLE, price_files.STALE_VARIABLE):
        monkeypatch.delenv(name, raising=False)


def problems(text: str) -> list[str]:
    _, found = price_files.parsed(Source.of_text("prices.yaml", text))
    return [f"{item.where} {item.summary} {item.fix}" for item in found]


def load(root: Path, text: str) -> Project:
    (root / "mlctl.yaml").write_text(f"project: p\n{text}\n")
    return load_project(root, Registry.of(settings={"prices": PricesSettings, "budget": Budget}))


def test_rows_are_read_as_they_are_written() -> None:
    rows, found = price_files.parsed(Source.of_text("x", f"rows:\n- {GOOD}\n"))
    assert (rows, found) == ((ROW,), [])


def test_devices_get_the_names_that_they_have_here() -> None:
    rows, _ = price_files.parsed(Source.of_text("x", f"rows: [{GOOD.replace('H100', 'a100-sxm4-80gb')}]"))
    assert [row.gpu for row in rows] == ["A100-80GB"]


def test_a_list_whose_rows_are_all_commented_out_is_empty() -> None:
    assert price_files.parsed(Source.of_text("x", f"rows:\n# - {GOOD}\n")) == ((), [])


def test_all_that_is_wrong_is_told_at_once_with_its_place() -> None:
    found = problems(
        f"rows:\n- {GOOD}\n"
        "- {gpu: H10, provider: us, tier: on_demnd, usd: -3, as_of: 2026-13-01, source: a}\n"
        "- {gpu: L4, provider: us, tier: spot, usd: 3, low: 4, as_of: 2026-01-01, source: a, regon: eu}\n"
        "- 7\nrow: []\n"
    )
    assert [item.split(" ", 1)[0] for item in found] == [
        "prices.yaml:3:9", "prices.yaml:3:34", "prices.yaml:3:49", "prices.yaml:3:60", "prices.yaml:4:85", "prices.yaml:5:3", "prices.yaml:6:1",
    ]  # fmt: skip
    for words, item in zip(
        ("did you mean `H100`?", "did you mean `on_demand`?", "above 0", "a date such as", "did you mean `region`?", "takes a block", "did you mean `rows`?"),
        found, strict=True,
    ):  # fmt: skip
        assert words in item


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (GOOD.replace("usd: 2", "usd: 2, low: 3"), "`low` is at most `usd`"),
        (GOOD.replace("usd: 2", "usd: 2, high: 1"), "`low` is at most `usd`"),
        (GOOD.replace("usd: 2", "usd: '2'"), "takes a number"),
        (GOOD.replace("usd: 2", "usd: true"), "takes a number"),
        (GOOD.replace("2026-11-01", "2126-11-01"), "still to come"),
        (GOOD.replace("2026-11-01", "2026"), "a date such as"),
        (GOOD.replace("source: a bill", "source: ''"), "source"),
        (GOOD.replace("as_of: 2026-11-01, ", ""), "as_of"),
        (GOOD.replace("a bill", "a bill, min_gpus: 0"), "min_gpus"),
        (GOOD.replace("a bill", "a bill, confidence: high"), "confidence"),
    ],
)
def test_a_row_that_is_none_is_refused(row: str, words: str) -> None:
    (found,) = problems(f"rows:\n- {row}\n")
    assert words in found


@pytest.mark.parametrize("text", ["", "7", "[]", "rows: 3", "prices: []"])
def test_what_is_no_list_is_told_how_one_is_written(text: str) -> None:
    (found,) = problems(text)
    assert "is no price list" in found
    assert "gpu: H100" in found


def test_a_text_is_short_for_the_file_of_a_project(tmp_path: Path) -> None:
    assert load(tmp_path, "prices: a.yaml").settings["prices"] == {"file": "a.yaml"}
    assert load(tmp_path, "prices: {file: a.yaml}").settings["prices"] == {"file": "a.yaml"}
    overlay = "prices: a.yaml\nenvironments: {prod: {default: true, prices: b.yaml}}"
    assert load(tmp_path, overlay).settings["prices"] == {"file": "b.yaml"}


@pytest.mark.parametrize(
    "text", ["prices: 3", "prices: []", "prices: {}", "prices: ''", "prices: {files: a}",
             "budget: {}", "budget: {max_usd: 0}", "budget: {max_hours: -1}", "budget: 30"],
)  # fmt: skip
def test_blocks_that_say_nothing_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(MlctlError):
        load(tmp_path, text)


def test_editors_are_told_that_a_text_may_stand_there_in_an_environment_too() -> None:
    schema = project_schema(Registry.of(settings={"prices": PricesSettings, "budget": Budget}))
    overlay = schema["properties"]["environments"]["additionalProperties"]["properties"]
    assert overlay["prices"]["type"] == ["object", "null", "string"]
    assert overlay["budget"]["type"] == ["object", "null"]
    texts = schema["$defs"]["PricesSettings"]["anyOf"]
    assert [item["type"] for item in texts] == ["string", "object"]


def test_the_projects_list_wins_over_the_users(tmp_path: Path) -> None:
    own = tmp_path / "config" / "mlctl" / "prices.yaml"
    own.parent.mkdir(parents=True)
    own.write_text(f"rows: [{GOOD.replace('usd: 2', 'usd: 7')}, {GOOD.replace('H100', 'L4')}]")
    (tmp_path / "mine.yaml").write_text(f"rows: [{GOOD}]")
    (tmp_path / "mlctl.yaml").write_text("project: p\nprices: mine.yaml\n")
    prices = Workspace(tmp_path).prices
    h100, l4 = prices.price("H100", "spot"), prices.price("L4", "spot")
    assert h100 is not None
    assert l4 is not None
    assert (h100.usd.mid, l4.usd.mid) == (2.0, 2.0)


def test_another_list_of_the_user_can_be_named_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(f"rows: [{GOOD}]")
    monkeypatch.setenv(price_files.VARIABLE, str(other))
    assert price_files.lists(tmp_path, {})[0]() == (ROW,)
    monkeypatch.setenv(price_files.VARIABLE, "none")
    assert price_files.lists(tmp_path, {})[0]() == ()
    monkeypatch.setenv(price_files.VARIABLE, str(tmp_path / "gone.yaml"))
    with pytest.raises(MlctlError, match="there is no price list"):
        price_files.lists(tmp_path, {})[0]()


def test_a_list_that_is_missing_or_outside_is_told_where_it_is_named(tmp_path: Path) -> None:
    for name, code in (("gone.yaml", "prices.missing"), ("../x.yaml", "spec.path-outside")):
        (tmp_path / "mlctl.yaml").write_text(f"project: p\nprices: {name}\n")
        with pytest.raises(MlctlError) as error:
            _ = Workspace(tmp_path).project
        (found,) = error.value.diagnostics
        assert found.code == code
        assert found.where is not None
        assert found.where.line == 2


def test_validation_of_a_project_reads_its_list_and_not_the_users(tmp_path: Path) -> None:
    own = tmp_path / "config" / "mlctl" / "prices.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("broken")
    (tmp_path / "mlctl.yaml").write_text("project: p\n")
    assert Workspace(tmp_path).project.name == "p"
    with pytest.raises(MlctlError, match="is no price list"):
        Workspace(tmp_path).prices.price("H100", "spot")


def test_the_environment_says_which_day_it_is_and_whether_old_prices_may_be_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert price_files.day() == date.today()
    assert not price_files.stale_allowed()
    monkeypatch.setenv(price_files.DAY_VARIABLE, "2026-02-03")
    monkeypatch.setenv(price_files.STALE_VARIABLE, "1")
    assert price_files.day() == date(2026, 2, 3)
    assert price_files.stale_allowed()
    monkeypatch.setenv(price_files.DAY_VARIABLE, "tomorrow")
    monkeypatch.setenv(price_files.STALE_VARIABLE, "yes")
    for read in (price_files.day, price_files.stale_allowed):
        with pytest.raises(MlctlError):
            read()
