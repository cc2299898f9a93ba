"""On-demand views by their blocks and their code, without running it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mlctl.provider import Context, Kind
from mlctl.providers.feast.on_demand import OnDemandView
from mlctl.providers.feast.spec import FeatureViewSpec, OnDemandViewSpec
from mlctl.testing.harness import make_context, make_desired
from mlctl.types.address import Address, ObjectKey
from mlctl.types.state import Record

CODE = """
from src.units import cents

def ratios(spent_7d, basket):
    return {"share": basket / spent_7d}

def everything(**columns):
    return {"share": columns["basket"]}

def defaulted(basket=0):
    return {}

def positional(*columns):
    return {}

def nothing():
    return {}
"""
BLOCK: dict[str, Any] = {
    "function": "src/features.py:ratios",
    "request": {"basket": "float64"},
    "views": ["spending"],
    "features": {"share": "float64"},
}
VIEW = FeatureViewSpec.model_validate(
    {
        "entity": "household",
        "source": "purchases",
        "features": {"spent": {"aggregate": "sum", "column": "price", "windows": ["7d", "30d"]}},
    }
)
OTHER = FeatureViewSpec.model_validate({"entity": "household", "source": "scores", "features": {"risk": {}}})


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "features.py").write_text(CODE)
    (tmp_path / "src" / "units.py").write_text("cents = 100\n")
    return make_context(tmp_path)


def problems(ctx: Context, **changed: Any) -> list[tuple[str, tuple[Any, ...]]]:
    """All that is found offline, by the block alone and beside the views of the project."""
    spec = OnDemandViewSpec.model_validate({**BLOCK, **changed})
    address = Address("on_demand_views", "ratios")
    specs = {
        Address("feature_views", "spending"): VIEW,
        Address("feature_views", "scores"): OTHER,
        address: spec,
    }
    together = OnDemandView().check_together(specs, {address: ()}, ctx)
    return [(item.code, item.path) for item in [*OnDemandView().check(spec, ctx), *(item for _, item in together)]]


def identity(ctx: Context, name: str = "ratios", **changed: Any) -> str:
    outputs = {"features": {"spent_7d": "float64", "spent_30d": "float64"}, "digest": "v"}
    view = Record(ObjectKey.parse("feature_views.spending#"), "spending", outputs=outputs)
    inputs = {"feature_views.spending": view}
    return make_desired(OnDemandView(), f"on_demand_views.{name}", {**BLOCK, **changed}, ctx, inputs).key.identity


def test_it_is_a_kind() -> None:
    assert isinstance(OnDemandView(), Kind)


@pytest.mark.parametrize("changed", [{}, {"function": "src/features.py:everything"}])
def test_a_sound_block_has_no_problem(ctx: Context, changed: dict[str, Any]) -> None:
    assert problems(ctx, **changed) == []


@pytest.mark.parametrize(
    ("changed", "code", "path"),
    [
        ({"function": "src/feature.py:ratios"}, "features.function-missing", ("function",)),
        ({"function": "src/features.py:ratio"}, "features.function-missing", ("function",)),
        ({"function": "../features.py:ratios"}, "spec.path-outside", ("function",)),
        ({"function": "src/features.py:defaulted"}, "features.function-signature", ("function",)),
        ({"function": "src/features.py:positional"}, "features.function-signature", ("function",)),
        ({"request": {}}, "features.unknown-input", ("function",)),
        ({"request": {"basket": "float64", "coupon": "int64"}}, "features.unused", ("request", "coupon")),
        ({"views": ["spending", "scores"]}, "features.unused", ("views", 1)),
        ({"views": ["scores"]}, "features.unknown-input", ("function",)),
        ({"features": {"Basket": "float64"}}, "features.name-collision", ("features", "Basket")),
        ({"features": {"spent_30d": "float64"}}, "features.name-collision", ("features", "spent_30d")),
        ({"features": {"event_timestamp": "int64"}}, "features.name-collision", ("features", "event_timestamp")),
    ],
)
def test_what_does_not_go_together_is_found_offline(
    ctx: Context, changed: dict[str, Any], code: str, path: tuple[Any, ...]
) -> None:
    assert (code, path) in problems(ctx, **changed)


def test_a_function_that_reads_nothing_computes_no_feature(ctx: Context) -> None:
    found = problems(ctx, function="src/features.py:nothing", request={}, views=[])
    assert found == [("features.function-signature", ("function",))]


@pytest.mark.parametrize("changed", [{"function": "src/features.py"}, {"features": {}}, {"request": {"a": "text"}}])
def test_what_the_block_refuses(changed: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        OnDemandViewSpec.model_validate({**BLOCK, **changed})


def test_code_that_is_not_python_is_told_with_its_line(ctx: Context) -> None:
    (ctx.root / "src" / "units.py").write_text("cents = (\n")
    (found,) = OnDemandView().check(OnDemandViewSpec.model_validate(BLOCK), ctx)
    assert found.code == "features.function-unreadable"
    assert "units.py" in found.why


def test_the_code_it_imports_is_part_of_what_it_is_and_its_name_and_description_are_not(ctx: Context) -> None:
    before = identity(ctx)
    assert identity(ctx, description="how much of it", owner="me") == before
    assert identity(ctx, name="shares") == before
    (ctx.root / "src" / "units.py").write_text("cents = 1000\n")
    assert identity(ctx) != before


@pytest.mark.parametrize("changed", [{"request": {"basket": "float32"}}, {"features": {"share": "float32"}}])
def test_types_are_part_of_what_it_is(ctx: Context, changed: dict[str, Any]) -> None:
    assert identity(ctx, **changed) != identity(ctx)
