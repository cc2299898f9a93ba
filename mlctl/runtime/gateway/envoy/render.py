"""Envoy's configuration, from a spec and routes: a pure function of them.

Four files. What can never change while Envoy runs is in the bootstrap; the listener, the clusters and the routes are read
again whenever their file is swapped. Each has a folder of its own, since Envoy watches folders, and reads all files of one
when any of them changes.

A backend of a variant is a cluster, whose name holds a digest of where it leads: that never changes, so that clusters and
routes need not change at the same instant. New clusters come first, then the routes that use them, and clusters that no
route uses any more go last.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from mlctl.rollout.routes import TOTAL, Backend, Routes
from mlctl.runtime.gateway.base import CLOSED_PATHS, PROPENSITY_HEADER
from mlctl.runtime.gateway.envoy.listener import ROUTES_NAME, listener
from mlctl.runtime.gateway.envoy.pieces import EXTENSIONS, digest, discovery, header, http_filter, seconds, watched
from mlctl.runtime.gateway.units import lua
from mlctl.types.jobs.rollout import (
    CANDIDATE,
    MODEL_HEADER,
    STABLE,
    UNIT_BUCKET_HEADER,
    VARIANT_HEADER,
    GatewaySpec,
)

ADMIN_SOCKET = "admin.sock"
LISTENERS, CLUSTERS = "lds/lds.json", "cds/cds.json"

# Model servers close a connection that was idle for 5 s. Whoever sends on it in that moment loses the request, so that
# the gateway closes it first.
_IDLE_SECONDS = 2.0
_CONNECT_SECONDS = 2.0
_MOST_CONNECTIONS = 20_000  # of clients
_MIRROR_MARK = "-mirror"  # of a cluster that takes copies
_MIRRORED_AT_ONCE = 256  # a shadow that is slower than the traffic must not pile it up
_COPY_TIMEOUTS = 10  # so many times the time-out is the longest that a whole copy may take
_PROTOCOL = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

# Only when no connection could be made, and so nothing was sent: everything else might be done twice. The next in line is
# asked then.
_RETRIES = {
    "retry_on": "connect-failure",
    "num_retries": 1,
    "retry_priority": {
        "name": "previous_priorities",
        "typed_config": {
            "@type": f"{EXTENSIONS}.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig",
            "update_frequency": 1,
        },
    },
}


def bootstrap() -> dict[str, Any]:
    """What Envoy is started with, in the folder that all paths are relative to."""
    return {
        "node": {"id": "mlctl", "cluster": "mlctl"},
        "admin": {"address": {"pipe": {"path": ADMIN_SOCKET, "mode": 0o600}}},
        # Without a limit Envoy would take connections until files or memory run out, and then none of anybody.
        "overload_manager": {"resource_monitors": [_connections()]},
        "dynamic_resources": {"lds_config": watched(LISTENERS), "cds_config": watched(CLUSTERS)},
    }


def listeners(spec: GatewaySpec) -> dict[str, Any]:
    """The port, and what a request goes through."""
    return discovery("envoy.config.listener.v3.Listener", [listener(spec)])


def no_listeners() -> dict[str, Any]:
    """Before there are routes, a client is better refused than answered by nobody."""
    return discovery("envoy.config.listener.v3.Listener", [])


def clusters(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """All clusters given, by name (`clusters_of`)."""
    return discovery("envoy.config.cluster.v3.Cluster", [wanted[name] for name in sorted(wanted)])


def clusters_of(routes: Routes, timeout_seconds: float) -> dict[str, Any]:
    """The clusters that routes need, by name."""
    found = {}
    for variant in routes.backends:
        name = cluster_name(routes, variant)
        found[name] = _cluster(name, _candidates(routes, variant))
    if routes.mirror is not None:
        variant = routes.mirror.variant
        name = cluster_name(routes, variant, mirror=True)
        cluster = _cluster(name, [(variant, routes.backends[variant])], at_once=_MIRRORED_AT_ONCE)
        # nobody waits for a copy, so that nothing else would end one that is never answered
        protocol = cluster["typed_extension_protocol_options"][_PROTOCOL]
        protocol["common_http_protocol_options"]["max_stream_duration"] = seconds(_COPY_TIMEOUTS * timeout_seconds)
        found[name] = cluster
    return found


def routing(routes: Routes, timeout_seconds: float) -> dict[str, Any]:
    """Where requests go."""
    host: dict[str, Any] = {
        "name": "all",
        "domains": ["*"],
        "routes": [*_closed(), *_previews(routes, timeout_seconds), *_split(routes, timeout_seconds)],
    }
    if routes.unit is not None:
        host["typed_per_filter_config"] = {
            "lua": {
                "@type": f"{EXTENSIONS}.filters.http.lua.v3.LuaPerRoute",
                "source_code": {"inline_string": lua(routes.unit)},
            }
        }
    table = {"name": ROUTES_NAME, "validate_clusters": True, "virtual_hosts": [host]}
    return discovery("envoy.config.route.v3.RouteConfiguration", [table])


def cluster_name(routes: Routes, variant: str, *, mirror: bool = False) -> str:
    """The cluster of a variant's backend: `candidate-1f2e3d4c`."""
    known = [
        (name, asdict(backend))
        for name, backend in ([(variant, routes.backends[variant])] if mirror else _candidates(routes, variant))
    ]
    return f"{variant}-{digest(known)[:10]}" + (_MIRROR_MARK if mirror else "")


def variant_of(cluster: str) -> tuple[str, bool]:
    """The variant of a cluster, and whether it takes copies."""
    name = cluster.removesuffix(_MIRROR_MARK)
    return name.rpartition("-")[0], name != cluster


def version_of(resources: Mapping[str, Any]) -> str:
    """The version that Envoy tells once these resources are in force."""
    return str(resources["version_info"])


def _candidates(routes: Routes, variant: str) -> list[tuple[str, Backend]]:
    """Who answers for a variant: its own backend, and for a candidate that takes no connection, the stable version."""
    own = [(variant, routes.backends[variant])]
    if variant == CANDIDATE and STABLE in routes.backends:
        own.append((STABLE, routes.backends[STABLE]))
    return own


def _split(routes: Routes, timeout_seconds: float) -> Iterator[dict[str, Any]]:
    """By the unit's place, or else by chance: a route of a fraction draws the same number as all others of its request."""
    for by_unit in (True, False) if routes.unit is not None else (False,):
        start = 0
        for variant, share in routes.shares.items():
            if share == 0:
                continue
            until, copies = start + share, _mirror(routes, variant, 0, TOTAL)
            if by_unit:
                range_ = {"start": start, "end": until}
                match: dict[str, Any] = {"headers": [{"name": UNIT_BUCKET_HEADER, "range_match": range_}]}
            elif until < TOTAL:
                copies = _mirror(routes, variant, start, share)
                match = {"runtime_fraction": {"default_value": {"numerator": until, "denominator": "TEN_THOUSAND"}}}
            else:
                copies = _mirror(routes, variant, start, share)
                match = {}
            yield {
                "match": {"prefix": "/", **match},
                "route": {**_action(routes, variant, timeout_seconds, **_RETRIES), **copies},
                "request_headers_to_add": [header(PROPENSITY_HEADER, f"{share / TOTAL:g}")],
            }
            start = until


def _previews(routes: Routes, timeout_seconds: float) -> Iterator[dict[str, Any]]:
    """A client that names a variant gets it, also one without a share, and never another."""
    for variant in routes.backends:
        named = {"name": VARIANT_HEADER, "string_match": {"exact": variant}}
        yield {"match": {"prefix": "/", "headers": [named]}, "route": _action(routes, variant, timeout_seconds)}


def _closed() -> Iterator[dict[str, Any]]:
    """Servers take an escaped slash for a slash; all other escapes are undone when we look."""
    for path in CLOSED_PATHS:
        pattern = path.replace("/", "(/|%2[Ff])+") + ".*"
        yield {"match": {"safe_regex": {"regex": pattern}}, "direct_response": {"status": 404}}


def _action(routes: Routes, variant: str, timeout_seconds: float, **retries: Any) -> dict[str, Any]:
    """No limit on a whole answer, which would cut long streams; one on how long nothing comes."""
    return {
        "cluster": cluster_name(routes, variant),
        "timeout": "0s",
        "idle_timeout": "0s",
        "retry_policy": {"per_try_idle_timeout": seconds(timeout_seconds), **retries},
    }


def _mirror(routes: Routes, variant: str, start: int, share: int) -> dict[str, Any]:
    """Copies of what others answer. The number drawn is the request's one and only, and lies between these borders."""
    mirror = routes.mirror
    if mirror is None or mirror.variant == variant or mirror.share == 0:
        return {}
    until = start + round(share * mirror.share / TOTAL)
    fraction = {"default_value": {"numerator": until, "denominator": "TEN_THOUSAND"}}
    to = cluster_name(routes, mirror.variant, mirror=True)
    return {"request_mirror_policies": [{"cluster": to, "runtime_fraction": fraction}]}


def _cluster(name: str, backends: list[tuple[str, Backend]], *, at_once: int = 1_000_000) -> dict[str, Any]:
    limits = {
        "max_connections": at_once,
        "max_pending_requests": at_once,
        "max_requests": at_once,
        "max_retries": at_once,
    }
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": seconds(_CONNECT_SECONDS),
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [
                {"priority": priority, "lb_endpoints": [_endpoint(variant, backend)]}
                for priority, (variant, backend) in enumerate(backends)
            ],
        },
        "typed_extension_protocol_options": {
            _PROTOCOL: {
                "@type": f"{EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions",
                "common_http_protocol_options": {"idle_timeout": seconds(_IDLE_SECONDS)},
                "explicit_http_config": {"http_protocol_options": {}},
                "http_filters": [_labels(backends), http_filter("upstream_codec")],
            }
        },
    }


def _endpoint(variant: str, backend: Backend) -> dict[str, Any]:
    labels = {"variant": variant, **({} if backend.model is None else {"model": backend.model})}
    return {
        "endpoint": {"address": {"socket_address": {"address": backend.host, "port_value": backend.port}}},
        "metadata": {"filter_metadata": {"mlctl": labels}},
    }


def _labels(backends: list[tuple[str, Backend]]) -> dict[str, Any]:
    """What a server is told of the variant that it answers for, once it is known who answers: so a copy has its own label."""
    told: list[dict[str, Any]] = [{"append": header(VARIANT_HEADER, "%UPSTREAM_METADATA(mlctl:variant)%")}]
    if any(backend.model is not None for _, backend in backends):
        told.append({"remove": MODEL_HEADER})  # of the first try, when this is the second
        told.append({"append": header(MODEL_HEADER, "%UPSTREAM_METADATA(mlctl:model)%")})
    return http_filter("header_mutation", mutations={"request_mutations": told})


def _connections() -> dict[str, Any]:
    kind = "resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
    return {
        "name": "envoy.resource_monitors.global_downstream_max_connections",
        "typed_config": {"@type": f"{EXTENSIONS}.{kind}", "max_active_downstream_connections": _MOST_CONNECTIONS},
    }
