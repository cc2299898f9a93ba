"""Each of the ten ways is written so that the project stays valid, says what it saves by the estimates, and how to write it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mlctl.cli.costing.advising import Advice, Adviser
from mlctl.cli.costing.compare import offers
from mlctl.cli.costing.workloads import Found, assumed_rows, workloads
from mlctl.cli.patching import write
from mlctl.estimate.advice import Standing
from mlctl.estimate.devices import DEVICE_VARIABLE
from mlctl.spec.price_files import DAY_VARIABLE
from mlctl.types.address import Address
from mlctl.workspace import Workspace
from tests.unit.cli.costing.shop import DAY, PROJECT, ROWS, spec_of, written

RESOURCES = (
    "training.large",
    "training.small",
    "training.buys",
    "deployments.chat",
    "deployments.slow",
    "deployments.rows",
)


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, "H100:1")
    monkeypatch.setenv(DAY_VARIABLE, DAY)


def found_of(workspace: Workspace, address: str) -> Found:
    rows = assumed_rows(workspace, [f"chats={ROWS}"]) if address in ("training.large", "training.small") else {}
    return workloads(workspace, [Address.parse(address)], rows)[0]


def advised(workspace: Workspace, address: str) -> list[Advice]:
    return Adviser(workspace, offers(workspace, providers=["House"])).advise(found_of(workspace, address))


def test_each_way_is_written_into_a_real_project_that_stays_valid(tmp_path: Path) -> None:
    workspace = written(tmp_path)
    numbers: set[int] = set()
    for address in RESOURCES:
        ways = advised(workspace, address)
        assert [way.tactic.number for way in ways] == list(range(1, 11))
        for way in ways:
            assert way.why or way.saving is not None
            if way.patch is None:
                continue
            numbers.add(way.tactic.number)
            before = {str(edit.address): spec_of(workspace, str(edit.address)) for edit in way.patch.edits}
            assert write(workspace, way.patch, approved=True, as_json=True)
            assert all(spec_of(workspace, name) != spec for name, spec in before.items())
            for comment in ("# what we sell", "# all weights", "# the whole machine", "# rented", "# as much as fits"):
                assert comment in (tmp_path / "mlctl.yaml").read_text()
            (tmp_path / "mlctl.yaml").write_text(PROJECT)
    assert numbers == set(range(1, 11))


def test_8_bits_are_written_where_the_device_computes_in_them_though_4_take_less(tmp_path: Path) -> None:
    quantized = advised(written(tmp_path), "deployments.chat")[4]
    assert quantized.patch is not None
    assert [edit.words for edit in quantized.patch.edits] == ["serve.engine.quantization: fp8"]


def test_a_saving_is_what_plan_says_without_the_change_less_what_it_says_with_it(tmp_path: Path) -> None:
    workspace = written(tmp_path)
    checkpointing = advised(workspace, "training.large")[3]
    assert checkpointing.patch is not None
    assert checkpointing.saving is not None
    before = found_of(workspace, "training.large").estimate
    write(workspace, checkpointing.patch, approved=True, as_json=True)
    after = found_of(Workspace(tmp_path), "training.large").estimate
    assert before is not None
    assert after is not None
    assert checkpointing.saving.memory is not None
    assert checkpointing.saving.memory.mid == pytest.approx(before.memory.mid - after.memory.mid)  # type: ignore[union-attr]
    assert checkpointing.saving.usd is not None
    assert checkpointing.saving.usd.mid == pytest.approx(before.usd.mid - after.usd.mid, rel=0.01)  # type: ignore[union-attr]


def test_a_smaller_model_that_learns_from_the_one_that_is_served_is_two_changes_at_once(tmp_path: Path) -> None:
    workspace = written(tmp_path)
    distillation = advised(workspace, "deployments.chat")[6]
    assert distillation.standing is Standing.HELPS
    assert distillation.patch is not None
    assert [(str(edit.address), edit.words) for edit in distillation.patch.edits] == [
        ("training.small", "distill.teacher: '${training.large.model}'"),
        ("deployments.chat", "model: small@champion"),
    ]
    assert distillation.saving is not None
    assert distillation.saving.per == "a million tokens"
    assert distillation.saving.usd is not None
    assert distillation.saving.usd.mid > 0


def test_what_is_in_use_after_a_change_is_said_to_be(tmp_path: Path) -> None:
    workspace = written(tmp_path)
    for number in (1, 2, 4):
        way = advised(workspace, "training.large")[number - 1]
        assert way.patch is not None
        write(workspace, way.patch, approved=True, as_json=True)
        workspace = Workspace(tmp_path)
        assert advised(workspace, "training.large")[number - 1].standing is Standing.IN_USE


def test_what_the_project_does_not_allow_does_not_apply_with_its_own_words(tmp_path: Path) -> None:
    eight_bits = advised(written(tmp_path), "training.large")[4]
    assert (eight_bits.standing, eight_bits.patch) == (Standing.NOT, None)
    assert eight_bits.why == "`adamw_8bit` does not go with `fsdp`"


def test_what_would_likely_not_fit_is_no_gain_whatever_it_saves(tmp_path: Path) -> None:
    full = PROJECT.replace("    micro_batch_size: 4   # as much as fits\n", "")
    adapters = advised(written(tmp_path, full), "training.large")[5]
    assert adapters.saving is not None
    assert adapters.saving.usd is not None
    assert adapters.saving.usd.mid > 0
    assert adapters.standing is Standing.NO_GAIN
    assert adapters.why.startswith("with it, it likely does not fit the devices it is on: ")


def test_what_only_a_person_can_write_keeps_its_saving(tmp_path: Path) -> None:
    decided = PROJECT.replace("batch_size: 64\n", "batch_size: 64\n    precision: ${var.bits}\n").replace(
        "datasets:\n", "variables: {bits: {type: string, default: fp32}}\ndatasets:\n", 1
    )
    precision = advised(written(tmp_path, decided), "training.large")[1]
    assert (precision.standing, precision.patch) == (Standing.HELPS, None)
    assert precision.saving is not None
    assert precision.why.startswith("by hand: precision: bf16; ")
    assert "decided elsewhere" in precision.why


def test_on_devices_that_nobody_names_a_gain_is_unknown_and_not_small(tmp_path: Path) -> None:
    pods = "{type: kubernetes, image: x:1, cpus: 8, memory: 64Gi, gpus: 8, storage: s3://shop/runs}"
    text = PROJECT.replace("{type: skypilot, gpu: H100, gpus: 8, storage: s3://shop/runs}", pods)
    found = advised(written(tmp_path, text), "training.large")
    told = {way.tactic.number: way.standing for way in found if way.standing in (Standing.UNKNOWN, Standing.NO_GAIN)}
    assert told
    assert Standing.NO_GAIN not in told.values()


def test_while_no_time_is_known_spot_devices_are_no_small_gain(tmp_path: Path) -> None:
    workspace = written(tmp_path)
    (large,) = workloads(workspace, [Address.parse("training.large")])
    ways = Adviser(workspace, offers(workspace, providers=["House"])).advise(large)
    assert (ways[0].standing, ways[0].why) == (Standing.UNKNOWN, "its time is known once datasets.chats is made")
    assert ways[0].patch is not None
    assert ways[1].standing is Standing.HELPS  # some memory gets free, whatever its time


def test_right_sizing_is_in_use_where_today_is_the_cheapest(tmp_path: Path) -> None:
    workspace = written(tmp_path)
    sized = advised(workspace, "training.large")[9]
    assert sized.patch is not None
    write(workspace, sized.patch, approved=True, as_json=True)
    again = advised(Workspace(tmp_path), "training.large")[9]
    assert (again.standing, again.why) == (Standing.IN_USE, "today's devices are the cheapest that will do")


def test_what_is_not_known_is_unknown_and_never_nothing(tmp_path: Path) -> None:
    workspace = written(tmp_path, PROJECT.replace("meta-llama/Llama-3.1-8B,", "someone/unheard-of,"))
    ways = advised(workspace, "training.large")
    open_ones = [way for way in ways if way.standing in (Standing.HELPS, Standing.NO_GAIN, Standing.UNKNOWN)]
    assert open_ones
    assert all(way.standing is Standing.UNKNOWN and way.saving is None and way.why for way in open_ones)


def test_repeated_requests_of_the_log_are_what_a_cache_would_save(tmp_path: Path) -> None:
    workspace = written(tmp_path)
    caching = advised(workspace, "deployments.rows")[8]
    assert (caching.standing, caching.why) == (Standing.UNKNOWN, "what is asked of it is not logged yet")
    found = found_of(workspace, "deployments.rows")
    logged(tmp_path / "log")
    adviser = Adviser(workspace, offers(workspace, providers=["House"]))
    record: Any = type("Made", (), {"outputs": {"predictions": "log"}})()
    object.__setattr__(found, "record", record)
    ways = adviser.advise(found)
    assert ways[8].saving is not None
    assert ways[8].saving.work is not None
    assert ways[8].saving.work.mid == 0.9
    assert ways[7].saving is not None  # batching: ten at each moment


def logged(folder: Path) -> None:
    """Two hundred requests: ten equal ones at the same moment, every ten seconds, the next ten others."""
    folder.mkdir()
    begin = datetime(2026, 11, 1, tzinfo=UTC)
    rows = [
        {"ts": (begin + timedelta(seconds=number // 10 * 10)).isoformat(), "request_id": f"r{number}", "latency_seconds": 0.1,
         "code": 200, "version": "1", "key": number // 10, "features": None} for number in range(200)
    ]  # fmt: skip
    (folder / "2026-11-01.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
