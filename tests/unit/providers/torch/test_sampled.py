"""How long rows are is foretold from a few blocks of the files, before the dataset is made: in bounds, the same each time, and quick."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from mlctl.provider import Context
from mlctl.providers.local.spec_dataset import DatasetSpec
from mlctl.providers.torch import sampled as module
from mlctl.providers.torch.sampled import Sample, sampled
from mlctl.providers.torch.training import Training
from mlctl.testing.harness import make_context, make_desired
from mlctl.types.address import Address
from mlctl.types.estimate import Estimate
from mlctl.types.value import Unknown
from tests.unit.providers.torch.trainings import SMALL, TEXT, rows

CHAT = {**TEXT, "data": {"dataset": "rows", "messages": "messages", "max_length": 4096}}


@dataclass(frozen=True)
class Project:
    path: str

    def block(self, address: Address) -> DatasetSpec:
        assert str(address) == "datasets.rows"
        return DatasetSpec(path=self.path)

    def uses(self, address: Address) -> list[Address]:
        return []


@pytest.fixture
def ctx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    monkeypatch.setenv("MLCTL_DEVICE", "cpu:8:64GiB")
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text(json.dumps(SMALL))
    return make_context(tmp_path)


def write(path: Path, count: int, seed: int = 0) -> tuple[int, float]:
    """Conversations of lengths that differ; gives how many rows there are and the characters of a row."""
    drawn, characters = random.Random(seed), 0
    with path.open("w") as file:
        for number in range(count):
            told = "word " * drawn.randrange(20, 400)
            characters += len(told) + 6
            said = [{"role": "user", "content": "Why so?"[:6]}, {"role": "assistant", "content": told}]
            file.write(json.dumps({"id": number, "messages": said}) + "\n")
    return count, characters / count


def of(ctx: Context, values: dict[str, Any], path: str) -> Sample | None:
    desired = replace(make_desired(Training(), "training.m", values, ctx, rows()), blocks=Project(path))
    return sampled(desired, desired.spec.data, (), ctx)


def foreseen(ctx: Context, path: str) -> Estimate:
    desired = make_desired(Training(), "training.m", CHAT, ctx, rows())
    still = {Address("datasets", "rows"): Unknown("datasets.rows")}
    found = Training().estimate(
        replace(desired, inputs=still, identity=Unknown("datasets.rows"), blocks=Project(path)), [], ctx
    )
    assert found is not None
    return found


def test_rows_of_a_small_file_are_counted(ctx: Context) -> None:
    count, characters = write(ctx.root / "a.jsonl", 300)
    found = of(ctx, CHAT, "a.jsonl")
    assert found is not None
    assert (found.rows.low, found.rows.high, found.whole) == (count, count, True)
    assert found.each.mid == pytest.approx(characters / 4 + 8)
    assert found.each.low < found.each.mid < found.each.high < 4 * found.each.low


def test_of_a_large_file_a_few_blocks_are_read_and_the_truth_is_in_the_range(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, characters = write(ctx.root / "a.jsonl", 12_000)
    read: list[int] = []
    lines = module._lines
    monkeypatch.setattr(
        module, "_lines", lambda path, start, length: read.append(length or 10**12) or lines(path, start, length)
    )
    found = of(ctx, CHAT, "a.jsonl")
    assert found is not None
    assert sum(read) <= 4 * 2**20 < (ctx.root / "a.jsonl").stat().st_size
    assert found.rows.low < count < found.rows.high < 1.3 * found.rows.low
    assert found.rows.mid == pytest.approx(count, rel=0.1)
    assert found.each.low < characters / 4 < found.each.high
    module._sample.cache_clear()
    assert of(ctx, CHAT, "a.jsonl") == found


def test_what_is_longer_than_a_row_is_cut(ctx: Context) -> None:
    write(ctx.root / "a.jsonl", 50)
    found = of(ctx, {**CHAT, "data": {**CHAT["data"], "max_length": 32}}, "a.jsonl")
    assert found is not None
    assert found.each.high <= 32


def test_the_time_is_known_before_the_dataset_is_made_and_says_by_what(ctx: Context) -> None:
    write(ctx.root / "a.jsonl", 300)
    found = foreseen(ctx, "a.jsonl")
    assert found.seconds is not None
    assert found.seconds.high < 100 * found.seconds.low
    assert any(text.startswith("300 rows of") and "four characters a token" in text for text in found.notes)
    globbed = foreseen(ctx, "*.jsonl")
    assert globbed.seconds == found.seconds


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "id,messages\n"),
        ("a.jsonl", '{"other": 1}\n' * 10),
        ("a.jsonl", "x" * 100_000),
        ("a.jsonl", ""),
        ("a.jsonl", '{"messages": [{"content": "one"}]}\n'),
        ("b.jsonl", ""),
    ],
    ids=["other format", "other columns", "no lines", "empty", "too few", "not there"],
)
def test_what_says_nothing_is_not_guessed_from(ctx: Context, name: str, text: str) -> None:
    (ctx.root / name).write_text(text)
    found = foreseen(ctx, "a.jsonl" if name != "a.csv" else name)
    assert found.seconds is None
    assert "its time is known once datasets.rows is made" in found.notes


@pytest.mark.parametrize("pattern", ["r**.jsonl", "{root}/*.jsonl", "{root}/../*.jsonl"])
def test_a_pattern_that_only_datasets_know_ends_no_plan(ctx: Context, pattern: str) -> None:
    write(ctx.root / "rows.jsonl", 30)
    assert of(ctx, CHAT, pattern.format(root=ctx.root)) is None


def test_files_that_do_not_count_as_data_are_not_looked_at(ctx: Context) -> None:
    (ctx.root / "data").mkdir()
    count, _ = write(ctx.root / "data" / "a.jsonl", 30)
    for name in ("_old.jsonl", ".hidden.jsonl"):
        write(ctx.root / "data" / name, 500)
    for path in ("data", "data/*.jsonl"):
        found = of(ctx, CHAT, path)
        assert found is not None
        assert found.rows.mid == count


def test_a_line_that_is_nested_without_end_says_nothing(ctx: Context) -> None:
    (ctx.root / "a.jsonl").write_text(('{"messages": ' + "[" * 100_000 + "\n") * 5)
    assert of(ctx, CHAT, "a.jsonl") is None
    (ctx.root / "a.jsonl").write_text(('{"messages": ' + "[" * 900 + "]" * 900 + "}\n") * 5)
    of(ctx, CHAT, "a.jsonl")
