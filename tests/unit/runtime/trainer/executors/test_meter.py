"""How long machines were at work, over the lives of a job that loses them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mlctl.runtime.trainer.executors.meter import SPENT_FILE, Meter


class Bucket:
    """The objects of one attempt."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def get_json(self, name: str) -> Any:
        return json.loads(self.kept[name]) if name in self.kept else None

    def put_json(self, name: str, value: Any) -> None:
        self.kept[name] = json.dumps(value).encode()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("mlctl.runtime.trainer.executors.meter.time.monotonic", lambda: now[0])
    return now


def test_lives_add_up_and_the_limit_is_of_all_of_them(clock: list[float]) -> None:
    bucket: Any = Bucket()
    first = Meter(bucket, 100.0)
    clock[0] += 60
    first.note()
    clock[0] += 5  # and then it is taken away, uncounted since the last note
    clock[0] = 7.0  # of another machine
    second = Meter(bucket, 100.0)
    assert (second.seconds, second.over) == (60.0, False)
    clock[0] += 39
    assert not second.over
    clock[0] += 1
    assert second.over
    second.note(now=True)
    assert Meter(bucket, 100.0).over  # a third life has nothing left
    assert not Meter(bucket, None).over


def test_the_count_is_kept_every_few_seconds_and_not_at_each_look(clock: list[float]) -> None:
    bucket: Any = Bucket()
    made = Meter(bucket, None)
    clock[0] += 1
    made.note()
    assert bucket.kept == {}
    clock[0] += 30
    made.note()
    assert bucket.get_json(SPENT_FILE) == {"seconds": 31.0}
