"""What Envoy's counters mean."""

from __future__ import annotations

import pytest

from mlctl.runtime.gateway.envoy.admin import counts_of


@pytest.mark.parametrize(
    ("cluster", "counters", "counted"),
    [
        ("stable-1", {"upstream_rq_2xx": 7, "upstream_rq_4xx": 2, "upstream_rq_5xx": 1}, (10, 1)),
        ("candidate-1", {"upstream_rq_2xx": 7, "upstream_rq_retry_success": 3}, (7, 3)),
        ("stable-1", {"upstream_rq_2xx": 7, "upstream_rq_retry_success": 3}, (7, 0)),
        ("candidate-1-mirror", {"upstream_rq_2xx": 7, "upstream_rq_5xx": 5, "upstream_rq_pending_overflow": 4}, (8, 1)),
        ("candidate-1-mirror", {"upstream_rq_2xx": 7, "upstream_rq_max_duration_reached": 2}, (9, 2)),
    ],
)
def test_requests_and_errors_of_a_cluster(cluster: str, counters: dict[str, int], counted: tuple[int, int]) -> None:
    assert counts_of({f"cluster.{cluster}.{name}": value for name, value in counters.items()}) == {cluster: counted}


def test_an_answer_that_was_cut_off_is_an_error_of_its_cluster_only() -> None:
    found = {"cluster.a-1.upstream_rq_2xx": 5, "cluster.b-1.upstream_rq_2xx": 5, "mlctl.cut_answers.cluster.a-1": 2}
    assert counts_of(found) == {"a-1": (5, 2), "b-1": (5, 0)}


def test_a_cluster_without_a_request_is_not_there() -> None:
    assert counts_of({"cluster.a-1.upstream_rq_2xx": 0, "cluster.a-1.upstream_rq_retry_success": 0}) == {}
