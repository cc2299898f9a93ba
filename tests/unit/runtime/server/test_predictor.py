"""From what is asked to scores, with features that are looked up and features that are computed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from mlctl.files.digests import FileDigests
from mlctl.runtime.features.transform import load
from mlctl.runtime.server.batcher import Batcher
from mlctl.runtime.server.payload import Asked, Refused
from mlctl.runtime.server.predictor import Predicted, Predictor
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.features import Transformation
from mlctl.types.jobs.server import ServedFeatures

KEYS = [{"name": "household_id", "type": "int64"}, {"name": "product_id", "type": "int64"}]
VIEWS = [{"view": "bought", "keys": KEYS, "features": ["amount", "visits"], "ttl_seconds": None}]
STORE = {"project": "p", "registry": "r", "online": {"type": "sqlite", "path": "o"}, "offline": {"type": "duckdb"}}


class Lookup:
    """Values of one key; every other has none."""

    def get(self, rows: Sequence[Mapping[str, int | str]]) -> list[dict[str, float | int | None]]:
        return [
            {"amount": 8.0, "visits": None}
            if row == {"household_id": 1, "product_id": 2}
            else {"amount": None, "visits": None}
            for row in rows
        ]


class Sum:
    def decide(self, score: float) -> float:
        return score


class Away:
    """A feature store that cannot be reached."""

    def get(self, rows: Sequence[Mapping[str, int | str]]) -> list[dict[str, float | int | None]]:
        raise MlctlError.of("features.store-down", "the store is away")


def predict(
    root: Path,
    body: str,
    asked: Asked,
    lookup: Lookup | Away | None = None,
    defaults: Mapping[str, float | None] | None = None,
    defaulted: list[int] | None = None,
) -> Predicted:
    (root / "f.py").write_text(f"import numpy as np\n\ndef f(amount, basket):\n    return {body}\n")
    made = Transformation(
        view="v", root=str(root), file="f.py", function="f", closure=["f.py"], code_digest=FileDigests().tree([root / "f.py"], root),
        request={"basket": "float32"}, inputs=["amount"], features={"share": "float64"},
    )  # fmt: skip
    serving = ServedFeatures.model_validate(
        {"columns": ["share", "visits"], "keys": KEYS, "views": VIEWS, "store": STORE, "transformations": [made]}
    )

    def model(rows: Sequence[Sequence[float]]) -> list[float]:
        return [sum(value for value in row if value == value) for row in rows]

    async def run() -> Predicted:
        batcher = Batcher(model, 8, 0.0, lambda size: None)
        work = asyncio.ensure_future(batcher.run())
        predictor = Predictor(
            serving,
            batcher,
            Sum(),
            lookup or Lookup(),
            load([made]),
            defaults,
            ([] if defaulted is None else defaulted).append,
        )
        try:
            return await predictor.predict(asked)
        finally:
            work.cancel()
            predictor.close()

    return asyncio.run(run())


def asked(basket: float | None, product: int = 2) -> Asked:
    return Asked([{"household_id": 1, "product_id": product}], None, [{"basket": basket}])


def test_features_are_looked_up_computed_and_put_in_the_order_of_the_model(tmp_path: Path) -> None:
    found = predict(tmp_path, '{"share": basket / amount}', asked(2.0))
    assert [list(row.items()) for row in found.values] == [[("share", 0.25), ("visits", None)]]
    assert (found.scores, found.missing) == ([0.25], [["visits"]])


@pytest.mark.parametrize("basket", [None, 0.0])
def test_what_has_no_value_is_missing(tmp_path: Path, basket: float | None) -> None:
    found = predict(tmp_path, '{"share": amount / basket}', asked(basket))
    assert found.missing == [["share", "visits"]]


def test_a_key_without_any_value_is_refused_with_all_its_columns(tmp_path: Path) -> None:
    with pytest.raises(Refused) as raised:
        predict(tmp_path, '{"share": basket}', asked(1.0, product=3))
    assert (raised.value.status, raised.value.code) == (404, "predict.unknown-key")
    assert "household_id, product_id 1, 3" in raised.value.message


def test_a_function_that_fails_is_the_servers_fault_and_told_with_its_line(tmp_path: Path, capsys: Any) -> None:
    with pytest.raises(Refused) as raised:
        predict(tmp_path, '{"share": np.linalg.inv(amount)}', asked(1.0))
    assert (raised.value.status, raised.value.code) == (500, "features.transformation-failed")
    assert "f.py, line 4" in raised.value.message
    assert "LinAlgError" in capsys.readouterr().err


def test_features_that_are_given_are_taken_as_they_are(tmp_path: Path) -> None:
    found = predict(tmp_path, '{"share": basket}', Asked([None], [{"share": 3.0, "visits": 1.0}]))
    assert found.scores == [4.0]


def test_a_store_that_is_away_is_a_503_or_means_defaults(tmp_path: Path) -> None:
    with pytest.raises(Refused) as raised:
        predict(tmp_path, '{"share": basket}', asked(2.0), Away())
    assert (raised.value.status, raised.value.code) == (503, "features.store-down")
    told: list[int] = []
    found = predict(tmp_path, '{"share": basket}', asked(2.0), Away(), {"visits": 5.0}, told)
    assert [list(row.items()) for row in found.values] == [[("share", 2.0), ("visits", 5.0)]]
    assert (found.scores, found.defaulted, found.missing, told) == ([7.0], [True], [[]], [1])


def test_only_a_key_that_is_unknown_gets_defaults(tmp_path: Path) -> None:
    told: list[int] = []
    both = Asked(
        [{"household_id": 1, "product_id": 2}, {"household_id": 1, "product_id": 3}], None, [{"basket": 2.0}] * 2
    )
    found = predict(tmp_path, '{"share": amount}', both, None, {"visits": 5.0}, told)
    assert [dict(row) for row in found.values] == [{"share": 8.0, "visits": None}, {"share": None, "visits": 5.0}]
    assert (found.defaulted, found.missing, told) == ([False, True], [["visits"], ["share"]], [1])
