"""What a command does to the state: how its plan is made and how it is carried out, now or out of a saved plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mlctl.engine import applier, planner
from mlctl.engine.applier import Applied, Emit
from mlctl.engine.ledger import Ledger
from mlctl.engine.promotion import Offer
from mlctl.engine.saved.file import SavedPlan
from mlctl.engine.store import Session
from mlctl.provider import Context, Kind
from mlctl.spec.project import Project
from mlctl.types.address import Address
from mlctl.types.change import Mode, Plan, Selection
from mlctl.types.diagnostic import MlctlError
from mlctl.types.value import Json


@dataclass(frozen=True)
class Operation:
    """One kind of command. `pins` are builds that a rollback goes back to, `offer` is what a promotion may take, and `imports`
    what is taken over by its id, beside what the project says.

    `forget_elsewhere` says that what another machine made and keeps is of no account: it may be forgotten, or made anew here.
    `target` and `why` say, of a rollback, to which run it goes back and for what reason: the state then holds that result.
    """

    name: str
    selection: Selection
    pins: Mapping[Address, str] = field(default_factory=dict)
    imports: Mapping[Address, str] = field(default_factory=dict)
    offer: Offer | None = None
    target: str = ""
    why: str = ""
    forget_elsewhere: bool = False

    @classmethod
    def of(cls, saved: SavedPlan, offer: Callable[[str], Offer]) -> Operation:
        """The operation of a saved plan. `offer` gives what an environment has to offer, by its name."""
        extra = saved.extra
        return cls(
            name=saved.operation,
            selection=saved.plan.selection,
            pins={Address.parse(name): identity for name, identity in extra.get("pins", {}).items()},
            imports={Address.parse(name): id for name, id in extra.get("imports", {}).items()},
            offer=offer(extra["from"]) if "from" in extra else None,
            target=extra.get("target", ""),
            why=extra.get("why", ""),
            forget_elsewhere=extra.get("forget_elsewhere", False),
        )

    def extra(self) -> dict[str, Json]:
        """What a saved plan has to keep of it, beside the selection."""
        kept: dict[str, Any] = {"pins": {str(address): identity for address, identity in self.pins.items()}}
        kept |= {"imports": {str(address): id for address, id in self.imports.items()}}
        kept |= {"from": None if self.offer is None else self.offer.environment, "target": self.target, "why": self.why}
        kept |= {"forget_elsewhere": self.forget_elsewhere}
        return {name: value for name, value in kept.items() if value}

    def context(self, ctx: Context) -> Context:
        """The context to plan and apply with."""
        return replace(ctx, pinned=self.pins) if self.pins else ctx

    def _importing(self, project: Project) -> Project:
        return replace(project, imports={**project.imports, **self.imports}) if self.imports else project

    def plan(self, project: Project, ledger: Ledger, ctx: Context) -> Plan:
        """What it would do. Raises MlctlError, `state.other-project` for a state that another project made."""
        _refuse_other(project, ledger)
        ctx, project = self.context(ctx), self._importing(project)
        if self.selection.mode is Mode.DESTROY:
            return planner.destruction(project, ledger, self.selection)
        if self.offer is not None:
            plan = planner.plan(project, ledger, ctx, self.selection, offered=self.offer.records)
            self.offer.refuse_builds(plan, project, ctx)
            return plan
        return planner.plan(project, ledger, ctx, self.selection)

    def carry_out(
        self,
        plan: Plan,
        project: Project,
        kinds: Callable[[str], Kind],
        session: Session,
        ctx: Context,
        emit: Emit,
        parallelism: int,
        name: str = "",
    ) -> Applied:
        """Do what a plan says. `name` is the run's."""
        session.ledger.project = project.name  # kept with the first step; an older state does not say whose it is
        ctx, project = self.context(ctx), self._importing(project)
        if self.selection.mode is Mode.DESTROY:
            return applier.destroy(plan, kinds, session, ctx, emit, parallelism=parallelism)
        if self.selection.mode is Mode.REFRESH_ONLY:
            from mlctl.engine import refresh

            return refresh.accept(plan, session, ctx, emit)
        if self.offer is not None:
            return applier.apply(
                plan, project, kinds, session, ctx, emit, parallelism=parallelism, take=self.offer.take, name=name
            )
        return applier.apply(plan, project, kinds, session, ctx, emit, parallelism=parallelism, name=name)


def _refuse_other(project: Project, ledger: Ledger) -> None:
    """Raise MlctlError when the objects of a state are another project's: a plan of this one would remove all of them."""
    number = sum(1 for _ in ledger)
    if not number or ledger.project in ("", project.name):
        return
    raise MlctlError.of(
        "state.other-project",
        f"the state of the environment `{project.environment}` is that of the project `{ledger.project}`, and this is the "
        f"project `{project.name}`",
        f"a plan would remove the {number} object{'' if number == 1 else 's'} that `{ledger.project}` made",
        "give this project a folder, or an environment, of its own; if it was renamed: "
        f"`mlctl state rename-project {ledger.project}`",
    )
