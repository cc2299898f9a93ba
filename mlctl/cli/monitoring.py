"""What the commands about monitors share: one run with what follows from it, and the pages that are drawn of many."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlctl.cli.options import emit_json
from mlctl.engine.provenance import who
from mlctl.files import atomic
from mlctl.provider import Context
from mlctl.providers.evidently import actions
from mlctl.providers.evidently.run import MonitorResult, history, result_text, run_monitor
from mlctl.providers.evidently.trend import series
from mlctl.types.diagnostic import Diagnostic, ExitCode, MlctlError
from mlctl.types.state import Record
from mlctl.views.human import diagnostics as human_diagnostics
from mlctl.views.human.style import wants_color, width


def run_one(record: Record, context: Context, *, acts: bool, as_json: bool) -> ExitCode:
    """Run a monitor, do what follows, and print both. What earlier runs left undone is made up for after that."""
    result = run_monitor(record, context, acts=acts)
    taken = actions.settle(record, result, context, who(), draw_trend)
    later = actions.make_up(record, context, who(), draw_trend, but=result.run) if acts else []
    if as_json:
        emit_json({"type": "monitor", **result.to_json(), "actions": taken.done})
    else:
        print("\n".join([result_text(result), *(f"  {line}" for line in actions.text(taken.done))]))
    for run, made in later:
        if as_json:
            emit_json({"type": "monitor_actions", "monitor": result.monitor, "run": run, "actions": made.done})
        else:
            print("\n".join([f"  of the run {run}:", *(f"    {line}" for line in actions.text(made.done))]))
    _warn([*taken.warnings, *(item for _, made in later for item in made.warnings)])
    return result.exit_code


def _warn(warnings: Sequence[Diagnostic]) -> None:
    """On standard error, also beside JSON: what could not be done is in the line of the run too."""
    sys.stderr.write(human_diagnostics.render(warnings, color=wants_color(sys.stderr), width=width()))


def runs_of(record: Record, context: Context) -> list[dict[str, Any]]:
    """All runs that are kept, oldest first."""
    return [result.to_json() for result in history(record, context)]


def draw_trend(record: Record, context: Context, path: Path) -> None:
    """The page of a monitor's runs. Raises OSError."""
    from mlctl.views.html import monitor as page

    kept: list[MonitorResult] = history(record, context)
    shown = page.render(str(record.key.address), [item.to_json() for item in kept], series(kept))
    atomic.write_bytes(path, shown.encode())


def write_page(path: Path, made: str) -> None:
    """A page where somebody asked for it. Raises MlctlError."""
    try:
        atomic.write_bytes(path, made.encode(), mode=0o644)
    except OSError as error:
        raise MlctlError.of(
            "cli.unwritable",
            f"{path} cannot be written",
            error.strerror or str(error),
            "name another file with `--html`",
        ) from None
