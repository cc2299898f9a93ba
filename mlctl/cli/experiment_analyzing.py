"""What `mlctl experiment analyze` and `mlctl experiment promote` do."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from mlctl.cli.benchmarking import writable
from mlctl.cli.interrupting import Ending, interruptible
from mlctl.cli.options import AsJson, emit_json, one_of, pick
from mlctl.cli.patching import replaced, valid_everywhere
from mlctl.cli.project import in_project
from mlctl.cli.project_metrics import renew
from mlctl.cli.promoting import patch_for
from mlctl.cli.watching import watched
from mlctl.engine.provenance import who
from mlctl.files import atomic
from mlctl.providers.ab_test.advising import Promotion, promotion
from mlctl.providers.ab_test.analysis import Analysis, last_decision
from mlctl.providers.ab_test.analysis import analyse as analyse_now
from mlctl.providers.ab_test.analysis_job import applied_spec, design_of
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.types.interrupt import Manner
from mlctl.types.state import Record
from mlctl.views.human.style import wants_color
from mlctl.workspace import Workspace

Name = Annotated[str | None, typer.Argument(help="The experiment; may be left out when there is only one.")]
ANALYZE_HELP = (
    "Analyse an experiment on the data as they were applied: verdict, intervals, shares of the arms, subgroups, weeks.\n\n"
    "Exit 0 for ship and continue, 3 for stop and invalid. Each verdict is kept in the ledger (`mlctl decisions`), with the looks made so far: "
    "the same data again is no new look.\n\n"
    "Examples:\n\n  mlctl experiment analyze\n\n  mlctl experiment analyze churn_offer --html report.html\n\n"
    "  mlctl experiment analyze churn_offer --require ship --json   # for CI: exit 3 until it ships"
)
PROMOTE_HELP = (
    "Show the edit of the project that the last verdict asks for, or make it: the model of the arm that won, and no split any more.\n\n"
    "Examples:\n\n  mlctl experiment promote churn_offer\n\n  mlctl experiment promote churn_offer --write"
)


@in_project
def analyze(
    workspace: Workspace,
    name: Name = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", help="The end of the data, in ISO 8601; now if not given.")
    ] = None,
    final: Annotated[bool, typer.Option("--final", help="Nothing comes after this: make the last look.")] = False,
    require: Annotated[str | None, typer.Option("--require", metavar="ship", help="Exit 3 for `continue` too.")] = None,
    markdown: Annotated[bool, typer.Option("--md", help="Markdown, for a comment in a review.")] = False,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page with plots.")] = None,
    as_json: AsJson = False,
) -> int:
    """One look, if one is due, and a verdict."""
    one_of({"--md": markdown, "--json": as_json})
    if require not in (None, "ship"):
        raise MlctlError.of(
            "cli.usage", f"`--require {require}` is not known", "", "write `--require ship`, or leave it out"
        )
    if html is not None:
        writable(html)
    moment = _moment(until)
    _, context = workspace.reader()
    records = workspace.records()
    record = pick(records, "experiments", name)
    with (
        interruptible(Ending(workspace.stop, default=Manner.STOP)),
        watched(context, f"analysis of {record.key.address.name}") as watching,
    ):
        found = analyse_now(record, records, moment, watching, by=who(), final=final)
    if html is not None:
        from mlctl.views.html import experiment as page

        atomic.write_bytes(html, page.render(found).encode(), mode=0o644)
    renew(workspace)
    _tell(found, markdown=markdown, as_json=as_json)
    return found.exit_code(ship=require == "ship")


@in_project
def promote(
    workspace: Workspace,
    name: Name = None,
    write: Annotated[bool, typer.Option("--write", help="Make the edit in the project file.")] = False,
    as_json: AsJson = False,
) -> int:
    """The edit, by the last decision on the design as it was applied."""
    records = workspace.records()
    record = pick(records, "experiments", name)
    found, decision = _promotion(workspace, record, records)
    patch = patch_for(workspace, found)
    if write:
        valid_everywhere(workspace, patch)
        replaced(patch)
    if as_json:
        emit_json(
            {
                "type": "experiment_promotion", "experiment": record.key.address.name, "decision": decision, "deployment": found.deployment,
                "arm": found.arm, "model": found.model, "file": patch.name, "written": write, "diff": patch.diff,
            }
        )  # fmt: skip
    else:
        print(patch.diff, end="")
        print(f"{patch.name} was changed; now run `mlctl plan`" if write else "nothing was written: add `--write`")
    return ExitCode.OK


def _promotion(workspace: Workspace, record: Record, records: dict[str, Record]) -> tuple[Promotion, str]:
    address = str(record.key.address)
    spec, decision = applied_spec(record), last_decision(workspace.home, address, design_of(record).digest)
    outputs: Any = {} if decision is None else decision.outputs
    found = promotion(spec, records, outputs) if outputs else None
    if found is None or decision is None:
        said = f"the last verdict is `{decision.verdict}`" if decision is not None else "it was not analysed yet"
        ended = decision is not None and decision.verdict in ("ship", "stop")
        raise MlctlError.of(
            "experiment.nothing-to-promote",
            f"{address} asks for no change of its deployment",
            f"deployments.{spec.deployment} has no `rollout.ab` with the arms as models" if ended else said,
            "change the project by hand" if ended else "run `mlctl experiment analyze`",
        )
    return found, decision.id


def _moment(until: str | None) -> datetime:
    if until is None:
        return datetime.now(UTC)
    try:
        found = datetime.fromisoformat(until)
    except ValueError:
        raise MlctlError.of(
            "cli.usage",
            f"`--until {until}` is no time",
            "",
            "write it as in ISO 8601, for example 2026-03-01T12:00:00Z",
        ) from None
    found = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    if found > datetime.now(UTC):
        raise MlctlError.of(
            "cli.usage", f"`--until {until}` lies ahead", "nobody knows yet what will be", "leave it out"
        )
    return found


def _tell(found: Analysis, *, markdown: bool, as_json: bool) -> None:
    if as_json:
        from mlctl.providers.ab_test.marks import marks

        notes = marks(found.moments, found.outputs)
        outputs = {name: value for name, value in found.outputs.items() if name != "looks"}
        made = len(found.outputs["looks"])
        emit_json(
            {
                "type": "experiment_analysis",
                "experiment": found.experiment,
                "decision": found.decision,
                "looks": made,
                "notes": notes,
                **outputs,
            }
        )
    elif markdown:
        from mlctl.views.markdown import experiment as view

        print(view.render(found), end="")
    else:
        from mlctl.views.human import experiment as human

        print(human.render(found, color=wants_color(sys.stdout)), end="")
