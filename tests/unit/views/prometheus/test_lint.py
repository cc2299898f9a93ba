from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from mlctl.runtime.middleware.metrics import Counts
from mlctl.runtime.middleware.tally import Tally
from mlctl.views.prometheus.lint import lint
from mlctl.views.prometheus.page import Family, read, render
from tests.unit.runtime.middleware.client import settings

GOOD = "# HELP mlctl_x_seconds How long.\n# TYPE mlctl_x_seconds gauge\n"


def rules(text: str, *, everything: bool = False) -> list[str]:
    return [problem.rule for problem in lint(read(text), everything=everything)]


def test_what_we_write_is_read_back_and_has_no_problem() -> None:
    odd = 'a "b" \\ c\nd\x0ce\u2028f'
    text = render(
        [
            Family("mlctl_x_seconds", "How\nlong", (({"part": odd}, 1.5), ({"part": "n"}, float("nan")))),
            Family("mlctl_y", "None", ()),
        ]
    )
    page = read(text)
    [series] = page.series
    assert (series.name, dict(series.labels), series.value, page.broken) == (
        "mlctl_x_seconds",
        {"part": odd},
        "1.5",
        [],
    )
    assert rules(text) == []


def test_the_page_of_a_server_has_no_problem() -> None:
    tally = Tally()
    variant = tally.variant("stable", False)
    variant.request(200, 0.01, 0.001)
    variant.answered({"completion_tokens": 5, "prompt_tokens": 3, "ttft_seconds": 0.001}, 0.01)
    variant.exemplar(0.01, "0af7651916cd43dd8448eb211c80319c")
    tally.variant("candidate", shadow=True).request(500, 0.01, 0.0)
    registry = CollectorRegistry()
    registry.register(Counts(settings(), lambda: {"process": {"cpu_seconds": 1.0}, **tally.to_json()}, tally))
    text = generate_latest(registry).decode()
    assert "mlctl_requests_total{" in text
    assert "mlctl_spans_dropped_total" in text
    assert rules(text, everything=True) == []


def test_exemplars_are_told_only_in_openmetrics_and_are_in_the_bucket_of_their_time() -> None:
    from prometheus_client.openmetrics.exposition import generate_latest as openmetrics
    from prometheus_client.openmetrics.parser import text_string_to_metric_families

    tally = Tally()
    for seconds in (0.01, 0.0101, 1e9):
        tally.variant("stable", False).request(200, seconds, 0)
        tally.variant("stable", False).exemplar(seconds, f"{int(seconds * 1e4):032x}")
    registry = CollectorRegistry()
    registry.register(Counts(settings(), lambda: {"process": {"cpu_seconds": 1.0}, **tally.to_json()}, tally))
    assert "trace_id" not in generate_latest(registry).decode()
    families = text_string_to_metric_families(
        openmetrics(registry).decode()
    )  # refuses an exemplar outside of its bucket
    found = [sample.exemplar for family in families for sample in family.samples if sample.exemplar is not None]
    assert {int(item.labels["trace_id"], 16) for item in found} >= {10**13}
    assert len(found) in (2, 3)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("# TYPE mlctl_x gauge\nmlctl_x 1\n", "help"),
        ("# HELP mlctl_x X\nmlctl_x 1\n", "type"),
        ("# HELP mlctl_x X\n# TYPE mlctl_x counter\nmlctl_x 1\n", "total"),
        ("# HELP mlctl_x_total X\n# TYPE mlctl_x_total gauge\nmlctl_x_total 1\n", "total"),
        ("# HELP mlctl_x_count X\n# TYPE mlctl_x_count gauge\nmlctl_x_count 1\n", "suffix"),
        ("# HELP mlctl_x_ms X\n# TYPE mlctl_x_ms gauge\nmlctl_x_ms 1\n", "unit"),
        ("# HELP mlctl_x_percent X\n# TYPE mlctl_x_percent gauge\nmlctl_x_percent 1\n", "unit"),
        ("# HELP mlctl_xY X\n# TYPE mlctl_xY gauge\nmlctl_xY 1\n", "name"),
        (GOOD + 'mlctl_x_seconds{user_id="1"} 1\n', "id-label"),
        (GOOD + 'mlctl_x_seconds{who="8f14e45f-ceea-467f-a9d6-5a1b2c3d4e5f"} 1\n', "id-value"),
        (GOOD + 'mlctl_x_seconds{who="ann@shop.example"} 1\n', "id-value"),
        (GOOD + "mlctl_x_seconds 1\nmlctl_x_seconds 2\n", "duplicate"),
        (GOOD + "".join(f'mlctl_x_seconds{{part="p{number}"}} 1\n' for number in range(1001)), "cardinality"),
        (GOOD + "this is none\n", "unreadable"),
    ],
)
def test_each_fault_is_found_and_nothing_else(text: str, rule: str) -> None:
    assert rules(text) == [rule]


def test_metrics_of_others_are_looked_at_only_when_asked() -> None:
    text = '# HELP vllm:x_ms X\n# TYPE vllm:x_ms gauge\nvllm:x_ms{user_id="1"} 1\n'
    assert rules(text) == []
    assert set(rules(text, everything=True)) == {"name", "id-label", "unit"}


def test_a_histogram_is_counted_once_for_all_its_buckets() -> None:
    head = "# HELP mlctl_x_seconds X\n# TYPE mlctl_x_seconds histogram\n"
    buckets = "".join(f'mlctl_x_seconds_bucket{{le="{number}"}} 1\n' for number in range(2000))
    assert rules(head + buckets + "mlctl_x_seconds_count 1\nmlctl_x_seconds_sum 1\n") == []
