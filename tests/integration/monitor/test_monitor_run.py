"""Monitors end to end: a frozen reference, a prediction log on disk, a real worker process, a verdict and a page."""

import json
import random
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mlctl.provider import Condition, Context
from mlctl.providers.evidently.monitor import Monitor
from mlctl.providers.evidently.run import KEPT_RUNS, history, result_text, run_monitor
from mlctl.stats.drift import Verdict
from mlctl.testing.harness import apply_once, make_context
from mlctl.types.address import Address, ObjectKey
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.types.state import Record

pytestmark = pytest.mark.tools

NOW = datetime(2026, 5, 10, 12, 0, tzinfo=UTC)
PREDICTIONS = "logs/shops_api"
CITIES = ["Bern", "Lyon", "Pisa"]


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    return make_context(tmp_path)


def features(draw: random.Random, shift: float = 0.0) -> dict[str, object]:
    return {
        "amount": draw.lognormvariate(3, 1),
        "age": draw.gauss(40 + 12 * shift, 12),
        "baskets": float(draw.randint(0, 4)),
        "city": draw.choices(CITIES, [5, 3, 2])[0],
    }


def score(row: dict[str, object]) -> float:
    return 1 / (1 + 2.718281828 ** (-(float(row["baskets"]) - 2)))  # type: ignore[arg-type]


def write_profile(root: Path, rows: int = 3000) -> None:
    draw = random.Random(1)
    data = [features(draw) for _ in range(rows)]
    columns = {
        name: {
            "kind": "numeric",
            "count": rows,
            "nulls": 0,
            "sample": [row[name] for row in data][:2000],
            "quantiles": [],
            "edges": [],
            "shares": [],
        }
        for name in ("amount", "age", "baskets")
    }
    shares = {city: sum(row["city"] == city for row in data) / rows for city in CITIES}
    profile = {
        "rows": rows,
        "columns": {**columns, "city": {"kind": "categorical", "count": rows, "nulls": 0, "categories": shares}},
        "score": {"kind": "numeric", "count": rows, "nulls": 0, "sample": [score(row) for row in data][:2000]},
    }
    (root / "profile.json").write_text(json.dumps(profile))


def write_log(root: Path, rows: int, *, shift: float = 0.0, seed: int = 2, **fields: object) -> Path:
    """Rows of the days before NOW, as the model server writes them."""
    draw = random.Random(seed)
    folder = root / PREDICTIONS
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "2026-05-09.jsonl"
    with open(path, "a", encoding="utf-8") as stream:
        for index in range(rows):
            values = features(draw, shift)
            row = {
                "ts": (NOW - timedelta(hours=20) + timedelta(seconds=index)).isoformat(),
                "request_id": f"r{index}",
                "deployment": "shops_api",
                "model": "shops",
                "version": "1",
                "role": "stable",
                "key": {"household_id": index},
                "features": values,
                "score": score(values),
                "prediction": 1,
                "latency_seconds": 0.002,
                "code": 200,
            }
            stream.write(json.dumps({**row, **fields}) + "\n")
    return path


def apply(ctx: Context, **data: object) -> Record:
    write_profile(ctx.root)
    deployment = Record(
        ObjectKey(Address("deployments", "shops_api"), ""), outputs={"predictions": PREDICTIONS, "digest": "d"}
    )
    values = {
        "deployment": "shops_api",
        "reference": "profile.json",
        "data": {"methods": ["ks", "psi", "wasserstein", "chi_square"], **data},
    }
    return apply_once(Monitor(), "monitors.shops_drift", values, ctx, {"deployments.shops_api": deployment})


def test_same_distribution_is_ok_and_a_page_is_drawn(ctx: Context) -> None:
    record = apply(ctx)
    write_log(ctx.root, 600)
    result = run_monitor(record, ctx, NOW)
    assert (result.verdict, result.exit_code) == (Verdict.OK, ExitCode.OK)
    assert result.outputs["parts"]["data"]["rows"] == 600
    assert (
        result.outputs["parts"]["data"]["tests"] == 3 * 3 + 2 + 3
    )  # three numeric features and the score by three methods, one category by two
    assert set(result.outputs["parts"]["data"]["columns"]) == {"amount", "age", "baskets", "city", "prediction score"}
    page = (ctx.root / str(result.outputs["report"])).read_text()
    assert re.search(r"<script[^>]+src=", page) is None
    assert re.search(r"<link[^>]+href=.?https?:", page) is None
    assert '<section class="mlctl" id="mlctl"><h1>shops_drift: ok</h1>' in page
    assert "ValueDrift" in page or "plotly" in page  # Evidently's part is there too
    own = json.loads((ctx.root / str(result.outputs["evidently"])).read_text())
    assert {metric["config"]["column"] for metric in own["metrics"]} == set(result.outputs["parts"]["data"]["columns"])
    assert "no drift in 5 columns" in result_text(result)


def test_a_shift_alarms_on_the_shifted_feature_alone(ctx: Context) -> None:
    record = apply(ctx)
    path = write_log(ctx.root, 600, shift=0.5)
    with open(path, "a") as stream:
        stream.write('{"ts": "2026-05-09T17:00:00+00:00", "features": {"age": 4')  # the writer was killed here
    result = run_monitor(record, ctx, NOW)
    assert (result.verdict, result.exit_code) == (Verdict.ALARM, ExitCode.DRIFT)
    assert [(alarm["part"], alarm["name"]) for alarm in result.outputs["alarms"]] == [("data", "age")]
    assert result.outputs["parts"]["data"]["unreadable"] == 1
    age = result.outputs["parts"]["data"]["columns"]["age"]["tests"]
    assert all(test["p_adjusted"] < 1e-6 for test in age.values())
    assert age["wasserstein"]["effect"] == pytest.approx(0.5, abs=0.12)
    assert "age" in result_text(result).splitlines()[1]
    assert [item.verdict for item in history(record, ctx)] == [Verdict.ALARM]


def write_rows(root: Path, rows: int = 2000) -> None:
    """Rows of the reference as a file, some without an age: features of one row go together, as `turned` ones do not."""
    import duckdb

    draw = random.Random(4)
    data = [linked(draw) for _ in range(rows)]
    (root / "rows.json").write_text(json.dumps(data))
    duckdb.sql(f"COPY (FROM read_json('{root}/rows.json')) TO '{root}/rows.parquet'")


def linked(draw: random.Random, turned: bool = False) -> dict[str, object]:
    age = draw.gauss(0, 1)
    amount = (-0.8 if turned else 0.8) * age + 0.6 * draw.gauss(0, 1)
    old = (age < 0) if turned else (age > 0)
    city = draw.choices(CITIES, [1, 3, 6] if old else [6, 3, 1])[0]
    return {
        "age": None if draw.random() < 0.05 else 40 + 12 * age,
        "amount": 20 + 5 * amount,
        "baskets": float(draw.randint(0, 4)),
        "city": city,
    }


def test_features_that_go_together_otherwise_are_found_by_all_of_them_at_once(ctx: Context) -> None:
    """Every feature is distributed as before, missing ones and categories too; no row of the reference is kept but for one test."""
    write_rows(ctx.root)
    joint = ["domain_classifier", "pca", "autoencoder"]
    record = apply(ctx, methods=joint, rows="rows.parquet", window="1d")
    assert "all features by domain_classifier, pca, autoencoder" in Monitor().describe(record)
    folder = ctx.folder(record.key)
    assert sorted(path.name for path in folder.iterdir()) == [
        "reference.json", "together.json", "together.safetensors",
    ]  # fmt: skip
    for day, turned in (("2026-05-08", False), ("2026-05-09", True)):
        draw, since = random.Random(5), datetime.fromisoformat(f"{day}T13:00:00+00:00")
        write_rows_of_a_day(ctx.root, day, [linked(draw, turned) for _ in range(1500)], since)
    calm = run_monitor(record, ctx, NOW - timedelta(days=1))
    assert calm.verdict is Verdict.OK, calm.outputs["summary"]
    assert calm.outputs["summary"] == "no drift in the features together of 1500 predictions"
    found = run_monitor(record, ctx, NOW)
    assert (found.verdict, found.exit_code) == (Verdict.ALARM, ExitCode.DRIFT)
    together = found.outputs["parts"]["data"]["columns"]["(all features)"]
    assert {name: test["verdict"] for name, test in together["tests"].items()} == dict.fromkeys(joint, "alarm")
    named = {item["feature"] for item in together["details"]["features"]}
    assert "age" in named
    assert "baskets" not in named
    assert [(alarm["part"], alarm["name"]) for alarm in found.outputs["alarms"]] == [("data", "(all features)")]
    page = (ctx.root / str(found.outputs["report"])).read_text()
    assert "rows of the window are reconstructed with a mean error of" in page
    assert "told apart by age" in result_text(found)
    again = apply(ctx, methods=joint, rows="rows.parquet", window="1d")
    assert again.outputs == record.outputs  # what is learnt is the same each time
    fewer = apply(ctx, methods=["pca"], rows="rows.parquet")
    assert b"reference" not in (ctx.root / str(fewer.outputs["parts"]["data"]["together"]["tensors"])).read_bytes()


def write_rows_of_a_day(root: Path, day: str, rows: list[dict[str, object]], since: datetime) -> None:
    folder = root / PREDICTIONS
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{day}.jsonl", "a", encoding="utf-8") as stream:
        for index, values in enumerate(rows):
            at = (since + timedelta(seconds=index)).isoformat()
            row = {"ts": at, "version": "1", "role": "stable", "features": values, "score": 0.5, "code": 200}
            stream.write(json.dumps(row) + "\n")


def test_rows_that_are_not_there_are_asked_for(ctx: Context) -> None:
    with pytest.raises(MlctlError) as caught:
        apply(ctx, methods=["pca"])
    (found,) = caught.value.diagnostics
    assert found.code == "monitor.no-reference-rows"
    assert "data.rows" in found.fix
    (ctx.root / "rows.csv").write_text("age,amount\n1,2\n")
    with pytest.raises(MlctlError) as caught:
        apply(ctx, methods=["pca"], rows="rows.csv")
    assert [item.code for item in caught.value.diagnostics] == ["monitor.bad-rows"]
    assert "`baskets`, `city`" in caught.value.diagnostics[0].summary
    assert not (ctx.home / "objects" / "monitors.shops_drift" / "self" / "freezing").exists()


def test_no_data_is_not_ok(ctx: Context) -> None:
    record = apply(ctx)
    empty = run_monitor(record, ctx, NOW)
    assert (empty.verdict, empty.exit_code, empty.outputs["report"]) == (Verdict.NO_DATA, ExitCode.GATE_FAILED, None)
    write_log(ctx.root, 99)
    few = run_monitor(record, ctx, NOW)
    assert few.verdict is Verdict.NO_DATA
    assert few.outputs["summary"] == "99 predictions in the window, and 100 are needed"
    late = run_monitor(record, ctx, NOW + timedelta(days=30))
    assert (late.verdict, late.outputs["parts"]["data"]["rows"]) == (Verdict.NO_DATA, 0)
    assert [item.run for item in history(record, ctx)] == sorted(item.run for item in (empty, few, late))


def test_a_deployment_that_logs_no_features_is_not_ok(ctx: Context) -> None:
    record = apply(ctx)
    write_log(ctx.root, 300, features=None)
    result = run_monitor(record, ctx, NOW)
    assert result.verdict is Verdict.NO_DATA
    assert result.outputs["parts"]["data"]["columns"]["prediction score"]["verdict"] == "ok"
    assert result.outputs["parts"]["data"]["no_data"] == ["age", "amount", "baskets", "city"]


def test_reference_is_guarded_and_delete_removes_everything(ctx: Context) -> None:
    record, kind = apply(ctx), Monitor()
    observed = kind.read(record, ctx)
    assert observed is not None
    assert observed.condition is Condition.READY
    (ctx.root / "profile.json").unlink()  # the frozen copy does not depend on it
    assert kind.read(record, ctx) == observed
    write_log(ctx.root, 10)
    assert run_monitor(record, ctx, NOW).verdict is Verdict.NO_DATA
    frozen = ctx.root / str(record.outputs["parts"]["data"]["reference"])
    frozen.write_text(frozen.read_text().replace("numeric", "Numeric"))
    broken = kind.read(record, ctx)
    assert broken is not None
    assert broken.condition is Condition.BROKEN
    assert apply(ctx).outputs == record.outputs  # applying again heals it, to the same digest
    assert kind.read(record, ctx) == observed
    kind.delete(record, ctx)
    assert not ctx.folder(record.key).exists()
    assert kind.read(record, ctx) is None
    kind.delete(record, ctx)
    assert (ctx.root / PREDICTIONS).is_dir()


def test_old_runs_are_dropped(ctx: Context) -> None:
    record = apply(ctx)
    runs = ctx.folder(record.key) / "runs"
    for index in range(KEPT_RUNS + 3):
        (runs / f"20200101T0000{index:02}.000000Z").mkdir(parents=True)
    run = run_monitor(record, ctx, NOW).run
    kept = sorted(item.name for item in runs.iterdir())
    assert len(kept) == KEPT_RUNS
    assert kept[0] == "20200101T000004.000000Z"
    assert kept[-1] == run
