"""One case for each section: a block that is really applied, and an edit of each of its fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mlctl.testing.conformance import REMOVED, Case, Edit, Then
from mlctl.types.jobs.contract import DataContract
from mlctl.types.state import Record
from tests.conformance.chain import FEATURES, Chain, by_address, renamed
from tests.integration.serving.project import free_port

ANOTHER, UPDATE, METADATA, NOTHING = Then.ANOTHER_OBJECT, Then.UPDATE, Then.METADATA, Then.NOTHING


def datasets(chain: Chain) -> Case:
    return Case(
        "datasets.conform",
        {"path": "events.csv", "timestamp": "at", "key": ["event_id"]},
        [
            Edit("path", "more_events.csv", ANOTHER),
            Edit("format", "csv", ANOTHER),
            Edit("timestamp", REMOVED, ANOTHER),
            Edit("key", ["event_id", "household_id"], ANOTHER),
            # what excludes a `path`, or has no effect with one, is tried on a database in tests/integration/data
            *(Edit(field, value, NOTHING) for field, value in (("database", None), ("copy", True), ("s3", None))),
        ],
        count=lambda: _folders(chain, "datasets.conform"),
    )


def data_checks(chain: Chain) -> Case:
    rules = [
        {"not_null": {"columns": ["event_id"]}},
        {"foreign_key": {"column": "household_id", "references": "labels.household_id"}},
        {"row_count": {"max_change": 1.0}},
        {"expect_column_mean_to_be_between": {"column": "amount", "min_value": 0}},
    ]
    known = DataContract(
        dataset="events", digest="", recorded_at="", rows=int(str(chain.events.outputs["rows"])), columns=[]
    )
    for name in ("events", "others"):
        chain.ctx.path(f"{name}.json").write_text(known.model_dump_json())
    return Case(
        "data_checks.conform",
        {"dataset": "events", "rules": rules, "contract": "events.json"},
        [
            Edit("dataset", "more_events", ANOTHER, inputs=by_address(chain.more_events, chain.labels)),
            Edit("rules", rules[:3], ANOTHER),
            Edit("rules", [*rules[:3], {"expect_column_mean_to_be_between": {"column": "amount", "min_value": 1}}], ANOTHER),
            Edit("contract", "others.json", ANOTHER),
            Edit("engine", {"type": "great_expectations"}, ANOTHER),
            Edit("engine", {"memory_limit": "2GB"}, METADATA),
            Edit("quarantine", True, ANOTHER),
        ],
        by_address(chain.events, chain.labels),
        count=lambda: _folders(chain, "data_checks.conform"),
    )  # fmt: skip


def entities(chain: Chain) -> Case:
    return Case(
        "entities.conform",
        {"key": "household_id"},
        [
            Edit("key", "user_id", UPDATE),
            Edit("dtype", "string", UPDATE),
            Edit("dtype", "int64", NOTHING),
            Edit("keys", {"household_id": "int64", "event_id": "int64"}, UPDATE, applied=False),
        ],
        only_in_state=True,
    )


def feature_views(chain: Chain) -> Case:
    other = renamed(chain.entity, "entities.customer")
    return Case(
        "feature_views.conform",
        {"entity": "household", "source": "events", "features": FEATURES, "online": True},
        [
            Edit("entity", "customer", UPDATE, inputs=by_address(other, chain.events), applied=False),
            Edit("source", "more_events", UPDATE, inputs=by_address(chain.entity, chain.more_events), applied=False),
            Edit("ttl", "2d", UPDATE, applied=False),
            Edit("online", False, UPDATE),
            Edit("grid", "12h", UPDATE, applied=False),
            Edit("grid", "24h", NOTHING),
            Edit("features.events_7d.window", "168h", NOTHING),
            Edit("features.largest_3d", {"aggregate": "max", "column": "amount", "window": "3d"}, UPDATE),
            Edit("features.events_7d", REMOVED, UPDATE, applied=False),
            Edit("features.events_7d.description", "how often they came", METADATA),
            Edit("where", "amount > 1", UPDATE, applied=False),
            Edit("columns", {"half": "amount / 2"}, UPDATE, applied=False),
            Edit("snapshots", "sparse", UPDATE, applied=False),
            Edit("snapshots", "dense", NOTHING),
        ],
        by_address(chain.entity, chain.events),
        count=lambda: len(list((chain.ctx.home / "features" / "offline").glob("*.parquet"))),
    )


def on_demand_views(chain: Chain) -> Case:
    other = renamed(chain.view, "feature_views.other")
    other = type(other)(other.key, other.id, outputs={**other.outputs, "digest": "0" * 32})
    block = {
        "function": "src/shares.py:share",
        "request": {"basket": "float64"},
        "views": ["spending"],
        "features": {"share": "float64"},
    }
    return Case(
        "on_demand_views.conform",
        block,
        [
            Edit("function", "src/shares.py:other_share", ANOTHER),
            Edit("request.basket", "float32", ANOTHER),
            Edit("views", ["other"], ANOTHER, inputs=by_address(other)),
            Edit("features.share", "float32", ANOTHER),
        ],
        by_address(chain.view),
        count=lambda: _folders(chain, "on_demand_views.conform"),
    )


def feature_services(chain: Chain) -> Case:
    other = renamed(chain.view, "feature_views.other")
    return Case(
        "feature_services.conform",
        {"views": ["spending"], "on_demand": ["shares"], "features": ["share", "amount_3d"]},
        [
            Edit("views", ["other"], UPDATE, inputs=by_address(other, chain.on_demand), applied=False),
            Edit("on_demand", REMOVED, UPDATE, applied=False),
            Edit("features", ["amount_3d", "share"], UPDATE),
            Edit("features", REMOVED, UPDATE),
        ],
        by_address(chain.view, chain.on_demand),
        only_in_state=True,
    )


def streams(chain: Chain) -> Case:
    other = renamed(chain.view, "feature_views.other")
    return Case(
        "streams.conform",
        {"view": "spending", "broker": {"type": "redis", "url": chain.broker}, "topic": "events"},
        [
            Edit("view", "other", UPDATE, inputs=by_address(other), applied=False),
            Edit("topic", "more_events", UPDATE),
            Edit("group", "mine", UPDATE, applied=False),
            Edit("broker.url", f"{chain.broker}/1", UPDATE, applied=False),
            Edit("format", "json", NOTHING),
            Edit("lateness", "1m", UPDATE, applied=False),
            Edit("lateness", "10s", NOTHING),
        ],
        by_address(chain.view),
        count=lambda: len(chain.processes()),
    )


def training(chain: Chain) -> Case:
    return Case(
        "training.conform",
        chain.training_block(),
        [
            Edit("data.target", "household_id", ANOTHER),
            Edit("data.service", "offer", ANOTHER, inputs=by_address(chain.labels, chain.view, chain.service)),
            Edit("data.split.test", "30%", ANOTHER),
            Edit("data.split.test", 0.25, NOTHING),
            Edit("model.hidden", [8, 4], ANOTHER),
            Edit("task", "regression", ANOTHER),
            Edit("strategy", {"type": "ddp", "processes": 2}, METADATA),
            Edit("engine", "torch", METADATA),
            Edit("micro_batch_size", 8, METADATA),
            Edit("memory.compile", True, METADATA),
            Edit("executor", {"type": "local", "restarts": 1}, METADATA),
            Edit("method", {"type": "lora"}, ANOTHER),
            Edit("max_steps", 3, ANOTHER),
            Edit("early_stopping", {"patience": 1}, ANOTHER),
            Edit("distill", {"teacher": "models/teacher"}, ANOTHER),
            Edit("search", {"trials": 2, "space": {"optimizer.lr": {"low": 0.001, "high": 0.1}}}, ANOTHER),
            Edit("deterministic", False, ANOTHER),
            Edit("precision", "bf16", ANOTHER),
            Edit("epochs", 3, ANOTHER),
            Edit("batch_size", 32, ANOTHER),
            Edit("optimizer.lr", 0.02, ANOTHER),
            Edit("checkpoint.every", "2 epochs", METADATA),
            Edit("seed", 4, ANOTHER),
        ],
        by_address(chain.labels, chain.view),
        count=lambda: chain.sql("SELECT count(*) FROM runs WHERE lifecycle_stage = 'active'"),
    )


def evaluations(chain: Chain) -> Case:
    labels = renamed(chain.labels, "datasets.holdout2")
    same = renamed(chain.model, "training.same")
    other = renamed(chain.model, "training.other")
    other = type(other)(other.key, other.id, outputs={**other.outputs, "digest": "0" * 32})
    return Case(
        "evaluations.conform",
        {
            "model": "${training.churn.model}",
            "dataset": "holdout",
            "require": {"roc_auc": {"min": 0.0, "not_worse_than": "champion"}},
            "register": {"name": "conform", "alias": "champion"},
        },
        [
            Edit("model", "${training.other.model}", ANOTHER, inputs=by_address(other, chain.holdout)),
            Edit("model", "${training.same.model}", NOTHING, inputs=by_address(same, chain.holdout)),  # a name is no content
            Edit("dataset", "holdout2", ANOTHER, inputs=by_address(chain.model, labels)),
            Edit("require.roc_auc.min", 0.1, ANOTHER),
            Edit("generation", {"max_new_tokens": 8}, ANOTHER),
            Edit("register.alias", "candidate", ANOTHER),
            Edit("register", REMOVED, ANOTHER),
        ],
        by_address(chain.model, chain.holdout),
        count=lambda: chain.sql("SELECT count(*) FROM model_versions WHERE current_stage != 'Deleted_Internal'"),
        same_when_made_anew=False,  # its digest names the registered version, and a version's number is not used again
    )  # fmt: skip


def deployments(chain: Chain) -> Case:
    outputs = {**chain.champion.outputs, "name": "other"}
    other = renamed(chain.champion, "evaluations.other")
    other = type(other)(other.key, other.id, outputs=outputs)
    return Case(
        "deployments.conform",
        {"model": "churn@champion", "serve": {"port": free_port()}},
        [
            Edit("model", "other@champion", UPDATE, inputs=by_address(other), applied=False),
            Edit("serve.port", free_port(), UPDATE),
            Edit("serve.timeout", "10s", UPDATE, applied=False),
            Edit("serve.timeout", "30s", NOTHING),
            Edit("serve.batching.max_size", 8, UPDATE, applied=False),
            Edit("serve.workers", 2, UPDATE, applied=False),
            Edit("serve.concurrency", {"max_running": 8}, UPDATE, applied=False),
            Edit("serve.cache", {"ttl": "30s"}, UPDATE, applied=False),
            Edit("serve.max_body", 2048, UPDATE, applied=False),
            Edit("serve.read_timeout", "5s", UPDATE, applied=False),
            Edit("log.features", False, UPDATE, applied=False),
            Edit(
                "target",
                {"type": "kubernetes", "image": "mlctl:1", "models": "s3://models/prod", "cpus": 1, "memory": "1Gi"},
                UPDATE,
                applied=False,
            ),
            Edit("require", {"feature_parity": {"sample": 100}}, UPDATE),
            Edit("rollout", {"canary": {"steps": [{"weight": 10, "pause": "confirm"}]}}, UPDATE, applied=False),
            Edit("gates", {"guard": {"metrics": [{"name": "error_rate", "margin": 0.01}]}}, UPDATE, applied=False),
            Edit("observe", {"logs": "json"}, UPDATE, applied=False),
        ],
        by_address(chain.champion),
        count=lambda: len(chain.processes()),
    )


def experiments(chain: Chain) -> Case:
    return Case(
        "experiments.conform",
        {
            "deployment": "churn_api", "hypothesis": "a reminder brings people back", "unit": "household_id",
            "arms": {"control": 50, "treatment": 50}, "design": {"daily_units": 300}, "guardrails": [{"metric": "p95_seconds", "max_ratio": 1.1}],
            "primary": {"metric": "churned", "type": "proportion", "baseline": 0.3, "mde": {"relative": 0.1}},
        },
        [
            Edit("deployment", "other_api", UPDATE, inputs=by_address(renamed(chain.api, "deployments.other_api"))),
            Edit("hypothesis", "it does not", UPDATE),
            Edit("unit", "session_id", UPDATE),
            Edit("arms.treatment", 30, UPDATE),
            Edit("coverage", "50%", UPDATE),
            Edit("primary.baseline", 0.4, UPDATE),
            Edit("guardrails", [{"metric": "p95_seconds", "max_ratio": 1.2}], UPDATE),
            Edit("design.power", 0.9, UPDATE),
            Edit("design.min_duration", "168h", NOTHING),
            Edit("salt", "pepper", UPDATE),
            Edit("success_metrics", [{"metric": "bought", "type": "proportion"}], UPDATE),
            Edit("exposures", {"dataset": "events", "timestamp": "at"}, UPDATE, inputs=by_address(chain.api, chain.events)),
            Edit("outcomes", {"dataset": "events", "timestamp": "at"}, UPDATE, inputs=by_address(chain.api, chain.events)),
            Edit("cuped", {"before": "14d", "r2": 0.2}, UPDATE),
            Edit("subgroups", ["country"], UPDATE),
            Edit("namespace", {"name": "mails", "range": [0, 0.5]}, UPDATE),
            Edit("holdout", "10%", UPDATE),
        ],
        by_address(chain.api),
        only_in_state=True,
    )  # fmt: skip


def monitors(chain: Chain) -> Case:
    judged = by_address(chain.api, chain.model, chain.champion, chain.holdout)
    return Case(
        "monitors.conform",
        {"deployment": "churn_api", "reference": "${training.churn.training_profile}", "data": {"methods": ["ks", "psi"]},
         "evaluation": "churn_gate", "estimated": {"metric": "roc_auc", "margin": 0.1}},
        [
            Edit("deployment", "other_api", UPDATE, inputs=by_address(renamed(chain.api, "deployments.other_api"), chain.model, chain.champion)),
            Edit("reference", chain.model.outputs["training_profile"], NOTHING, inputs=by_address(chain.api, chain.champion)),
            Edit("data.methods", ["ks"], UPDATE),
            Edit("data.alpha", 0.01, UPDATE),
            Edit("data.correction", "bh", UPDATE),
            Edit("data.margin", {"psi": 0.3}, UPDATE),
            Edit("data.min_rows", 50, UPDATE),
            Edit("data.window", "3d", UPDATE),
            Edit("data.methods", ["ks", "jensen_shannon"], UPDATE),
            Edit("evaluation", REMOVED, UPDATE, inputs=by_address(chain.api, chain.model), applied=False),
            Edit("labels", {"dataset": "holdout", "label": "churned", "key": ["household_id"]}, UPDATE, inputs=judged, applied=False),
            Edit("estimated", {"metric": "roc_auc", "margin": 0.05}, UPDATE, inputs=judged, applied=False),
            Edit("proxies", [{"metric": "back", "dataset": "events", "key": ["household_id"], "margin": 0.1}], UPDATE, applied=False,
                 inputs=by_address(chain.api, chain.model, chain.champion, chain.events)),
            Edit("prompts", {"topics": False}, UPDATE),
            Edit("responses", {"languages": ["en"]}, UPDATE),
            Edit("cost", {"usd_per_hour": 1.5}, UPDATE),
            Edit("judge", {"url": "http://127.0.0.1:9/v1", "model": "judge", "rubric": "The answer is true and short."}, UPDATE),
            Edit("on_alarm", {"report": True}, UPDATE),
        ],
        by_address(chain.api, chain.model, chain.champion),
        count=lambda: _folders(chain, "monitors.conform"),
    )  # fmt: skip


def schedules(chain: Chain) -> Case:
    return Case(
        "schedules.conform",
        {"cron": "0 3 * * *", "run": "retrain", "targets": ["training.churn"]},
        [
            Edit("cron", "30 3 * * *", UPDATE),
            Edit("run", "monitor", UPDATE, applied=False),  # its targets would have to be others
            Edit("targets", ["training.churn", "training.other"], UPDATE),
        ],
        only_in_state=True,
    )


def batch_predictions(chain: Chain) -> Case:
    other = _other_champion(chain)
    events = renamed(chain.labels, "datasets.labels2")
    return Case(
        "batch_predictions.conform",
        {"model": "churn@champion", "dataset": "holdout", "features": ["spending"], "output": "predictions/conform"},
        [
            Edit("model", "other@champion", ANOTHER, inputs=by_address(other, chain.holdout, chain.view)),
            Edit("dataset", "labels2", ANOTHER, inputs=by_address(chain.champion, events, chain.view)),
            Edit("features", REMOVED, ANOTHER, inputs=by_address(chain.champion, chain.holdout), applied=False),
            Edit("columns", ["churned"], ANOTHER),
            Edit("where", "churned = 1", ANOTHER),
            Edit("output", REMOVED, ANOTHER),
            Edit("rows_per_part", 50, ANOTHER),
            Edit("generate", {"prompt": "churned"}, ANOTHER, applied=False),
            Edit("executor", {"type": "ray", "workers": 2}, METADATA),
        ],
        by_address(chain.champion, chain.holdout, chain.view),
        count=lambda: _folders(chain, "batch_predictions.conform"),
    )


def stream_predictions(chain: Chain) -> Case:
    return Case(
        "stream_predictions.conform",
        {"model": "churn@champion", "broker": {"type": "redis", "url": chain.broker}, "topic": "visits", "output": {"topic": "scores"}},
        [
            Edit("model", "other@champion", UPDATE, inputs=by_address(_other_champion(chain)), applied=False),
            Edit("broker.url", f"{chain.broker}/1", UPDATE, applied=False),
            Edit("topic", "clicks", UPDATE, applied=False),
            Edit("group", "mine", UPDATE, applied=False),
            Edit("output.topic", "others", UPDATE),
            Edit("key", "id", UPDATE, applied=False),
            Edit("batch.max_records", 8, UPDATE, applied=False),
            Edit("batch.max_wait", "20ms", NOTHING),
            Edit("on_bad", "stop", UPDATE, applied=False),
            Edit("dead_letters", {"topic": "rejects"}, UPDATE, applied=False),
        ],
        by_address(chain.champion),
        count=lambda: sum("stream_predictions" in process.cmdline() for process in chain.processes()),
    )  # fmt: skip


def exports(chain: Chain) -> Case:
    return Case(
        "exports.conform",
        {"model": "churn@champion", "format": "onnx", "dataset": "holdout", "features": ["spending"], "require": {"max_abs": 0.001}},
        [
            Edit("model", "other@champion", ANOTHER, inputs=by_address(_other_champion(chain), chain.holdout, chain.view)),
            Edit("dataset", "labels2", ANOTHER, inputs=by_address(chain.champion, renamed(chain.labels, "datasets.labels2"), chain.view)),
            Edit("features", REMOVED, ANOTHER, inputs=by_address(chain.champion, chain.holdout), applied=False),
            Edit("format", "onnx_int8", ANOTHER, applied=False),
            Edit("rows", 100, ANOTHER, applied=False),
            Edit("require.max_abs", 0.01, ANOTHER, applied=False),
            # what goes with others, or excludes them, is tried in tests/unit/providers/onnx
            *(Edit(field, None, NOTHING) for field in ("precision", "target", "generate")),
        ],
        by_address(chain.champion, chain.holdout, chain.view),
        count=lambda: _folders(chain, "exports.conform"),
    )  # fmt: skip


CASES: Mapping[str, Callable[[Chain], Case]] = {
    make.__name__: make
    for make in (
        datasets, data_checks, entities, feature_views, on_demand_views, feature_services, streams, training, evaluations, deployments, experiments, monitors, schedules,
        batch_predictions, stream_predictions, exports,
    )
}  # fmt: skip


def _other_champion(chain: Chain) -> Record:
    """The same model, registered under another name."""
    other = renamed(chain.champion, "evaluations.other")
    return Record(other.key, other.id, outputs={**other.outputs, "name": "other", "digest": "0" * 32})


def _folders(chain: Chain, address: str) -> int:
    """How many objects of an address have files."""
    return len(list((chain.ctx.home / "objects" / address).glob("*")))
