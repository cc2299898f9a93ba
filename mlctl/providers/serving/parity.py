"""The gate in front of a release: what its model would be served equals what training read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.launch import job
from mlctl.provider import Context
from mlctl.providers.serving.spec.deployment import ParityRule
from mlctl.types.diagnostic import MlctlError
from mlctl.types.event import Progress
from mlctl.types.jobs.features import Parity, ParityParams, ViewSource
from mlctl.types.jobs.server import ServerJob
from mlctl.types.state import Gate
from mlctl.types.value import Json

_HELD_FILE = "held.json"  # the release that a gate holds back: {"job": ServerJob, "facts": {...}}


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdict, as a gate and as it is kept with the release."""

    gate: Gate
    facts: dict[str, Json]


def judge(rule: ParityRule, server: ServerJob, evaluation: Mapping[str, Json], folder: Path, ctx: Context) -> Judged:
    """Compare every view of the model at its newest snapshot. Raises MlctlError when a side cannot be read."""
    online = {view.view for view in server.serving.views}
    sources = [ViewSource.model_validate(view) for view in evaluation.get("views") or []]
    chosen = [source for source in sources if source.view in online]
    if server.serving.store is None or {source.view for source in chosen} != online:
        raise MlctlError.of(
            "deploy.views-unknown",
            f"which snapshots `{server.model.name}` version {server.model.version} was trained on is not known",
            "its evaluation was made by another version of mlctl",
            "evaluate it again: `mlctl apply --replace` of the evaluation",
        )
    found = []
    for source in chosen:
        ctx.progress(Progress(f"comparing offline and online features of {source.view}"))
        params = ParityParams(
            source=source, store=server.serving.store, at=None, tolerance=rule.tolerance, sample=rule.sample
        )
        job.discard(folder / source.view)  # a verdict is about now, so an earlier one is never taken for it
        result = job.run("features", params.model_dump(mode="json"), folder / source.view, ctx)
        found.append(Parity.model_validate(result.outputs))
    return Judged(
        _gate(found), {"passed": all(item.passed for item in found), "views": [_facts(item) for item in found]}
    )


def hold(server: ServerJob, facts: Mapping[str, Json], folder: Path, ctx: Context) -> None:
    """Keep what a person may let go on."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    kept = {"job": server.model_dump(mode="json"), "facts": dict(facts)}
    atomic.write_json(folder / _HELD_FILE, ctx.secrets.masked(kept))


def held(folder: Path, ctx: Context, address: str) -> tuple[ServerJob, dict[str, Any]]:
    """The release that was held back last. Raises MlctlError when there is none."""
    stored = ctx.secrets.opened(atomic.read_object(folder / _HELD_FILE) or {})
    try:
        return ServerJob.model_validate(stored["job"]), dict(stored["facts"])
    except (KeyError, ValueError, TypeError):
        raise MlctlError.of(
            "deploy.nothing-held",
            f"the release of {address} that was held back is not known any more",
            "its file is gone, or was written by another version of mlctl",
            "run `mlctl apply`: it compares again",
            address=address,
        ) from None


def release_held(folder: Path) -> None:
    """Forget what was held back: it was started, or the gate is open."""
    (folder / _HELD_FILE).unlink(missing_ok=True)


def _gate(found: list[Parity]) -> Gate:
    """A verdict without times, so that an approval holds for as long as the same values differ."""
    failed = [item for item in found if not item.passed]
    if not failed:
        keys = sum(item.keys for item in found)
        return Gate(True, f"offline and online features are equal for {keys:,} keys of {len(found)} views")
    names = ", ".join(item.view for item in failed)
    return Gate(False, f"offline and online features differ: {names}", tuple(map(_difference, failed)))


def _difference(item: Parity) -> str:
    if item.keys == 0:
        return f"{item.view}: no key could be compared; {item.ahead:,} are served by something newer than the snapshots"
    text = (
        f"{item.view}: of {item.values:,} values {item.mismatched:,} differ by more than {item.tolerance:g}, "
        f"and {item.null_mismatches:,} are missing on one side"
    )
    worst = item.worst
    if worst is not None:
        text += f"; the worst is `{worst.feature}` of {worst.key}: {worst.offline} offline, {worst.online} online"
    return text


def _facts(item: Parity) -> dict[str, Json]:
    kept = item.model_dump(mode="json", exclude={"worst"})
    return {**kept, "worst": None if item.worst is None or item.passed else item.worst.model_dump(mode="json")}
