"""mlctl demo: see the whole loop at work, on made-up households, in a few minutes and without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlctl.cli.options import AsJson, make_group

app = make_group("See the whole loop at work.\n\nExamples:\n\n  mlctl demo drift\n\n  mlctl demo drift --bad")


@app.command(
    "drift",
    help="The closed loop, from real commands and real servers on made-up households, offline and in under three minutes: a model "
    "is served, the world changes, the monitor alarms, labels come, a new model is trained, judged against the champion, sent "
    "copies, then 20 %, then 50 % of the requests, and promoted. Each number is measured while it runs; exit 1 when one of them "
    "is not as it has to be.\n\n"
    "With --bad two bad retrainings come instead: mixed-up labels, stopped by the evaluation, and a network that is too slow, "
    "taken back by the canary. The champion answers throughout.\n\n"
    "The project is written into a folder of its own, and removed with it; with --folder it stays, to look around in. What was "
    "started is ended either way.\n\n"
    "Examples:\n\n  mlctl demo drift\n\n  mlctl demo drift --bad --folder loop\n\n  mlctl demo drift --json | jq 'select(.holds == false)'",
)
def drift(
    folder: Annotated[
        Path | None, typer.Option("--folder", metavar="DIR", help="A new folder for the project; it stays.")
    ] = None,
    bad: Annotated[bool, typer.Option("--bad", help="With two bad retrainings, which have to be stopped.")] = False,
    as_json: AsJson = False,
) -> int:
    """Play it."""
    from mlctl.cli.demo import drift as story

    return story.run(folder, bad=bad, as_json=as_json)
