"""The list of models: what the gate asks for is seen first."""

from mlctl.views.human.models import listed

METRICS = {"accuracy": 0.9, "brier": 0.1, "f1": 0.5, "roc_auc": 0.8}


def test_the_metrics_of_the_gate_come_first() -> None:
    item = {
        "name": "churn",
        "version": "1",
        "aliases": [],
        "address": "evaluations.gate",
        "metrics": METRICS,
        "created": 0,
    }
    assert "roc_auc 0.8000  accuracy 0.9000  brier 0.1000" in listed([item], {"evaluations.gate": ["roc_auc"]})
    assert "accuracy 0.9000  brier 0.1000  f1 0.5000" in listed([item])
    assert "f1 0.5000  accuracy 0.9000  brier 0.1000" in listed([item], {"evaluations.gate": ["gone", "f1"]})
