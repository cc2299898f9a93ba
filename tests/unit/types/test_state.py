"""What is kept of an object is of the type it should be, read from a file or given by a kind; nothing later asks again."""

from __future__ import annotations

from typing import Any

import pytest

from mlctl.provider import Outcome
from mlctl.types.address import Address, ObjectKey
from mlctl.types.state import Approval, Failure, Gate, Held, Pending, Record, Use

KEY = ObjectKey.parse("builds.a#1")
WHOLE = Record(
    KEY,
    id="1",
    spec={"value": 1},
    parts={"spec": "d"},
    uses=(Use(ObjectKey.parse("builds.b#2"), "d"),),
    outputs={"digest": "d"},
    gate=Gate(False, "too low", ("0.7 < 0.8",), Approval("ann", "known", "2026-01-01T00:00:00Z")),
    pending=Pending.APPLY,
    sequence=3,
    provenance={"at": "2026-01-01T00:00:00Z"},
    protected=True,
    origin=ObjectKey.parse("builds.old#1"),
    failure=Failure(2, "2026-01-01T00:00:00Z", "it broke", "d"),
    after=(Address("builds", "c"),),
)


def test_a_record_with_everything_survives_a_round_trip() -> None:
    assert Record.from_json(KEY, WHOLE.to_json()) == WHOLE


@pytest.mark.parametrize("name", sorted(WHOLE.to_json()))
@pytest.mark.parametrize("value", [None, 5, True, 1.5, "text", [1], {"a": 1}], ids=repr)
def test_a_field_of_another_type_is_refused(name: str, value: Any) -> None:
    stored = WHOLE.to_json()
    if name == "pending" and value is None:
        pytest.skip("that is how none is said")
    if type(value) is type(stored[name]) and name not in ("parts", "uses", "after", "gate", "failure"):
        pytest.skip("it is of that type")
    with pytest.raises((TypeError, ValueError, KeyError)):
        Record.from_json(KEY, {**stored, name: value})


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("parts", "spec"), 1),
        (("uses", "builds.b#2"), None),
        (("gate", "passed"), "yes"),
        (("gate", "passed"), 1),
        (("gate", "summary"), ["x"]),
        (("gate", "details"), "abc"),
        (("gate", "details"), {"a": 1}),
        (("gate", "details"), [1]),
        (("gate", "approval", "who"), 5),
        (("failure", "count"), "two"),
        (("failure", "count"), True),
        (("failure", "summary"), []),
    ],
    ids=str,
)
def test_a_field_inside_of_another_type_is_refused(path: tuple[str, ...], value: Any) -> None:
    stored = WHOLE.to_json()
    inside = stored
    for name in path[:-1]:
        inside = inside[name]
    inside[path[-1]] = value
    with pytest.raises(TypeError):
        Record.from_json(KEY, stored)


@pytest.mark.parametrize("name", ["spec", "outputs", "provenance"])
def test_a_value_that_would_end_whatever_compares_it_is_refused(name: str) -> None:
    value: dict[str, Any] = {}
    for _ in range(60):
        value = {"a": [value]}
    with pytest.raises(TypeError, match="100 levels"):
        Record.from_json(KEY, {**WHOLE.to_json(), name: value})
    with pytest.raises(TypeError, match="100 levels"):
        Outcome("1", value)
    for _ in range(15):
        value = value["a"][0]
    assert Record.from_json(KEY, {**WHOLE.to_json(), name: value})
    assert Outcome("1", value)


@pytest.mark.parametrize(
    "given", [{"id": 42}, {"outputs": {1: "a"}}, {"outputs": [1]}, {"gate": {"passed": True}}], ids=str
)
def test_what_a_kind_made_is_refused_when_the_state_could_not_be_read_with_it(given: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        Outcome(**{"id": "1", **given})


def test_a_rollback_that_is_no_text_is_refused() -> None:
    with pytest.raises(TypeError, match="reason"):
        Held("r1", 5, "ann", "2026-01-01T00:00:00Z")  # type: ignore[arg-type]
