"""The unit of systemd for a controller."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mlctl.providers.serving.systemd import unit, unit_name
from mlctl.types.diagnostic import MlctlError

GOLDEN = f"""\
[Unit]
Description=mlctl controller of deployments.churn_api
After=network.target
ConditionPathExists=/srv/shop/c/wanted.json
StartLimitIntervalSec=0

[Service]
Type=exec
WorkingDirectory=/srv/shop
Environment=DO_NOT_TRACK=true
Environment=FEAST_USAGE=False
Environment=GX_ANALYTICS_ENABLED=false
Environment=HF_HUB_DISABLE_TELEMETRY=1
Environment=MLFLOW_DISABLE_TELEMETRY=true
Environment=MLFLOW_HTTP_REQUEST_MAX_RETRIES=1
Environment=MLFLOW_HTTP_REQUEST_TIMEOUT=10
Environment=MLFLOW_MODEL_CATALOG_URI=
Environment=PYTHONUNBUFFERED=1
Environment=PYTHONUTF8=1
Environment=RAY_USAGE_STATS_ENABLED=0
Environment=TQDM_DISABLE=1
Environment=TZ=UTC
Environment=VLLM_NO_USAGE_STATS=1
ExecStart=/usr/bin/flock --no-fork /srv/shop/c/lock {sys.executable} -m mlctl.runtime controller /srv/shop/c
StandardOutput=append:/srv/shop/c/log.txt
StandardError=inherit
Restart=always
RestartSec=2
KillMode=process
UMask=0077

[Install]
WantedBy=default.target
"""


def test_a_unit_takes_the_lock_restarts_always_and_leaves_the_servers_alone() -> None:
    assert unit("deployments.churn_api", Path("/srv/shop/c"), Path("/srv/shop"), user=True, secrets=[]) == GOLDEN


def test_a_unit_of_the_machine_starts_with_the_machine_and_asks_for_secrets() -> None:
    text = unit("deployments.a", Path("/srv/a b/100%"), Path("/srv/a b"), user=False, secrets=["var.token"])
    assert "WantedBy=multi-user.target" in text
    assert '"/srv/a b/100%%/lock"' in text
    assert "EnvironmentFile=" in text
    assert "var.token" in text


def test_names_and_paths_that_a_unit_cannot_hold() -> None:
    assert unit_name("my shop", "default", "api") == "mlctl-my-shop-api.service"
    assert unit_name("shop", "prod", 'api["eu"]') == "mlctl-shop-prod-api--eu--.service"
    with pytest.raises(MlctlError, match=r"deploy\.unit-path"):
        unit("deployments.a", Path("/srv/a\nb"), Path("/srv"), user=True, secrets=[])
