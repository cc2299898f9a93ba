"""What a kill test found, for people."""

from __future__ import annotations

from collections.abc import Iterator

from mlctl.types.jobs.kill_test import KillTestReport
from mlctl.views.human.style import Paint, seconds
from mlctl.views.human.table import table


def text(address: str, report: KillTestReport, *, color: bool = False) -> str:
    """A line for each kill, what was compared, and the verdict."""
    return "\n".join(_lines(address, report, Paint(color))) + "\n"


def _lines(address: str, report: KillTestReport, paint: Paint) -> Iterator[str]:
    yield f"{address}: {report.steps} steps, a checkpoint every {report.every}, {seconds(report.seconds)}"
    rows = [
        [kill.signal, kill.what, str(kill.step), str(kill.resumed), str(kill.step - kill.resumed)]
        for kill in report.kills
    ]
    if rows:
        heads = ["SIGNAL", "TO", "AT STEP", "WENT ON FROM", "LOST"]
        yield table(heads, rows, right=heads[2:], color=paint.color).rstrip("\n")
    losses = "the same to the bit" if report.losses_identical else f"up to {report.largest_difference:.2g} apart"
    yield f"Losses of all steps: {losses}. Weights: {'identical' if report.weights_identical else 'different'}."
    for problem in report.problems:
        yield paint(f"✗ {problem}", "red")
    yield paint("✓ kills lose nothing of it", "green") if report.passed else paint("✗ not passed", "red")
