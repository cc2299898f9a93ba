"""Both gateways tell a server when a request came to them, if it is traced, and nobody else can."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

import pytest

from mlctl.runtime.gateway import open_gateway
from mlctl.types.jobs.rollout import RECEIVED_HEADER, GatewaySpec
from tests.integration.gateway.parts import Client, Running, upstreams
from tests.integration.servers import free_port

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize("type_", ["envoy", "python"])
def test_a_traced_gateway_says_when_it_got_a_request_and_passes_the_trace_on(
    tmp_path: Path, type_: Literal["envoy", "python"]
) -> None:
    with upstreams() as (stable, candidate):
        spec = GatewaySpec(
            type=type_, host="127.0.0.1", port=free_port(), timeout_seconds=5, max_body_bytes=10_000, traced=True
        )
        gateway = open_gateway(type_, tmp_path / "gateway")
        client = Client(spec.port)
        try:
            gateway.start(spec)
            gateway.configure(Running(gateway, spec, tmp_path, stable, candidate).routes(3000))
            answer = client.ask(body=b"{}", x_mlctl_received="1", traceparent=PARENT)
            [received] = answer.header(RECEIVED_HEADER)
            assert abs(float(received) - time.time()) < 5
            assert len(received.partition(".")[2]) == 6
            assert answer.header("traceparent") == [PARENT]
        finally:
            client.connection.close()
            gateway.stop(0)
