"""Plan, ask, apply, report: what apply, destroy and retrain have in common."""

from __future__ import annotations

import sys
from collections.abc import Callable

from mlctl.cli.options import confirm, emit_json, graceful
from mlctl.engine.applier import Applied
from mlctl.engine.store import Session
from mlctl.provider import Context
from mlctl.types.change import Plan
from mlctl.types.diagnostic import ExitCode
from mlctl.types.event import Event
from mlctl.views.human import apply as human_apply
from mlctl.views.human import plan as human_plan
from mlctl.views.human import result as human_result
from mlctl.views.human.style import wants_color
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
    with graceful(workspace.stop), workspace.session(operation) as (session, context):
        plan = make_plan(session, context)
        workspace.digests.save()
        if as_json:
            emit_json(json_view.header())
            for line in json_view.lines(plan):
                emit_json(line)
        else:
            sys.stdout.write(human_plan.render(plan, color=wants_color(sys.stdout)))
        if not plan.empty and not approved and not confirm(question):
            print("Nothing was changed.")
            return ExitCode.ERROR
        applied = _json(plan, session, context, carry_out) if as_json else _human(plan, session, context, carry_out)
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
        print(human_result.render(applied, color=wants_color(sys.stdout)))
    return applied.exit_code


def _human(plan: Plan, session: Session, context: Context, carry_out: Applier) -> Applied:
    if not plan.empty:
        print()
    with human_apply.ApplyView() as view:
        return carry_out(plan, session, context, view)


def _json(plan: Plan, session: Session, context: Context, carry_out: Applier) -> Applied:
    return carry_out(plan, session, context, lambda event: emit_json(json_view.event_json(event)))
