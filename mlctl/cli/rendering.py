"""What a deployment on a cluster would be there, without asking the cluster: for those who bring objects there by themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlctl.engine.choice import inputs_of
from mlctl.engine.desired import as_input, desire
from mlctl.engine.selection import named
from mlctl.files import atomic
from mlctl.provider import Context, Desired
from mlctl.providers.serving.deployment import Deployment
from mlctl.providers.serving.kubernetes import kept
from mlctl.types.address import Address
from mlctl.types.change import EdgeKind
from mlctl.types.diagnostic import MlctlError
from mlctl.workspace import Workspace

_SECTION = "deployments"


def objects(workspace: Workspace, name: str) -> list[dict[str, Any]]:
    """The objects of a deployment, with the models that were made last. Raises MlctlError."""
    desired, context = _desired(workspace, name)
    if not kept.is_target(desired.spec):
        raise MlctlError.of(
            "deploy.no-cluster",
            f"{desired.address} runs on this machine",
            "only what runs on a cluster is made of objects",
            "give it `target: {type: kubernetes, ...}`, or see `mlctl deploy systemd`",
            address=str(desired.address),
        )
    return Deployment().manifests(desired, context)


def text(manifests: list[dict[str, Any]]) -> str:
    """As YAML, one document each."""
    import yaml

    return yaml.safe_dump_all(manifests, sort_keys=False, width=120, allow_unicode=True)


def write(manifests: list[dict[str, Any]], folder: Path) -> list[Path]:
    """One file for each object. Files of other objects stay as they are."""
    written = []
    for number, manifest in enumerate(manifests):
        path = folder / f"{number:02d}-{manifest['kind'].lower()}-{manifest['metadata']['name']}.yaml"
        atomic.write_bytes(path, text([manifest]).encode())
        written.append(path)
    return written


def _desired(workspace: Workspace, name: str) -> tuple[Desired, Context]:
    project = workspace.project
    ledger, context = workspace.reader()
    address = Address(_SECTION, name.removeprefix(f"{_SECTION}."))
    chosen = named([address], [found for found in project.resources if found.section == _SECTION])
    if len(chosen) != 1:
        raise MlctlError.of(
            "cli.unknown-name",
            f"`{name}` means more than one deployment",
            "",
            f"name one of {', '.join(map(str, sorted(chosen)))}",
        )
    [found] = chosen
    used = [other for other, kinds in project.edges[found].items() if EdgeKind.INPUT in kinds]
    made = {other: record for other in used if (record := ledger.made(other)) is not None}
    if missing := sorted(set(used) - set(made)):
        raise MlctlError.of(
            "deploy.inputs-missing",
            f"{', '.join(f'`{other}`' for other in missing)} {'was' if len(missing) == 1 else 'were'} never made",
            f"`{found}` serves what comes of it",
            f"run `{' '.join(['mlctl apply', *(f'--target {other}' for other in missing)])}`",
            address=str(found),
        )
    live = {other: as_input(project.resources[other].kind, record) for other, record in made.items()}
    resource = project.resources[found]
    return desire(resource.kind, found, resource.spec, inputs_of(project, found, live), context), context
