"""Where requests go in a cluster: an HTTPRoute with the shares of a rollout, or a Service that points at one version. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from mlctl.providers.serving.kubernetes import ranges
from mlctl.providers.serving.kubernetes.asked import Asked
from mlctl.providers.serving.kubernetes.asked import Route as RouteOf
from mlctl.providers.serving.kubernetes.naming import ROUTES
from mlctl.rollout.routes import TOTAL, Backend, Mirror, Routes
from mlctl.types.jobs.rollout import CANDIDATE, MODEL_HEADER, STABLE, UNIT_BUCKET_HEADER, VARIANT_HEADER, Unit

GROUP = "gateway.networking.k8s.io"


def http_route(asked: Asked, route: RouteOf, routes: Routes) -> dict[str, Any]:
    """The shares as weights, a preview of each variant by its header, and copies for a shadow."""
    parent: dict[str, Any] = {"group": GROUP, "kind": "Gateway", "name": route.gateway}
    if route.gateway_namespace is not None:
        parent["namespace"] = route.gateway_namespace
    spec: dict[str, Any] = {
        "parentRefs": [parent],
        "rules": [*_previews(route, routes), *_kept(route, routes), _split(route, routes)],
    }
    if route.hostnames:
        spec["hostnames"] = list(route.hostnames)
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "HTTPRoute",
        "metadata": asked.owner.metadata(asked.owner.name, annotations={ROUTES: written(routes)}),
        "spec": spec,
    }


def written(routes: Routes) -> str:
    """Routes as a text: it stands beside what they are rendered into, so that they can be read again."""
    mirror = None if routes.mirror is None else asdict(routes.mirror)
    backends = {name: asdict(backend) for name, backend in routes.backends.items()}
    unit = None if routes.unit is None else routes.unit.model_dump()
    return json.dumps(
        {"serial": routes.serial, "backends": backends, "shares": dict(routes.shares), "unit": unit, "mirror": mirror}
    )


def read(stored: str | None) -> Routes | None:
    """Routes out of such a text; None for anything else."""
    try:
        found = json.loads(stored or "")
        mirror, unit = found["mirror"], found["unit"]
        backends = {name: Backend(**backend) for name, backend in found["backends"].items()}
        return Routes(backends, found["shares"], unit and Unit(**unit), mirror and Mirror(**mirror), found["serial"])
    except (ValueError, KeyError, TypeError):
        return None


def accepted(found: Mapping[str, Any]) -> str | None:
    """Why a route is not in effect: empty when nobody has said anything about it yet, None when it is in effect."""
    generation = found.get("metadata", {}).get("generation", 0)
    parents = found.get("status", {}).get("parents") or []
    if not parents:
        return ""
    for parent in parents:
        said = {item["type"]: item for item in parent.get("conditions", ())}
        for name in ("Accepted", "ResolvedRefs"):
            item = said.get(name)
            if item is None or item.get("observedGeneration", generation) < generation:
                return ""
            if item["status"] != "True":
                return " ".join(filter(None, [name, item.get("reason"), item.get("message")]))
    return None


def _split(route: RouteOf, routes: Routes) -> dict[str, Any]:
    shares = {name: share for name, share in routes.shares.items() if share}
    divisor = math.gcd(*shares.values())
    return {
        "name": "split",
        "matches": [{"path": _path(route)}],
        "filters": [*_changed(route, routes), *_copies(routes)],
        "backendRefs": [_backend(routes, name, share // divisor) for name, share in shares.items()],
        "timeouts": _timeouts(route),
    }


def _previews(route: RouteOf, routes: Routes) -> list[dict[str, Any]]:
    """A client that names a variant gets it. A route with more headers to match goes before one with fewer."""
    named = [name for name in routes.backends if name not in (STABLE, CANDIDATE)] + [STABLE, CANDIDATE]
    return [
        {
            "name": f"preview-{_plain(name)}",
            "matches": [{"path": _path(route), "headers": [{"type": "Exact", "name": VARIANT_HEADER, "value": name}]}],
            "filters": _changed(route, routes),
            "backendRefs": [_backend(routes, name, 1)],
            "timeouts": _timeouts(route),
        }
        for name in named
        if name in routes.backends
    ]


def _kept(route: RouteOf, routes: Routes) -> list[dict[str, Any]]:
    """A unit stays at its variant: by the range that its place falls into. Requests of no unit are split by the same shares."""
    if routes.unit is None:
        return []
    rules, start = [], 0
    for name, share in routes.shares.items():
        if share:
            place = {
                "type": "RegularExpression",
                "name": UNIT_BUCKET_HEADER,
                "value": ranges.pattern(start, start + share - 1),
            }
            rule = {
                "name": f"units-{_plain(name)}",
                "matches": [{"path": _path(route), "headers": [place]}],
                "filters": [*_changed(route, routes), *_copies(routes)],
                "backendRefs": [_backend(routes, name, 1)],
                "timeouts": _timeouts(route),
            }
            rules.append(rule)
        start += share
    return rules


def _copies(routes: Routes) -> list[dict[str, Any]]:
    if routes.mirror is None:
        return []
    backend = routes.backends[routes.mirror.variant]
    mirror: dict[str, Any] = {
        "backendRef": {"group": "", "kind": "Service", "name": backend.host, "port": backend.port}
    }
    if routes.mirror.share != TOTAL:
        mirror["fraction"] = {"numerator": routes.mirror.share, "denominator": TOTAL}
    return [{"type": "RequestMirror", "requestMirror": mirror}]


def _plain(variant: str) -> str:
    return variant.lower().replace("_", "-")


def _backend(routes: Routes, variant: str, weight: int) -> dict[str, Any]:
    backend = routes.backends[variant]
    told = {"set": [{"name": VARIANT_HEADER, "value": variant}]}
    return {
        "group": "",
        "kind": "Service",
        "name": backend.host,
        "port": backend.port,
        "weight": weight,
        "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": told}],
    }


def _changed(route: RouteOf, routes: Routes) -> list[dict[str, Any]]:
    """Headers that only a gateway may set go, and so does what a path begins with: a server knows nothing of it.

    The variant is set behind this: what is removed here would be lost there too.
    """
    removed = [MODEL_HEADER] if routes.unit is not None else [UNIT_BUCKET_HEADER, MODEL_HEADER]
    found: list[dict[str, Any]] = [
        {"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": removed}},
    ]
    if route.path != "/":
        path = {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}
        found.append({"type": "URLRewrite", "urlRewrite": {"path": path}})
    return found


def _path(route: RouteOf) -> dict[str, str]:
    return {"type": "PathPrefix", "value": route.path}


def _timeouts(route: RouteOf) -> dict[str, str]:
    """A gateway's own limit would cut long answers."""
    milliseconds = round(route.timeout_seconds * 1000)
    return {"request": f"{milliseconds // 1000}s" if milliseconds % 1000 == 0 else f"{milliseconds}ms"}
