"""`mlctl cost import`: what of a catalogue comes into which list, and with which name and day."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mlctl.cli.main import run
from mlctl.spec import price_files

VMS = "InstanceType,AcceleratorName,AcceleratorCount,Price,Region,SpotPrice\ng6,L4,1,0.8,eu,0.3\np5,H100,8,40,eu,\n"
HUNT = "instance_name,location,price,gpu_count,gpu_name,gpu_memory,spot\np4de,us,40,8,A100,80,False\ng2,us,0.7,1,L4,24,True\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(price_files.DAY_VARIABLE, "2026-11-22")
    (tmp_path / "lambda").mkdir()
    (tmp_path / "lambda" / "vms.csv").write_text(VMS)
    os.utime(tmp_path / "lambda" / "vms.csv", (1_788_000_000, 1_788_000_000))  # 2026-08-29
    (tmp_path / "aws.csv").write_text(HUNT)
    return tmp_path


def told(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, object]:
    assert run(["cost", "import", *words, "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    found: dict[str, object] = json.loads(line)
    return found


def test_the_name_of_a_file_says_whose_prices_they_are_and_its_day_of_when(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "mlctl.yaml").write_text("project: p\nprices: ours.yaml\n")  # which is not there yet
    found = told(capsys, "lambda/vms.csv", "--from", "skypilot")
    assert (found["list"], found["in_project"]) == (str(folder / "ours.yaml"), True)
    rows = price_files.read(folder / "ours.yaml")
    assert [(row.gpu, row.tier, row.provider, row.usd, row.min_gpus) for row in rows] == [
        ("H100", "on_demand", "lambda", 5.0, 8), ("L4", "on_demand", "lambda", 0.8, 1), ("L4", "spot", "lambda", 0.3, 1)
    ]  # fmt: skip
    assert {(row.as_of.isoformat(), row.source) for row in rows} == {("2026-08-29", "SkyPilot catalogue, vms.csv")}


def test_gpuhunt_goes_into_a_list_that_no_project_has_to_be_there_for(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("aws.csv", "--from", "gpuhunt", "--as-of", "2026-11-02", "--gpu", "a100-sxm4-80gb", "-o", "list.yaml")
    found = told(capsys, *words)
    assert found["in_project"] is False
    (row,) = price_files.read(folder / "list.yaml")
    assert (row.gpu, row.provider, row.usd, row.as_of.isoformat()) == ("A100-80GB", "aws", 5.0, "2026-11-02")


def test_rows_of_another_list_keep_their_days_and_a_link_stays_a_link(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "mlctl.yaml").write_text("project: p\n")
    row = "- {gpu: L4, provider: us, tier: spot, usd: 1, as_of: 2026-01-31, source: a bill}\n"
    (folder / "theirs.yaml").write_text("rows:\n" + row)
    (folder / "real.yaml").write_text("rows:\n# none yet\n")
    (folder / "prices.yaml").symlink_to("real.yaml")
    found = told(capsys, "theirs.yaml", "--from", "rows", "--provider", "them")
    assert (folder / "prices.yaml").is_symlink()
    assert found["list"] == str(folder / "real.yaml")
    (taken,) = price_files.read(folder / "real.yaml")
    assert (taken.provider, taken.as_of.isoformat()) == ("them", "2026-01-31")
    assert "# none yet" in (folder / "real.yaml").read_text()


@pytest.mark.parametrize(
    "words",
    [
        ("aws.csv", "--from", "excel"),
        ("aws.csv", "--from", "gpuhunt", "--as-of", "yesterday"),
        ("aws.csv", "--from", "gpuhunt", "--as-of", "2027-01-01"),
        ("aws.csv", "--from", "gpuhunt", "--gpu", "H10"),
        ("aws.csv", "--from", "gpuhunt", "--gpu", "H100"),
        ("gone.csv", "--from", "gpuhunt"),
        ("lambda", "--from", "gpuhunt"),
        ("bytes.csv", "--from", "skypilot"),
        ("bytes.csv", "--from", "rows"),
        ("list.yaml", "--from", "rows", "--as-of", "2026-01-01"),
        ("aws.csv", "--from", "gpuhunt", "-o", "bytes.csv"),
        ("aws.csv", "--from", "gpuhunt", "--provider", ""),
        ("aws.csv", "--from", "gpuhunt", "--provider", "  "),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(
    folder: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    (folder / "bytes.csv").write_bytes(b"\xff\xfe\x00\x01")
    (folder / "mlctl.yaml").write_text("project: p\n")
    assert run(["cost", "import", *words]) == 1
    said = capsys.readouterr()
    assert said.err.startswith("error[")
    assert not (folder / "prices.yaml").exists()
    assert (folder / "bytes.csv").read_bytes() == b"\xff\xfe\x00\x01"
