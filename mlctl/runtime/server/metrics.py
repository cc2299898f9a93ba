"""What the server counts, in Prometheus' text format."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """The metrics of one server process; all carry which deployment, model, version and role they are of."""

    def __init__(self, deployment: str, model: str, version: str, role: str) -> None:
        self._registry = CollectorRegistry()
        who = {"deployment": deployment, "model": model, "version": version, "role": role}
        labels = tuple(who)
        self._requests = Counter(
            "mlctl_requests", "Prediction requests by HTTP status", (*labels, "code"), registry=self._registry
        )
        self._who = who
        self._missing = Counter(
            "mlctl_feature_missing",
            "Feature values that were missing at prediction time",
            (*labels, "feature"),
            registry=self._registry,
        )
        self._duration = Histogram(
            "mlctl_request_duration_seconds",
            "Time from a request's arrival to its answer",
            labels,
            buckets=_BUCKETS,
            registry=self._registry,
        ).labels(**who)
        self._predictions = Counter("mlctl_predictions", "Rows predicted", labels, registry=self._registry).labels(
            **who
        )
        self._dropped = Counter(
            "mlctl_log_dropped", "Rows of the prediction log that were dropped", labels, registry=self._registry
        ).labels(**who)
        self._batches = Histogram(
            "mlctl_batch_rows",
            "Rows that went through the model at once",
            labels,
            buckets=_BATCH_BUCKETS,
            registry=self._registry,
        ).labels(**who)

    def request(self, code: int, seconds: float) -> None:
        """A prediction request was answered."""
        self._requests.labels(**self._who, code=str(code)).inc()
        self._duration.observe(seconds)

    def predicted(self, rows: int) -> None:
        """Rows were predicted and answered."""
        self._predictions.inc(rows)

    def missing(self, feature: str) -> None:
        """A row went into the model without this feature."""
        self._missing.labels(**self._who, feature=feature).inc()

    def dropped(self, rows: int) -> None:
        """Rows did not make it into the prediction log."""
        self._dropped.inc(rows)

    def batch(self, rows: int) -> None:
        """A batch went into the model."""
        self._batches.observe(rows)

    def text(self) -> bytes:
        """The page that Prometheus reads."""
        return generate_latest(self._registry)
