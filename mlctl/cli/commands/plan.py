"""mlctl plan: show what apply would change, and why."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace as replaced
from pathlib import Path
from typing import Annotated

import typer

from mlctl.cli import elsewhere
from mlctl.cli.elsewhere import ForgetElsewhere
from mlctl.cli.options import (
    AsJson,
    Exclude,
    Refresh,
    Replace,
    Targets,
    applying,
    make_app,
    one_of,
    refreshing,
    selected,
)
from mlctl.cli.pricing import AllowStale, Price, priced
from mlctl.cli.project import in_project
from mlctl.cli.request import aloud, show_plan, show_verdicts
from mlctl.engine import secrecy
from mlctl.engine.operations import Operation
from mlctl.engine.runs import Runs
from mlctl.engine.saved import file as planfile
from mlctl.types.change import Mode, Plan
from mlctl.types.diagnostic import Diagnostic, ExitCode, MlctlError, Severity
from mlctl.workspace import Workspace

app = make_app()

_Destroy = Annotated[bool, typer.Option("--destroy", "-destroy", help="Plan the removal of what mlctl made.")]
_RefreshOnly = Annotated[
    bool, typer.Option("--refresh-only", "-refresh-only", help="Only what was changed outside mlctl.")
]
_Out = Annotated[Path | None, typer.Option("--out", "-out", metavar="FILE", help="Save the plan for `mlctl apply`.")]
_Diff = Annotated[
    Path | None, typer.Option("--diff", metavar="PLAN", help="Show only what is different from a saved plan.")
]
_DetailedExitCode = Annotated[
    bool,
    typer.Option(
        "--detailed-exitcode",
        "-detailed-exitcode",
        help="Exit 2 when there are changes; 5, with --refresh-only, for drift.",
    ),
]
_Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="List unchanged resources too.")]
_AsMarkdown = Annotated[bool, typer.Option("--md", help="Markdown for a comment on a change request.")]


@app.command(
    help="Show what apply would change, and why. Changes nothing and takes no lock.\n\n"
    "Examples:\n\n  mlctl plan\n\n  mlctl plan --out change.plan   # review it, then: mlctl apply change.plan\n\n"
    "  mlctl plan --diff change.plan   # what is different since that plan\n\n  mlctl plan --target training.churn\n\n"
    "  mlctl plan --refresh-only --detailed-exitcode   # 5 when something was changed outside mlctl\n\n"
    "  mlctl plan --json --detailed-exitcode   # for CI: 0 no changes, 2 changes"
)
@in_project
def plan(
    workspace: Workspace,
    target: Targets = None,
    exclude: Exclude = None,
    replace: Replace = None,
    destroy: _Destroy = False,
    refresh_only: _RefreshOnly = False,
    refresh: Refresh = "true",
    out: _Out = None,
    diff: _Diff = None,
    detailed_exitcode: _DetailedExitCode = False,
    forget_elsewhere: ForgetElsewhere = False,
    price: Price = None,
    allow_stale: AllowStale = False,
    verbose: _Verbose = False,
    as_markdown: _AsMarkdown = False,
    as_json: AsJson = False,
) -> int:
    """Make and show a plan."""
    priced(workspace, price, allow_stale=allow_stale)
    look = refreshing(workspace, refresh)
    one_of({"--destroy": destroy, "--refresh-only": refresh_only})
    one_of({"--destroy": destroy, f"--refresh={refresh}": refresh != "true"})
    one_of({"--md": as_markdown, "--json": as_json, "--verbose": verbose})
    one_of({"--diff": diff is not None, "--md": as_markdown, "--verbose": verbose})
    mode = Mode.DESTROY if destroy else Mode.REFRESH_ONLY if refresh_only else Mode.NORMAL
    selection = selected(target, exclude, replace, mode, refresh=look)
    operation = Operation("destroy" if destroy else "apply", selection, forget_elsewhere=forget_elsewhere)
    project = workspace.loaded if destroy else workspace.project
    ledger, context = workspace.reader()
    found = operation.plan(project, ledger, context)
    workspace.digests.save()
    saved = None
    if out is not None or diff is not None:
        saved = planfile.save(
            operation.name, found, project, ledger, context.secrets, operation.extra(), context.prices
        )
    if diff is not None and saved is not None:
        from mlctl.cli.comparing import show_comparison
        from mlctl.engine.saved.compare import compare

        show_comparison(compare(planfile.read(diff), found, saved), diff, as_json=as_json)
    away = elsewhere.made_elsewhere(workspace, operation, found, ledger, context)
    strict = out is not None or detailed_exitcode  # for machines, which go by the exit code
    noticed = elsewhere.told(away, operation) if strict else away
    if diff is None and not as_markdown:
        show(workspace, found, operation.name, noticed, as_json=as_json, verbose=verbose)
    told: Sequence[Diagnostic] = noticed
    try:
        if strict:
            elsewhere.refuse(away, operation)
        told = noticed + show_verdicts(found, project, ledger, context.prices, as_json=as_json)
    except MlctlError as error:
        told = [*noticed, *error.diagnostics]
        raise error if out is None else _unsaved(error, out) from None
    finally:
        told = [secrecy.told(item, context.secrets) for item in told]  # others read a comment, and a saved plan
        if as_markdown:  # a comment has all in one place, what refuses the plan first
            _comment(found, told)
    if out is not None and saved is not None:
        planfile.write(out, replaced(saved, told=tuple(told)))
        if not (as_json or as_markdown):
            print(f"\nSaved to {out}. Apply exactly this with: {applying(workspace, out)}")
    if refresh_only and detailed_exitcode:
        return ExitCode.DRIFT if found.drifted else ExitCode.OK
    return ExitCode.CHANGES if detailed_exitcode and not found.empty else ExitCode.OK


_REFUSALS = {
    "budget": "a plan beyond the budget cannot be applied",
    "prices": "a plan by prices that are too old cannot be applied",
    "state": "a plan that lets go of what another machine made cannot be applied without `--forget-elsewhere`",
}


def _unsaved(refused: MlctlError, out: Path) -> MlctlError:
    """The refusal of a plan that was to be saved, with a word on its file."""
    codes = {item.code.partition(".")[0] for item in refused.diagnostics}
    why = next(
        (text for name, text in _REFUSALS.items() if name in codes), "a plan that policies refuse cannot be applied"
    )
    note = Diagnostic("plan.not-saved", f"`{out}` is not written", why, severity=Severity.WARNING)
    return MlctlError([*refused.diagnostics, note], refused.exit_code)


def _comment(found: Plan, told: Sequence[Diagnostic]) -> None:
    """Print a plan as Markdown, with what is said of it."""
    from mlctl.views.markdown.plan import render

    with aloud():
        sys.stdout.write(render(found, told=told))
        sys.stdout.flush()


def show(
    workspace: Workspace,
    found: Plan,
    operation: str,
    noticed: Sequence[Diagnostic],
    *,
    as_json: bool,
    verbose: bool = False,
) -> None:
    """Print a plan for people or for machines."""
    with aloud():
        told = [*workspace.warnings, *noticed, *_at_work(workspace)]
        show_plan(found, told, operation, as_json=as_json, verbose=verbose)


def _at_work(workspace: Workspace) -> Iterator[Diagnostic]:
    """A word on each run that is about to make what this plan still shows as not made."""
    for run in Runs(workspace.home).running():
        why = "what it has not ended yet is planned here once more"
        fix = f"follow it with `mlctl attach {run.id}`, and plan again after it"
        yield Diagnostic("run.at-work", f"the run `{run.id}` is at work", why, fix, Severity.WARNING)
