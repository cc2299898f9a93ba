"""`ignore_changes` names fields that exist and that can stand while the project moves on."""

from typing import Annotated

import pytest
from pydantic import Field

from mlctl.provider import Block, Reference, Spec
from mlctl.spec.lifecycle import lifecycle_problems


class Small(Block):
    size: int = 1


class Named(Block):
    source: Annotated[str, Reference("datasets")] = ""


class Whole(Spec):
    plain: int = 0
    inner: Small = Small()
    either: Small | Named | None = None
    free: dict[str, Small] = Field(default_factory=dict)
    many: list[Named] = Field(default_factory=list)
    written: Annotated[str, Field(alias="class")] = ""
    source: Annotated[str, Reference("datasets")] = ""


def codes(*paths: str) -> list[str]:
    return [item.code for item in lifecycle_problems(Whole(lifecycle={"ignore_changes": list(paths)}))]


@pytest.mark.parametrize(
    "path", ["plain", "inner", "inner.size", "free", "free.any.thing", "class", "tags.team", "owner"]
)
def test_a_field_can_be_ignored(path: str) -> None:
    assert codes(path) == []


@pytest.mark.parametrize("path", ["plan", "inner.sise", "plain.more", "written", ""])
def test_what_is_no_field_is_refused(path: str) -> None:
    assert codes(path) == ["spec.unknown-field"]


@pytest.mark.parametrize(
    "path", ["source", "either", "many", "either.source", "lifecycle.retain", "depends_on", "retries"]
)
def test_what_names_a_resource_or_drives_the_engine_is_refused(path: str) -> None:
    assert codes(path) == ["spec.cannot-ignore"]


def test_each_problem_has_its_place_and_a_way_out() -> None:
    found = list(lifecycle_problems(Whole(lifecycle={"ignore_changes": ["plain", "inner.sise"]})))
    assert found[0].path == ("lifecycle", "ignore_changes", 1)
    assert "size" in found[0].fix
