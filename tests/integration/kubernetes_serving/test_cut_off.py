"""Whoever applies may be killed before any request to the cluster: the next apply ends where the first would have."""

from __future__ import annotations

from typing import Any

import pytest

from mlctl.providers.serving.kubernetes import kept
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.rollout import Order
from tests.integration.kubernetes_serving.api import Api
from tests.integration.kubernetes_serving.conftest import Deployed
from tests.integration.kubernetes_serving.direct import Direct, Killed
from tests.integration.kubernetes_serving.test_rollout import ROUTED, versions, weights
from tests.unit.providers.serving.kubernetes.blocks import CANARY, block

GIVEN = block({**ROUTED, "replicas": 2}, rollout=CANARY)


def story(deployed: Deployed, api: Api, cluster: type[Direct], killed_at: int | None) -> dict[str, Any]:
    """A version, a canary, its promotion, one that is taken back: each step repeated when it was killed."""
    cluster.requests, cluster.killed_at = 0, killed_at
    deployed.record = None
    _repeated(lambda: deployed.apply(GIVEN))
    _repeated(lambda: deployed.apply(GIVEN, version=4))
    assert weights(api) == {"3": 9, "4": 1}
    _order(deployed, api, Order(what="promote", full=True))
    assert weights(api) == {"4": 1}
    _repeated(lambda: deployed.apply(GIVEN, version=5))
    _order(deployed, api, Order(what="abort", why="no"))
    return {"weights": weights(api), "versions": versions(api), "names": sorted(api.objects)}


@pytest.mark.parametrize("every", [7, pytest.param(1, marks=pytest.mark.soak)])
def test_a_kill_before_any_request_changes_nothing_of_how_it_ends(
    by_kubectl: Deployed, api: Api, cluster: type[Direct], every: int
) -> None:
    expected = story(by_kubectl, api, cluster, None)
    assert expected["weights"] == {"4": 1}
    assert expected["versions"] == ["4"]
    number = cluster.requests
    assert number > 30
    for killed_at in range(1, number + 1, every):
        api.empty()
        assert story(by_kubectl, api, cluster, killed_at) == expected, killed_at


def test_two_who_move_one_rollout_do_not_overwrite_each_other(
    by_kubectl: Deployed, api: Api, cluster: type[Direct]
) -> None:
    by_kubectl.apply(GIVEN)
    by_kubectl.apply(GIVEN, version=4)
    assert by_kubectl.record is not None
    real = Direct.ours

    def between(self: Direct, *arguments: Any) -> Any:
        """Somebody else writes the state after it was read."""
        api.put({**api.of("ConfigMap")["churn-api-e40d-rollout"]})
        return real(self, *arguments)

    cluster.ours = between  # type: ignore[method-assign]
    with pytest.raises(MlctlError) as raised:
        kept.give(by_kubectl.record, Order(what="promote"), by_kubectl.ctx, by_kubectl.time)
    assert "modified" in raised.value.diagnostics[0].why
    assert weights(api) == {"3": 9, "4": 1}


def _repeated(do: Any) -> None:
    try:
        do()
    except Killed:
        do()


def _order(deployed: Deployed, api: Api, order: Order) -> None:
    """An order that was killed before it was taken is given again, as a person would; a taken one goes on by an apply."""
    assert deployed.record is not None
    try:
        kept.give(deployed.record, order, deployed.ctx, deployed.time)
    except Killed:
        kept.give(deployed.record, order, deployed.ctx, deployed.time)
