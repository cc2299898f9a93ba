"""The `entities` kind: what features are about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from mlctl.launch import job
from mlctl.provider import Condition, Context, Desired, Family, Observed, Outcome, diff_fields
from mlctl.providers.feast import layout
from mlctl.providers.feast.layout import feast_name
from mlctl.providers.feast.rules import entity_problems
from mlctl.providers.feast.spec import EntitySpec
from mlctl.types.change import FieldChange, FieldClass
from mlctl.types.diagnostic import Diagnostic
from mlctl.types.jobs.features import AdoptEntityParams
from mlctl.types.ownership import not_found
from mlctl.types.state import Record
from mlctl.types.value import Json, digest


class Entity:
    """An entity lives in the state alone until a feature view uses it.

    A view declares its entity in the Feast registry together with itself, and takes it out with the last view that uses
    it: Feast costs seconds to import, and an entity without views does nothing there.
    """

    section: ClassVar[str] = "entities"
    family: ClassVar[Family] = Family.DEFINITION
    spec: ClassVar[type[EntitySpec]] = EntitySpec
    identity: ClassVar[frozenset[str]] = frozenset()
    field_class: ClassVar[FieldClass] = FieldClass.FEATURES
    settings: ClassVar[frozenset[str]] = frozenset()
    named_by_address: ClassVar[bool] = True  # Feast knows it by its name

    def check(self, spec: EntitySpec, ctx: Context) -> Sequence[Diagnostic]:
        """One key, or several columns; whether they exist is asked by each view, of its source."""
        return tuple(entity_problems(spec))

    def read(self, prior: Record, ctx: Context) -> Observed | None:
        """It is in the state, and that is all there is to it."""
        if "keys" not in prior.outputs:
            return Observed(
                condition=Condition.BROKEN, detail="it was recorded before keys could be of several columns"
            )
        return Observed()

    def diff(self, desired: Desired, prior: Record, seen: Observed) -> Sequence[FieldChange]:
        """Field by field."""
        return diff_fields(desired, prior, seen)

    def adopt(self, desired: Desired, id: str, ctx: Context) -> Outcome:
        """Take over the entity that Feast knows by this name, when it has the same keys."""
        name, spec = feast_name(desired.address.name), desired.spec
        layout.expect_name(id, name, desired.address)
        store = layout.store_of(ctx)
        if not layout.has_registry(ctx):
            fix = "leave the import out and run `mlctl apply`: its first view declares it"
            raise not_found(
                f"entity `{id}` in Feast", f"there is no registry {store.registry}", str(desired.address), fix
            )
        params = AdoptEntityParams(
            entity=name,
            keys=spec.columns,
            store=store,
            marks=layout.marks_of(desired.key, ctx),
        )
        folder = ctx.folder(desired.key) / "adopt"
        job.discard(folder)  # an earlier look says nothing about the entity now
        job.run("features", params.model_dump(mode="json"), folder, ctx)
        job.discard(folder)
        return self.apply(desired, None, ctx)

    def apply(self, desired: Desired, prior: Record | None, ctx: Context) -> Outcome:
        """Name it; a changed digest makes its views declare it anew."""
        spec: EntitySpec = desired.spec
        name = feast_name(desired.address.name)
        outputs: dict[str, Json] = {"name": name, "keys": [key.model_dump() for key in spec.columns]}
        return Outcome(name, {**outputs, "digest": digest(outputs)})

    def delete(self, prior: Record, ctx: Context) -> None:
        """Nothing of its own to remove: its last view took it out of the registry."""
