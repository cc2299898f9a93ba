"""What `experiment assign` and `verify-hash` print of an experiment that was applied, and the traffic that `size` counts."""

import json
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest

from mlctl.cli.experimenting import check_file, show_assignments, show_vectors, traffic_of
from mlctl.provider import Context
from mlctl.providers.ab_test.report import size_report, size_text
from mlctl.providers.ab_test.spec import ExperimentSpec
from mlctl.providers.ab_test.traffic import counted
from mlctl.testing.harness import make_context
from mlctl.types.address import Address, ObjectKey
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.types.state import Record
from mlctl.views.json.schema import events_schema
from tests.unit.providers.ab_test.designs import MAIL, apply, changed


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    return make_context(tmp_path, project="quickstart")


def printed(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    known = jsonschema.Draft202012Validator(events_schema())
    for line in {one["type"]: one for one in found}.values():
        known.validate(line)
    return found


def test_arms_and_why_a_unit_has_none(ctx: Context, capsys: pytest.CaptureFixture[str]) -> None:
    record = apply({**changed("coverage", 0.5), "holdout": 0.3}, ctx)
    units = [str(unit) for unit in range(60)]
    show_assignments(record, units, as_json=True)
    found = printed(capsys)
    assert {line["arm"] for line in found} == {"control", "treatment", None}
    assert {line.get("reason") for line in found} == {None, "held out of all experiments", "outside of the coverage"}
    show_assignments(record, units, as_json=False)
    text = capsys.readouterr().out
    assert "(not in the experiment: held out of all experiments)" in text
    assert text.count("\n") == 60


def test_vectors_are_the_same_for_people_and_machines(ctx: Context, capsys: pytest.CaptureFixture[str]) -> None:
    record = apply(MAIL, ctx)
    show_vectors(record, as_json=True)
    (found,) = printed(capsys)
    assert found["ranges"] == {"control": [[0.0, 0.5]], "treatment": [[0.5, 1.0]]}
    show_vectors(record, as_json=False)
    text = capsys.readouterr().out
    for one in found["vectors"]:
        assert f"  {one['bucket']:.4f}  {one['arm']:<12} {one['unit']}" in text


def test_a_front_end_that_hashes_bytes_is_found_and_told(
    ctx: Context, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record, file = apply(MAIL, ctx), tmp_path / "assigned.json"
    units = [f"user-{number}" for number in range(40)] + ["Zoë", "Jörg", "日本", "Łukasz"]
    show_assignments(record, units, as_json=True)
    ours = {line["unit"]: line["arm"] for line in printed(capsys)}
    file.write_text(json.dumps(ours))
    assert check_file(record, file, as_json=False) is ExitCode.OK
    assert "all 44 units are in the arm" in capsys.readouterr().out
    other = {"control": "treatment", "treatment": "control"}
    file.write_text(json.dumps(ours | {unit: other[ours[unit]] for unit in ("Zoë", "Jörg")}))
    assert check_file(record, file, as_json=True) is ExitCode.ERROR
    (line,) = printed(capsys)
    assert (line["units"], line["different"]) == (44, 2)
    assert check_file(record, file, as_json=False) is ExitCode.ERROR
    assert "UTF-16 code units (charCodeAt), not bytes of UTF-8" in capsys.readouterr().err


@pytest.mark.parametrize("content", [None, "{", "3", '{"1": 2}'])
def test_a_file_that_holds_no_assignments_is_refused(content: str | None, ctx: Context, tmp_path: Path) -> None:
    file = tmp_path / "assigned.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(MlctlError):
        check_file(apply(MAIL, ctx), file, as_json=False)


def test_the_traffic_of_the_deployment_says_how_long_it_takes(ctx: Context) -> None:
    log = ctx.root / "predictions"
    log.mkdir()
    rows = [json.dumps({"unit": f"u{number}", "role": "stable"}) for number in range(600)]
    (log / "2026-11-20.jsonl").write_text("\n".join(rows))
    record = Record(ObjectKey(Address("deployments", "shops_api"), ""), outputs={"predictions": "predictions"})
    workspace: Any = SimpleNamespace(records=lambda: {"deployments.shops_api": record}, reader=lambda: (None, ctx))
    silent = ExperimentSpec.model_validate(changed("design", {"power": 0.8}))
    found = counted(log, today=date(2026, 11, 22))
    assert found is not None
    report = size_report(silent, "quickstart", "m", found)
    assert (report["daily_units"], report["weeks"]) == (600, 4)
    assert "600 a day, counted in 1 day of the prediction log" in size_text(report)
    assert traffic_of(workspace, ExperimentSpec.model_validate(MAIL)) is None  # the design says it
    workspace.records = dict
    assert traffic_of(workspace, silent) is None
