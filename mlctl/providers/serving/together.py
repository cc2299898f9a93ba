"""Rules over the deployments of a project: one port each, and features that are served online. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from mlctl.providers.serving.spec.deployment import DeploymentSpec
from mlctl.types.address import Address
from mlctl.types.diagnostic import Diagnostic


def port_problems(deployments: Mapping[Address, DeploymentSpec]) -> Iterator[tuple[Address, Diagnostic]]:
    """Deployments that want the port of another one."""
    first: dict[tuple[str, int], Address] = {}
    for address, spec in sorted(deployments.items()):
        place = (str(ipaddress.ip_address(spec.serve.host)), spec.serve.port)
        other = first.setdefault(place, address)
        if other != address:
            yield (
                address,
                Diagnostic(
                    "deploy.same-port",
                    f"{address} and {other} both want port {spec.serve.port} of {spec.serve.host}",
                    "one server listens on a port",
                    "give each its own `serve.port`",
                    path=("serve", "port"),
                ),
            )


def offline_problems(
    deployments: Mapping[Address, DeploymentSpec],
    specs: Mapping[Address, Any],
    uses: Mapping[Address, Collection[Address]],
) -> Iterator[tuple[Address, Diagnostic]]:
    """Deployments of a model whose features are not served online, so that it could answer no request by a key."""
    for address, spec in sorted(deployments.items()):
        for view in sorted(_views(address, spec, specs, uses)):
            if not specs[view].online:
                yield (
                    address,
                    Diagnostic(
                        "deploy.view-offline",
                        f"`{spec.model}` reads {view}, which is not online",
                        "a server looks up the features of a key in the online store",
                        f"set `online: true` on {view}",
                        path=("model",),
                    ),
                )


def parity_problems(
    deployments: Mapping[Address, DeploymentSpec],
    specs: Mapping[Address, Any],
    uses: Mapping[Address, Collection[Address]],
) -> Iterator[tuple[Address, Diagnostic]]:
    """Deployments that ask for the parity of features, of a model that reads no feature view."""
    for address, spec in sorted(deployments.items()):
        if spec.require is not None and not _views(address, spec, specs, uses):
            yield (
                address,
                Diagnostic(
                    "deploy.no-features",
                    f"`require.feature_parity` has no effect: `{spec.model}` reads no feature view",
                    "there is nothing online that could differ from what training read",
                    "remove it",
                    path=("require", "feature_parity"),
                ),
            )


def _views(
    address: Address,
    spec: DeploymentSpec,
    specs: Mapping[Address, Any],
    uses: Mapping[Address, Collection[Address]],
) -> set[Address]:
    """The feature views behind the model of a deployment: those of the training that its evaluation judges, and of its service."""
    wanted = f"model:{spec.model}"
    gates = [
        found for found in uses[address] if found.section == "evaluations" and wanted in set(specs[found].provides())
    ]
    trainings = [found for gate in gates for found in uses[gate] if found.section == "training"]
    found = {found for training in trainings for found in uses[training]}
    for section in ("feature_services", "on_demand_views"):  # a service names views, and functions that read views
        found |= {inner for outer in found if outer.section == section for inner in uses[outer]}
    return {view for view in found if view.section == "feature_views"}
