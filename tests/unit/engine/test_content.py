"""What a build is made of: content and inputs by position, never names, and nothing that only says where it is noted."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pytest
from pydantic import Field

from mlctl.engine.desired import as_input, desire
from mlctl.provider import Context, Desired, Input, Reference, Spec
from mlctl.testing.fake import FakeBuild, FakeThing, FakeTool
from mlctl.types.address import Address, ObjectKey
from mlctl.types.state import Record
from mlctl.types.value import Unknown
from tests.properties.worlds import World

A, B, C = (Address("builds", name) for name in "abc")


class Inner(Spec):
    table: Annotated[str, Reference("builds")] | None = None


class Shaped(Spec):
    """Every place in which a name can stand."""

    one: Annotated[str, Reference("builds")] | None = None
    many: list[Annotated[str, Reference("builds")]] = Field(default_factory=list)
    weights: dict[Annotated[str, Reference("builds")], float] = Field(default_factory=dict)
    inner: Inner = Inner()
    text: str = ""
    kept: str = ""


class Shapes(FakeBuild):
    spec = Shaped
    settings: ClassVar[frozenset[str]] = frozenset({"tracking", "store"})
    metadata_settings: ClassVar[frozenset[str]] = frozenset({"tracking"})


def desired(tmp_path: Path, block: dict[str, Any], inputs: Mapping[Address, str], **settings: Any) -> Desired:
    ctx: Context = replace(World(tmp_path).context(), settings=settings)
    found: dict[Address, Input | Unknown] = {
        address: Input(ObjectKey(address, "1"), {"out": f"/{digest}", "digest": digest}, digest)
        for address, digest in inputs.items()
    }
    return desire(Shapes(FakeTool()), Address("builds", "x"), Shaped.model_validate(block), found, ctx)


@pytest.mark.parametrize(
    ("block", "renamed"),
    [
        ({"one": "a"}, {"one": "b"}),
        ({"many": ["a"]}, {"many": ["b"]}),
        ({"weights": {"a": 0.5}}, {"weights": {"b": 0.5}}),
        ({"inner": {"table": "a"}}, {"inner": {"table": "b"}}),
        ({"text": "${builds.a.out}"}, {"text": "${builds.b.out}"}),
        ({"text": "from ${builds.a.out} on"}, {"text": "from ${ builds.b.out } on"}),
    ],
)
def test_a_name_is_not_part_of_the_key(tmp_path: Path, block: dict[str, Any], renamed: dict[str, Any]) -> None:
    before, after = desired(tmp_path, block, {A: "d"}), desired(tmp_path, renamed, {B: "d"})
    assert before.identity == after.identity
    assert desired(tmp_path, renamed, {B: "other"}).identity != before.identity
    assert before.parts["input:builds.a"] == after.parts["input:builds.b"] == "d"
    assert after.named


def test_inputs_that_change_places_are_another_build(tmp_path: Path) -> None:
    block = {"one": "a", "many": ["b", "c"]}
    inputs = {A: "1", B: "2", C: "3"}
    same = {"one": "c", "many": ["a", "b"]}
    assert desired(tmp_path, block, inputs).identity == desired(tmp_path, same, {C: "1", A: "2", B: "3"}).identity
    for other in ({"one": "b", "many": ["a", "c"]}, {"one": "a", "many": ["c", "b"]}, {"one": "a", "many": ["b", "b"]}):
        assert desired(tmp_path, other, inputs).identity != desired(tmp_path, block, inputs).identity


def test_an_output_of_the_same_input_is_another_build(tmp_path: Path) -> None:
    inputs = {A: "1"}
    assert (
        desired(tmp_path, {"text": "${builds.a.out}"}, inputs).identity
        != desired(tmp_path, {"text": "${builds.a.digest}"}, inputs).identity
    )


def test_a_text_that_only_looks_like_a_name_stays(tmp_path: Path) -> None:
    assert desired(tmp_path, {"kept": "a", "one": "a"}, {A: "1"}).identity != (
        desired(tmp_path, {"kept": "b", "one": "b"}, {B: "1"}).identity
    )


def test_where_an_object_is_noted_is_not_part_of_the_key_and_other_settings_are(tmp_path: Path) -> None:
    base = desired(tmp_path, {}, {}, tracking={"uri": "x"}, store={"type": "s"})
    assert desired(tmp_path, {}, {}, tracking={"uri": "y"}, store={"type": "s"}).identity == base.identity
    assert desired(tmp_path, {}, {}, tracking={"uri": "x"}, store={"type": "t"}).identity != base.identity


def test_metadata_is_not_part_of_the_key(tmp_path: Path) -> None:
    base = desired(tmp_path, {}, {})
    for block in ({"description": "x"}, {"depends_on": ["builds.a"]}, {"timeout": "1h"}, {"retries": 2}):
        assert desired(tmp_path, block, {}).identity == base.identity
    assert desired(tmp_path, {"lifecycle": {"prevent_destroy": True, "retain": 3}}, {}).identity == base.identity


def test_what_its_tool_knows_by_its_address_is_another_input_under_another_name() -> None:
    tool = FakeTool()
    one, two = (Record(ObjectKey(Address("things", name), ""), outputs={"digest": "d"}) for name in "ab")
    assert as_input(FakeThing(tool), one).digest != as_input(FakeThing(tool), two).digest
    same = [Record(ObjectKey(address, "1"), outputs={"digest": "d"}) for address in (A, B)]
    assert as_input(FakeBuild(tool), same[0]).digest == as_input(FakeBuild(tool), same[1]).digest
