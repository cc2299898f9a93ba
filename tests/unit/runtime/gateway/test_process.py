"""Without Envoy, what to do is said before anything is started."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from mlctl.runtime.gateway import open_gateway
from mlctl.runtime.gateway.base import probe
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.rollout import GatewaySpec


def test_envoy_that_is_not_installed_is_named_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "envoy", None)
    spec = GatewaySpec(type="envoy", host="127.0.0.1", port=1, timeout_seconds=1, max_body_bytes=1)
    with pytest.raises(MlctlError) as caught:
        open_gateway("envoy", tmp_path / "gateway").start(spec)
    [problem] = caught.value.diagnostics
    assert problem.code == "gateway.not-installed"
    assert "gateway: python" in problem.fix
    assert not (tmp_path / "gateway").exists()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_port_is_taken_or_it_is_free(tmp_path: Path, host: str) -> None:
    with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as other:
        port = other.getsockname()[1]
        with pytest.raises(MlctlError, match=r"deploy\.port-in-use"):
            probe(host, port, tmp_path)
    probe(host, port, tmp_path)


def test_a_port_is_waited_for_where_a_gateway_died(tmp_path: Path) -> None:
    """The system lets go of a dead process's lock and of its port in no order."""
    import threading

    (tmp_path / "process.json").write_text("{}")
    other = socket.create_server(("127.0.0.1", 0))
    port = other.getsockname()[1]
    threading.Timer(0.1, other.close).start()
    probe("127.0.0.1", port, tmp_path)
