"""The list of models: what the gate asks for is seen first."""

import pytest

from mlctl.types.address import ObjectKey
from mlctl.types.state import Record
from mlctl.views.human.models import listed
from mlctl.views.markdown.card import _head, _used
from mlctl.views.markdown.text import code, plain

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


@pytest.mark.parametrize(
    ("packing", "words"),
    [
        (True, "661 documents were packed into 62 sequences of tokens, those to validate on among them."),
        (False, "62 documents were used, those to validate on among them."),
    ],
)
def test_a_card_tells_documents_from_the_sequences_they_are_packed_into(packing: bool, words: str) -> None:
    document = {"result": {"rows": 62}, "recipe": {"model": {"type": "causal_lm"}}, "data": [{"rows": 661}]}
    made = Record(ObjectKey.parse("training.m#1"), "r", {"data": {"dataset": "d", "packing": packing}})
    assert _used(document, made) == words
    table = {**document, "recipe": {"model": {"type": "mlp"}}}
    assert _used(table, None) == "62 rows were used, those to validate on among them."


def test_a_card_is_read_on_a_terminal_too() -> None:
    made = Record(ObjectKey.parse("training.m#1"), "r", outputs={"task": "causal_lm"})
    assert "- Task: causal_lm" in list(_head("helper", {"address": "training.m"}, made, None))
    assert plain("_this_ and a_b") == "&#95;this&#95; and a_b"  # what would be written slanted is not
    assert code("x_") == "<code>x&#95;</code>"
