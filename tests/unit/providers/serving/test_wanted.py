from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlctl.provider import Block
from mlctl.providers.serving.rollout_rules import rollout_problems
from mlctl.providers.serving.spec.deployment import DeploymentSpec
from mlctl.providers.serving.wanted import has_gateway, models_of, revision_of, wanted
from mlctl.types.jobs.rollout import Revision, Wanted
from mlctl.types.jobs.server import Admission, Batching, ServedFeatures, ServedModel, ServerJob
from tests.unit.providers.serving.test_rollout_rules import GOOD, spec

GOLDEN = Path(__file__).parent / "wanted"


def job(version: str = "3", **changed: Any) -> ServerJob:
    made = ServerJob(
        deployment="churn_api",
        host="127.0.0.1",
        port=8080,
        model=ServedModel(name="churn", version=version, folder=f"models/{version}"),
        serving=ServedFeatures(columns=["a"]),
        batching=Batching(max_size=32, max_wait_seconds=0.0),
        timeout_seconds=30.0,
        log=None,
    )
    return made.model_copy(update=changed)


REVISIONS = {"churn@champion": revision_of(job(), {"run": 1}), "churn@next": revision_of(job("4"), {"run": 2})}


def render(given: DeploymentSpec) -> Wanted:
    revisions: dict[str, Revision] = {name: REVISIONS[name] for name in models_of(given)}
    return wanted("deployments.churn_api", "churn_api", given, revisions)


def named(value: Any) -> Any:
    """Revisions by their names: what is in them is not what this is about."""
    if isinstance(value, dict):
        if value.keys() >= {"digest", "program"}:
            return f"{value['model']} v{value['version']}"
        return {name: named(item) for name, item in value.items()}
    return [named(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", [name for name in GOOD if name != "all_at_once"])
def test_each_strategy_is_rendered_as_before(name: str) -> None:
    found = named(render(spec(*GOOD[name])).model_dump(mode="json", exclude_defaults=True))
    path = GOLDEN / f"{name.replace(' ', '-')}.json"
    text = json.dumps(found, indent=2) + "\n"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        pytest.fail(f"{path.name} is new: read it, and run again")
    assert text == path.read_text()


def test_no_strategy_and_all_at_once_have_no_gateway() -> None:
    assert not has_gateway(spec(None))
    assert not has_gateway(spec({"all_at_once": True}))
    assert has_gateway(spec({"blue_green": {}}))
    with pytest.raises(ValueError, match="no gateway"):
        render(spec({"all_at_once": True}))


def test_a_revision_is_what_is_served_and_not_where() -> None:
    def digest(**changed: Any) -> str:
        return revision_of(job(**changed), {}).digest

    assert digest() == digest(port=9999, host="::1")
    assert digest() == revision_of(job(), {"run": 7}).digest
    others = [
        digest(version="4"), digest(timeout_seconds=5.0), digest(workers=2), digest(admission=Admission(token="t")),
        digest(batching=Batching(max_size=8, max_wait_seconds=0.0)), digest(serving=ServedFeatures(columns=["b"])),
    ]  # fmt: skip
    assert len({digest(), *others}) == len(others) + 1


def test_a_secret_is_in_a_revisions_digest_only_as_it_is_sealed() -> None:
    def sealed(token: str, seal: str) -> Revision:
        return revision_of(
            job(admission=Admission(token=token)), {}, lambda value: json.loads(json.dumps(value).replace(token, seal))
        )

    assert sealed("one", "<1>").digest == sealed("two", "<1>").digest != sealed("one", "<2>").digest
    assert sealed("one", "<1>").params["admission"]["token"] == "one"


# A field of `rollout` or `gates`, changed: what the controller is told is another, or it is refused.
def edits() -> list[tuple[str, str, dict[str, Any], dict[str, Any]]]:
    from mlctl.providers.serving.spec import rollout as blocks

    common = {"unit": "x-other", "salt": "pepper", "keep_old": "17m", "gateway": "python"}
    found: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = []
    values: dict[str, Any] = {
        "pre": None, "preview": "3m", "post": None, "side_effects": None, "mirror": 17, "for": "3m", "gate": None, "then": "promote",
        "reward": "mean", "floor": 0.1, "update": "2m", "min_rewards": 7, "window": "1h", "rewards_port": 9999, "seed": 3,
    }  # fmt: skip
    models: dict[str, type[Block]] = {
        "canary": blocks.Canary,
        "blue_green": blocks.BlueGreen,
        "shadow": blocks.Shadow,
        "ab": blocks.AB,
        "bandit": blocks.BanditSpec,
    }
    for name, model in models.items():
        for field, value in common.items():
            found.append((name, field, {**GOOD[name][0], field: value}, GOOD[name][1]))
        for field, info in model.model_fields.items():
            alias = info.alias or field
            if alias in ("arms", "steps"):
                continue
            before = GOOD[name][0][name]
            value = "none" if alias == "side_effects" and alias not in before else values[alias]
            block = {**before, alias: value}
            found.append((name, alias, {**GOOD[name][0], name: block}, GOOD[name][1]))
    return found


@pytest.mark.parametrize(
    ("name", "field", "rollout", "gates"), [pytest.param(*item, id=f"{item[0]}.{item[1]}") for item in edits()]
)
def test_no_field_of_a_rollout_is_ignored(
    name: str, field: str, rollout: dict[str, Any], gates: dict[str, Any]
) -> None:
    try:
        given = spec(rollout, gates)
    except ValueError:
        return  # the schema refuses it
    if not list(rollout_problems(given)):
        assert render(given) != render(spec(*GOOD[name])), f"{field} changes nothing"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("alpha", 0.05),
        ("min_requests", 50),
        ("interval", "1s"),
        ("on_no_data", "fail"),
        ("metrics", [{"name": "error_rate", "margin": 0.1}]),
    ],
)
def test_no_field_of_a_gate_is_ignored(field: str, value: Any) -> None:
    rollout, gates = GOOD["canary"]
    assert render(spec(rollout, {"guard": {**gates["guard"], field: value}})) != render(spec(rollout, gates))


@pytest.mark.parametrize(
    ("place", "field", "value"), [(0, "weight", 20), (1, "pause", "9m"), (1, "pause", "confirm"), (2, "gate", None)]
)
def test_no_field_of_a_step_is_ignored(place: int, field: str, value: Any) -> None:
    rollout, gates = GOOD["canary"]
    steps = [dict(step) for step in rollout["canary"]["steps"]]
    steps[place][field] = value
    assert render(spec({"canary": {"steps": steps}}, gates)) != render(spec(rollout, gates))
