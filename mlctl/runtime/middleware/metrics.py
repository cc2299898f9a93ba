"""The counts as Prometheus reads them. They are made when somebody asks, so a request pays nothing for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from .call import CANDIDATE, SHADOW, STABLE
from .settings import Settings
from .tally import BOUNDS, ROWS, Json, Tally, added

_EVERY = 5  # of the 170 bounds: enough for a graph, each 1.6 times the one before
_LABELS = ("deployment", "model", "version", "variant", "role")


class Counts(Collector):
    """Collects what a function gives, in the form of `StatsFile.all`."""

    def __init__(self, settings: Settings, read: Callable[[], Json], tally: Tally) -> None:
        self._who = [settings.deployment, settings.model, settings.version]
        self._version = settings.version
        self._read = read
        self._tally = tally  # of this process, for its exemplars

    def describe(self) -> list[Metric]:
        """Nothing is known before it is asked for."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Every metric, with all processes of the server added up."""
        counts = self._read()
        versions = counts.get("versions", {"variants": {}, "shadow": {}})
        variants = []
        for name, values in counts["variants"].items():
            role = "canary" if name == CANDIDATE else STABLE
            for version, part in self._by_version(versions["variants"].get(name) or {"": values}).items():
                variants.append((self._labels(version, name, role), self._with_exemplars(name, version, part)))
        if counts["shadow"]["requests"]:
            for version, part in self._by_version(versions["shadow"] or {"": counts["shadow"]}).items():
                variants.append((self._labels(version, CANDIDATE, SHADOW), part))
        yield from _of_requests(variants)
        yield from _of_answers(variants)
        yield from _of_server(self._who, counts)

    def _by_version(self, parts: Json) -> Json:
        """What was counted of each version: requests that no adapter answered are the server's own."""
        found: Json = {}
        for version, part in parts.items():
            named = version or self._version
            found[named] = added(found[named], part) if named in found else part
        return found

    def _with_exemplars(self, name: str, version: str, values: Json) -> Json:
        exemplars: dict[int, tuple[str, float, float]] = {}
        for (variant, own), counted in list(self._tally.variants.items()):
            if variant == name and (own or self._version) == version:
                exemplars |= counted.exemplars
        return {**values, "exemplars": exemplars}

    def _labels(self, version: str, variant: str, role: str) -> list[str]:
        return [*self._who[:2], version, variant, role]


Variants = Sequence[tuple[list[str], Any]]


def _of_requests(variants: Variants) -> Iterator[Metric]:
    requests = CounterMetricFamily("mlctl_requests", "Prediction requests by HTTP status", labels=(*_LABELS, "code"))
    missing = CounterMetricFamily(
        "mlctl_feature_missing", "Feature values that were missing at prediction time", labels=(*_LABELS, "feature")
    )
    cache = CounterMetricFamily("mlctl_cache", "Requests by what the cache said", labels=(*_LABELS, "result"))
    for who, values in variants:
        for code, number in sorted(values["codes"].items()):
            requests.add_metric([*who, code], number)
        for name, number in sorted(values["missing"].items()):
            missing.add_metric([*who, name], number)
        for result, number in values["cache"].items():
            cache.add_metric([*who, result], number)
    yield from (requests, missing, cache)
    yield _counter("mlctl_predictions", "Rows predicted", variants, "predictions")
    yield _times("mlctl_request_duration_seconds", "Time from a request's arrival to its answer", variants, "seconds")
    yield _times("mlctl_queue_seconds", "Time a request waited for room", variants, "queue")


def _of_answers(variants: Variants) -> Iterator[Metric]:
    """Of language models; a server of another kind has none of them."""
    told = [item for item in variants if item[1]["tokens"] or item[1]["prompt_tokens"] or item[1].get("answers")]
    if not told:
        return
    yield _times("mlctl_time_to_first_token_seconds", "Time to the first token of a streamed answer", told, "ttft")
    yield _times("mlctl_time_per_output_token_seconds", "Time for each token after the first", told, "tpot")
    yield _counter("mlctl_generation_tokens", "Tokens answered", told, "tokens")
    yield _counter("mlctl_prompt_tokens", "Tokens of prompts", told, "prompt_tokens")
    yield _counter("mlctl_answers", "Texts that came to their end", told, "answers")
    yield _counter("mlctl_empty_answers", "Texts without a word", told, "empty")
    yield _counter("mlctl_cut_answers", "Texts that were cut off at their length", told, "cut")
    yield _counter("mlctl_decoding_seconds", "Time spent on tokens after the first", told, "decoding_seconds")


def _of_server(who: list[str], counts: Json) -> Iterator[Metric]:
    server, now, process = counts["server"], counts["now"], counts["process"]
    labels = _LABELS[:3]
    for name, text, field in (
        ("mlctl_log_dropped", "Rows of the prediction log that were dropped", "dropped"),
        ("mlctl_rejected", "Requests that were turned away because the server was full", "rejected"),
        ("mlctl_unauthorized", "Requests without the right token", "unauthorized"),
        ("mlctl_cache_errors", "Times the cache could not be asked", "cache_errors"),
        ("mlctl_features_defaulted", "Rows predicted from defaults, since the feature store was away", "defaulted"),
        ("mlctl_spans_sent", "Spans that a receiver took", "spans_sent"),
        ("mlctl_spans_dropped", "Spans that found no room, or no receiver", "spans_dropped"),
    ):
        yield _single(CounterMetricFamily(name, text, labels=labels), who, server[field])
    cpu = CounterMetricFamily("mlctl_cpu_seconds", "CPU time of the server's processes", labels=labels)
    yield _single(cpu, who, process["cpu_seconds"])
    for name, text, value in (
        ("mlctl_running_requests", "Predictions that are worked on", now["running"]),
        ("mlctl_waiting_requests", "Predictions that wait for room", now["waiting"]),
        ("mlctl_resident_bytes", "Memory of the server's processes", process.get("resident_bytes", 0)),
    ):
        yield _single(GaugeMetricFamily(name, text, labels=labels), who, value)
    batches = HistogramMetricFamily("mlctl_batch_rows", "Rows that went through the model at once", labels=labels)
    batches.add_metric(who, _cumulative(server["batches"]["counts"], ROWS, 1), server["batches"]["total"])
    yield batches


def _single(family: Any, who: list[str], value: float) -> Metric:
    family.add_metric(who, value)
    metric: Metric = family
    return metric


def _counter(name: str, text: str, variants: Variants, field: str) -> Metric:
    family = CounterMetricFamily(name, text, labels=_LABELS)
    for who, values in variants:
        family.add_metric(who, values.get(field, 0))  # files of processes before an update lack what came with it
    return family


def _times(name: str, text: str, variants: Variants, field: str) -> Metric:
    family = HistogramMetricFamily(name, text, labels=_LABELS)
    for who, values in variants:
        exemplars = values.get("exemplars", {}) if field == "seconds" else {}
        buckets = _cumulative(values[field]["counts"], BOUNDS, _EVERY)
        family.add_metric(who, _exemplified(buckets, exemplars), values[field]["total"])
    return family


def _exemplified(buckets: list[tuple[str, float]], exemplars: Mapping[int, tuple[str, float, float]]) -> list[Any]:
    """Buckets, each with the newest of its traces. They are told only to who asks for the OpenMetrics format."""
    newest: dict[int, tuple[str, float, float]] = {}
    for place, found in exemplars.items():
        bucket = min(place // _EVERY, len(buckets) - 1)
        newest[bucket] = max(newest.get(bucket, found), found, key=lambda item: item[2])
    return [
        (
            *pair,
            Exemplar({"trace_id": newest[place][0]}, newest[place][1], newest[place][2]) if place in newest else None,
        )
        for place, pair in enumerate(buckets)
    ]


def _cumulative(counts: Sequence[int], bounds: Sequence[float], every: int) -> list[tuple[str, float]]:
    """How many values are at most each bound, as Prometheus wants it, for every n-th bound and for all of them."""
    found, total = [], 0
    for place, bound in enumerate(bounds):
        total += counts[place]
        if place % every == every - 1:
            found.append((f"{bound:.6g}", float(total)))
    return [*found, ("+Inf", float(sum(counts)))]
