"""From a message to what is predicted, and from a prediction to a message. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlctl.runtime.server.payload import Fields, KeyRow, Refused, Values, number, refuse_constant
from mlctl.types.jobs.server import ServedFeatures

_LARGEST_BYTES = 4 * 2**20
_BODY_CHARACTERS = 10_000  # of a message that is kept with the dead letters
_LONGEST_ID = 1000


@dataclass(frozen=True, slots=True)
class Message:
    """A message and where it came from: `place` is the same however often it is delivered."""

    body: bytes
    place: str  # `topic/partition/offset`, or `stream/entry`


@dataclass(frozen=True, slots=True)
class Asked:
    """What one message wants predicted: its features, or keys (and request values) to look them up by."""

    id: str
    keys: KeyRow
    values: Values | None
    request: Values


class NoRow(Exception):
    """Why a message gets no prediction, and the id it goes by."""

    def __init__(self, reason: str, id: str) -> None:
        super().__init__(reason)
        self.id = id


class MessageReader:
    """Reads messages for one model. Fields that it does not know are left alone: events have more of them than a model reads."""

    def __init__(self, serving: ServedFeatures, key: str | None) -> None:
        self._fields = Fields(serving)
        self._columns = serving.columns
        self._key = key

    def read(self, message: Message) -> Asked:
        """Raises NoRow."""
        if len(message.body) > _LARGEST_BYTES:
            raise NoRow(f"it has {len(message.body):,} bytes; a message may have {_LARGEST_BYTES:,}", message.place)
        try:
            values = json.loads(message.body, parse_constant=refuse_constant)
        except (ValueError, RecursionError) as error:
            raise NoRow(f"it is not JSON: {error}", message.place) from None
        if not isinstance(values, dict):
            raise NoRow("it is not a JSON object", message.place)
        id = self._id(values, message.place)
        try:
            asked = self._asked(values, id)
            if not _is_text(json.dumps(dict(asked.keys), ensure_ascii=False)):
                raise NoRow("its keys hold half of a surrogate pair, which is no text", id)
            return asked
        except Refused as refused:
            raise NoRow(f"{refused.code}: {refused.message}", id) from None

    def _id(self, values: Mapping[str, Any], place: str) -> str:
        if self._key is None:
            return place
        found = values.get(self._key)
        if isinstance(found, str) and 0 < len(found) <= _LONGEST_ID and _is_text(found):
            return found
        if isinstance(found, int) and not isinstance(found, bool):
            return str(found)
        raise NoRow(f"`{self._key}`, which names a message, is {found!r:.60}", place)

    def _asked(self, values: Mapping[str, Any], id: str) -> Asked:
        """A message with all columns of the model is taken at its word; one with keys is looked up."""
        if not self._fields.names or all(name in values for name in self._columns):
            return Asked(id, {}, self._numbers(values), {})
        keys, request = self._fields.row({name: values[name] for name in self._fields.names if name in values}, "")
        return Asked(id, keys, None, request)

    def _numbers(self, values: Mapping[str, Any]) -> Values:
        for name in self._columns:
            if name not in values:
                raise Refused(
                    422, "predict.missing-feature", f"it lacks `{name}`; null is a value that is not known", name
                )
        return {name: number(values[name], name) for name in self._columns}


def prediction(asked: Asked, score: float, decided: float | int, model: str, version: str) -> bytes:
    """The message that is published. It holds nothing of now, so that the same input gives the same bytes."""
    made = {"id": asked.id, "score": score, "prediction": decided, "model": model, "version": version}
    return json.dumps({**made, **({"keys": dict(asked.keys)} if asked.keys else {})}, ensure_ascii=False).encode()


def dead_letter(message: Message, reason: str, id: str, at: str) -> dict[str, str]:
    """How a message that gets no prediction is kept."""
    body = message.body[:_BODY_CHARACTERS].decode("utf-8", "backslashreplace")
    return {"id": id, "place": message.place, "reason": reason, "body": body, "at": at}


def _is_text(text: str) -> bool:
    """Whether it can be written down: JSON can hold half of a surrogate pair, and nothing else can."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
