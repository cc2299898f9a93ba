"""The gateway of a deployment: shares, stickiness, previews and copies of requests, by Envoy or by our own Python program."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from mlctl.runtime.gateway.base import Answered as Answered
from mlctl.runtime.gateway.base import Gateway as Gateway


def open_gateway(type: Literal["envoy", "python"], folder: Path) -> Gateway:
    """The gateway that lives in a folder, or will once it is started. Opening it changes nothing."""
    if type == "envoy":
        from mlctl.runtime.gateway.envoy import EnvoyGateway

        return EnvoyGateway(folder)
    from mlctl.runtime.gateway.python import PythonGateway

    return PythonGateway(folder)
