"""What came of an apply: a table of outcomes, and the one command to go on with."""

from __future__ import annotations

from mlctl.engine.applier import Applied
from mlctl.types.diagnostic import ExitCode
from mlctl.views.human.plan import cause, name
from mlctl.views.human.style import Paint, columns, seconds
from mlctl.views.human.text import safe


def counts(applied: Applied) -> dict[str, int]:
    """Steps by outcome."""
    return {
        "done": sum(1 for step in applied.done if not step.reused),
        "reused": sum(1 for step in applied.done if step.reused),
        "failed": len(applied.failed),
        "skipped": len(applied.skipped),
        "gates_failed": sum(1 for gate in applied.gates if not gate.gate.open),
    }


def render(applied: Applied, command: str = "mlctl apply", *, color: bool = False) -> str:
    """The table and the closing line; `command` is what to go on with."""
    paint = Paint(color)
    rows: list[list[str]] = []
    closed = {gate.address for gate in applied.gates if not gate.gate.open}
    for done in applied.done:
        verdict = "not passed" if done.change.address in closed and done.record is not None else ""
        rows.append(
            [
                verdict or ("reused" if done.reused else "done"),
                name(done.change),
                str(done.change.action),
                seconds(done.seconds),
            ]
        )
    for failed in applied.failed:
        state = "resumable" if failed.resumable else "failed"
        rows.append(
            [
                state,
                name(failed.change),
                str(failed.change.action),
                safe(failed.diagnostics[0].summary) if failed.diagnostics else "",
            ]
        )
    for left in applied.detached:
        told = f"without this command, after {seconds(left.seconds)} with it"
        rows.append(["goes on", name(left.change), str(left.change.action), told])
    for skipped in applied.skipped:
        rows.append(
            [
                "skipped",
                name(skipped.change),
                str(skipped.change.action),
                cause(skipped.change, skipped.because, skipped.why),
            ]
        )
    lines = ["", *columns(rows), ""] if rows else []
    return "\n".join([*lines, _closing(applied, command, paint)])


def _closing(applied: Applied, command: str, paint: Paint) -> str:
    tally = counts(applied)
    took = seconds(applied.seconds)
    match applied.exit_code:
        case ExitCode.OK:
            reused = f", {tally['reused']} reused" if tally["reused"] else ""
            return paint(f"Applied: {tally['done']} done{reused} in {took}.", "green")
        case ExitCode.GATE_FAILED:
            failing = ", ".join(str(gate.address) for gate in applied.gates if not gate.gate.open)
            return (
                paint(f"Held back by a gate: {failing}. What it guards was left as it was.", "red")
                + f"\nLook into it with: mlctl show {failing.split(', ')[0]}"
            )
        case ExitCode.INTERRUPTED:
            return paint(f"Interrupted after {took}; nothing is lost.", "yellow") + f"\nGo on with: {command}"
        case _ if applied.unsaved and not (tally["failed"] or tally["skipped"]):
            return (
                paint(f"All is done ({tally['done']} in {took}), but the state is not written.", "red")
                + f"\nWhat was done is in the journal. Go on, once it is mended, with: {command}"
            )
        case _:
            return (
                paint(
                    f"Not all is done: {tally['done']} done, {tally['failed']} failed, {tally['skipped']} skipped in {took}.",
                    "red",
                )
                + f"\nGo on, once it is mended, with: {command}"
            )
