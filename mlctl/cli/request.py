"""What a command that changes something was asked to do, and how a plan is shown before it is done."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from mlctl.cli.main import OUTPUT, mute
from mlctl.cli.options import emit_json
from mlctl.cli.pricing import show_prices
from mlctl.cli.telling import tell
from mlctl.engine import rollback
from mlctl.engine.ledger import Ledger
from mlctl.engine.operations import Operation
from mlctl.engine.runs import RunFolder, Runs, fetch
from mlctl.engine.saved.file import SavedPlan
from mlctl.engine.store import LocalStore
from mlctl.estimate.limits import BUDGET
from mlctl.estimate.prices import Prices
from mlctl.spec.project import Project
from mlctl.types.address import Address
from mlctl.types.change import Plan
from mlctl.types.diagnostic import Diagnostic
from mlctl.types.state import Held
from mlctl.views.human import diagnostics as human_diagnostics
from mlctl.views.human import plan as human_plan
from mlctl.views.human.style import wants_color, width
from mlctl.views.json import diagnostics as json_diagnostics
from mlctl.views.json import plan as json_view
from mlctl.workspace import Workspace


@dataclass(frozen=True)
class Request:
    """What a command was asked to do, and how.

    `saved` is a plan that was reviewed: nothing but that is done, and nobody is asked. `joined` is a run that somebody else
    began and this process carries on; `rest` says that a part of it may be done already.
    """

    operation: Operation
    project: Project
    question: str = "Apply these changes?"
    again: str = "mlctl apply"  # the one command to go on with
    approved: bool = False
    as_json: bool = False
    parallelism: int = 4
    wait_seconds: float = 0.0
    unhold: bool = False
    saved: SavedPlan | None = None
    joined: RunFolder | None = None
    rest: bool = False
    agreed: Callable[[Plan, Ledger], None] | None = None  # told of what is about to be done, before anything is


def history(workspace: Workspace) -> Runs:
    """The runs of an environment; where the state is shared, those of others too."""
    runs = Runs(workspace.home)
    if not isinstance(workspace.store, LocalStore):
        fetch(runs, workspace.store)
    return runs


def guarded(workspace: Workspace, held: Held | None) -> set[Address] | None:
    """What a rollback set, if its run is still kept; None, for everything, when it is not."""
    if held is None:
        return None
    for run in history(workspace).kept():
        if run.read().operation == "rollback" and (saved := run.saved()).extra.get("target") == held.run:
            return rollback.set_by(saved)
    return None


@contextmanager
def aloud() -> Iterator[None]:
    """What is said in here may find nobody to hear it: the reader of a pipe went away, or the terminal. The work then goes on in
    silence."""
    try:
        yield
    except OSError as error:
        if not isinstance(error, BrokenPipeError) and (error.errno, error.filename) != (errno.EIO, OUTPUT):
            raise
        mute()


def show_plan(
    plan: Plan, warnings: Sequence[Diagnostic], operation: str, *, as_json: bool, verbose: bool = False
) -> None:
    """A plan for people or machines, with what was noticed on the way."""
    if as_json:
        emit_json(json_view.header())
        for item in warnings:
            emit_json(json_diagnostics.to_json(item))
        for line in json_view.lines(plan):
            emit_json(line)
        return
    sys.stderr.write(human_diagnostics.render(warnings, color=wants_color(sys.stderr), width=width()))
    empty = "Nothing to remove.\n" if operation == "destroy" and plan.empty else ""
    sys.stdout.write(empty or human_plan.render(plan, color=wants_color(sys.stdout), verbose=verbose))
    sys.stdout.flush()


def show_verdicts(plan: Plan, project: Project, ledger: Ledger, prices: Prices, *, as_json: bool) -> list[Diagnostic]:
    """What prices, policies and the budget say of a plan that could be carried out. Raises MlctlError when one refuses it.

    Gives what policies and the budget had to tell, for those who write it down somewhere else too.
    """
    with aloud():
        show_prices(plan, prices, as_json=as_json)
    told = _show_policies(plan, project, ledger, as_json=as_json)
    return told + _show_budget(plan, project, ledger, prices, as_json=as_json)


def _show_policies(plan: Plan, project: Project, ledger: Ledger, *, as_json: bool) -> list[Diagnostic]:
    """What the policies of a project say of a plan. Raises MlctlError, exit code 4, when they do not let it through."""
    if not project.policies:
        return []
    from mlctl.engine import policy

    return _show(policy.check(plan, project, ledger), as_json=as_json)


def _show_budget(plan: Plan, project: Project, ledger: Ledger, prices: Prices, *, as_json: bool) -> list[Diagnostic]:
    """What the budget of a project says of a plan. Raises MlctlError, exit code 4, when it does not let it through."""
    if not project.settings.get(BUDGET):
        return []
    from mlctl.engine import budget

    return _show(budget.check(plan, project, ledger, prices), as_json=as_json)


def _show(told: list[Diagnostic], *, as_json: bool) -> list[Diagnostic]:
    with aloud():
        tell(told, as_json=as_json)
    return told
