"""A data check: a gate in front of a dataset. It runs once per content of the data and of the rules."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from mlctl.launch import job
from mlctl.provider import Context, Desired, Family, Input, Observed, Outcome, diff_fields
from mlctl.providers.great_expectations.rules import rule_problems
from mlctl.providers.great_expectations.spec import DataCheckSpec
from mlctl.types.address import Address
from mlctl.types.change import FieldChange, FieldClass
from mlctl.types.diagnostic import Diagnostic, MlctlError
from mlctl.types.job import LOG_FILE
from mlctl.types.jobs.checks import ChecksParams
from mlctl.types.jobs.profile import Source, dataset_digest
from mlctl.types.state import Record

REPORT_FILE = "report.json"


class DataCheck:
    """The `data_checks` section. A rule that fails is a verdict that closes the gate, and not a failed job."""

    section: ClassVar[str] = "data_checks"
    family: ClassVar[Family] = Family.BUILD
    spec: ClassVar[type[DataCheckSpec]] = DataCheckSpec
    identity: ClassVar[frozenset[str]] = frozenset()
    field_class: ClassVar[FieldClass] = FieldClass.DATA
    settings: ClassVar[frozenset[str]] = frozenset()
    judges: ClassVar[bool] = True

    def check(self, spec: DataCheckSpec, ctx: Context) -> Sequence[Diagnostic]:
        """The rules exist and have arguments that make sense."""
        return [item for index, rule in enumerate(spec.rules) for item in rule_problems(index, rule)]

    def read(self, prior: Record, ctx: Context) -> Observed | None:
        """Its report is there."""
        return Observed() if (ctx.folder(prior.key) / REPORT_FILE).exists() else None

    def diff(self, desired: Desired, prior: Record, seen: Observed) -> Sequence[FieldChange]:
        """Fields of the spec; the content of the data stands in the identity."""
        return diff_fields(desired, prior, seen)

    def apply(self, desired: Desired, prior: Record | None, ctx: Context) -> Outcome:
        """Judge the dataset by every rule."""
        spec: DataCheckSpec = desired.spec
        if problems := self.check(spec, ctx):
            raise MlctlError(problems)
        checked = desired.input("datasets", spec.dataset)
        others = {link.address: desired.input("datasets", link.address.name) for link in spec.links()}
        folder = ctx.folder(desired.key)
        params = ChecksParams(
            source=Source.of(checked.outputs),
            source_digest=checked.digest,
            references={address.name: Source.of(found.outputs) for address, found in others.items()},
            rules=spec.rules,
            report=(folder / REPORT_FILE).relative_to(ctx.root).as_posix(),
        )
        result = job.run("checks", params.model_dump(mode="json"), folder, ctx)
        for found in (checked, *others.values()):
            if (problem := _changed(found, ctx)) is not None:
                # A verdict on other bytes must not open the gate, nor be taken for this one's when the old bytes come back.
                job.discard(folder)
                raise problem
        return Outcome(desired.key.identity, result.outputs, result.gate)

    def delete(self, prior: Record, ctx: Context) -> None:
        """Remove the report."""
        job.discard(ctx.folder(prior.key))

    def log(self, prior: Record, ctx: Context) -> Path | None:
        """The log of the checks program."""
        path = ctx.folder(prior.key) / LOG_FILE
        return path if path.exists() else None

    def describe(self, prior: Record) -> str:
        """The verdict."""
        return "" if prior.gate is None else prior.gate.summary


def _changed(dataset: Input, ctx: Context) -> MlctlError | None:
    """An error when the files are not what the dataset's profile was made of."""
    address: Address = dataset.key.address
    try:
        contents = [ctx.digests.file(ctx.root / file) for file in dataset.outputs["files"]]
    except OSError as error:
        return MlctlError.of(
            "data.missing-file",
            f"a file of {address} vanished",
            str(error),
            "put it back and run `mlctl apply` again",
        )
    if dataset_digest(dataset.outputs, contents) == dataset.digest:
        return None
    return MlctlError.of(
        "data.changed-while-reading",
        f"a file of {address} changed after it was profiled",
        "something else writes to it",
        "run `mlctl apply` again when it is done",
    )
