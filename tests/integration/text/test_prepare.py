"""Rows of tokens out of a dataset: what is in them, what is left out, and that a repeat finds them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as parquet
import pytest

from mlctl.runtime.report import Report
from mlctl.runtime.trainer.plan import PreparedText
from mlctl.runtime.trainer.text.pack import pack
from mlctl.runtime.trainer.text.stages import prepare
from mlctl.types.jobs.recipe import Layout
from mlctl.types.jobs.train import TextData
from tests.integration.text.jobs import dataset, recipe, refused, text_data, train_job
from tests.integration.text.tiny import conversation, make_tokenizer, write_chats


def prepared(base: Path, place: Path, data: TextData, **changed: Any) -> PreparedText:
    plan = prepare(train_job(data, recipe(base, **changed)), place / "job", Report(place / "job"))
    assert isinstance(plan.data, PreparedText)
    return plan.data


def arrays(data: PreparedText) -> dict[str, Any]:
    names = ("input_ids", "labels", "position_ids", "offsets", "weights")
    return {name: np.load(Path(data.folder) / f"{name}.npy") for name in names}


def counts(place: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((place / "job" / "tokens" / "manifest.json").read_bytes())
    return found


def said(place: Path) -> str:
    return (place / "job" / "events.jsonl").read_text()


def chats(place: Path, count: int) -> Path:
    return write_chats(place / "chats.jsonl", [conversation(number) for number in range(count)])


def test_packed_rows_hold_whole_documents_whose_places_begin_anew(base: Path, place: Path) -> None:
    data = prepared(base, place, text_data(dataset(chats(place, 60)), max_length=128))
    found = arrays(data)
    starts = np.nonzero(found["position_ids"] == 0)[0]
    assert len(starts) == 60
    assert len(found["offsets"]) - 1 == data.train + data.validation < 30
    assert set(found["offsets"][:-1]) <= set(starts)
    assert np.diff(found["offsets"]).max() <= 128
    lengths = np.diff([*starts, len(found["position_ids"])])
    assert all((found["position_ids"][s : s + n] == np.arange(n)).all() for s, n in zip(starts, lengths, strict=True))
    assert (found["labels"][starts] == -100).all()  # nothing of one document foretells the next
    text = make_tokenizer().decode(found["input_ids"][starts[0] : starts[1]])
    assert text.startswith("<|im_start|>user\n")
    assert text.endswith("<|im_end|>\n")


def test_weights_count_the_labels_and_labels_are_the_tokens(base: Path, place: Path) -> None:
    found = arrays(prepared(base, place, text_data(dataset(chats(place, 30)), max_length=128)))
    counted = found["labels"] != -100
    assert (found["labels"][counted] == found["input_ids"][counted]).all()
    sums = np.add.reduceat(counted, found["offsets"][:-1])
    assert list(sums) == list(found["weights"])
    answers = make_tokenizer().decode(found["labels"][counted])
    assert answers.count("<|im_end|>") == 30
    assert "user" not in answers


def test_without_packing_a_row_is_a_document(base: Path, place: Path) -> None:
    data = prepared(base, place, text_data(dataset(chats(place, 20)), packing=False))
    assert (data.train, data.validation) == (18, 2)
    assert (arrays(data)["position_ids"] == 0).sum() == 20


def test_a_repeat_finds_the_rows_and_another_try_makes_the_same(base: Path, place: Path) -> None:
    data = text_data(dataset(chats(place, 20)))
    first = arrays(prepared(base, place, data))
    written = (place / "job" / "tokens" / "input_ids.npy").stat().st_mtime_ns
    prepared(base, place, data)
    assert (place / "job" / "tokens" / "input_ids.npy").stat().st_mtime_ns == written
    (place / "job" / "tokens" / "manifest.json").unlink()
    (place / "job" / "tokens").rename(place / "job" / ".tokens.new")  # as a kill just before the end leaves it
    again = arrays(prepared(base, place, data))
    assert all((first[name] == again[name]).all() for name in first)


def test_copies_of_a_text_stay_on_one_side(base: Path, place: Path) -> None:
    rows = [conversation(number % 5) for number in range(40)]
    rows[7] = [{**turn, "content": f" {turn['content'].upper()}  "} for turn in rows[7]]
    data = prepared(
        base, place, text_data(dataset(write_chats(place / "c.jsonl", rows)), packing=False, test_share=0.2)
    )
    assert counts(place)["copies"] == 35
    assert data.validation == 8
    assert parquet.read_table(place / "job" / "keys.parquet").num_rows == 5


def test_what_is_cut_and_what_is_left_out_is_counted_and_told(base: Path, place: Path) -> None:
    rows = [conversation(number) for number in range(10)]
    rows.append([{"role": "user", "content": "what is"}, {"role": "assistant", "content": "the cat " * 80}])
    rows.append([{"role": "user", "content": "what is " * 80}, {"role": "assistant", "content": "the cat"}])
    rows.append([{"role": "user", "content": "nobody answers"}])
    data = prepared(base, place, text_data(dataset(write_chats(place / "c.jsonl", rows))))
    found = counts(place)
    assert {name: found[name] for name in ("cut", "cut_away", "unanswered")} == {
        "cut": 1,
        "cut_away": 1,
        "unanswered": 1,
    }
    assert found["train_documents"] + found["validation_documents"] == 11
    assert np.diff(arrays(data)["offsets"]).max() == 64
    assert "1 were cut to 64 tokens; 1 were left out" in said(place)


def test_conversations_out_of_parquet_are_the_same(base: Path, place: Path) -> None:
    path = chats(place, 20)
    one = arrays(prepared(base, place, text_data(dataset(path))))
    with duckdb.connect() as database:
        database.execute(f"COPY (SELECT * FROM read_json('{path}')) TO '{place / 'c.parquet'}' (FORMAT parquet)")
    (place / "job" / "tokens").rename(place / "before")
    nested = {"messages": 'struct("role" varchar, "content" varchar)[]'}
    other = arrays(prepared(base, place, text_data(dataset(place / "c.parquet", nested, format="parquet"))))
    assert all((one[name] == other[name]).all() for name in one)


def test_the_latest_are_held_back_by_time(base: Path, place: Path) -> None:
    rows = [{"messages": conversation(number), "at": f"2024-01-{28 - number:02}"} for number in range(20)]
    (place / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    table = dataset(place / "c.jsonl", {"messages": "json", "at": "date"}, timestamp="at")
    data = prepared(base, place, text_data(table, split_by="time", test_share=0.2, packing=False))
    found = arrays(data)
    held = make_tokenizer().decode(found["input_ids"][found["offsets"][data.train] :])
    assert [f" {number}<" in held for number in range(5)] == [True, True, True, True, False]


def test_prompts_with_completions_and_texts_are_read_from_their_columns(base: Path, place: Path) -> None:
    rows = [{"q": f"what is {number}", "a": f" the cat {number}"} for number in range(20)]
    (place / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    table = dataset(place / "c.jsonl", {"q": "varchar", "a": "varchar"})
    found = arrays(prepared(base, place, text_data(table, messages=None, prompt="q", completion="a")))
    assert make_tokenizer().decode(found["labels"][found["labels"] != -100]).count("the cat") == 20
    (place / "job" / "tokens").rename(place / "before")
    found = arrays(prepared(base, place, text_data(table, messages=None, text="a", loss_on="all")))
    assert make_tokenizer().decode(found["input_ids"]).count("<|im_end|>") == 20


@pytest.mark.parametrize(
    ("rows", "changed", "code", "said"),
    [
        ([], {}, "training.no-rows", "no rows with text"),
        ([[]], {}, "training.no-rows", "no rows with text"),
        ([[{"role": "user", "content": "hi"}]] * 2, {}, "training.no-rows", "no document has an answer"),
        ([conversation(1)] * 9, {}, "training.empty-split", "copies of one text"),
        ([conversation(1)], {}, "training.empty-split", "1 documents cannot be split"),
        ([conversation(n) for n in range(9)], {"max_length": 8}, "training.no-rows", "begin after `data.max_length` (8)"),
        ([conversation(n) for n in range(9)], {"messages": "message"}, "training.no-column", "did you mean `messages`?"),
        ([conversation(n) for n in range(9)], {"messages": None, "text": "messages"}, "training.not-text", "name a column of conv"),
        ([conversation(n) for n in range(9)], {"split_by": "time"}, "training.no-timestamp", "set `timestamp:`"),
        ([[{"role": "human", "content": "hi"}]], {}, "training.bad-document", "write `user` for `human`"),
        ([[{"role": "user", "text": "hi"}]], {}, "training.bad-document", "row 1 of `c`"),
        (["hi"], {}, "training.bad-document", "is not a list of messages"),
    ],
)  # fmt: skip
def test_what_cannot_be_learnt_from_is_refused(
    base: Path, place: Path, rows: list[Any], changed: dict[str, Any], code: str, said: str
) -> None:
    table = dataset(write_chats(place / "c.jsonl", rows))
    with refused(code, said):
        prepared(base, place, text_data(table, **changed))


def test_too_few_rows_for_the_processes_are_refused(base: Path, place: Path) -> None:
    data = text_data(dataset(chats(place, 6)), max_length=256)
    with refused("training.no-rows", "too few for 4 data-parallel processes", "documents share rows"):
        prepared(base, place, data, layout=Layout(strategy="ddp", data=4))


def test_packing_takes_as_few_rows_as_trl(base: Path, place: Path) -> None:
    from datasets import Dataset
    from trl.data_utils import pack_dataset

    lengths = np.random.default_rng(0).integers(1, 65, 300)
    theirs = pack_dataset(
        Dataset.from_dict({"ids": [[0] * int(n) for n in lengths]}), 64, map_kwargs={"batch_size": 300}
    )
    assert len(pack(lengths.tolist(), 64)) == len(theirs)
