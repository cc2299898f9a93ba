"""What `mlctl features parity` does, for views and for the log of a deployment."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from mlctl.cli.check_keeping import keep_check
from mlctl.cli.options import emit_json, pick
from mlctl.cli.watching import watched
from mlctl.providers.feast.parity import run_parity
from mlctl.providers.serving.log_parity import run_log_parity
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.types.state import Record
from mlctl.types.units import parse_duration
from mlctl.views.human import parity as human
from mlctl.views.human.style import wants_color
from mlctl.workspace import Workspace


def compare_views(
    workspace: Workspace, view: str | None, sample: int | None, seed: int | None, *, as_json: bool
) -> int:
    """Compare one view, or all that are online."""
    _no_effect({"--seed": seed if sample is None else None}, "it chooses the keys of a sample", "--sample N")
    _, context = workspace.reader()
    records = workspace.records()
    chosen = [
        record
        for address, record in records.items()
        if address.startswith("feature_views.") and record.outputs.get("online")
    ]
    if view is not None or not chosen:
        chosen = [pick(records, "feature_views", view)]
    passed = True
    for record in chosen:
        with watched(context, f"parity of {record.key.address.name}") as watching:
            result = run_parity(record, watching, sample=sample, seed=seed or 0)
        passed = passed and result.passed
        if result.keys or not result.passed:
            rule = "what the online store serves equals what training reads"
            keep_check(context.home, str(record.key.address), "parity", passed=result.passed, rule=rule)
        if as_json:
            emit_json({"type": "parity", **result.model_dump(mode="json")})
        else:
            print(human.online(result, color=wants_color(sys.stdout)), end="")
    return ExitCode.OK if passed else ExitCode.GATE_FAILED


def compare_log(
    workspace: Workspace,
    deployment: str,
    since: str | None,
    max_lag: str | None,
    sample: int | None,
    seed: int | None,
    *,
    as_json: bool,
) -> int:
    """Compare what the model of a deployment saw with what training would see."""
    _no_effect({"--seed": seed if sample is None else None}, "it chooses the predictions of a sample", "--sample N")
    _, context = workspace.reader()
    records = workspace.records()
    record: Record = pick(records, "deployments", deployment)
    with watched(context, f"parity of {record.key.address.name}") as watching:
        result = run_log_parity(
            record,
            records,
            watching,
            since_seconds=None if since is None else _seconds("--since", since),
            sample=sample,
            seed=seed or 0,
            max_lag_seconds=0.0 if max_lag is None else _seconds("--max-lag", max_lag),
        )
    if result.compared:  # of nothing, nothing was seen
        rule = "what the model was served equals what training reads"
        keep_check(context.home, str(record.key.address), "parity", passed=result.passed, rule=rule)
    if as_json:
        emit_json({"type": "log_parity", "deployment": record.key.address.name, **result.model_dump(mode="json")})
    else:
        print(human.log(result, record.key.address.name, color=wants_color(sys.stdout)), end="")
    return ExitCode.OK if result.passed else ExitCode.GATE_FAILED


def refuse_log_options(options: Mapping[str, object]) -> None:
    """Raise MlctlError for options of the log where no deployment is named."""
    _no_effect(options, "it is about the prediction log of a deployment", "--deployment NAME")


def refuse_view(view: str | None) -> None:
    """Raise MlctlError when a view is named beside a deployment."""
    if view is not None:
        raise MlctlError.of(
            "cli.usage",
            "a view and `--deployment` are given",
            "of a deployment all views of its model are compared",
            "leave one of them out",
        )


def _no_effect(options: Mapping[str, object], why: str, needs: str) -> None:
    for name, value in options.items():
        if value is not None:
            raise MlctlError.of("cli.usage", f"`{name}` has no effect here", why, f"add `{needs}`, or leave it out")


def _seconds(option: str, text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise MlctlError.of("cli.usage", f"`{option}` is not a duration", str(error), "") from None
