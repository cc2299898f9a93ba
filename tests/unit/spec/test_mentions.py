# ruff: noqa: RUF012  pydantic copies defaults

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from mlctl.provider import Block, Provided, Reference, Spec
from mlctl.spec.mentions import Mention, mentions


class Inner(Block):
    table: Annotated[str, Reference("tables")]


class Other(Block):
    type: Literal["other"] = "other"
    view: Annotated[str | None, Reference("views")] = None
    plain: str = ""


class Tree(Block):
    name: Annotated[str, Reference("tables")]
    children: list[Tree] = []


class Everything(Spec):
    one: Annotated[str, Reference("tables", guards=True)] = "one"
    optional: Annotated[str, Reference("tables")] | None = "optional"
    many: list[Annotated[str, Reference("tables")]] = ["a", "b"]
    marked_list: Annotated[list[str], Reference("views")] = ["c"]
    by_name: dict[str, Annotated[str, Reference("tables")] | None] = {"k": "v", "n": None}
    keyed: dict[Annotated[str, Reference("views")], int] = {"view": 1}
    nested: dict[str, list[Inner]] = {"x": [Inner(table="deep")]}
    either: Inner | Other | Literal["none"] = Other(view="v1", plain="p")
    text_or_list: Annotated[str, Reference("tables")] | Sequence[Annotated[str, Reference("views")]] = ("v2",)
    pair: tuple[str, Annotated[str, Reference("tables")]] = ("not", "yes")
    tree: Tree | None = Tree(name="root", children=[Tree(name="leaf")])
    model: Annotated[str, Provided("model")] = "m@champion"
    written: Annotated[str, Reference("tables"), Field(alias="from")] = "source"
    anything: Mapping[str, Any] = {"table": "x"}


def test_every_marked_text_is_found_with_its_place() -> None:
    found = {(item.path, item.text, item.marker) for item in mentions(Everything())}
    tables, views = Reference("tables"), Reference("views")
    assert found == {
        (("one",), "one", Reference("tables", guards=True)),
        (("optional",), "optional", tables),
        (("many", 0), "a", tables),
        (("many", 1), "b", tables),
        (("marked_list", 0), "c", views),
        (("by_name", "k"), "v", tables),
        (("keyed", "view"), "view", views),
        (("nested", "x", 0, "table"), "deep", tables),
        (("either", "view"), "v1", views),
        (("text_or_list", 0), "v2", views),
        (("pair", 1), "yes", tables),
        (("tree", "name"), "root", tables),
        (("tree", "children", 0, "name"), "leaf", tables),
        (("model",), "m@champion", Provided("model")),
        (("from",), "source", tables),
    }


def test_the_branch_of_a_union_is_the_one_of_the_value() -> None:
    block = Everything(either="none", text_or_list="t", optional=None, tree=None)
    found = {item.path: item for item in mentions(block)}
    assert found["text_or_list",] == Mention(("text_or_list",), "t", Reference("tables"))
    assert not {("either",), ("optional",), ("tree", "name")} & found.keys()


def test_a_block_without_markers_has_none() -> None:
    assert list(mentions(Spec(description="x", tags={"a": "b"}))) == []
