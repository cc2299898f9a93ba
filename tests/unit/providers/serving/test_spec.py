from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from mlctl.providers.serving.spec.deployment import DeploymentSpec

MODEL = {"model": "shops@champion"}


def test_the_quickstart_block_is_accepted() -> None:
    quickstart = Path(__file__).parents[4] / "specs" / "quickstart" / "mlctl.yaml"
    spec = DeploymentSpec.model_validate(yaml.safe_load(quickstart.read_text())["deployments"]["shops_api"])
    assert (spec.serve.host, spec.serve.port, spec.serve.timeout) == ("127.0.0.1", 8080, 30.0)
    assert spec.serve.batching.max_wait == 0.0


def test_durations_are_canonical_in_state() -> None:
    spec = DeploymentSpec.model_validate(
        {**MODEL, "serve": {"port": 1, "batching": {"max_wait": "0.005s"}, "timeout": "60s"}}
    )
    assert spec.model_dump(mode="json", exclude_defaults=True)["serve"] == {
        "port": 1,
        "batching": {"max_wait": "5ms"},
        "timeout": "1m",
    }


@pytest.mark.parametrize(
    ("block", "told"),
    [
        ({**MODEL}, "serve"),
        ({**MODEL, "serve": {"port": 0}}, "port"),
        ({**MODEL, "serve": {"port": 80, "host": "0.0.0.0"}}, "not a loopback address"),
        ({**MODEL, "serve": {"port": 80, "host": "localhost"}}, "not an IP address"),
        ({**MODEL, "serve": {"port": 80, "cache": {"max_entries": 5}}}, "ttl"),
        ({**MODEL, "serve": {"port": 80, "engine": "vlm"}}, "torch"),
        ({**MODEL, "serve": {"port": 80, "batching": {"max_wait": "5"}}}, "not a duration"),
        ({**MODEL, "serve": {"port": 80, "batching": {"max_wait": "2s"}}}, "less than or equal to 1"),
        ({**MODEL, "serve": {"port": 80, "timeout": "0s"}}, "greater than or equal to 0.01"),
        ({**MODEL, "serve": {"port": 80}, "rollout": {}}, "rollout"),
        ({"model": "shops", "serve": {"port": 80}}, "name@alias"),
    ],
)
def test_what_has_no_effect_is_refused(block: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as raised:
        DeploymentSpec.model_validate(block)
    assert told in str(raised.value)
