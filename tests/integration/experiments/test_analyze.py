"""`mlctl experiment analyze`, `mlctl decisions` and `mlctl replay` on data whose effect is known."""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from mlctl.files import decisions
from mlctl.types.diagnostic import ExitCode
from mlctl.views.json.schema import events_schema
from tests.integration.experiments.shop import DAY, OUTCOMES, START, Shop

pytestmark = pytest.mark.tools


def ledger(shop: Shop) -> list[Any]:
    return list(decisions.kept(shop.root / ".mlctl/default"))


def printed(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The one line of JSON, which is as the schema of events says."""
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    jsonschema.validate(found, events_schema())
    return found


def test_an_effect_is_found_look_by_look_shipped_kept_and_replayed_to_the_bit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = Shop(tmp_path, effect=0.08).make()
    shop.apply()
    assert shop.analyze(10) == ExitCode.OK
    shown = capsys.readouterr().out
    assert "mail: continue" in shown
    assert "number 1, until 2026-01-15" in shown
    assert shop.analyze(10, "--require", "ship") == ExitCode.GATE_FAILED  # the same data: no look is spent
    assert "none now (1 so far); the next one at 67% of the planned units" in capsys.readouterr().out
    assert len(ledger(shop)) == 1

    assert shop.analyze(17, "--json") == ExitCode.OK
    found = printed(capsys)
    assert (found["verdict"], found["arm"], found["looks"]) == ("ship", "treatment", 2)
    assert found["metrics"][0]["low"] > 0
    assert shop.analyze(16) == ExitCode.ERROR
    assert "is before the last look" in capsys.readouterr().err

    first, second = ledger(shop)
    assert (first.verdict, second.verdict) == ("continue", "ship")
    assert second.inputs["looks"] == first.outputs["looks"]
    assert shop.mlctl("replay", second.id, "--json") == ExitCode.OK
    assert printed(capsys)["same"]
    assert shop.mlctl("decisions", "list", "--kind", "experiment", "--json") == ExitCode.OK
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["id"] for line in lines] == [second.id, first.id]
    assert shop.mlctl("decisions", "show", second.id) == ExitCode.OK
    assert "a success metric is better and every guardrail is kept" in capsys.readouterr().out


def test_a_kept_decision_that_was_changed_or_lost_its_data_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = Shop(tmp_path, users=1200, days=11).make()
    shop.apply()
    shop.analyze(12)
    (decision,) = ledger(shop)
    folder = tmp_path / ".mlctl/default/decisions" / decision.id
    moments = json.loads((folder / "moments.json").read_bytes())
    moments["metrics"]["bought"]["days"]["control"]["2026-01-06"]["y"] += 1
    (folder / "moments.json").write_text(json.dumps(moments))
    capsys.readouterr()
    assert shop.mlctl("replay", decision.id[:12]) == ExitCode.ERROR
    shown = capsys.readouterr().out
    assert "differs in" in shown
    assert "metrics[0].control" in shown
    (folder / "moments.json").unlink()
    assert shop.mlctl("replay", decision.id) == ExitCode.ERROR
    assert "cannot be made again" in capsys.readouterr().err
    assert shop.mlctl("replay", "2031") == ExitCode.ERROR


def test_a_look_that_cannot_be_read_is_not_forgotten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shop = Shop(tmp_path, users=1200, days=11).make()
    shop.apply()
    shop.analyze(12)
    (decision,) = ledger(shop)
    kept = tmp_path / ".mlctl/default/decisions" / decision.id / "decision.json"
    whole = kept.read_bytes()
    kept.write_bytes(whole[:100])
    capsys.readouterr()
    assert shop.analyze(13) == ExitCode.ERROR
    assert "decision.broken" in capsys.readouterr().err
    kept.write_bytes(whole)
    assert shop.analyze(13) == ExitCode.OK


def test_analyses_that_fail_leave_no_more_folders_than_those_that_do_not(tmp_path: Path) -> None:
    shop = Shop(tmp_path, users=100, days=2)
    shop.spec["primary"]["aggregate"] = "max"
    shop.make()
    rows = shop.rows("outcomes")
    rows[0][2] = "5"
    shop.write("outcomes", OUTCOMES, rows)
    shop.apply()
    analyses = tmp_path / ".mlctl/default/objects/experiments.mail/self/analyses"
    for number in range(12):
        folder = analyses / f"20260101T0000{number:02}.000000Z"
        folder.mkdir(parents=True)
        os.utime(folder, (number, number))
    assert shop.analyze(5) == ExitCode.ERROR
    assert len(list(analyses.iterdir())) == 10
    assert not list(analyses.rglob("*.parquet"))


def test_without_an_effect_nothing_is_shipped_and_the_end_stops_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = Shop(tmp_path, effect=0.0, seed=4).make()
    shop.apply()
    for days in (10, 17):
        assert shop.analyze(days) == ExitCode.OK
    assert shop.analyze(26) == ExitCode.GATE_FAILED
    assert [one.verdict for one in ledger(shop)] == ["continue", "continue", "stop"]


def test_units_that_are_lost_on_the_way_make_it_invalid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shop = Shop(tmp_path, effect=0.08, lost=0.25).make()
    shop.apply()
    page = tmp_path / "report.html"
    assert shop.analyze(17, "--html", str(page)) == ExitCode.GATE_FAILED
    shown = capsys.readouterr().out
    assert "mail: invalid" in shown
    assert "not as asked for since 2026-01-" in shown
    assert "country = " in shown
    text = page.read_text()
    assert "invalid" in text
    assert "http" not in text.replace("http://www.w3.org", "")
    assert text.count("<svg") >= 3


def test_markdown_holds_no_markup_of_the_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shop = Shop(tmp_path, users=1200, days=11).make()
    rows = shop.rows("exposures")
    rows[0][3] = "<script>|@team"
    from tests.integration.experiments.shop import EXPOSURES

    shop.write("exposures", EXPOSURES, rows)
    shop.apply()
    assert shop.analyze(12, "--md") == ExitCode.OK
    shown = capsys.readouterr().out
    assert shown.startswith("### mail: continue")
    assert "<script>" not in shown


def test_files_that_were_changed_since_they_were_applied_are_not_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = Shop(tmp_path, users=1200, days=11).make()
    shop.apply()
    with open(tmp_path / "outcomes.csv", "a") as stream:
        stream.write("u1,2026-01-06T00:00:00Z,1,3.0,1\n")
    assert shop.analyze(12) == ExitCode.ERROR
    assert "experiment.data-changed" in capsys.readouterr().err


def test_a_changed_design_begins_anew_and_a_wider_coverage_does_not(tmp_path: Path) -> None:
    shop = Shop(tmp_path, effect=0.02).make()
    started = shop.apply().outputs["started"]
    assert shop.analyze(10) == ExitCode.OK
    shop.spec["coverage"], shop.spec["description"] = 0.9, "wider"
    again = shop.apply()
    assert shop.analyze(17) == ExitCode.OK
    assert again.outputs["started"] == started
    assert len(ledger(shop)[-1].outputs["looks"]) == 2
    shop.spec["primary"]["mde"] = {"absolute": 0.05}
    shop.apply()
    shop.analyze(17)
    assert len(ledger(shop)[-1].outputs["looks"]) == 1
    assert len(ledger(shop)) == 3


def test_two_analyses_at_once_do_not_make_the_same_look_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlctl.files.lock import FileLock

    shop = Shop(tmp_path, users=1200, days=11).make()
    record = shop.apply()
    folder = shop.context.folder(record.key)
    folder.mkdir(parents=True)
    lock = FileLock(folder / "analysis.lock")
    assert lock.acquire()
    try:
        assert shop.analyze(12) == ExitCode.LOCKED
    finally:
        lock.release()
    assert shop.analyze(12) == ExitCode.OK


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--until", "yesterday"], "is no time"),
        (["--until", "2099-01-01"], "lies ahead"),
        (["--require", "stop"], "is not known"),
        (["--md", "--json"], "exclude each other"),
    ],
)
def test_options_without_sense_are_refused(
    tmp_path: Path, arguments: list[str], code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = Shop(tmp_path, users=60, days=11).make()
    shop.apply()
    assert shop.mlctl("experiment", "analyze", *arguments) == ExitCode.ERROR
    told = capsys.readouterr()
    assert code in told.err + told.out


def test_one_arm_without_data_is_told_and_never_shipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shop = Shop(tmp_path, users=1200, days=11).make()
    from tests.integration.experiments.shop import EXPOSURES

    shop.write("exposures", EXPOSURES, [row for row in shop.rows("exposures") if row[1] == "control"][:40])
    shop.apply()
    assert shop.analyze(12) == ExitCode.OK
    shown = capsys.readouterr().out
    assert "no unit was exposed to treatment" in shown
    assert "mail: continue" in shown


def test_what_is_kept_is_nobody_elses_to_read(tmp_path: Path) -> None:
    shop = Shop(tmp_path, users=1200, days=11).make()
    shop.apply()
    shop.analyze(12)
    for path in (tmp_path / ".mlctl/default/decisions").rglob("*.json"):
        assert os.stat(path).st_mode & 0o077 == 0
    assert datetime.fromisoformat(ledger(shop)[0].outputs["until"]) == START + 12 * DAY
