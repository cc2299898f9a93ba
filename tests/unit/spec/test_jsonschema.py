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
    return yaml.safe_load(text.replace("2e-5", "0.00002").replace("2026-01-31", "'2026-01-31'"))


def test_a_good_project_fits(validator: Any) -> None:
    assert [error.message for error in validator.iter_errors(read(GOOD))] == []
    assert [error.message for error in validator.iter_errors({"project": "x", "datasets": None})] == []


@pytest.mark.parametrize(
    "text",
    [
        "variables: {n: {type: int, default: 5}, t: {type: string, sensitive: true}}",
        "environments: {dev: null, prod: {default: true, variables: {n: 6}, datasets: {d: null}, tracking: {retries: '${var.n}'}}}",
        "state: {backend: s3, bucket: '${env.BUCKET}', encryption: {sse: AES256}}",
        "modules: {m: {source: m.yaml, for_each: [a, b], inputs: {x: '${each.key}'}}}",
        "moved: [{from: datasets.a, to: datasets.b}]",
        "import: [{to: datasets.d, id: x}]",
        "policies: {p: {deny: changes, waivers: [{who: a, until: 2026-01-31, why: b}]}}",
        "datasets: {d: {for_each: {a: 1}, path: p, rows: '${each.value}'}, e: {for_each: datasets.d, path: p}}",
        "training: {t: {matrix: {lr: [1, 2], exclude: [{lr: 1}]}, data: '${var.data}', epochs: '${var.n}', shuffle: '${matrix.lr}'}}",
        "training: {t: {data: {labels: d}, precision: '${var.p}', window: '${var.w}', model: '${var.m}'}}",
    ],
)
def test_what_the_loader_takes_the_schema_takes(validator: Any, text: str) -> None:
    assert [error.message for error in validator.iter_errors(read(f"project: x\n{text}\n") | {"project": "x"})] == []


@pytest.mark.parametrize(
    "text",
    [
        "datasets: {}",
        "{project: x, variables: {n: {type: integer}}}",
        "{project: x, variables: {a-b: {type: int}}}",
        "{project: x, environments: {dev: {datasetz: {}}}}",
        "{project: x, state: {backend: gcs}}",
        "{project: x, modules: {m: {inputs: {}}}}",
        "{project: x, moved: [{from: datasets.a}]}",
        "{project: x, policies: {p: {message: m, severity: fatal}}}",
        "{project: x, datasets: {d: {for_each: [], path: p}}}",
        "{project: x, datasets: {d: {path: p, rows: 'text ${'}}}",
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
