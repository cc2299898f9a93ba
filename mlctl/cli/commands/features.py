"""mlctl features: list, describe, read, refresh, serve and compare feature views."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from mlctl.cli.features_parity import compare_log, compare_views, refuse_log_options, refuse_view
from mlctl.cli.features_stream import ask_for_events
from mlctl.cli.interrupting import Ending, interruptible
from mlctl.cli.options import (
    AsJson,
    Parallelism,
    again,
    emit_json,
    make_group,
    pick,
)
from mlctl.cli.project import in_project
from mlctl.cli.request import Request
from mlctl.cli.running import run
from mlctl.cli.watching import watched
from mlctl.engine.operations import Operation
from mlctl.providers.feast import listing, online, serving
from mlctl.types.address import Address
from mlctl.types.change import Selection
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.types.event import Progress
from mlctl.types.interrupt import Manner
from mlctl.types.state import Record
from mlctl.views.human import features as human
from mlctl.views.human.style import wants_color
from mlctl.views.human.text import safe
from mlctl.workspace import Workspace

app = make_group(
    "List, read, refresh, serve and compare what feature views give.\n\n"
    "Examples:\n\n  mlctl features list\n\n  mlctl features get user_activity_7d 42\n\n  mlctl features parity"
)
View = Annotated[str | None, typer.Argument(help="The feature view; may be left out when there is only one.")]
Named = Annotated[str, typer.Argument(metavar="VIEW", help="The feature view.")]
Service = Annotated[
    str | None, typer.Option("--service", metavar="NAME", help="Read all features of a service instead of one view.")
]


@app.command(
    "list",
    help="List feature views with their keys, features and freshness, services, and entities.\n\n"
    "Examples:\n\n  mlctl features list\n\n  mlctl features list --json | jq '.feature_views[].age_seconds'",
)
@in_project
def list_(workspace: Workspace, as_json: AsJson = False) -> int:
    """Tell what the state holds."""
    found = listing.listing(workspace.records())
    if as_json:
        emit_json({"type": "features_list", **found})
    else:
        print(human.listing(found, color=wants_color(sys.stdout)), end="")
    return ExitCode.OK


@app.command(
    "describe",
    help="Print all of a feature view: where it is, what each feature is made of, and what is in its snapshots.\n\n"
    "Examples:\n\n  mlctl features describe user_activity_7d",
)
@in_project
def describe(workspace: Workspace, view: View = None, as_json: AsJson = False) -> int:
    """Tell what the state holds of one, and look into its snapshots."""
    _, context = workspace.reader()
    with watched(context, "features describe") as watching:
        found = listing.described(pick(workspace.records(), "feature_views", view), watching)
    if as_json:
        emit_json({"type": "feature_view", **found})
    else:
        print(human.description(found, color=wants_color(sys.stdout)), end="")
    return ExitCode.OK


@app.command(
    "get",
    help="Print the online features of some keys, as a server would see them now. A key of several columns is written "
    "NAME=VALUE,NAME=VALUE; so is what a service computes from the request.\n\n"
    "Examples:\n\n  mlctl features get user_activity_7d 42 43\n\n"
    "  mlctl features get basket household_id=1,product_id=2\n\n  mlctl features get --service churn_v2 user_id=42,amount=9.5",
)
@in_project
def get(
    workspace: Workspace,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[VIEW] KEY...", help="The feature view, and entity keys. With --service only keys."),
    ] = None,
    service: Service = None,
    key: Annotated[
        list[str] | None,
        typer.Option(
            "--key",
            "-k",
            metavar="NAME=VALUE",
            help="One key, as `mlctl predict` takes it; repeat it for several columns.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Look keys up online."""
    record, keys = _asked(workspace, arguments or [], service, [",".join(key)] if key else [])
    _, context = workspace.reader()
    with watched(context, "features get") as watching:
        found = online.get_online(record, keys, watching)
    if as_json:
        for row in found:
            emit_json({"type": "features", **row})
    else:
        print(human.rows(found, color=wants_color(sys.stdout)), end="")
    return ExitCode.OK


def _asked(
    workspace: Workspace, arguments: list[str], service: str | None, more: list[str]
) -> tuple[Record, list[str]]:
    """What is looked up, and by which keys: arguments, and `more` of the option. Raises MlctlError."""
    records = workspace.records()
    if service is not None:
        record, keys = pick(records, "feature_services", service), [*arguments, *more]
    else:
        record = pick(records, "feature_views", arguments[0] if arguments else None)
        keys = [*arguments[1:], *more]
    if not keys:
        name = record.key.address.name
        asked = name if service is None else f"--service {name}"
        why = f"`{name}` is looked up by its keys"
        raise MlctlError.of("cli.usage", "no key is given", why, f"mlctl features get {asked} KEY")
    return record, keys


@app.command(
    "push",
    help="Write rows of a file to the online store of a view: Parquet, CSV or JSONL with the keys, `event_timestamp` (UTC) and "
    "all features. A later event time wins, whatever the order. Training sees them once they are in the source.\n\n"
    "Examples:\n\n  mlctl features push user_activity_7d corrections.parquet",
)
@in_project
def push(
    workspace: Workspace,
    view: Named,
    rows: Annotated[Path, typer.Argument(metavar="FILE", help="The file, from this folder.")],
    as_json: AsJson = False,
) -> int:
    """Check the whole file, then write it."""
    _, context = workspace.reader()
    record = pick(workspace.records(), "feature_views", view)
    with watched(context, "features push") as watching:
        done = online.push_file(record, rows, watching)
    if as_json:
        emit_json({"type": "features_push", "view": record.key.address.name, **done})
    else:
        older = f"; of {done['older']:,} the store has the same or something newer" if done["older"] else ""
        print(f"{done['written']:,} of {done['rows']:,} rows are online{older}.")
    return ExitCode.OK


@app.command(
    "serve",
    help='Serve online features over HTTP until Ctrl-C: POST /features with {"view" or "service": NAME, "keys": [...]}. '
    "Other machines are let in only with a bearer token, from MLCTL_TOKEN.\n\n"
    "Examples:\n\n  mlctl features serve --port 8081\n\n"
    '  curl -s localhost:8081/features -d \'{"view": "user_activity_7d", "keys": [42]}\'',
)
@in_project
def serve(
    workspace: Workspace,
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="The port to listen on.")] = 8081,
    as_json: AsJson = False,
) -> int:
    """Run the server in the foreground."""
    server = serving.server_job(workspace.records().values(), host, port)
    _, context = workspace.reader()

    def show(event: Progress) -> None:
        if as_json:
            emit_json({"type": "features_serve", "message": event.message, "host": host, "port": port})
        else:
            print(safe(event.message), flush=True)

    with interruptible(Ending(context.stop, default=Manner.STOP)):
        try:
            serving.serve(server, replace(context, progress=show))
        except MlctlError:
            if not context.stop.is_set():
                raise
    return ExitCode.OK


@app.command(
    "parity",
    help="Compare offline and online features at the last snapshot, of every key or of a sample. With --deployment: what its "
    "model saw, by the prediction log, with the features recomputed as of each prediction. Exit 3 when they differ by more "
    "than 0.001 %.\n\n"
    "Examples:\n\n  mlctl features parity\n\n  mlctl features parity user_activity_7d --sample 10000 --json\n\n"
    "  mlctl features parity --deployment churn_api --since 1d",
)
@in_project
def parity(
    workspace: Workspace,
    view: View = None,
    sample: Annotated[int | None, typer.Option("--sample", min=1, help="Compare so many keys or predictions.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Choose another sample.")] = None,
    deployment: Annotated[
        str | None, typer.Option("--deployment", metavar="NAME", help="Compare its prediction log.")
    ] = None,
    since: Annotated[str | None, typer.Option("--since", help="Only the log of the last `1d`, `6h`.")] = None,
    max_lag: Annotated[
        str | None, typer.Option("--max-lag", help="How long after a step nothing may be served; one step otherwise.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Compare views, or a log."""
    if deployment is None:
        refuse_log_options({"--since": since, "--max-lag": max_lag})
        return compare_views(workspace, view, sample, seed, as_json=as_json)
    refuse_view(view)
    return compare_log(workspace, deployment, since, max_lag, sample, seed, as_json=as_json)


@app.command(
    "materialize",
    help="Bring feature views up to date with their sources, offline and online: an apply of just these. Only keys whose row "
    "is newer than what is online are written. A schedule with `run: materialize` does the same.\n\n"
    "Examples:\n\n  mlctl features materialize\n\n  mlctl features materialize user_activity_7d trips_30d",
)
@in_project
def materialize(
    workspace: Workspace,
    views: Annotated[
        list[str] | None, typer.Argument(metavar="[VIEW]...", help="The feature views.", show_default="all")
    ] = None,
    parallelism: Parallelism = 4,
    as_json: AsJson = False,
) -> int:
    """Apply feature views and what they depend on."""
    every = [address for address in workspace.project.order if address.section == "feature_views"]
    chosen = (
        tuple(every)
        if not views
        else tuple(Address("feature_views", name.removeprefix("feature_views.")) for name in views)
    )
    if not chosen:
        raise MlctlError.of("cli.nothing-to-do", "the project has no feature views", "", "")
    ask_for_events(workspace, chosen)
    request = Request(
        Operation("features materialize", Selection(chosen)),
        workspace.project,
        again=again(workspace, "features", {"": ["materialize", *(views or [])]}),
        approved=True,
        as_json=as_json,
        parallelism=parallelism,
    )
    code = run(workspace, request)
    _tell_written(workspace, chosen, as_json=as_json)
    return code


def _tell_written(workspace: Workspace, chosen: tuple[Address, ...], *, as_json: bool) -> None:
    """How many keys each view has online, and how many of them its last materialization wrote."""
    if as_json:
        return  # the outputs say it: `evidence.online_written`
    records = workspace.records()
    for address in chosen:
        record = records.get(str(address))
        evidence = {} if record is None else record.outputs.get("evidence", {})
        if record is not None and record.complete and evidence.get("online_keys") is not None:
            done = f"{evidence['online_written']:,} written and {evidence['online_removed']:,} removed by its last materialization"
            print(f"{address.name}: {evidence['online_keys']:,} keys online; {done}")
