"""The quickstart by hand: what an ML engineer writes without mlctl, with the same tools in the same order.

It is what scripts/bench/quickstart.py holds `mlctl apply` against, so it imports nothing of mlctl and does no more than
its one run needs: no plan, no state, no resume. by_hand_train.py runs under torchrun and by_hand_server.py under uvicorn;
all else happens here, in one process that imports each library once. All files go to a temporary folder.

Run it with: .venv/bin/python scripts/bench/by_hand.py specs/quickstart/data 8090
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
import os
import platform
import resource
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

# The same quiet as mlctl gives its workers: no telemetry, no look-ups.
os.environ |= {
    "DO_NOT_TRACK": "true", "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_MODEL_CATALOG_URI": "",
    "GX_ANALYTICS_ENABLED": "false", "FEAST_USAGE": "False", "TZ": "UTC",
}  # fmt: skip
time.tzset()

HERE = Path(__file__).resolve().parent
WINDOWS = "purchase_amount_7d purchase_amount_30d baskets_7d baskets_30d items_7d largest_purchase_30d"
FEATURES = WINDOWS.split()
SETTINGS = {
    "hidden": [64, 32], "epochs": 8, "batch_size": 512, "lr": 3e-3, "weight_decay": 0.0, "precision": "bf16",
    "checkpoint_every": 50, "checkpoint_keep": 2, "seed": 7, "target": "shops", "features": FEATURES,
}  # fmt: skip
PURCHASES = {
    "purchase_id": "BIGINT", "household_id": "BIGINT", "basket_id": "BIGINT", "product_id": "BIGINT",
    "quantity": "DOUBLE", "sales_value": "DOUBLE", "purchased_at": "TIMESTAMP",
}  # fmt: skip


def profile(db: Any, data: Path, work: Path) -> None:
    """Schema, row count and statistics of each column of the four files, and the digest of their bytes."""
    for file in sorted(data.glob("*.parquet")):
        columns = db.execute(f"SUMMARIZE SELECT * FROM '{file}'").df()
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        found = {"digest": digest, "columns": columns.to_dict()}
        (work / f"{file.stem}.profile.json").write_text(json.dumps(found, default=str))


def check(db: Any, data: Path) -> None:
    """The short rules as SQL; the expectations as one suite of Great Expectations."""
    purchases, households, labels = (data / f"{name}.parquet" for name in ("purchases", "households", "labels"))
    types = db.execute(f"SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM '{purchases}')").fetchall()
    assert dict(types) == PURCHASES, types
    failures = db.execute(
        f"SELECT count(*) FILTER (purchase_id IS NULL OR household_id IS NULL OR purchased_at IS NULL), "
        f"count(*) FILTER (sales_value NOT BETWEEN 0 AND 2000), count(purchase_id) - count(DISTINCT purchase_id), "
        f"count(*) FILTER (household_id NOT IN (SELECT household_id FROM '{households}')) FROM '{purchases}'"
    ).fetchone()
    assert not any(failures), failures
    where = "household_id IS NULL OR event_timestamp IS NULL OR shops IS NULL"
    assert db.execute(f"SELECT count(*) FROM '{labels}' WHERE {where}").fetchone() == (0,)

    import great_expectations as gx
    import great_expectations.expectations as gxe

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    frame = db.execute(f"SELECT shops FROM '{labels}'").df()
    asset = context.data_sources.add_pandas("data").add_dataframe_asset("labels")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    values = gxe.ExpectColumnValuesToBeInSet(column="shops", value_set=[0, 1])
    mean = gxe.ExpectColumnMeanToBeBetween(column="shops", min_value=0.2, max_value=0.9)
    assert batch.validate(gx.ExpectationSuite(name="labels", expectations=[values, mean])).success


def make_features(db: Any, data: Path, work: Path) -> None:
    """One snapshot a household and day from its first purchase on, known at the end of the day.

    A basket is of one day, so distinct baskets of days add up; sums are decimals, which add up the same in any order.
    """
    week, month = (f"OVER (PARTITION BY household_id ORDER BY day ROWS {days} PRECEDING)" for days in (6, 29))
    db.execute(
        f"CREATE TABLE daily AS SELECT household_id, purchased_at::DATE AS day, sum(sales_value::DECIMAL(18, 4)) AS amount, "
        f"count(DISTINCT basket_id) AS baskets, count(*) AS items, max(sales_value) AS largest FROM '{data / 'purchases.parquet'}' GROUP BY ALL"
    )
    db.execute(
        "CREATE TABLE grid AS SELECT household_id, unnest(range(min(day), (SELECT max(day) + 1 FROM daily), INTERVAL 1 DAY))::DATE AS day "
        "FROM daily GROUP BY household_id"
    )
    db.execute(
        f"COPY (SELECT household_id, (day + 1)::TIMESTAMP AS event_timestamp, "
        f"coalesce(sum(amount) {week}, 0)::DOUBLE AS purchase_amount_7d, coalesce(sum(amount) {month}, 0)::DOUBLE AS purchase_amount_30d, "
        f"coalesce(sum(baskets) {week}, 0)::BIGINT AS baskets_7d, coalesce(sum(baskets) {month}, 0)::BIGINT AS baskets_30d, "
        f"coalesce(sum(items) {week}, 0)::BIGINT AS items_7d, max(largest) {month} AS largest_purchase_30d "
        f"FROM grid LEFT JOIN daily USING (household_id, day) ORDER BY household_id, day) TO '{work / 'shopping.parquet'}' (COMPRESSION zstd)"
    )


def serve_features(work: Path) -> None:
    """Declare the view in Feast and write each household's latest row to the online store."""
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
    from feast.types import Float64, Int64

    store = FeatureStore(config=RepoConfig(**store_config(work)))
    household = Entity(name="household", join_keys=["household_id"], value_type=ValueType.INT64)
    source = FileSource(name="shopping", path=str(work / "shopping.parquet"), timestamp_field="event_timestamp")
    schema = [Field(name="household_id", dtype=Int64)]
    schema += [Field(name=name, dtype=Int64 if name.startswith(("baskets", "items")) else Float64) for name in FEATURES]
    view = FeatureView(name="shopping", entities=[household], ttl=timedelta(0), schema=schema, source=source)
    store.apply([household, source, view])
    until = datetime(2018, 1, 2, tzinfo=UTC)  # the last snapshot
    store.materialize(until, until, feature_views=["shopping"])


def store_config(work: Path) -> dict[str, Any]:
    """Where Feast keeps things."""
    return {
        "project": "by_hand", "provider": "local", "registry": str(work / "registry.db"), "offline_store": {"type": "duckdb"},
        "online_store": {"type": "sqlite", "path": str(work / "online.db")}, "entity_key_serialization_version": 3,
    }  # fmt: skip


def join(db: Any, labels: Path, work: Path) -> tuple[Any, Any, Any]:
    """Each label with the features as they were known at its time, in order of time: x, y, and the keys."""
    rows = db.execute(
        f"SELECT labels.household_id, labels.event_timestamp, shops, {', '.join(FEATURES)} FROM '{labels}' AS labels "
        f"ASOF LEFT JOIN '{work / 'shopping.parquet'}' AS f ON labels.household_id = f.household_id AND labels.event_timestamp >= f.event_timestamp "
        "ORDER BY labels.event_timestamp, labels.household_id"
    ).df()
    keys = rows[["household_id", "event_timestamp"]]
    return rows[FEATURES].to_numpy(np.float32), rows["shops"].to_numpy(np.float32), keys


def train(work: Path, x: Any, y: Any, times: Any) -> list[dict[str, Any]]:
    """Split by time, then DDP with two processes."""
    first = int(np.searchsorted(times, times[math.floor(len(x) * 0.85)]))
    np.save(work / "x.npy", x)
    np.save(work / "y.npy", y)
    (work / "settings.json").write_text(json.dumps({**SETTINGS, "train": first}))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*torchrun, str(HERE / "by_hand_train.py"), str(work)], check=True, env=environment)
    return list(json.loads((work / "history.json").read_text()))


def training_profile(x: Any, work: Path) -> None:
    """What drift will be measured against."""
    columns = {}
    for index, name in enumerate(FEATURES):
        values = x[:, index][np.isfinite(x[:, index])].astype(float)
        columns[name] = {
            "count": len(x), "nulls": len(x) - len(values), "mean": values.mean(), "std": values.std(),
            "quantiles": np.quantile(values, np.linspace(0, 1, 101)).tolist(),
            "sample": np.random.default_rng(0).choice(values, 2000, replace=False).tolist(),
        }  # fmt: skip
    (work / "training_profile.json").write_text(json.dumps({"rows": len(x), "columns": columns}))


def metrics(y: Any, score: Any) -> dict[str, float]:
    """The metrics of a binary model."""
    from sklearn import metrics as sk

    guess = score >= 0.5
    return {
        "roc_auc": sk.roc_auc_score(y, score), "accuracy": sk.accuracy_score(y, guess), "log_loss": sk.log_loss(y, score),
        "brier": sk.brier_score_loss(y, score), "precision": sk.precision_score(y, guess),
        "recall": sk.recall_score(y, guess), "f1": sk.f1_score(y, guess),
    }  # fmt: skip


def track(work: Path, x: Any, y: Any, history: list[dict[str, Any]]) -> tuple[Any, Any]:
    """The run in MLflow: parameters, seed, versions of data and code, environment, machine, metrics, resources, model."""
    import mlflow
    import mlflow.pytorch
    import torch
    from by_hand_train import Net
    from mlflow.entities import Metric

    mlflow.set_tracking_uri(f"sqlite:///{work / 'mlflow.db'}")
    experiment = mlflow.create_experiment("by_hand", artifact_location=(work / "artifacts").as_uri())
    mlflow.set_experiment(experiment_id=experiment)
    net = Net(len(FEATURES), SETTINGS["hidden"]).eval()
    net.load_state_dict(torch.load(work / "final.pt", weights_only=True)["model"])
    first = json.loads((work / "settings.json").read_text())["train"]
    with mlflow.start_run(run_name="shops_next_week") as run:
        machine = {"python": platform.python_version(), "platform": platform.platform(), "cpus": os.cpu_count()}
        mlflow.log_params({**SETTINGS, **machine, "torch": torch.__version__})
        digests = {file.stem: json.loads(file.read_text())["digest"] for file in work.glob("*.profile.json")}
        mlflow.set_tags({"git.commit": subprocess.getoutput(f"git -C '{HERE}' rev-parse HEAD"), **digests})
        now, names = int(time.time() * 1000), ("train_loss", "val_loss", "seconds")
        each = [Metric(name, line[name], now, line["epoch"]) for line in history for name in names]
        mlflow.MlflowClient().log_batch(run.info.run_id, metrics=each)
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        resources = {"cpu_seconds": usage.ru_utime + usage.ru_stime, "peak_rss_kib": usage.ru_maxrss}
        with torch.inference_mode():
            validation = metrics(y[first:], torch.sigmoid(net(torch.from_numpy(x[first:]))).numpy())
        mlflow.log_metrics({**{f"validation.{name}": value for name, value in validation.items()}, **resources})
        installed = sorted(f"{item.name}=={item.version}" for item in importlib.metadata.distributions())
        mlflow.log_text("\n".join(installed), "requirements.txt")
        mlflow.log_dict(json.loads((work / "labels.profile.json").read_text()), "dataset_statistics.json")
        mlflow.log_artifact(str(work / "training_profile.json"))
        model = mlflow.pytorch.log_model(
            net, name="model", serialization_format="pickle", code_paths=[str(HERE / "by_hand_train.py")],
            pip_requirements=[f"torch=={torch.__version__.split('+')[0]}"],
        )  # fmt: skip
    return net, model.model_uri


def evaluate(net: Any, model_uri: str, db: Any, data: Path, work: Path, keys: Any) -> None:
    """The gate: no row that was trained on, and the metrics asked for. What passes is registered, with its alias."""
    import mlflow
    import torch

    x, y, held = join(db, data / "labels_holdout.parquet", work)
    assert held.merge(keys).empty, "leakage"
    with torch.inference_mode():
        found = metrics(y, torch.sigmoid(net(torch.from_numpy(x))).numpy())
    (work / "evaluation.json").write_text(json.dumps(found))
    if found["roc_auc"] < 0.70 or found["log_loss"] > 0.65:
        raise SystemExit(f"the gate failed: {found}")
    version = mlflow.register_model(model_uri, "shops")
    mlflow.MlflowClient().set_registered_model_alias("shops", "champion", version.version)


def start_server(work: Path, port: int) -> subprocess.Popen[bytes]:
    """Start the model server and wait until it answers for one household."""
    settings = {"store": store_config(work), "features": FEATURES, "uri": f"sqlite:///{work / 'mlflow.db'}"}
    (work / "server.json").write_text(json.dumps(settings))
    uvicorn = [sys.executable, "-m", "uvicorn", "by_hand_server:app", "--app-dir", str(HERE), "--port", str(port)]
    server = subprocess.Popen([*uvicorn, "--log-level", "warning"], env={**os.environ, "BY_HAND_WORK": str(work)})
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/predict", b'{"household_id": 1}', {"content-type": "application/json"}
    )
    while True:
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                assert 0 < json.load(answer)["score"] < 1
            return server
        except urllib.error.URLError:
            assert server.poll() is None, "the server ended"
            time.sleep(0.02)


def size_experiment(work: Path) -> None:
    """Units for two proportions, each guardrail tested for non-inferiority beside the primary metric, and the weeks it takes."""
    from statsmodels.stats.power import NormalIndPower
    from statsmodels.stats.proportion import proportion_effectsize

    power = 1 - (1 - 0.8) / 3
    arm = math.ceil(NormalIndPower().solve_power(proportion_effectsize(0.56 * 1.12, 0.56), alpha=0.05, power=power))
    weeks = max(1, math.ceil(2 * arm / (7 * 120)))
    (work / "experiment.json").write_text(json.dumps({"units": arm, "weeks": weeks}))


def main() -> None:
    """Run all stages, say the seconds of each, and stop the server."""
    data, port = Path(sys.argv[1]).resolve(), int(sys.argv[2])

    def stage(name: str, do: Callable[..., Any], *arguments: Any) -> Any:
        began = time.perf_counter()
        result = do(*arguments)
        print(f"stage {name} {time.perf_counter() - began:.3f}", flush=True)
        return result

    with tempfile.TemporaryDirectory(prefix="by-hand-") as name, duckdb.connect() as db:
        work = Path(name)
        stage("profile", profile, db, data, work)
        stage("checks", check, db, data)
        stage("features", make_features, db, data, work)
        stage("feast", serve_features, work)
        x, y, keys = stage("join", join, db, data / "labels.parquet", work)
        stage("training_profile", training_profile, x[: math.floor(len(x) * 0.85)], work)
        history = stage("train", train, work, x, y, keys["event_timestamp"].to_numpy())
        net, model_uri = stage("track", track, work, x, y, history)
        stage("evaluate", evaluate, net, model_uri, db, data, work, keys)
        stage("experiment", size_experiment, work)
        server = stage("server", start_server, work, port)
        print("ready", flush=True)
        server.send_signal(signal.SIGTERM)
        server.wait()


if __name__ == "__main__":
    main()
