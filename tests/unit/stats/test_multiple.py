"""Adjusted p-values against statsmodels' figures and the laws they must keep."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlctl.stats.multiple import adjust, benjamini_hochberg, holm

P_VALUES = [0.01, 0.04, 0.03, 0.005, 0.5]


def test_reference() -> None:
    """statsmodels.stats.multitest.multipletests, methods holm and fdr_bh."""
    assert adjust(P_VALUES, "holm") == pytest.approx([0.04, 0.09, 0.09, 0.025, 0.5])
    assert adjust(P_VALUES, "bh") == pytest.approx([0.025, 0.05, 0.05, 0.025, 0.5])
    assert adjust([], "holm") == adjust([], "bh") == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_laws(p_values: list[float]) -> None:
    strict, loose = holm(p_values), benjamini_hochberg(p_values)
    for p, family, discovery in zip(p_values, strict, loose, strict=True):
        assert p <= discovery * (1 + 1e-12)
        assert discovery <= family * (1 + 1e-12)
        assert family <= 1
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    assert [strict[index] for index in order] == sorted(strict)
    assert [loose[index] for index in order] == sorted(loose)
    assert min(strict) == pytest.approx(min(1, len(p_values) * min(p_values)))
