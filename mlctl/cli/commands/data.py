"""mlctl data: look into datasets, judge them, and compare their versions."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from mlctl.cli.data_contract import app as contract_app
from mlctl.cli.data_diffing import compare, dataset, version_of
from mlctl.cli.options import AsJson, Parallelism, again, emit_json, make_group, pick
from mlctl.cli.project import in_project
from mlctl.cli.request import Request, history
from mlctl.cli.running import run
from mlctl.engine.operations import Operation
from mlctl.files import atomic
from mlctl.providers.local.profile import read_profile, remarks
from mlctl.providers.local.versions import holds_rows
from mlctl.types.address import Address
from mlctl.types.change import Selection
from mlctl.types.diagnostic import ExitCode, MlctlError, did_you_mean
from mlctl.types.state import Record
from mlctl.views.human import data as human
from mlctl.views.human.style import wants_color
from mlctl.workspace import Workspace

app = make_group(
    "Look into datasets, judge them, and compare their versions.\n\n"
    "Examples:\n\n  mlctl data profile trips --html trips.html\n\n  mlctl data check\n\n  mlctl data diff trips@previous trips"
)
Html = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Write a page with plots: one file that needs no network.")
]


@app.command(
    "profile",
    help="Print what is in datasets: types, nulls, quantiles, distributions, and what is worth a look. A dataset that is "
    "not profiled yet, or has changed, is profiled first: an apply of just that.\n\n"
    "Examples:\n\n  mlctl data profile\n\n  mlctl data profile trips users\n\n  mlctl data profile trips --html trips.html\n\n"
    "  mlctl data profile trips --json | jq .columns",
)
@in_project
def profile(
    workspace: Workspace,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[DATASET]...", help="The datasets.", show_default="all datasets")
    ] = None,
    html: Html = None,
    parallelism: Parallelism = 4,
    as_json: AsJson = False,
) -> int:
    """Profile what is stale, and print the profiles."""
    chosen = _chosen(workspace, "datasets", names or [])
    if html is not None:
        _writable(html)
        if len(chosen) > 1:
            raise MlctlError.of(
                "cli.usage",
                "a page shows one dataset",
                f"{len(names)} are named" if names else f"the project has {len(chosen)}",
                "name one of them",
            )
    code = _up_to_date(workspace, "profile", chosen, parallelism, asked=names or [], as_json=as_json)
    if code not in (ExitCode.OK, ExitCode.ERROR, ExitCode.PARTLY_APPLIED):
        return code
    good = (
        set(chosen) if code is ExitCode.OK else _well(workspace, chosen)
    )  # of several, one that is bad hides no other
    records = workspace.records()
    for address in chosen:
        if address in good:
            _show_profile(workspace, pick(records, "datasets", address.name), html, as_json=as_json)
    return code


def _well(workspace: Workspace, chosen: tuple[Address, ...]) -> set[Address]:
    """Those that are made, and as the project asks for them."""
    plan = Operation("data profile", Selection(chosen)).plan(workspace.project, *workspace.reader())
    return {change.address for change in plan if not change.effective}


def _show_profile(workspace: Workspace, record: Record, html: Path | None, *, as_json: bool) -> None:
    _, context = workspace.reader()
    shown = read_profile(record, context)
    found = remarks(shown)
    address = str(record.key.address)
    if html is not None:
        from mlctl.views.html.profile import render

        _write(html, render(shown, found, title=address, version=record.key.identity, at=_made_at(record)))
    if as_json:
        told = [{"column": item.column, "code": item.code, "text": item.text} for item in found]
        emit_json({"type": "profile", "address": address, "key": str(record.key), "rows": shown["rows"], "columns": shown["columns"], "remarks": told})  # fmt: skip
        return
    print(human.profile(shown, address, found, color=wants_color(sys.stdout)), flush=True)
    if html is not None:
        print(f"Wrote {html}.")


@app.command(
    "check",
    help="Judge datasets by their data checks, and print every rule with its verdict and the keys of some offending rows: an "
    "apply of just these. Exit 3 when a gate is closed.\n\n"
    "Examples:\n\n  mlctl data check\n\n  mlctl data check trips_ok --json",
)
@in_project
def check(
    workspace: Workspace,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[DATA_CHECK]...", help="The data checks.", show_default="all")
    ] = None,
    parallelism: Parallelism = 4,
    as_json: AsJson = False,
) -> int:
    """Apply them, and print the verdicts."""
    chosen = _chosen(workspace, "data_checks", names or [])
    code = _up_to_date(workspace, "check", chosen, parallelism, asked=names or [], as_json=as_json)
    if code not in (ExitCode.OK, ExitCode.GATE_FAILED):
        return code
    records = workspace.records()
    closed = False
    for address in chosen:
        record = pick(records, "data_checks", address.name)
        rules: Any = record.outputs.get("rules", [])
        gate = record.gate
        closed = closed or gate is None or not gate.open
        if as_json:
            verdict = None if gate is None else gate.to_json()
            emit_json({"type": "data_check", "address": str(address), "rows": record.outputs.get("rows"), "gate": verdict, "rules": rules})  # fmt: skip
        else:
            print(human.verdicts(str(address), rules, gate, color=wants_color(sys.stdout)), flush=True)
    return ExitCode.GATE_FAILED if closed else ExitCode.OK


@app.command(
    "versions",
    help="List the versions of a dataset that the state holds, the current one first. Older ones are kept as "
    "`lifecycle: {retain: N}` of the dataset says, 5 without it.\n\n"
    "Examples:\n\n  mlctl data versions trips",
)
@in_project
def versions(
    workspace: Workspace,
    name: Annotated[str, typer.Argument(metavar="DATASET", help="The dataset.")],
    as_json: AsJson = False,
) -> int:
    """Print what the state holds."""
    ledger, context = workspace.reader()
    found = dataset(ledger, name)
    current = ledger.made(found[0].key.address)
    runs = [folder.read() for folder in history(workspace).kept()]
    users = ledger.users([record.key for record in found])
    rows = []
    for record in found:
        columns, count = record.outputs.get("columns"), record.outputs.get("rows")
        status = "current" if current is not None and record.key == current.key else "retained"
        made = record.complete or bool(record.outputs)
        rows.append(
            {
                "key": str(record.key),
                "identity": record.key.identity,
                "status": status if made else "unfinished",
                "at": _made_at(record),
                "rows": count if isinstance(count, int) else None,
                "columns": len(columns) if isinstance(columns, dict) else None,
                "digest": record.digest if made else "",
                "held": made and holds_rows(record, context),
                "runs": [item.id for item in runs if item.objects.get(str(record.key.address)) == str(record.key)],
                "used_by": sorted({str(key.address) for key in users[record.key]}),
            }
        )
    workspace.digests.save()
    if as_json:
        for row in rows:
            emit_json({"type": "data_version", **row})
    else:
        print(human.versions(rows, color=wants_color(sys.stdout)), end="", flush=True)
    return ExitCode.OK


@app.command(
    "diff",
    help="Compare two versions of a dataset, or two datasets: schema, rows, figures, how far each column moved over the bins of "
    "A (population stability index, Jensen-Shannon distance), and keys where the rows of both are still there.\n\n"
    "A and B are a dataset, `DATASET@IDENTITY` (the first digits will do) or `DATASET@previous`.\n\n"
    "Examples:\n\n  mlctl data diff trips@previous trips\n\n  mlctl data diff train holdout --html drift.html",
)
@in_project
def diff(
    workspace: Workspace,
    a: Annotated[str, typer.Argument(metavar="A", help="What was.")],
    b: Annotated[str, typer.Argument(metavar="B", help="What is now.")],
    html: Html = None,
    as_json: AsJson = False,
) -> int:
    """Print what differs."""
    if html is not None:
        _writable(html)
    ledger, context = workspace.reader()
    found = compare(version_of(ledger, a), version_of(ledger, b), context)
    workspace.digests.save()
    if html is not None:
        from mlctl.views.html.data_diff import render

        _write(html, render(found))
    if as_json:
        emit_json({"type": "data_diff", **found})
        return ExitCode.OK
    print(human.difference(found, color=wants_color(sys.stdout)), end="", flush=True)
    if html is not None:
        print(f"\nWrote {html}.")
    return ExitCode.OK


app.add_typer(contract_app, name="contract")


def _chosen(workspace: Workspace, section: str, names: Sequence[str]) -> tuple[Address, ...]:
    """The resources that were named, or all of the section. Raises MlctlError for one that the project does not have."""
    known = [address for address in workspace.project.order if address.section == section]
    if not known:
        raise MlctlError.of("cli.nothing-to-do", f"the project has no `{section}`", "", "")
    wanted = [Address(section, name.removeprefix(f"{section}.")) for name in names]
    for address in wanted:
        if address not in known:
            raise MlctlError.of(
                "cli.unknown-name",
                f"the project has no `{address}`",
                "",
                did_you_mean(address.name, [item.name for item in known]),
            )
    return tuple(dict.fromkeys(wanted)) or tuple(known)


def _up_to_date(
    workspace: Workspace,
    command: str,
    chosen: tuple[Address, ...],
    parallelism: int,
    *,
    asked: Sequence[str],
    as_json: bool,
) -> int:
    """Apply what is not made or stale; where nothing is, nothing is locked or told. Gives the exit code.

    `asked` are the names that the command was given: the command that goes on is the same one.
    """
    operation = Operation(f"data {command}", Selection(chosen))
    plan = operation.plan(workspace.project, *workspace.reader())
    workspace.digests.save()
    if plan.empty:
        return ExitCode.OK
    request = Request(
        operation,
        workspace.project,
        again=again(workspace, "data", {"": [command, *asked]}),
        approved=True,
        as_json=as_json,
        parallelism=parallelism,
    )
    code = run(workspace, request)
    if not as_json:
        print()
    return code


def _made_at(record: Record) -> str:
    return str(record.provenance.get("at", ""))


def _writable(path: Path) -> None:
    """Refuse a page that could not be written, before anything is done."""
    if path.is_dir():
        raise MlctlError.of(
            "cli.usage", f"`{path}` is a folder", "`--html` names a file", f"for example `{path}/profile.html`"
        )
    if not path.parent.is_dir():
        raise MlctlError.of(
            "cli.no-folder", f"there is no folder `{path.parent}`", f"`{path}` is to be written into it"
        )


def _write(path: Path, text: str) -> None:
    """Write a page into a file that keeps its mode."""
    mask = os.umask(0o077)
    os.umask(mask)
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~mask
    atomic.write_bytes(path, text.encode("utf-8", "backslashreplace"), mode=mode)
