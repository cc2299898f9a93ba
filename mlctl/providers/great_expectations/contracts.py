"""The recorded contract that some rules compare with: which file it is, and what is wrong with it, said before anything runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import ValidationError

from mlctl.provider import Context
from mlctl.providers.great_expectations.spec import DataCheckSpec
from mlctl.types.diagnostic import Diagnostic, MlctlError, Severity, did_you_mean
from mlctl.types.jobs.checks import Distribution, Rule, needs_contract
from mlctl.types.jobs.contract import CategoricalBins, DataContract, default_path


def contract_path(spec: DataCheckSpec, rules: Sequence[Rule]) -> str | None:
    """The project-relative path of the contract; None when no rule looks at it."""
    if not any(needs_contract(rule) for rule in rules):
        return None
    return spec.contract or default_path(spec.dataset)


def contract_problems(spec: DataCheckSpec, rules: Sequence[Rule | None], ctx: Context) -> Iterator[Diagnostic]:
    """A contract that no rule needs, is not there yet, cannot be read, or lacks what a rule compares. `rules` in order, None for bad ones."""
    path = contract_path(spec, [rule for rule in rules if rule is not None])
    if path is None:
        if spec.contract is not None and None not in rules:
            yield Diagnostic(
                "data.no-effect",
                "`contract` has no effect",
                "no rule compares with it: `schema_drift`, `distribution`, and `row_count` with `max_change` do",
                "take it out",
                path=("contract",),
            )
        return
    try:
        data = ctx.path(path).read_bytes()
    except MlctlError as error:
        yield from (
            Diagnostic(item.code, item.summary, item.why, item.fix, path=("contract",)) for item in error.diagnostics
        )
        return
    except OSError:
        yield Diagnostic(
            "data.no-contract",
            f"no contract is recorded in `{path}` yet",
            "rules compare the data with it, and the check cannot run until it is there",
            f"run `mlctl data contract record {spec.dataset}` on data that is good, and keep the file in git",
            severity=Severity.WARNING,
        )
        return
    try:
        contract = DataContract.model_validate_json(data)
    except ValidationError as error:
        said = str(error.errors(include_url=False)[0]["msg"])
        fix = "record it again with `mlctl data contract record`, or restore it from git"
        yield Diagnostic("data.bad-contract", f"`{path}` is no data contract", said, fix, path=("contract",))
        return
    for index, rule in enumerate(rules):
        if isinstance(rule, Distribution):
            yield from _distribution_problems(index, rule, contract, path)


def _distribution_problems(index: int, rule: Distribution, contract: DataContract, path: str) -> Iterator[Diagnostic]:
    at = ("rules", index, "distribution", "column")
    known = [column.name for column in contract.columns if column.bins is not None]
    recorded = contract.column(rule.column)
    if not known:
        yield Diagnostic(
            "data.bad-rule",
            f"`{path}` has no distributions",
            "it was recorded from a dataset whose rows stay in their database (`copy: false`), of which only columns and rows are known",
            "record it from a copy: take `copy: false` out, apply and record, and put it back; or take the rule out",
            path=at,
        )
    elif recorded is None or recorded.bins is None:
        yield Diagnostic(
            "data.bad-rule",
            f"the contract has no distribution of `{rule.column}`",
            f"`{path}` has those of {', '.join(f'`{name}`' for name in known[:20])}",
            did_you_mean(rule.column, known) or "record the contract again when the column is new",
            path=at,
        )
    elif rule.method == "ks" and isinstance(recorded.bins, CategoricalBins):
        yield Diagnostic(
            "data.bad-rule",
            f"`ks` cannot compare `{rule.column}`",
            "its values have no order, which Kolmogorov-Smirnov needs",
            "use `chi_square`, `psi` or `histogram`",
            path=(*at[:-1], "method"),
        )
