"""The figures of an analysis are those of statsmodels and tea-tasting on the same rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlctl.stats.arm_metrics import Moments, contrast
from mlctl.types.jobs.experiment import Metric
from tests.unit.runtime.experiment.world import EXPOSURES, TIME, Data, sums, when

pytestmark = pytest.mark.tools


@pytest.fixture(scope="module")
def units() -> dict[str, Any]:
    """Users with a figure before, one after, and sessions that go with it."""
    chance = np.random.default_rng(7)
    number = 3000
    before = chance.gamma(4.0, 3.0, number)
    arm = chance.integers(0, 2, number)
    sessions = chance.poisson(3, number) + 1
    value = 0.7 * before + chance.normal(0, 3, number) + 0.5 * arm + 0.4 * sessions
    return {"arm": arm, "before": before, "sessions": sessions, "value": value}


@pytest.fixture(scope="module")
def moments(units: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The same users as rows of files, read by the program: each figure after is two rows, and so are its sessions."""
    data = Data(tmp_path_factory.mktemp("oracle"))
    data.columns = (EXPOSURES, {"user": "varchar", "at": TIME, "value": "double", "sessions": "bigint"})
    names = ("control", "treatment")
    exposures = [[f"u{n}", names[arm], when(24), "de"] for n, arm in enumerate(units["arm"])]
    outcomes: list[list[Any]] = []
    for n in range(len(units["arm"])):
        outcomes.append([f"u{n}", when(2), repr(float(units["before"][n])), 0])
        outcomes.append([f"u{n}", when(25), repr(float(units["value"][n]) - 1), int(units["sessions"][n]) - 1])
        outcomes.append([f"u{n}", when(26), 1, 1])
    common: dict[str, Any] = {"column": "value", "aggregate": "sum", "window_seconds": 86_400}
    metrics = [
        Metric(name="mean", type="mean", **common),
        Metric(name="cuped", type="mean", pre_seconds=86_400, **common),
        Metric(name="ratio", type="ratio", denominator="sessions", **common),
        Metric(name="ratio_cuped", type="ratio", denominator="sessions", pre_seconds=86_400, **common),
        Metric(
            name="many",
            type="proportion",
            column="sessions",
            aggregate="any",
            window_seconds=3600 * 1.5,
        ),
    ]
    return data.read(exposures, outcomes, metrics)


def arms(moments: dict[str, Any], metric: str) -> tuple[Moments, Moments]:
    left, right = (sums(moments, arm, metric) for arm in ("control", "treatment"))
    return Moments(**left), Moments(**right)  # type: ignore[arg-type]


def oracle(units: dict[str, Any], metric: Any) -> Any:
    import pandas
    import tea_tasting as tt

    frame = pandas.DataFrame(
        {"variant": units["arm"], **{name: units[name] for name in ("value", "before", "sessions")}}
    )
    return tt.Experiment(found=metric).analyze(frame)["found"]


def test_a_mean(units: dict[str, Any], moments: dict[str, Any]) -> None:
    from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

    found = contrast("mean", *arms(moments, "mean"))
    one, other = (units["value"][units["arm"] == arm] for arm in (1, 0))
    compared = CompareMeans(DescrStatsW(one), DescrStatsW(other))
    _, p_value, _ = compared.ttest_ind(usevar="unequal")
    assert found.difference == pytest.approx(one.mean() - other.mean(), rel=1e-9)
    assert found.error == pytest.approx(compared.std_meandiff_separatevar, rel=1e-9)
    assert found.p_value == pytest.approx(p_value, rel=1e-3)


def test_a_mean_with_a_covariate(units: dict[str, Any], moments: dict[str, Any]) -> None:
    import tea_tasting as tt

    told = oracle(units, tt.Mean("value", covariate="before"))
    plain, found = contrast("mean", *arms(moments, "mean")), contrast("mean", *arms(moments, "cuped"), cuped=True)
    assert found.difference == pytest.approx(told.effect_size, rel=1e-6)
    assert found.p_value == pytest.approx(told.pvalue, rel=0.01)
    assert found.error < 0.7 * plain.error


def test_a_ratio(units: dict[str, Any], moments: dict[str, Any]) -> None:
    import tea_tasting as tt

    told = oracle(units, tt.RatioOfMeans("value", "sessions"))
    found = contrast("ratio", *arms(moments, "ratio"))
    assert found.control.value == pytest.approx(told.control, rel=1e-9)
    assert found.difference == pytest.approx(told.effect_size, rel=1e-9)
    assert found.p_value == pytest.approx(told.pvalue, rel=1e-2)


def test_a_ratio_with_a_covariate(units: dict[str, Any], moments: dict[str, Any]) -> None:
    import tea_tasting as tt

    told = oracle(units, tt.RatioOfMeans("value", "sessions", numer_covariate="before"))
    found = contrast("ratio", *arms(moments, "ratio_cuped"), cuped=True)
    assert found.difference == pytest.approx(told.effect_size, rel=1e-4)
    assert found.p_value == pytest.approx(told.pvalue, rel=0.05)


def test_a_proportion(units: dict[str, Any], moments: dict[str, Any]) -> None:
    from statsmodels.stats.proportion import proportions_ztest

    left, right = arms(moments, "many")
    expected = [int((units["sessions"][units["arm"] == arm] > 1).sum()) for arm in (0, 1)]
    assert [left.y, right.y] == expected
    z, p_value = proportions_ztest([right.y, left.y], [right.n, left.n])
    found = contrast("proportion", left, right)
    assert (found.z, found.p_value) == (pytest.approx(z, rel=1e-9), pytest.approx(p_value, rel=1e-9))
