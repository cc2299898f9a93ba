"""mlctl monitor: compare what is served with what was trained on, and act upon what is found."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from mlctl.cli.interrupting import Ending, interruptible
from mlctl.cli.options import AsJson, emit_json, make_group, pick, seconds_of
from mlctl.cli.project import in_project
from mlctl.providers.evidently.run import history
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.types.interrupt import Manner
from mlctl.views.human.style import wants_color
from mlctl.workspace import Workspace

app = make_group(
    "Compare what is served with what was trained on, and act upon what is found.\n\nExamples:\n\n  mlctl monitor run\n\n"
    "  mlctl monitor report --html trend.html\n\n  mlctl monitor backtest churn_drift --every 1d"
)
Name = Annotated[str | None, typer.Argument(help="The monitor; may be left out when there is only one.")]
Html = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page with plots.")]


@app.command(
    "run",
    help="Run monitors, print their verdicts, and do what `on_alarm` asks for: a line in a file, a webhook, the word to retrain. "
    "Every run is a decision (`mlctl decisions`). Exit 5 on an alarm, 3 when there is too little data for a verdict; an "
    "action that fails is a warning and changes neither.\n\n"
    "Examples:\n\n  mlctl monitor run\n\n  mlctl monitor run churn_drift --json\n\n"
    "  mlctl monitor run --no-actions      # only look",
)
@in_project
def run(
    workspace: Workspace,
    names: Annotated[list[str] | None, typer.Argument(help="Monitors; all of them when left out.")] = None,
    no_actions: Annotated[bool, typer.Option("--no-actions", help="Do nothing about alarms.")] = False,
    as_json: AsJson = False,
) -> int:
    """Run them one after another; the gravest verdict is the exit code."""
    from mlctl.cli.monitoring import run_one
    from mlctl.cli.project_metrics import renew
    from mlctl.cli.watching import watched

    _, context = workspace.reader()
    records = workspace.records()
    chosen = names or [address for address in records if address.startswith("monitors.")]
    codes = []
    with interruptible(Ending(workspace.stop, default=Manner.STOP)), watched(context, "the monitor") as shown:
        for record in [pick(records, "monitors", name) for name in chosen] or [pick(records, "monitors", None)]:
            codes.append(run_one(record, shown, acts=not no_actions, as_json=as_json))
    renew(workspace)
    return max(codes, key=[ExitCode.OK, ExitCode.GATE_FAILED, ExitCode.DRIFT].index)


@app.command("history", help="Print the verdicts that are kept, oldest first.\n\nExamples:\n\n  mlctl monitor history")
@in_project
def history_(workspace: Workspace, name: Name = None, as_json: AsJson = False) -> int:
    """Read the kept results."""
    _, context = workspace.reader()
    for result in history(pick(workspace.records(), "monitors", name), context):
        if as_json:
            emit_json({"type": "monitor", **result.to_json()})
        else:
            print(f"{result.run}  {result.verdict}  {result.outputs['summary']}")
    return ExitCode.OK


@app.command(
    "report",
    help="Show how everything that is watched went over the runs that are kept: effect, margin, adjusted p, verdict.\n\n"
    "Examples:\n\n  mlctl monitor report\n\n  mlctl monitor report churn_drift --html trend.html\n\n"
    "  mlctl monitor report --json | jq 'select(.part == \"data\") | {name, measure, last: .points[-1]}'",
)
@in_project
def report(workspace: Workspace, name: Name = None, html: Html = None, as_json: AsJson = False) -> int:
    """Read the kept results, and put each figure in a row."""
    from mlctl.cli.monitoring import runs_of, write_page
    from mlctl.providers.evidently.trend import trend
    from mlctl.views.human import monitor as human

    _, context = workspace.reader()
    record = pick(workspace.records(), "monitors", name)
    found, runs, called = trend(record, context), runs_of(record, context), record.key.address.name
    if html is not None:
        from mlctl.views.html import monitor as page

        write_page(html, page.render(str(record.key.address), runs, found))
    for item in found if as_json else ():
        emit_json({"type": "monitor_trend", "monitor": called, "runs": len(runs), **item.to_json()})
    if not as_json:
        print(human.trend(called, runs, found, color=wants_color(sys.stdout)), end="")
    return ExitCode.OK


@app.command(
    "backtest",
    help="Tell which alarms would have been raised: the monitor as it is applied, over past windows of the prediction log. "
    "Nothing is acted upon, and no run is kept. Times are ISO 8601, in UTC when they name no zone.\n\n"
    "Examples:\n\n  mlctl monitor backtest churn_drift\n\n"
    "  mlctl monitor backtest churn_drift --from 2026-05-01 --to 2026-05-31 --every 6h\n\n"
    "  mlctl monitor backtest --every 1d --json | jq 'select(.verdict == \"alarm\") | .until'",
)
@in_project
def backtest_(
    workspace: Workspace,
    name: Name = None,
    since: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Since when; the log's beginning.")
    ] = None,
    until: Annotated[str | None, typer.Option("--to", metavar="TIME", help="Until when; the log's end.")] = None,
    every: Annotated[str, typer.Option("--every", metavar="DURATION", help="The time between two runs.")] = "1d",
    as_json: AsJson = False,
) -> int:
    """Run the past."""
    from mlctl.cli.check_keeping import keep_check
    from mlctl.cli.watching import watched
    from mlctl.providers.evidently import backtest as past
    from mlctl.views.human import monitor as human

    _, context = workspace.reader()
    record = pick(workspace.records(), "monitors", name)
    step = seconds_of(every, "--every")
    if step <= 0:
        raise MlctlError.of("cli.usage", "`--every` has to be longer than nothing", "", "for example `--every 1d`")
    asked = past.span(record, context, _time("--from", since), _time("--to", until), step)
    with interruptible(Ending(workspace.stop, default=Manner.STOP)), watched(context, "backtest") as shown:
        runs = past.backtest(record, shown, asked)
    seen = [item for item in runs if item["verdict"] != "no_data"]
    if seen:
        rule = f"{len(seen)} past windows were watched as the next ones will be"
        alarmed = sum(item["verdict"] == "alarm" for item in seen)
        keep_check(
            context.home, str(record.key.address), "backtest", passed=True, rule=rule, outputs={"alarms": alarmed}
        )
    called = record.key.address.name
    for item in runs if as_json else ():
        emit_json({"type": "monitor_backtest", "monitor": called, **item})
    if not as_json:
        print(human.backtest(called, runs, past.alarms(runs), color=wants_color(sys.stdout)), end="")
    return ExitCode.OK


@app.command(
    "label-budget",
    help="Tell how many labels a window needs to show that the model errs more often, by an exact binomial test, and what the "
    "model's own confidence saves of them. `--draw` writes that many predictions to label, drawn at random.\n\n"
    "Examples:\n\n  mlctl monitor label-budget\n\n  mlctl monitor label-budget churn_drift --drop 0.02 --power 0.9\n\n"
    "  mlctl monitor label-budget --draw to_label.jsonl",
)
@in_project
def label_budget(
    workspace: Workspace,
    name: Name = None,
    drop: Annotated[float, typer.Option("--drop", help="The rise of the error rate to see.", min=1e-5, max=0.9)] = 0.03,
    power: Annotated[float, typer.Option("--power", help="How surely to see it.", min=0.05, max=0.999)] = 0.8,
    draw: Annotated[Path | None, typer.Option("--draw", metavar="FILE", help="Write predictions to label.")] = None,
    as_json: AsJson = False,
) -> int:
    """Compute the budget from what the monitor froze."""
    from mlctl.files import atomic
    from mlctl.providers.evidently import budget
    from mlctl.views.human import label_budget as human

    _, context = workspace.reader()
    record = pick(workspace.records(), "monitors", name)
    found = budget.budget(record, context, drop, power).to_json()
    drawn = None
    if draw is not None:
        if draw.exists():
            raise MlctlError.of(
                "cli.file-exists",
                f"{draw} is there already",
                "it may hold labels that somebody has given",
                "name another file with `--draw`, or remove it",
            )
        rows = budget.draw(record, context, found["labels"])
        try:
            atomic.write_bytes(draw, "".join(json.dumps(row) + "\n" for row in rows).encode())
        except OSError as error:
            raise MlctlError.of(
                "cli.unwritable",
                f"{draw} cannot be written",
                error.strerror or str(error),
                "name another file with `--draw`",
            ) from None
        drawn = {"file": str(draw), "rows": len(rows)}
    called = record.key.address.name
    if as_json:
        emit_json({"type": "label_budget", "monitor": called, **found, "drawn": drawn})
        return ExitCode.OK
    print(human.text(called, found), end="")
    if drawn is not None:
        print(f"  {drawn['rows']:,} predictions to label are in {drawn['file']}")
    return ExitCode.OK


def _time(option: str, text: str | None) -> datetime | None:
    """A time as given on the command line. Raises MlctlError."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise MlctlError.of(
            "cli.usage",
            f"`{option} {text}` is no time",
            "times are ISO 8601",
            f"for example `{option} 2026-05-01T06:00`",
        ) from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
