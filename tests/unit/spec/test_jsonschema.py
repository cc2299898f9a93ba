from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from mlctl.registry import Registry
from mlctl.spec.jsonschema import project_schema
from mlctl.spec.project import load_project
from mlctl.spec.source import Source
from tests.unit.spec.toys import GOOD, registry


@pytest.fixture(scope="module")
def validator() -> Any:
    schema = project_schema(registry())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def read(text: str) -> Any:
    """YAML 1.1 is near enough for these texts."""
    return yaml.safe_load(text.replace("2e-5", "0.00002"))


def test_a_good_project_fits(validator: Any) -> None:
    assert [error.message for error in validator.iter_errors(read(GOOD))] == []
    assert [error.message for error in validator.iter_errors({"project": "x", "datasets": None})] == []


@pytest.mark.parametrize(
    "text",
    [
        "datasets: {}",
        "project: 5",
        "{project: x, projcet: y}",
        "{project: x, owner: {team: t, phone: p}}",
        "{project: x, tracking: {retires: 3}}",
        "{project: x, datasets: {a b: {path: p}}}",
        "{project: x, datasets: {a: {path: p, rows: many}}}",
        "{project: x, datasets: {a: {}}}",
        "{project: x, training: {t: {data: {labels: l}, model: {type: mlp, hiden: [1]}}}}",
        "{project: x, training: {t: {data: {labels: l}, window: 7}}}",
        "{project: x, training: {t: {data: {labels: l}, window: 7 days}}}",
        "{project: x, evaluations: {e: {model: m, register_as: c}}}",
    ],
)
def test_what_the_loader_refuses_the_schema_refuses(validator: Any, text: str) -> None:
    assert not validator.is_valid(read(text))


def test_fields_have_their_descriptions_and_blocks_refuse_others() -> None:
    schema = project_schema(registry())
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["additionalProperties"] is False
    objects = [item for item in schema["$defs"].values() if item.get("type") == "object"]
    assert objects
    assert all(item["additionalProperties"] is False for item in objects)


SPECS = sorted(Path(__file__).parents[3].glob("specs/*/mlctl.yaml"))


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.parent.name)
def test_the_example_projects_load_and_fit_the_schema_of_the_installed_kinds(path: Path) -> None:
    load_project(path.parent, Registry())
    schema = project_schema(Registry())
    jsonschema.Draft202012Validator.check_schema(schema)
    errors = jsonschema.Draft202012Validator(schema).iter_errors(Source.parse(path).value)
    assert [f"{error.json_path}: {error.message}" for error in errors] == []
