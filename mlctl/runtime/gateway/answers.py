"""What a gateway answers by itself, when no server does: the same from both gateways."""

from __future__ import annotations

from mlctl.types.jobs.rollout import GatewaySpec

CLOSED, SLOW, TOO_LARGE, HEADERS_TOO_LARGE, UNAVAILABLE, TIMEOUT = 404, 408, 413, 431, 503, 504

_SLOW_CLIENT_SECONDS = 60.0


def answers(spec: GatewaySpec) -> dict[int, tuple[str, str]]:
    """By status: a code, and what it means."""
    return {
        CLOSED: ("gateway.closed", "this path is not for clients"),
        SLOW: ("gateway.slow-request", f"the request did not arrive within {slow_client_seconds(spec):g} s"),
        TOO_LARGE: ("gateway.too-large", f"the body is larger than {spec.max_body_bytes} bytes"),
        HEADERS_TOO_LARGE: ("gateway.headers-too-large", "the headers are larger than 60 KiB"),
        UNAVAILABLE: ("gateway.unavailable", "no server of this deployment answers; try again"),
        TIMEOUT: ("gateway.timeout", f"no answer within {spec.timeout_seconds:g} s"),
    }


def slow_client_seconds(spec: GatewaySpec) -> float:
    """How long a whole request may take to arrive."""
    return max(spec.timeout_seconds, _SLOW_CLIENT_SECONDS)
