"""Envoy's configuration is what was read and approved: the files in goldens/ (MLCTL_GOLDEN=write makes them anew)."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlctl.rollout.routes import Backend, Mirror, Routes
from mlctl.runtime.gateway.envoy import render
from mlctl.types.jobs.rollout import GatewaySpec, Unit

GOLDENS = Path(__file__).with_name("goldens")
SPEC = GatewaySpec(type="envoy", host="0.0.0.0", port=8000, timeout_seconds=30, max_body_bytes=1_000_000)
CANARY = Routes(
    {"stable": Backend("127.0.0.1", 41001, "7"), "candidate": Backend("127.0.0.1", 41002, "8", "tuned")},
    {"stable": 9000, "candidate": 1000},
    Unit(header="X-User-Id", salt="rank-2026"),
    Mirror("candidate", 2500),
)


@pytest.mark.parametrize(
    ("name", "rendered"),
    [
        ("bootstrap", render.bootstrap()),
        ("listeners", render.listeners(SPEC)),
        ("clusters", render.clusters(render.clusters_of(CANARY, 30))),
        ("routes", render.routing(CANARY, 30)),
    ],
)
def test_the_configuration_is_the_one_that_was_approved(name: str, rendered: dict[str, Any]) -> None:
    text = json.dumps(rendered, indent=1, ensure_ascii=False) + "\n"
    golden = GOLDENS / f"{name}.json"
    if os.environ.get("MLCTL_GOLDEN") == "write":
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


def test_equal_routes_are_rendered_to_equal_bytes() -> None:
    again = Routes(dict(reversed(CANARY.backends.items())), CANARY.shares, CANARY.unit, CANARY.mirror, serial=7)
    assert render.clusters(render.clusters_of(again, 30)) == render.clusters(render.clusters_of(CANARY, 30))


def test_other_shares_leave_all_clusters_as_they_are() -> None:
    other = replace(CANARY, shares={"stable": 1000, "candidate": 9000})
    assert render.clusters_of(other, 30) == render.clusters_of(CANARY, 30)
    assert render.version_of(render.routing(other, 30)) != render.version_of(render.routing(CANARY, 30))


@pytest.mark.parametrize(
    "backend",
    [
        Backend("127.0.0.1", 41003, "8", "tuned"),
        Backend("127.0.0.1", 41002, "9", "tuned"),
        Backend("127.0.0.1", 41002, "8"),
    ],
)
def test_another_backend_is_another_cluster(backend: Backend) -> None:
    other = replace(CANARY, backends={**CANARY.backends, "candidate": backend})
    assert render.cluster_name(other, "candidate") != render.cluster_name(CANARY, "candidate")
    assert render.cluster_name(other, "stable") == render.cluster_name(CANARY, "stable")


@pytest.mark.parametrize("variant", ["stable", "a-b", "arm_2", "x"])
@pytest.mark.parametrize("mirror", [True, False])
def test_a_cluster_tells_its_variant(variant: str, mirror: bool) -> None:
    routes = Routes({variant: Backend("127.0.0.1", 1, "1")}, {variant: 10_000})
    assert render.variant_of(render.cluster_name(routes, variant, mirror=mirror)) == (variant, mirror)


def test_ranges_of_shares_touch_and_a_share_of_nothing_has_none() -> None:
    arms = {name: Backend("127.0.0.1", 1 + place, "1") for place, name in enumerate("abc")}
    routes = Routes(arms, {"a": 3333, "b": 0, "c": 6667}, CANARY.unit)
    table = render.routing(routes, 1)["resources"][0]["virtual_hosts"][0]["routes"]
    ranges = [
        header["range_match"]
        for route in table
        for header in route["match"].get("headers", [])
        if "range_match" in header
    ]
    assert ranges == [{"start": 0, "end": 3333}, {"start": 3333, "end": 10_000}]
    previews = [
        header["string_match"]["exact"]
        for route in table
        for header in route["match"].get("headers", [])
        if "string_match" in header
    ]
    assert previews == ["a", "b", "c"]


def test_no_unit_is_no_lua() -> None:
    assert "lua" not in json.dumps(render.routing(replace(CANARY, unit=None), 30))
