"""A data check: a gate in front of a dataset. It runs once per content of the data and of the rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from mlctl.files import atomic
from mlctl.launch import job
from mlctl.provider import Condition, Context, Desired, Family, Input, Observed, Outcome, diff_fields
from mlctl.providers.great_expectations.contracts import contract_path, contract_problems
from mlctl.providers.great_expectations.engines import engine_problems, place_problems, remote_type
from mlctl.providers.great_expectations.rules import quarantine_problems, query_problems, read_rules, rule_problems
from mlctl.providers.great_expectations.spec import DataCheckSpec
from mlctl.types.address import Address
from mlctl.types.change import FieldChange, FieldClass
from mlctl.types.diagnostic import Diagnostic, MlctlError, Severity
from mlctl.types.job import LOG_FILE
from mlctl.types.jobs.checks import ChecksParams, Quarantine, short_name
from mlctl.types.jobs.profile import Remote, Source, dataset_digest
from mlctl.types.state import Record

REPORT_FILE = "report.json"
QUARANTINE_FILE = "quarantine.parquet"


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
        """The rules exist, have arguments that make sense, and find what they compare with."""
        rules = read_rules(spec.rules)
        return [
            *(item for index, rule in enumerate(spec.rules) for item in rule_problems(index, rule)),
            *query_problems(spec.dataset, rules),
            *contract_problems(spec, rules, ctx),
            *quarantine_problems(spec, rules),
            *engine_problems(spec.engine, spec.rules),
        ]

    def check_together(
        self, specs: Mapping[Address, Any], uses: Mapping[Address, Collection[Address]], ctx: Context
    ) -> Iterable[tuple[Address, Diagnostic]]:
        """The rows of its datasets are where the engine can look at them."""
        for address, spec in specs.items():
            dataset = specs.get(Address("datasets", spec.dataset)) if address.section == self.section else None
            if dataset is None:
                continue
            named = {link.address.name: specs.get(link.address) for link in spec.links()}
            others = {name: found for name, found in named.items() if found is not None}
            database = remote_type(dataset) or ""
            for problem in place_problems(spec.engine, spec.dataset, dataset, others):
                yield address, problem
            if database:
                already = set(engine_problems(spec.engine, spec.rules))
                for problem in engine_problems(spec.engine, spec.rules, database):
                    if problem not in already:
                        yield address, problem

    def parts(self, spec: DataCheckSpec, ctx: Context) -> Mapping[str, str]:
        """The content of the recorded contract, when a rule compares with it."""
        path = contract_path(spec, [rule for rule in read_rules(spec.rules) if rule is not None])
        if path is None:
            return {}
        file = ctx.path(path)
        return {f"file:{path}": ctx.digests.file(file) if file.is_file() else "missing"}

    def read(self, prior: Record, ctx: Context) -> Observed | None:
        """Its report is there, and what it said of the age of the data still holds."""
        if not (ctx.folder(prior.key) / REPORT_FILE).exists():
            return None
        if _expired(prior.outputs):
            return Observed(condition=Condition.BROKEN, detail=_stale(prior.outputs))
        return Observed()

    def diff(self, desired: Desired, prior: Record, seen: Observed) -> Sequence[FieldChange]:
        """Fields of the spec; the content of the data stands in the identity."""
        return diff_fields(desired, prior, seen)

    def apply(self, desired: Desired, prior: Record | None, ctx: Context) -> Outcome:
        """Judge the dataset by every rule."""
        spec: DataCheckSpec = desired.spec
        if problems := [replace(item, severity=Severity.ERROR) for item in self.check(spec, ctx) if _stops(item)]:
            raise MlctlError(problems)
        inputs = {
            name: desired.input("datasets", name)
            for name in (spec.dataset, *(link.address.name for link in spec.links()))
        }
        folder = ctx.folder(desired.key)
        if _expired(atomic.read_object(folder / REPORT_FILE) or {}):
            job.discard(folder)  # its verdict was about a moment that has passed
        params = _params(spec, inputs, folder.relative_to(ctx.root).as_posix())
        result = job.run("checks", params.model_dump(mode="json"), folder, ctx)
        for found in inputs.values():
            if (problem := _changed(found, ctx)) is not None:
                # A verdict on other bytes must not open the gate, nor be taken for this one's when the old bytes come back.
                job.discard(folder)
                raise problem
        return Outcome(desired.key.identity, result.outputs, result.gate)

    def delete(self, prior: Record, ctx: Context) -> None:
        """Remove the report and the quarantine."""
        job.discard(ctx.folder(prior.key))

    def log(self, prior: Record, ctx: Context) -> Path | None:
        """The log of the checks program."""
        path = ctx.folder(prior.key) / LOG_FILE
        return path if path.exists() else None

    def describe(self, prior: Record) -> str:
        """The verdict."""
        return "" if prior.gate is None else prior.gate.summary


def _params(spec: DataCheckSpec, inputs: Mapping[str, Input], folder: str) -> ChecksParams:
    """What the program is asked."""
    rules = [rule for rule in read_rules(spec.rules) if rule is not None]
    mine, others = query_names(spec.dataset, [link.address.name for link in spec.links()])
    limit = None if spec.quarantine is None else spec.quarantine.max_rows
    return ChecksParams(
        dataset=mine,
        source=_rows(inputs[spec.dataset]),
        source_digest=inputs[spec.dataset].digest,
        references={name: _rows(inputs[full]) for name, full in others.items()},
        rules=spec.rules,
        engine=spec.engine,
        contract=contract_path(spec, rules),
        quarantine=None if spec.quarantine is None else Quarantine(path=f"{folder}/{QUARANTINE_FILE}", max_rows=limit),
        report=f"{folder}/{REPORT_FILE}",
    )


def query_names(dataset: str, others: Collection[str]) -> tuple[str, dict[str, str]]:
    """What the checked dataset is called in queries, and the others by what they are called: their full names, and their own.

    A dataset of a module or an instance has its own name besides (`users` for `eu.users`), where no other has it too.
    """
    mine = short_name(dataset) if short_name(dataset) not in {*others} - {dataset} else dataset
    known = {name: name for name in others}
    times = Counter(short_name(name) for name in known)
    for name in list(known):
        short = short_name(name)
        if times[short] == 1 and short not in (mine, *known):
            known[short] = name
    return mine, known


def _rows(dataset: Input) -> Source | Remote:
    """Where a dataset's rows are: in files, or still in a database."""
    remote = dataset.outputs.get("remote")
    return Source.of(dataset.outputs) if remote is None else Remote.model_validate(remote)


def _stops(problem: Diagnostic) -> bool:
    """Whether the check cannot run: a contract that is not there yet was only a warning while there was time to record it."""
    return problem.severity is Severity.ERROR or problem.code == "data.no-contract"


def _expired(found: Mapping[str, Any]) -> bool:
    """Whether data that was fresh enough when it was checked is no longer."""
    until = found.get("fresh_until")
    return isinstance(until, str) and datetime.fromisoformat(until) < datetime.now(UTC)


def _stale(outputs: Mapping[str, Any]) -> str:
    """Which rule no longer holds by itself, and since when."""
    until = outputs["fresh_until"]
    rule: Mapping[str, Any] = next((item for item in outputs.get("rules", ()) if item.get("fresh_until") == until), {})
    newest = rule.get("observed", "")
    since = datetime.now(UTC) - datetime.fromisoformat(until)
    hours = int(since.total_seconds() // 3600)
    late = f"{hours // 24} days" if hours >= 48 else f"{hours} hours" if hours else "less than an hour"
    return f"the newest row is of {newest}, which has been too old for {late}"


def _changed(dataset: Input, ctx: Context) -> MlctlError | None:
    """An error when the files are not what the dataset's profile was made of."""
    address: Address = dataset.key.address
    if "remote" in dataset.outputs:
        return None
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
