"""mlctl rollout: see how a new version takes over, and have a say in it."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any

import typer

from mlctl.cli.options import AsJson, emit_json, make_group
from mlctl.cli.project import in_project
from mlctl.cli.rollouts import Chosen, choose, give, lines_of, look, show
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.types.jobs.rollout import Order
from mlctl.views.human import rollout as human
from mlctl.views.human.style import interactive, wants_color
from mlctl.workspace import Workspace

app = make_group(
    "See how a new version takes over, and have a say in it. The rollout goes on without mlctl.\n\n"
    "Examples:\n\n  mlctl rollout status --watch\n\n  mlctl rollout promote churn_api\n\n"
    '  mlctl rollout abort --why "customers complain"'
)
Deployment = Annotated[
    str | None, typer.Argument(help="The deployment; may be left out when there is only one with a gateway.")
]
Why = Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason, for those who ask later.")]

_WATCH_SECONDS = 1.0
_OVER = ("done", "held", "ended", "empty")


@app.command(
    "status",
    help="Show who answers how much, what was measured of each version, and what the gate says. With --watch it goes on until "
    "the rollout is over. Exit 3 when the version that is wanted is held.\n\n"
    "Examples:\n\n  mlctl rollout status\n\n  mlctl rollout status churn_api --watch\n\n"
    "  mlctl rollout status --json | jq '.variants[] | {name, percent, p99}'",
)
@in_project
def status(
    workspace: Workspace,
    deployment: Deployment = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on until the rollout is over, or Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> int:
    """Read what the controller keeps and measures."""
    chosen = choose(workspace, deployment)
    return _watch(chosen, as_json=as_json) if watch else show(chosen, as_json=as_json)


@app.command(
    "promote",
    help="Let the new version leave the step it is at, whatever that waits for; with --full all steps that are left.\n\n"
    'Examples:\n\n  mlctl rollout promote\n\n  mlctl rollout promote churn_api --full --why "tested by hand"',
)
@in_project
def promote(
    workspace: Workspace,
    deployment: Deployment = None,
    full: Annotated[bool, typer.Option("--full", help="Leave out all steps and gates that are left.")] = False,
    why: Why = "",
    as_json: AsJson = False,
) -> int:
    """Order it."""
    return _ordered(workspace, deployment, Order(what="promote", full=full, why=why), as_json=as_json)


@app.command(
    "abort",
    help="Send all requests to the old version at once, and hold the new one: no apply tries it again before `retry`.\n\n"
    'Examples:\n\n  mlctl rollout abort --why "customers complain"',
)
@in_project
def abort(workspace: Workspace, why: Why, deployment: Deployment = None, as_json: AsJson = False) -> int:
    """Order it. To have aborted is what was asked for, so that the exit code is 0."""
    return _ordered(workspace, deployment, Order(what="abort", why=why), as_json=as_json)


@app.command(
    "pause",
    help="Stay at this step until `resume`. Gates go on judging: a version that fails one is still taken back.\n\n"
    'Examples:\n\n  mlctl rollout pause --why "over the weekend"',
)
@in_project
def pause(workspace: Workspace, deployment: Deployment = None, why: Why = "", as_json: AsJson = False) -> int:
    """Order it."""
    return _ordered(workspace, deployment, Order(what="pause", why=why), as_json=as_json)


@app.command("resume", help="Go on after `pause`.\n\nExamples:\n\n  mlctl rollout resume churn_api")
@in_project
def resume(workspace: Workspace, deployment: Deployment = None, why: Why = "", as_json: AsJson = False) -> int:
    """Order it."""
    return _ordered(workspace, deployment, Order(what="resume", why=why), as_json=as_json)


@app.command(
    "retry",
    help="Try a version again that is held, from the first step.\n\n"
    'Examples:\n\n  mlctl rollout retry churn_api --why "the store was down"',
)
@in_project
def retry(workspace: Workspace, deployment: Deployment = None, why: Why = "", as_json: AsJson = False) -> int:
    """Order it."""
    return _ordered(workspace, deployment, Order(what="retry", why=why), as_json=as_json)


@app.command(
    "undo",
    help="Go back to the version before: at once while it is kept warm, and else as soon as it has started. What is left is "
    "held. A second `undo` undoes the first.\n\n"
    'Examples:\n\n  mlctl rollout undo --why "wrong prices"',
)
@in_project
def undo(workspace: Workspace, deployment: Deployment = None, why: Why = "", as_json: AsJson = False) -> int:
    """Order it."""
    return _ordered(workspace, deployment, Order(what="undo", why=why), as_json=as_json)


@app.command(
    "history",
    help="Print what happened: versions that came and went, steps, verdicts, orders.\n\n"
    "Examples:\n\n  mlctl rollout history\n\n  mlctl rollout history --json | jq 'select(.what == \"held\")'",
)
@in_project
def history(
    workspace: Workspace,
    deployment: Deployment = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last lines; 0 for all.")] = 50,
    as_json: AsJson = False,
) -> int:
    """Read what the controller has noted."""
    chosen = choose(workspace, deployment)
    found = lines_of(chosen)[-lines:]
    if as_json:
        for line in found:
            emit_json({"type": "rollout_history", "address": chosen.address, **line})
    else:
        for text in human.history(found):
            print(text)
    return ExitCode.OK


def _ordered(workspace: Workspace, deployment: str | None, order: Order, *, as_json: bool) -> int:
    """Give an order, and show what came of it. Raises MlctlError when it has no effect."""
    chosen = choose(workspace, deployment)
    refused = give(chosen, order)
    if refused:
        raise MlctlError.of(
            "rollout.no-effect",
            refused,
            "",
            f"see `mlctl rollout status {chosen.address}`",
            address=chosen.address,
        )
    show(chosen, as_json=as_json)
    return ExitCode.OK


def _watch(chosen: Chosen, *, as_json: bool) -> int:
    """Follow it to its end: redrawn in place on a terminal, else a line whenever something is new."""
    if as_json or not interactive(sys.stdout):
        return _follow(chosen, as_json=as_json)
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    color = wants_color(sys.stdout)
    with Live(console=Console(highlight=False), auto_refresh=False) as live:
        while True:
            found = look(chosen)
            if found is not None:
                live.update(Text.from_ansi(human.text(found, color=color, now=time.time())), refresh=True)
                if _is_over(found):
                    return _code(found)
            time.sleep(_WATCH_SECONDS)


def _follow(chosen: Chosen, *, as_json: bool) -> int:
    told: Any = None
    while True:
        found = look(chosen)
        if found is not None:
            gate = found["gate"] or {}
            news = (found["phase"], found["says"], found["reason"], gate.get("says"), gate.get("requests"))
            if as_json and news != told:
                emit_json({"type": "rollout", **found})
            elif news[:4] != (told or ())[:4]:
                print(human.line(found), flush=True)
            told = news
            if _is_over(found):
                return _code(found)
        time.sleep(_WATCH_SECONDS / 4)


def _is_over(found: dict[str, Any]) -> bool:
    return found["phase"] in _OVER


def _code(found: dict[str, Any]) -> int:
    return ExitCode.GATE_FAILED if found["phase"] == "held" else ExitCode.OK
