"""mlctl deploy: hand deployments to the machine or the cluster they run on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlctl.cli import rendering
from mlctl.cli.options import AsJson, emit_json, make_group
from mlctl.cli.project import in_project
from mlctl.cli.rollouts import choose
from mlctl.files import atomic
from mlctl.providers.serving import systemd
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.rollout import WANTED_FILE
from mlctl.types.secret import sealed_names
from mlctl.workspace import Workspace

app = make_group(
    "Hand deployments to the machine or the cluster they run on.\n\n"
    "Examples:\n\n  mlctl deploy systemd churn_api > ~/.config/systemd/user/mlctl-churn.service\n\n"
    "  mlctl deploy render churn_api --out k8s/churn"
)


@app.command(
    "systemd",
    help="Print a unit of systemd that starts the controller of a deployment with the machine, and again whenever it ends. The "
    "controller starts everything else, and goes on with a rollout where it was. With --into the unit is written there.\n\n"
    "Examples:\n\n  mlctl deploy systemd churn_api\n\n  mlctl deploy systemd --into ~/.config/systemd/user\n\n"
    "  sudo mlctl deploy systemd --system --into /etc/systemd/system",
)
@in_project
def systemd_(
    workspace: Workspace,
    deployment: Annotated[
        str | None, typer.Argument(help="The deployment; may be left out when there is only one with a gateway.")
    ] = None,
    system: Annotated[bool, typer.Option("--system", help="For the machine's own manager, not the user's.")] = False,
    into: Annotated[Path | None, typer.Option("--into", metavar="DIR", help="Write the unit into this folder.")] = None,
    as_json: AsJson = False,
) -> int:
    """Render it."""
    chosen = choose(workspace, deployment)
    if chosen.on_cluster is not None:
        raise MlctlError.of(
            "deploy.on-cluster",
            f"{chosen.address} runs on a cluster",
            "there its pods are started again by the cluster",
            "no unit is needed",
        )
    secrets = sorted(sealed_names(atomic.read_object(chosen.folder / WANTED_FILE) or {}))
    name = systemd.unit_name(workspace.surroundings.name, workspace.environment, chosen.name)
    text = systemd.unit(chosen.address, chosen.folder, workspace.root, user=not system, secrets=secrets)
    if into is not None:
        if not into.is_dir():
            raise MlctlError.of("cli.no-folder", f"there is no folder `{into}`", "", "make it first")
        (into / name).write_text(text, encoding="utf-8")
    if as_json:
        emit_json({"type": "unit", "address": chosen.address, "name": name, "text": text})
    elif into is not None:
        manager = "systemctl" if system else "systemctl --user"
        print(f"Wrote {into / name}. Start it: {manager} daemon-reload && {manager} enable --now {name}")
    else:
        print(text, end="")
    return 0


@app.command(
    "render",
    help="Print the objects of a deployment on a Kubernetes cluster, as they are once its models answer all requests. No cluster "
    "is asked: this is for those who bring objects there by themselves, such as by Git. Models are not copied.\n\n"
    "Examples:\n\n  mlctl deploy render churn_api | kubectl diff -f -\n\n  mlctl deploy render churn_api --out k8s/churn",
)
@in_project
def render(
    workspace: Workspace,
    deployment: Annotated[str, typer.Argument(help="The deployment, as `churn_api` or `deployments.churn_api`.")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Write one file for each object into this folder.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Render them, and hold them against the schemas."""
    found = rendering.objects(workspace, deployment)
    if out is not None:
        if not out.is_dir():
            raise MlctlError.of("cli.no-folder", f"there is no folder `{out}`", "", "make it first")
        written = rendering.write(found, out)
    if as_json:
        for manifest in found:
            emit_json({"type": "manifest", "manifest": manifest})
    elif out is not None:
        print(f"Wrote {len(written)} objects into {out}.")
    else:
        print(rendering.text(found), end="")
    return 0
