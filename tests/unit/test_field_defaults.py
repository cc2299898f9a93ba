"""A field that is not written: a change of it shows the default that holds then."""

from typing import Any, Literal

import pytest

from mlctl.provider import Block, Desired, Observed, Spec, diff_fields
from mlctl.types.address import Address, ObjectKey
from mlctl.types.state import Record
from mlctl.types.units import Duration


class Net(Block):
    type: Literal["mlp", "tree"] = "mlp"
    depth: int = 3


class Example(Spec):
    epochs: int = 10
    name: str
    note: str = ""
    net: Net = Net()
    extra: Net | None = None
    pause: Duration = 10.0


def changes(old: dict[str, Any], new: dict[str, Any], seen: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
    spec = Example.model_validate({"name": "a", **new})
    address = Address("builds", "a")
    desired = Desired(address, spec, spec.model_dump(mode="json", exclude_defaults=True), {}, {}, "k")
    record = Record(ObjectKey(address, "k"), spec={"name": "a", **old})
    return [
        (item.path, item.old, item.new, item.observed) for item in diff_fields(desired, record, Observed(seen or {}))
    ]


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ({"epochs": 20}, {}, ("epochs", 20, 10, 20)),
        ({}, {"pause": "1s"}, ("pause", "10s", "1s", "10s")),
        ({}, {"epochs": 20}, ("epochs", 10, 20, 10)),
        ({}, {"net": {"depth": 5}}, ("net.depth", 3, 5, 3)),
        ({"note": "x"}, {}, ("note", "x", None, "x")),  # an empty default says nothing
        ({"extra": {"depth": 5}}, {}, ("extra.depth", 5, None, 5)),  # there is no such block any more
    ],
)
def test_a_field_that_is_not_written_shows_its_default(
    old: dict[str, Any], new: dict[str, Any], found: tuple[Any, ...]
) -> None:
    assert changes(old, new) == [found]


def test_a_block_that_changed_its_type_has_other_defaults() -> None:
    found = changes({"net": {"type": "tree", "depth": 5}}, {})
    assert ("net.depth", 5, None, 5) in found


def test_drift_of_a_field_that_is_not_written_is_told_against_the_default() -> None:
    assert changes({}, {}, {"epochs": 7}) == [("epochs", 10, 10, 7)]
