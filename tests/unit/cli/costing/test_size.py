"""What a resource was measured to use counts only where it was made as it is written, on the devices it has; events are as described."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlctl.cli.costing.size import measured, today
from mlctl.cli.costing.workloads import Found, workloads
from mlctl.estimate.devices import DEVICE_VARIABLE
from mlctl.spec.price_files import DAY_VARIABLE
from mlctl.types.address import Address
from mlctl.views.json.cost_events import COST_EVENTS
from mlctl.workspace import Workspace
from tests.unit.cli.costing.shop import DAY, written

SCENARIOS = Path(__file__).parents[3] / "scenarios"


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv(DEVICE_VARIABLE, "cpu:2:16GiB")
    monkeypatch.setenv(DAY_VARIABLE, DAY)
    return written(tmp_path)


def found(workspace: Workspace, address: str, **more: Any) -> Found:
    return replace(workloads(workspace, [Address.parse(address)])[0], **more)


def record(memory: object, device: str) -> Any:
    outputs = {"estimate": {"actual": {"memory": memory}}}
    return type("Made", (), {"outputs": outputs, "provenance": {"estimate": {"device": device}}})()


@pytest.mark.parametrize(
    ("made", "memory", "device", "expected"),
    [
        (True, 5e9, "H100", 5e9),
        (False, 5e9, "H100", None),  # it was changed since
        (True, 5e9, "A100", None),  # it was made on others
        (True, True, "H100", None),
        (True, "5 GB", "H100", None),
    ],
)
def test_memory_counts_as_measured_where_nothing_is_different_now(
    workspace: Workspace, made: bool, memory: object, device: str, expected: float | None
) -> None:
    assert measured(found(workspace, "training.large", made=made, record=record(memory, device))) == expected


def test_what_was_never_made_has_no_measure(workspace: Workspace) -> None:
    assert measured(found(workspace, "training.large")) is None


def test_today_has_the_price_of_its_devices_or_none(workspace: Workspace) -> None:
    large = today(workspace, found(workspace, "training.large"))
    assert large is not None
    assert (large.tier, large.provider, large.paid, large.hourly.mid) == ("on_demand", "House", 8, pytest.approx(28.8))
    assert (
        today(workspace, found(workspace, "training.buys")) is None
    )  # a machine of ones own, of which no price is known


def test_a_price_that_is_too_old_is_none(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DAY_VARIABLE, "2027-11-20")
    assert today(workspace, found(workspace, "training.large")) is None


def test_the_events_of_the_scenarios_are_those_that_are_described() -> None:
    seen = set()
    for name in ("cost-size", "cost-advise"):
        for line in (SCENARIOS / name / "output.txt").read_text().splitlines():
            event = json.loads(line) if line.startswith('{"type": "cost_') else None
            if event is not None:
                seen.add(event["type"])
                assert event.keys() - {"type"} == COST_EVENTS[event["type"]].required.keys()
    assert seen == {"cost_size", "cost_advice", "cost_patched"}
