"""The environment that worker programs run in."""

from __future__ import annotations

import os
from collections.abc import Mapping

# Every library mlctl drives is told not to report home; each wants to be told in its own way.
QUIET = {
    "DO_NOT_TRACK": "true",  # MLflow takes only the literal `true`
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_MODEL_CATALOG_URI": "",  # else MLflow looks its model catalogue up on first use
    "GX_ANALYTICS_ENABLED": "false",
    "FEAST_USAGE": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TQDM_DISABLE": "1",
    # A tracking server that is down must fail at once; MLflow's defaults block for 252 s.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}


def worker_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The caller's environment, telemetry off, UTF-8, UTC, unbuffered output, and `extra` on top."""
    # UTC, because libraries that store naive times take them for local ones
    return {**os.environ, "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1", "TZ": "UTC", **QUIET, **(extra or {})}
