"""`mlctl cost estimate`, `compare`, `what-if` and `break-even` over a project, with and without anything made."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest

from mlctl.cli.costing.workloads import assumed_rows, found_in, workloads
from mlctl.cli.dispatch import dispatch
from mlctl.engine.desired import desire
from mlctl.engine.ledger import Ledger
from mlctl.estimate.devices import DEVICE_VARIABLE
from mlctl.estimate.ownership import Owned
from mlctl.spec.price_files import DAY_VARIABLE, VARIABLE
from mlctl.types.address import Address
from mlctl.types.diagnostic import MlctlError
from mlctl.types.state import Record, State
from mlctl.views.json.cost_events import COST_EVENTS
from mlctl.views.json.schema import events_schema
from mlctl.workspace import Workspace

SCENARIO = Path(__file__).parents[3] / "scenarios" / "cost"
GUIDE = Path(__file__).parents[4] / "docs" / "guides" / "cost.md"
ROWS = ["--rows", "chats=50000", "--rows", "visits=200000"]
H100 = ["training.assistant", "--rows", "chats=50000", "--gpu", "H100"]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in {DEVICE_VARIABLE: "cpu:2:16GiB", DAY_VARIABLE: "2026-11-20", VARIABLE: "none"}.items():
        monkeypatch.setenv(name, value)
    shutil.copytree(SCENARIO, tmp_path / "project", ignore=shutil.ignore_patterns("script", "output.txt"))
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def cost(*arguments: str) -> int:
    return dispatch("cost", list(arguments))


def printed(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The lines of JSON, each as its event says."""
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    definitions = events_schema()["$defs"]
    for line in found:
        event = COST_EVENTS[line["type"]]
        names = {"type", *event.required}
        assert set(line) == names
        schema = {"$defs": definitions, "type": "object", "properties": dict(event.required), "required": sorted(names)}
        jsonschema.Draft202012Validator(schema).validate(line)
    return found


def test_nothing_has_to_be_made_and_nothing_is_written(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(path.relative_to(root) for path in root.rglob("*"))
    assert cost("estimate", "--json", *ROWS) == 0
    lines = printed(capsys)
    assert [line["address"] for line in lines[:-1]] == ["training.assistant", "training.buys"]
    assert all(line["estimate"]["seconds"] and line["estimate"]["usd"] for line in lines[:-1])
    total = lines[-1]["all"]["usd"]["mid"]
    assert total == pytest.approx(sum(line["estimate"]["usd"]["mid"] for line in lines[:-1]), rel=1e-4)
    assert cost("compare", *H100) == 0
    assert cost("what-if", "--set", "training.buys.epochs=9") == 0
    assert before == sorted(path.relative_to(root) for path in root.rglob("*"))


def test_what_is_estimated_is_what_the_plan_says(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cost("estimate", "--json") == 0
    found = {line["address"]: line["estimate"] for line in printed(capsys)[:-1]}
    assert dispatch("plan", ["--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    planned = {line["address"]: line["estimate"] for line in lines if line.get("estimate") and "address" in line}
    assert {name: planned[name] for name in found} == found


def test_a_price_of_the_command_line_scales_the_cost(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    usd = []
    for price in ("H100=2", "H100=4"):
        assert cost("estimate", "training.assistant", "--json", "--rows", "chats=50000", "--price", price) == 0
        usd.append(printed(capsys)[0]["estimate"]["usd"]["mid"])
    assert usd[1] == pytest.approx(2 * usd[0], rel=1e-4)


def test_where_nothing_will_do_both_ways_to_ask_say_so_by_their_exit_code(root: Path) -> None:
    for words, code in ((("--gpu", "H100", "--gpus", "4"), 0), (("--gpu", "L4", "--gpus", "1"), 1)):
        asked = ("training.assistant", "--rows", "chats=50000", "--tier", "on_demand", *words)
        assert (cost("compare", *asked), cost("size", *asked)) == (code, code)


def test_options_are_compared_with_what_each_fails_by(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cost("compare", *H100, "--gpu", "L4", "--gpus", "1,4", "--deadline", "12h", "--json") == 0
    lines = printed(capsys)
    lost = {(line["device"], line["devices"], line["tier"]): line["lost"] for line in lines}
    assert lost["H100", 4, "on_demand"] is None
    assert lost["H100", 4, "spot"] == "deadline"
    assert lost["H100", 1, "on_demand"] == lost["L4", 4, "spot"] == "memory"
    assert [line["now"] for line in lines if line["lost"] is None] == [True]
    assert all(line["why"] for line in lines if line["lost"] is not None)


def test_a_page_shows_every_option_and_loads_nothing(root: Path) -> None:
    assert cost("compare", *ROWS, "--gpu", "H100", "--gpu", "A100-80GB", "--html", "page.html") == 0
    page = Path("page.html").read_text()
    assert page.count("<circle") == page.count("<tr>") - 2  # a point for each line of both tables
    assert not re.search(r"(src|href)=|<script|url\(", page)
    for picture in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        ElementTree.fromstring(picture)


def test_the_page_of_a_purchase_has_its_plots(root: Path) -> None:
    assert cost("break-even", "--rent", "3.5", "--html", "page.html") == 0
    pictures = re.findall(r"<svg.*?</svg>", Path("page.html").read_text(), re.DOTALL)
    assert len(pictures) == 2
    for picture in pictures:
        assert len(ElementTree.fromstring(picture).findall("polyline")) == 2


START = 6.0  # seconds that a training of `torch` is likely to take to its first step


def test_a_value_is_laid_over_the_project_and_stands_beside_it(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = Path("mlctl.yaml").read_text()
    assert cost("what-if", "--set", "training.buys.epochs=10", "--json", *ROWS) == 0
    lines = {line.get("address"): line for line in printed(capsys)}
    buys, other = lines["training.buys"], lines["training.assistant"]
    was, then = (buys[side]["estimate"]["seconds"]["mid"] for side in ("today", "then"))
    assert then - START == pytest.approx(2 * (was - START), rel=0.01)
    assert other["today"] == other["then"]
    assert Path("mlctl.yaml").read_text() == text


def test_a_resource_that_is_taken_away_stands_on_one_side(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cost("what-if", "--set", "training.buys=null", "--json") == 0
    gone = next(line for line in printed(capsys) if line.get("address") == "training.buys")
    assert gone["today"] is not None
    assert gone["then"] is None


def test_what_would_not_fit_is_told_and_fails(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cost("what-if", "--set", "training.assistant.executor.gpu=L4") == 1
    assert "each L4 has" in capsys.readouterr().out


def test_old_prices_are_left_out_of_comparisons_and_refused_where_an_estimate_rests_on_them(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(DAY_VARIABLE, "2027-02-20")
    assert cost("compare", *H100, "--gpu", "A100-80GB", "--json", "--price", "H100=3") == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["device"] for line in found if line["type"] == "cost_option" and line["tier"] == "on_demand"} == {
        "H100"
    }
    assert found[0]["code"] == "prices.stale"
    monkeypatch.setenv(DAY_VARIABLE, "2027-06-20")
    assert cost("estimate", "training.assistant") == 1
    assert "days old" in capsys.readouterr().err
    assert cost("estimate", "training.assistant", "--allow-stale") == 0


@pytest.mark.parametrize("command", ["size", "advise"])
def test_old_prices_of_other_devices_than_those_asked_for_are_no_matter(
    command: str, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(DAY_VARIABLE, "2027-06-20")
    given = ["training.assistant", "--rows", "chats=50000", "--price", "H100=3"]
    for options, told in ((["--gpu", "h100"], "H100 (spot)"), (["--gpu", "h100", "--tier", "on_demand"], "")):
        cost(command, *given, *options)
        shown = capsys.readouterr().err
        assert told in shown
        assert ("prices.stale" in shown) is bool(told)
        assert "B200" not in shown


@pytest.mark.parametrize("command", ["size", "advise"])
def test_a_given_price_that_nothing_comes_to_is_told(
    command: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cost(command, "training.buys", "--rows", "visits=200000", "--price", "cpu=0.3", "--price", "H100:reserved_1y=2")
    shown = capsys.readouterr().err
    assert "the price of H100 (reserved_1y) that was given has no effect" in shown
    assert "cpu (owned)" not in shown  # what the machine costs that it is on


def test_what_is_made_needs_no_assumptions_and_is_told_apart(root: Path) -> None:
    workspace = Workspace(root)
    project, ledger = workspace.project, Ledger(State("lineage"))
    ctx = workspace.context(ledger)
    address = Address("datasets", "visits")
    dataset = desire(project.resources[address].kind, address, project.resources[address].spec, {}, ctx)
    outputs = {
        "rows": 200_000,
        "digest": "d",
        "columns": dict.fromkeys(("minutes", "pages", "bought"), "double"),
        "files": [],
        "key": ["visit_id"],
    }
    ledger.put(Record(dataset.key, "id", spec=dict(dataset.values), outputs=outputs))
    assistant, buys = found_in(project, ledger, ctx)
    assert buys.estimate is not None
    assert buys.estimate.seconds is not None  # by the rows that there are
    assert not buys.made
    assert buys.record is None
    assert assistant.estimate is not None
    assert assistant.estimate.seconds is None
    ledger.put(Record(buys.desired.key, "run", spec=dict(buys.desired.values), outputs={}))
    again = found_in(project, ledger, ctx, [Address("training", "buys")])[0]
    assert again.made
    assert again.record is not None
    assert again.estimate == buys.estimate


def test_rows_that_were_given_count_and_those_without_effect_are_refused(root: Path) -> None:
    workspace = Workspace(root)
    few, many = (
        workloads(workspace, (), assumed_rows(workspace, [f"visits={count}"]))[1].estimate for count in (1e5, 2e5)
    )
    assert few is not None
    assert many is not None
    assert few.seconds is not None
    assert many.seconds is not None
    assert many.seconds.mid - START == pytest.approx(2 * (few.seconds.mid - START), rel=0.01)
    with pytest.raises(MlctlError, match="no effect"):
        workloads(workspace, [Address("training", "buys")], assumed_rows(workspace, ["chats=5"]))
    for wrong in ("visits", "visits=0", "visits=many", "=5", "visits=inf"):
        with pytest.raises(MlctlError):
            assumed_rows(workspace, [wrong])


def test_an_address_that_there_is_not_is_refused(root: Path) -> None:
    with pytest.raises(MlctlError, match=r"there is no `training\.bys`"):
        workloads(Workspace(root), [Address("training", "bys")])


def test_a_project_with_nothing_to_compare_says_why(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = Path("mlctl.yaml").read_text()
    Path("mlctl.yaml").write_text(text[: text.index("training:")])
    assert cost("estimate") == 0
    assert cost("compare") == 1
    assert "nothing in this project can be compared" in capsys.readouterr().err


def test_the_commands_of_the_guide_do_what_it_says(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chapter = GUIDE.read_text().partition("## What would it cost")[2].partition("\n## ")[0]
    blocks = re.findall(r"```bash\n(.*?)```", chapter, re.DOTALL)
    commands = [line for block in blocks for line in block.splitlines()]
    assert len(commands) == 9
    for command in commands:
        program, group, *arguments = shlex.split(command)
        assert (program, group) == ("mlctl", "cost")
        assert cost(*arguments) == 0, capsys.readouterr()
    assert Path("compare.html").exists()
    for row in re.findall(r"^\| (\d+) \| ([\d./ ]+) \|", chapter, re.MULTILINE):
        owned = Owned(int(row[0]), 37_500.0)
        assert row[1] == " / ".join(f"{owned.hourly(use):.2f}" for use in (1.0, 0.7, 0.4))


def test_a_budget_that_would_be_exceeded_is_told(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cost("what-if", *ROWS, "--set", "budget.max_usd_per_run=0.5") == 0
    assert "warning[budget.exceeded]: training.assistant is likely to cost" in capsys.readouterr().err
    with Path("mlctl.yaml").open("a") as file:
        file.write("budget: {max_usd_per_run: 0.5}\n")
    assert cost("estimate", *ROWS, "--json") == 0
    (told,) = (json.loads(line) for line in capsys.readouterr().out.splitlines() if "budget." in line)
    assert (told["type"], told["severity"], told["code"]) == ("diagnostic", "warning", "budget.exceeded")
    assert cost("estimate") == 0
    assert "budget" not in capsys.readouterr().err  # how long it takes is not known yet


def test_a_purchase_needs_no_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VARIABLE, "none")
    monkeypatch.chdir(tmp_path)
    assert cost("break-even", "--price", "H100=3.5", "--json") == 0
    (line,) = printed(capsys)
    assert line["rents"][0]["break_even"] == pytest.approx(2.1715 / 3.5, abs=1e-4)
    assert line["rents"][0]["payback_months_full"] == pytest.approx(24.88, abs=0.01)
    assert list(tmp_path.iterdir()) == []


def test_the_rent_that_is_decided_against_is_in_the_verdict_whatever_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VARIABLE, "none")
    monkeypatch.chdir(tmp_path)
    prices = ["--price", "H100:spot=1.0", "--price", "H100=3.5", "--price", "H100:reserved_1y=3.0"]
    assert cost("break-even", *prices, "--tier", "spot") == 0
    assert "over 4 years renting spot costs least: $196,000; buying $609,000" in capsys.readouterr().out
    assert cost("break-even", *prices) == 0
    verdict = next(line for line in capsys.readouterr().out.splitlines() if "costs least" in line)
    assert "buying costs least: $609,000" in verdict
    assert verdict.endswith("; spot $196,000 before what is lost")


def test_months_that_do_not_pay_back_what_costs_less_are_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VARIABLE, "none")
    monkeypatch.chdir(tmp_path)
    assert cost("break-even", "--rent", "2.2") == 0
    assert "only by what the devices are sold for in the end" in capsys.readouterr().out
    assert cost("break-even", "--rent", "2.1") == 0  # never costs less
    assert "only by what the devices are sold for in the end" not in capsys.readouterr().out


def test_the_power_of_a_server_that_is_not_known_is_asked_for_beside_what_the_device_takes(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for gpu, told in (("B200", "takes 1 kW at most"), ("cpu", "it is known of H100 alone")):
        assert cost("break-even", "--gpu", gpu, "--capex", "55000", "--rent", "5") == 1
        assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong",
    [
        ("--gpu", "H1000"),
        ("--tier", "owned"),
        ("--residual", "100%"),
        ("--network", "-5%"),
        ("--utilisation", "0"),
        ("--price", "L4=1"),
        ("--rent", "3", "--price", "H100=1"),
        ("--rent", "0"),
        ("--rent", "inf"),
        ("--capex", "inf"),
        ("--horizon", "inf"),
        ("--horizon", "1e7"),
        ("--gpu", "A100"),
    ],
)
def test_what_makes_no_sense_of_a_purchase_is_refused(
    wrong: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VARIABLE, "none")
    monkeypatch.chdir(tmp_path)
    assert cost("break-even", *wrong) == 1
    assert "error[" in capsys.readouterr().err
