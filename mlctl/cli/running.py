"""Plan, ask, apply, report: what apply, destroy and retrain have in common."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from mlctl.cli.main import mute
from mlctl.cli.options import confirm, emit_json, graceful
from mlctl.engine.applier import Applied
from mlctl.engine.store import Session
from mlctl.provider import Context
from mlctl.types.change import Plan
from mlctl.types.diagnostic import Diagnostic, ExitCode
from mlctl.types.event import Event
from mlctl.views.human import apply as human_apply
from mlctl.views.human import diagnostics as human_diagnostics
from mlctl.views.human import plan as human_plan
from mlctl.views.human import result as human_result
from mlctl.views.human.style import wants_color, width
from mlctl.views.json import diagnostics as json_diagnostics
from mlctl.views.json import plan as json_view
from mlctl.workspace import Workspace

Planner = Callable[[Session, Context], Plan]
Applier = Callable[[Plan, Session, Context, Callable[[Event], None]], Applied]


def run(
    workspace: Workspace,
    operation: str,
    make_plan: Planner,
    carry_out: Applier,
    *,
    approved: bool,
    as_json: bool,
    question: str,
) -> int:
    """Hold the lock from plan to outcome, so that what was approved is what is applied."""
    with workspace.session(operation) as (session, context):
        plan = make_plan(session, context)
        workspace.digests.save()
        with _aloud():
            _show_plan(plan, workspace.store.warnings, operation, as_json=as_json)
        if not plan.empty and not approved and not confirm(question, as_json=as_json):
            print("Nothing was changed.")
            return ExitCode.ERROR
        with graceful(workspace.stop):  # not before: until here Ctrl-C just ends the command
            applied = _json(plan, session, context, carry_out) if as_json else _human(plan, session, context, carry_out)
    with _aloud():
        if as_json:
            emit_json(
                {
                    "type": "apply_summary",
                    "exit_code": int(applied.exit_code),
                    "seconds": round(applied.seconds, 3),
                    **human_result.counts(applied),
                }
            )
        elif not plan.empty or applied.exit_code is not ExitCode.OK:
            print(human_result.render(applied, f"mlctl {operation}", color=wants_color(sys.stdout)), flush=True)
    return applied.exit_code


@contextmanager
def _aloud() -> Iterator[None]:
    """What is said in here may find nobody to hear it: the reader of a pipe went away. The work then goes on in silence."""
    try:
        yield
    except BrokenPipeError:
        mute()


def _show_plan(plan: Plan, warnings: Sequence[Diagnostic], operation: str, *, as_json: bool) -> None:
    if as_json:
        emit_json(json_view.header())
        for item in warnings:
            emit_json(json_diagnostics.to_json(item))
        for line in json_view.lines(plan):
            emit_json(line)
        return
    sys.stderr.write(human_diagnostics.render(warnings, color=wants_color(sys.stderr), width=width()))
    empty = "Nothing to remove.\n" if operation == "destroy" and plan.empty else ""
    sys.stdout.write(empty or human_plan.render(plan, color=wants_color(sys.stdout)))
    sys.stdout.flush()


def _human(plan: Plan, session: Session, context: Context, carry_out: Applier) -> Applied:
    with _aloud():
        print("" if plan.empty else "\n", end="", flush=True)
    with human_apply.ApplyView() as view:
        return carry_out(plan, session, context, _tolerant(view))


def _json(plan: Plan, session: Session, context: Context, carry_out: Applier) -> Applied:
    return carry_out(plan, session, context, _tolerant(lambda event: emit_json(json_view.event_json(event))))


def _tolerant(show: Callable[[Event], None]) -> Callable[[Event], None]:
    def shown(event: Event) -> None:
        with _aloud():
            show(event)

    return shown
