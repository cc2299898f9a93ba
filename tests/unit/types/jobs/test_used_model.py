"""Which model a block means, and what a program is told of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mlctl.types.address import Address
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.used_model import Made, check_name, label, trainings_behind, used_model, views_behind

SERVING = {"columns": ["a"], "keys": [], "views": [], "store": None, "transformations": []}
GATE, TRAINING, DATA = Address("evaluations", "gate"), Address("training", "churn"), Address("datasets", "rows")


def made(address: Address, **outputs: Any) -> Made:
    return Made(address, {"digest": "0123456789abcdef", **outputs}, "d1")


def test_a_registered_model_is_found_by_its_name_and_alias_and_keeps_its_version() -> None:
    gate = made(GATE, name="churn", alias="champion", version="7", model="m/7", serving=SERVING)
    found = used_model("churn@champion", [made(DATA), gate], "batch_predictions.x")
    assert (found.name, found.version, found.folder, found.digest) == ("churn", "7", "m/7", "d1")
    assert not found.is_language_model


def test_the_model_of_a_training_goes_by_its_address_and_digest() -> None:
    found = used_model("m/1", [made(TRAINING, model="m/1", task="causal_lm")], "batch_predictions.x")
    assert (found.name, found.version, found.is_language_model) == ("training.churn", "01234567", True)


@pytest.mark.parametrize(
    ("outputs", "code"),
    [
        ({"name": "other", "alias": "champion", "version": "1", "model": "m", "serving": SERVING}, "model.unknown"),
        ({"name": "churn", "alias": "champion", "version": None, "model": None}, "model.none-passed"),
        ({"name": "churn", "alias": "champion", "version": "1", "model": "m", "serving": None}, "model.own-rows"),
    ],
)
def test_what_no_model_can_be_had_of_is_refused(outputs: dict[str, Any], code: str) -> None:
    with pytest.raises(MlctlError) as caught:
        used_model("churn@champion", [made(GATE, **outputs)], "batch_predictions.x")
    assert caught.value.diagnostics[0].code == code
    assert caught.value.diagnostics[0].address == "batch_predictions.x"


def test_a_registered_version_reads_as_one_and_a_digest_as_a_digest() -> None:
    assert label("churn", "7") == "churn v7"
    assert label("training.churn", "01234567") == "training.churn 01234567"


@pytest.mark.parametrize("text", ["churn@champion", "${training.churn.model}", "objects/training.churn/1/model"])
def test_names_of_models(text: str) -> None:
    assert check_name(text) == text


@pytest.mark.parametrize("text", ["churn", "@champion", "churn@", ""])
def test_a_text_that_names_no_model_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="names no model"):
        check_name(text)


def test_what_is_behind_a_model_is_found_through_evaluation_service_and_function() -> None:
    batch, other = Address("batch_predictions", "x"), Address("training", "other")
    service, function = Address("feature_services", "s"), Address("on_demand_views", "f")
    one, two = Address("feature_views", "one"), Address("feature_views", "two")
    specs = {GATE: SimpleNamespace(provides=lambda: ["model:churn@champion"])}
    uses = {
        batch: {GATE, DATA}, GATE: {TRAINING, DATA}, TRAINING: {DATA, service}, service: {one, function}, function: {two}, other: set(),
    }  # fmt: skip
    assert trainings_behind(batch, "churn@champion", specs, uses) == {TRAINING}
    assert trainings_behind(batch, "churn@other", specs, uses) == set()
    assert views_behind(TRAINING, uses) == {one, two}
