"""Envoy's listener: the port, and what a request goes through before it is routed."""

from __future__ import annotations

from typing import Any

from mlctl.runtime.gateway import answers
from mlctl.runtime.gateway.base import PROPENSITY_HEADER, RETRY_AFTER_SECONDS
from mlctl.runtime.gateway.envoy.pieces import EXTENSIONS, header, http_filter, seconds, watched
from mlctl.types.jobs.rollout import MODEL_HEADER, RECEIVED_HEADER, UNIT_BUCKET_HEADER, GatewaySpec

ROUTES = "rds/rds.json"
ROUTES_NAME = "routes"
CUT = "cut_answers"


def listener(spec: GatewaySpec) -> dict[str, Any]:
    """Of a deployment."""
    manager = {
        "@type": f"{EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "ingress",
        "rds": {"route_config_name": ROUTES_NAME, "config_source": watched(ROUTES)},
        "request_headers_timeout": "10s",
        "request_timeout": seconds(answers.slow_client_seconds(spec)),
        "stream_idle_timeout": "0s",  # a route says how long nothing may come
        "http_protocol_options": {"accept_http_10": True, "default_host_for_http_10": "localhost"},
        "use_remote_address": True,
        "normalize_path": True,
        "merge_slashes": True,
        "preserve_external_request_id": True,
        "always_set_request_id_in_response": True,
        "request_id_extension": {
            "typed_config": {
                "@type": f"{EXTENSIONS}.request_id.uuid.v3.UuidRequestIdConfig",
                "pack_trace_reason": False,
            }
        },
        "server_header_transformation": "PASS_THROUGH",
        "early_header_mutation_extensions": [_own_headers(spec)],
        "local_reply_config": _own_answers(spec),
        "access_log": [_cut_answers()],
        # The buffer comes first: a request is routed once it is whole, and a slow client holds up no model server.
        "http_filters": [
            http_filter("buffer", max_request_bytes=spec.max_body_bytes),
            http_filter("lua"),
            http_filter("router", suppress_envoy_headers=True),
        ],
    }
    return {
        "name": f"ingress-{spec.host}-{spec.port}",
        "address": {"socket_address": {"address": spec.host, "port_value": spec.port}},
        "enable_reuse_port": False,  # else a second gateway on the port would be let in, and get half of the requests
        "tcp_backlog_size": 2048,
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }


def _own_headers(spec: GatewaySpec) -> dict[str, Any]:
    """What only the gateway may say."""
    mutations: list[dict[str, Any]] = [
        {"remove": name} for name in (UNIT_BUCKET_HEADER, MODEL_HEADER, PROPENSITY_HEADER)
    ]
    if spec.traced:
        mutations.append({"append": header(RECEIVED_HEADER, "%START_TIME(%s.%6f)%")})
    return {
        "name": "own_headers",
        "typed_config": {
            "@type": f"{EXTENSIONS}.http.early_header_mutation.header_mutation.v3.HeaderMutation",
            "mutations": mutations,
        },
    }


def _own_answers(spec: GatewaySpec) -> dict[str, Any]:
    """What a client is told when nobody else answers."""
    mappers = []
    for status, (code, message) in answers.answers(spec).items():
        mapper: dict[str, Any] = {
            "filter": {
                "status_code_filter": {
                    "comparison": {"op": "EQ", "value": {"default_value": status, "runtime_key": f"mlctl.{status}"}}
                }
            },
            "body_format_override": {
                "json_format": {"code": code, "message": message, "request_id": "%REQ(X-REQUEST-ID)%"}
            },
        }
        if status == answers.UNAVAILABLE:
            mapper["headers_to_add"] = [header("retry-after", str(RETRY_AFTER_SECONDS))]
        mappers.append(mapper)
    return {"mappers": mappers}


def _cut_answers() -> dict[str, Any]:
    """A counter of answers that began well and were not brought to an end: by their status they look like good ones."""
    began_well = {"comparison": {"op": "LE", "value": {"default_value": 499, "runtime_key": "mlctl.cut"}}}
    counter = {"name": CUT, "tags": [{"name": "cluster", "value_format": "%UPSTREAM_CLUSTER%"}]}
    return {
        "name": "cut_answers",
        "filter": {
            "and_filter": {
                "filters": [
                    {"response_flag_filter": {"flags": ["UC", "UR", "UPE", "UT", "SI", "LR"]}},
                    {"status_code_filter": began_well},
                ]
            }
        },
        "typed_config": {
            "@type": f"{EXTENSIONS}.access_loggers.stats.v3.Config",
            "stats_scope": {"prefix": "mlctl"},
            "counters": [{"stat": counter, "value_fixed": 1}],
        },
    }
