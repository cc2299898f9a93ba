"""Language models behind engines, as the cases of serving have them."""

from typing import Any

from mlctl.estimate.devices import named
from mlctl.estimate.known_models import config_named
from mlctl.estimate.kv import keys_of
from mlctl.estimate.serving import Service
from mlctl.estimate.shapes import from_config

LLAMA3_8B, LLAMA_70B = "meta-llama/Meta-Llama-3-8B", "meta-llama/Llama-3.1-70B"


def served(model: str, device: str, length: int, **more: Any) -> Service:
    """A model that is known by name on devices that are."""
    config, found = config_named(model), named(device)
    assert config is not None, model
    assert found is not None, device
    shape = from_config(config)
    return Service(shape, keys_of(shape, config), found, length, **more)
