"""The class of every field of every kind: what a change of it makes necessary."""

from __future__ import annotations

import pytest

from mlctl.provider import Spec
from mlctl.registry import Registry
from mlctl.types.change import FieldClass

METADATA, SERVING, EVALUATION, FEATURES = (
    FieldClass.METADATA, FieldClass.SERVING, FieldClass.EVALUATION, FieldClass.FEATURES,
)  # fmt: skip
TRAINING, DATA, DESIGN = FieldClass.TRAINING, FieldClass.DATA, FieldClass.DESIGN

TABLE: dict[str, dict[str, FieldClass]] = {
    "datasets": {
        **dict.fromkeys(("path", "database", "copy", "format", "timestamp", "key"), DATA),
        "s3": METADATA,  # how a bucket is reached decides nothing of what is in it
    },
    "data_checks": dict.fromkeys(("dataset", "rules", "engine", "contract", "quarantine"), DATA),
    "entities": dict.fromkeys(("key", "dtype", "keys"), FEATURES),
    "feature_views": {
        **dict.fromkeys(("entity", "source", "where", "columns", "ttl", "grid", "snapshots", "features"), FEATURES),
        "online": SERVING,  # the snapshots that trainings read stay as they are
    },
    "on_demand_views": dict.fromkeys(("function", "request", "views", "features"), FEATURES),
    "feature_services": dict.fromkeys(("views", "on_demand", "features"), FEATURES),
    "training": {
        **dict.fromkeys(("model", "task", "method", "precision", "epochs", "max_steps", "batch_size", "optimizer"), TRAINING),
        **dict.fromkeys(("early_stopping", "distill", "deterministic", "search", "seed"), TRAINING),
        "data": DATA,
        # how a training is spread, cut and saved changes how it is computed and not what is learnt
        **dict.fromkeys(("engine", "strategy", "micro_batch_size", "memory", "checkpoint", "executor"), METADATA),
    },
    "evaluations": dict.fromkeys(("model", "dataset", "require", "generation", "register"), EVALUATION),
    "deployments": dict.fromkeys(("model", "serve", "log", "require", "rollout", "gates", "target", "observe"), SERVING),
    "experiments": dict.fromkeys(
        (
            "deployment", "hypothesis", "unit", "arms", "coverage", "primary", "success_metrics", "guardrails", "exposures", "outcomes",
            "cuped", "subgroups", "design", "namespace", "holdout", "salt",
        ),
        DESIGN,
    ),
    "monitors": dict.fromkeys(("deployment", "reference", "evaluation", "data", "labels", "estimated", "proxies", "prompts", "responses", "cost", "judge", "on_alarm"), EVALUATION),
    "schedules": dict.fromkeys(("cron", "run", "targets"), DESIGN),
    "streams": dict.fromkeys(("view", "broker", "topic", "group", "format", "lateness"), SERVING),
    "batch_predictions": {
        **dict.fromkeys(
            ("model", "dataset", "features", "columns", "where", "output", "rows_per_part", "generate"), EVALUATION
        ),
        "executor": METADATA,  # where it runs is not what it is
    },
    "stream_predictions": dict.fromkeys(
        ("model", "broker", "topic", "group", "output", "key", "batch", "on_bad", "dead_letters"), SERVING
    ),
    "exports": dict.fromkeys(
        ("model", "format", "precision", "dataset", "features", "target", "rows", "require", "generate"), EVALUATION
    ),
}  # fmt: skip


@pytest.mark.parametrize("section", TABLE)
def test_each_field_has_the_class_that_the_table_says(section: str) -> None:
    kind = Registry().kind(section)
    found = {
        info.alias or name: next((item for item in info.metadata if isinstance(item, FieldClass)), kind.field_class)
        for name, info in kind.spec.model_fields.items()
        if name not in Spec.model_fields
    }
    assert found == TABLE[section]


def test_the_table_is_of_all_sections_of_our_own() -> None:
    assert sorted(TABLE) == sorted(Registry().sections())


def test_fields_that_every_block_has_run_nothing() -> None:
    for name, info in Spec.model_fields.items():
        assert FieldClass.METADATA in info.metadata, name


def test_where_a_training_is_logged_does_not_change_it_and_what_an_evaluation_registers_depends_on_it() -> None:
    registry = Registry()
    assert getattr(registry.kind("training"), "metadata_settings", frozenset()) == {"tracking"}
    assert getattr(registry.kind("evaluations"), "metadata_settings", frozenset()) == frozenset()
