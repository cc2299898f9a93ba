"""What a message asks for, what is published of it, and what becomes of one that is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlctl.runtime.stream_predictions import dead_letters
from mlctl.runtime.stream_predictions.messages import Message, MessageReader, NoRow, dead_letter, prediction
from mlctl.types.jobs.server import ServedFeatures

KEYS = [{"name": "household_id", "type": "int64"}]
VIEW = {"view": "spending", "keys": KEYS, "features": ["amount"], "ttl_seconds": None}
PLAIN = ServedFeatures(columns=["amount", "visits"])
KEYED = ServedFeatures.model_validate({"columns": ["amount"], "keys": KEYS, "views": [VIEW]})

NAMED = ServedFeatures.model_validate(
    {
        "columns": ["amount"],
        "keys": [{"name": "name", "type": "string"}],
        "views": [{**VIEW, "keys": [{"name": "name", "type": "string"}]}],
    }
)


def read(serving: ServedFeatures, body: Any, key: str | None = None) -> Any:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return MessageReader(serving, key).read(Message(text, "events/0/7"))


def test_a_message_has_the_features_and_may_have_more() -> None:
    asked = read(PLAIN, {"amount": 2, "visits": None, "shop": "a"})
    assert (asked.id, asked.values, asked.keys) == ("events/0/7", {"amount": 2.0, "visits": None}, {})


def test_a_message_with_keys_is_looked_up_and_one_with_all_features_is_taken_at_its_word() -> None:
    assert read(KEYED, {"household_id": 5, "shop": "a"}).keys == {"household_id": 5}
    assert read(KEYED, {"household_id": 5, "amount": 1.5}).values == {"amount": 1.5}


def test_the_id_is_the_place_or_a_field() -> None:
    assert read(PLAIN, {"amount": 1, "visits": 1, "e": "x1"}, "e").id == "x1"
    assert read(PLAIN, {"amount": 1, "visits": 1, "e": 17}, "e").id == "17"


@pytest.mark.parametrize(
    ("serving", "body", "key", "reason", "id"),
    [
        (PLAIN, b"{", None, "it is not JSON", "events/0/7"),
        (PLAIN, [1], None, "it is not a JSON object", "events/0/7"),
        (PLAIN, b'{"amount": NaN, "visits": 1}', None, "it is not JSON", "events/0/7"),
        (PLAIN, {"amount": 1, "e": "x"}, "e", "predict.missing-feature: it lacks `visits`", "x"),
        (PLAIN, {"amount": "1", "visits": 1, "e": "x"}, "e", "predict.bad-value: `amount`", "x"),
        (PLAIN, {"amount": 10**400, "visits": 1}, None, "predict.bad-value", "events/0/7"),
        (PLAIN, {"amount": 1, "visits": 1}, "e", "`e`, which names a message, is None", "events/0/7"),
        (PLAIN, {"amount": 1, "visits": 1, "e": True}, "e", "`e`, which names a message, is True", "events/0/7"),
        (KEYED, {"household_id": "5"}, None, "predict.bad-key", "events/0/7"),
        (KEYED, {}, None, "predict.missing-field", "events/0/7"),
        (
            PLAIN,
            {"amount": 1, "visits": 1, "e": "\ud800"},
            "e",
            "`e`, which names a message, is '\\ud800'",
            "events/0/7",
        ),
        (NAMED, {"name": "a\ud800"}, None, "its keys hold half of a surrogate pair", "events/0/7"),
        (PLAIN, b"[" * 100_000, None, "it is not JSON", "events/0/7"),
        (PLAIN, b" " * (5 * 2**20), None, "it has 5,242,880 bytes", "events/0/7"),
    ],
)
def test_a_message_without_a_prediction_says_why(
    serving: ServedFeatures, body: Any, key: str | None, reason: str, id: str
) -> None:
    with pytest.raises(NoRow) as caught:
        read(serving, body, key)
    assert str(caught.value).startswith(reason)
    assert caught.value.id == id


def test_the_same_message_gives_the_same_bytes() -> None:
    asked = read(KEYED, {"household_id": 5})
    one, other = (prediction(asked, 0.25, 0, "churn", "3") for _ in range(2))
    assert one == other
    assert json.loads(one) == {
        "id": "events/0/7", "score": 0.25, "prediction": 0, "model": "churn", "version": "3", "keys": {"household_id": 5},
    }  # fmt: skip


def test_letters_are_whole_lines_also_after_a_torn_one_and_the_oldest_of_a_flood_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "dead-letters.jsonl"
    path.write_text('{"id": "torn')
    letter = dead_letter(Message(b"\xff\xfe", "p"), "why", "i", "now")
    dead_letters.append_letters(path, [letter])
    assert json.loads(path.read_text().splitlines()[1]) == {
        "id": "i",
        "place": "p",
        "reason": "why",
        "body": "\\xff\\xfe",
        "at": "now",
    }
    monkeypatch.setattr(dead_letters, "_MOST_BYTES", 10)
    dead_letters.append_letters(path, [letter])
    assert len(path.read_text().splitlines()) == 1
    assert path.stat().st_mode & 0o777 == 0o600
