from __future__ import annotations

import time

import pytest

from mlctl.spec.expressions import expressions, is_well_formed, output_reference, substitute
from mlctl.types.address import Address
from mlctl.types.value import Unknown


def test_expressions_are_found_at_any_depth() -> None:
    tree = {"a": "${x.y.z}", "b": ["plain", {"c": "at ${p.q.r} and ${s.t.u}"}], "d": 5}
    assert list(expressions(tree)) == [(("a",), "x.y.z"), (("b", 1, "c"), "p.q.r"), (("b", 1, "c"), "s.t.u")]


@pytest.mark.parametrize("inner", ["", "a", "a.b", "a.b..d", "A.b.c", "a.b c.d", "a.b.c-d", "var.x"])
def test_other_shapes_are_no_reference(inner: str) -> None:
    assert output_reference(inner) is None


def test_space_inside_does_not_matter() -> None:
    assert output_reference(" training.a-b.model ") == (Address("training", "a-b"), "model")
    assert output_reference('training.eu.a["lr=0.1"].model') == (Address("training", 'eu.a["lr=0.1"]'), "model")


@pytest.mark.parametrize(
    ("text", "whole"),
    [("${a}", True), ("$5 and {x}", True), ("a ${b", False), ("${a ${b}", False), ("${a$b}", False), ("$${a}", True)],
)
def test_a_text_is_whole_when_every_expression_is_closed(text: str, whole: bool) -> None:
    assert is_well_formed(text) is whole


def test_a_text_of_nothing_but_openings_is_read_in_linear_time() -> None:
    started = time.process_time()
    text = "${" * 500_000
    assert not is_well_formed(text)
    assert list(expressions(text)) == []
    assert time.process_time() - started < 1


def test_outputs_are_put_in_and_unknown_ones_spread() -> None:
    outputs = {Address("d", "x"): {"rows": 3, "path": "p"}, Address("t", "y"): Unknown("t.y")}
    assert substitute({"a": "${d.x.rows}", "b": ["at ${d.x.path}!"]}, outputs) == {"a": 3, "b": ["at p!"]}
    assert substitute("at ${t.y.model}", outputs) == Unknown("t.y.model")
    with pytest.raises(KeyError, match=r"d\.x\.nothing"):
        substitute("${d.x.nothing}", outputs)
