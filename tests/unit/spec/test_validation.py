# ruff: noqa: RUF012  pydantic copies defaults

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, model_validator

from mlctl.provider import Block
from mlctl.spec.suggest import Suggestions
from mlctl.spec.validation import Problem, validate
from mlctl.types.units import Duration, Share


class Color(StrEnum):
    RED = "red"
    BLUE = "blue"


class Left(Block):
    kind: Literal["left"] = "left"
    size: int


class Right(Block):
    kind: Literal["right"] = "right"
    label: str
    deep: dict[str, list[int]] = {}


class Rule(Block):
    """Written `{NAME: {...}}`, as rules of data checks are."""

    name: str
    columns: tuple[str, ...]
    color: Color = Color.RED

    @model_validator(mode="before")
    @classmethod
    def _unfold(cls, value: Any) -> Any:
        if isinstance(value, dict) and len(value) == 1:
            ((name, fields),) = value.items()
            return {"name": name, **fields}
        return value


class Model(Block):
    whole: int = 1
    number: float = 1.0
    text: str = ""
    flag: bool = False
    color: Color = Color.RED
    sizes: tuple[int, ...] = ()
    names: list[str] = Field([], min_length=0, max_length=2)
    window: Duration = 60.0
    share: Share = 0.5
    small: Annotated[int, Field(ge=1, le=9)] = 1
    word: Annotated[str, Field(pattern="^[a-z]+$", min_length=1)] = "a"
    side: Left | Right | None = None
    chosen: Annotated[Left | Right, Field(discriminator="kind")] | None = None
    mixed: int | list[int] | None = None
    rules: list[Rule] = []
    free: Any = None


def told(values: dict[str, Any]) -> list[Problem]:
    made, problems = validate(Model, values, json.dumps(values), "kind.x", Suggestions())
    assert (made is None) == bool(problems)
    return problems


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"whole": 3, "number": 3, "sizes": [1, 2], "color": "blue", "window": "7d", "share": "15%"},
        {"share": 0.15, "free": {"a": [1, "x", None]}, "mixed": [1], "side": {"size": 3}},
        {"rules": [{"not_null": {"columns": ["a", "b"], "color": "blue"}}], "chosen": {"kind": "right", "label": "x"}},
    ],
)
def test_what_fits_is_taken(values: dict[str, Any]) -> None:
    assert told(values) == []


@pytest.mark.parametrize(
    ("values", "summary", "why", "fix"),
    [
        (
            {"whole": "8"},
            "kind.x.whole takes a whole number",
            "the text `8` stands there",
            "write a number, without quotes",
        ),
        ({"whole": True}, "kind.x.whole takes a whole number", "`true` stands there", ""),
        ({"whole": 1.5}, "kind.x.whole takes a whole number", "the number `1.5` stands there", ""),
        ({"whole": None}, "kind.x.whole takes a whole number", "nothing stands there", ""),
        (
            {"number": "nan"},
            "kind.x.number takes a finite number",
            "the text `nan` stands there",
            "write a number, without quotes",
        ),
        ({"number": False}, "kind.x.number takes a number", "`false` stands there", ""),
        ({"text": 1.0}, "kind.x.text takes a text", "the number `1.0` stands there", "put quotes around it"),
        ({"text": ["a"]}, "kind.x.text takes a text", "a list stands there", ""),
        ({"flag": "no"}, "kind.x.flag takes `true` or `false`", "the text `no` stands there", "write `false`"),
        ({"flag": "ON"}, "kind.x.flag takes `true` or `false`", "the text `ON` stands there", "write `true`"),
        ({"names": "a"}, "kind.x.names takes a list", "the text `a` stands there", "write the item in brackets: `[…]`"),
        (
            {"mixed": "a"},
            "kind.x.mixed takes a whole number or a list",
            "the text `a` stands there",
            "write a number, without quotes",
        ),
        ({"rules": [[1]]}, "kind.x.rules[0] takes a block", "a list stands there", ""),
    ],
)
def test_wrong_types_say_what_was_expected_and_what_stands_there(
    values: dict[str, Any], summary: str, why: str, fix: str
) -> None:
    (problem,) = told(values)
    assert (problem.code, problem.summary, problem.why, problem.fix) == ("spec.wrong-type", summary, why, fix)


@pytest.mark.parametrize(
    ("values", "summary"),
    [
        ({"small": 0}, "kind.x.small takes 1 or more"),
        ({"small": 10}, "kind.x.small takes 9 or less"),
        ({"word": "A1"}, "kind.x.word takes a text that matches `^[a-z]+$`"),
        ({"word": ""}, "kind.x.word takes a text of at least 1 characters"),
        ({"names": ["a", "b", "c"]}, "kind.x.names takes at most 2 entries"),
        ({"color": "rad"}, "kind.x.color cannot be `rad`"),
        ({"share": "115%"}, "kind.x.share: '115%' is not a share; write `15%` or `0.15`"),
        ({"chosen": {"kind": "lft", "size": 1}}, "kind.x.chosen.kind cannot be `lft`"),
        ({"rules": [{"unique": {"columns": ["a"], "color": "bleu"}}]}, "kind.x.rules[0].unique.color cannot be `bleu`"),
    ],
)
def test_wrong_values_say_what_would_fit(values: dict[str, Any], summary: str) -> None:
    (problem,) = told(values)
    assert (problem.code, problem.summary) == ("spec.bad-value", summary)


def test_choices_suggest_the_nearest() -> None:
    (problem,) = told({"color": "rad"})
    assert (problem.why, problem.fix) == ("it takes `red` or `blue`", "did you mean `red`?")
    (problem,) = told({"chosen": {"kind": "lft", "size": 1}})
    assert (problem.path, problem.fix) == (("chosen", "kind"), "did you mean `left`?")


@pytest.mark.parametrize(
    ("values", "path", "fix"),
    [
        ({"hole": 1}, ("hole",), "did you mean `whole`?"),
        ({"side": {"label": "x", "dep": {}}}, ("side", "dep"), "did you mean `deep`?"),
        ({"chosen": {"kind": "left", "size": 1, "sise": 2}}, ("chosen", "sise"), "did you mean `size`?"),
    ],
)
def test_unknown_fields_suggest_those_of_their_own_block(
    values: dict[str, Any], path: tuple[str, ...], fix: str
) -> None:
    (problem,) = told(values)
    assert (problem.code, problem.path, problem.fix, problem.at_key) == ("spec.unknown-field", path, fix, True)


def test_of_a_union_only_the_branch_that_was_meant_is_told_about() -> None:
    (problem,) = told({"side": {"label": "x", "deep": {"a": [1, "b"]}}})
    assert (problem.path, problem.code) == (("side", "deep", "a", 1), "spec.wrong-type")
    (problem,) = told({"mixed": [1, "x"]})
    assert (problem.path, problem.summary) == (("mixed", 1), "kind.x.mixed[1] takes a whole number")


def test_missing_fields_are_placed_at_their_block() -> None:
    (problem,) = told({"chosen": {"kind": "left"}})
    assert (problem.code, problem.path, problem.at_key) == ("spec.missing-field", ("chosen",), True)
    (problem,) = told({"chosen": {"size": 1}})
    assert problem.summary == "kind.x.chosen needs the field `kind`"


def test_expressions_stand_only_in_text() -> None:
    (problem,) = told({"whole": "${datasets.x.rows}", "text": "${datasets.x.path}"})
    assert (problem.code, problem.path) == ("spec.expression-outside-text", ("whole",))


def test_coercions_are_told_beside_other_problems() -> None:
    assert [item.path for item in told({"small": 0, "flag": "yes", "whole": True})] == [
        ("small",),
        ("whole",),
        ("flag",),
    ]


def test_a_block_that_is_wrong_all_over_is_told_in_part() -> None:
    assert len(told({"sizes": ["x"] * 10_000, "free": "y" * 10_000})) == 50


def test_long_texts_are_cut_in_messages() -> None:
    (problem,) = told({"whole": "x" * 100_000})
    assert len(problem.why) < 100


def test_a_name_that_cannot_be_one_is_blamed_and_not_what_it_names() -> None:
    class Named(BaseModel):
        items: dict[Annotated[str, Field(pattern="^[a-z]+$")], dict[str, int]]

    values = {"items": {"größe": {}}}
    _, problems = validate(Named, values, json.dumps(values), "kind.x", lambda name, known: "")
    (problem,) = problems
    assert (problem.path, problem.at_key) == (("items", "größe"), True)
    assert problem.summary == "`größe` cannot be a name in kind.x.items"
    assert problem.why == "a name there is a text that matches `^[a-z]+$`"
