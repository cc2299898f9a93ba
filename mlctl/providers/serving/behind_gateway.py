"""What the kind `deployments` does with a block that has a strategy: the same as without, with the controller in between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mlctl.files import atomic
from mlctl.provider import Context, Desired, Input, Observed, Outcome
from mlctl.providers.serving import controllers, gatewayed, parity
from mlctl.providers.serving.port import refuse_taken
from mlctl.providers.serving.releases import releases, stop_all
from mlctl.providers.serving.rollouts import Standing
from mlctl.providers.serving.wanted import revision_of
from mlctl.providers.serving.wanted import wanted as wanted_of
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.llm import AnyServerJob
from mlctl.types.jobs.rollout import Stepwise, Wanted
from mlctl.types.jobs.server import ServerJob, server_url
from mlctl.types.ownership import differs, not_found
from mlctl.types.state import Record
from mlctl.types.value import Json, digest

_HELD_FILE = (
    "held_wanted.json"  # what the gate in front of all releases holds back: {"wanted": Wanted, "outputs": {...}}
)


@dataclass(frozen=True, slots=True)
class Served:
    """A model that is to be served: who lets it pass, by what server, and where it comes from."""

    evaluation: Input
    job: AnyServerJob
    facts: Mapping[str, Json]


def apply(desired: Desired, prior: Record | None, name: str, served: Mapping[str, Served], ctx: Context) -> Outcome:
    """Say what is wanted, and wait until the first step of it holds. Raises MlctlError when nothing answers."""
    folder = ctx.folder(desired.key)
    wanted = _wanted(desired, name, served, ctx)
    outputs = _outputs(wanted, next(iter(served.values())).job)
    judged = _judge(desired, served, folder, ctx)
    if judged is not None:
        outputs["feature_parity"] = judged.facts
        if not judged.gate.passed:
            kept = {"wanted": wanted.model_dump(mode="json"), "outputs": outputs}
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            atomic.write_bytes(folder / _HELD_FILE, controllers.text_of(ctx.secrets.masked(kept)))
            running = {} if prior is None else dict(prior.outputs)
            facts = {**running, "feature_parity": judged.facts}
            return Outcome(None if prior is None else prior.id, facts, judged.gate)
    found = _converge(wanted, folder, ctx, again=prior is None or not prior.complete)
    (folder / _HELD_FILE).unlink(missing_ok=True)
    parity.release_held(folder)
    gate = gatewayed.gate(found) or (None if judged is None else judged.gate)
    return Outcome(gatewayed.ID, outputs, gate)


def read(prior: Record, ctx: Context) -> Observed | None:
    """How the controller, the gateway and the rollout are."""
    return gatewayed.read(prior, controllers.folder_of(prior.key, ctx), parity_held=has_held(prior, ctx))


def has_held(prior: Record, ctx: Context) -> bool:
    """Whether the gate in front of all releases holds something back."""
    return (ctx.folder(prior.key) / _HELD_FILE).exists()


def approved(prior: Record, ctx: Context) -> Outcome:
    """Let go on what a gate holds back: the one in front of all releases, or the one of a step."""
    folder = ctx.folder(prior.key)
    if not has_held(prior, ctx):
        gatewayed.approve(prior, controllers.folder_of(prior.key, ctx), ctx)
        return Outcome(gatewayed.ID, dict(prior.outputs), prior.gate)
    stored = ctx.secrets.opened(atomic.read_object(folder / _HELD_FILE) or {})
    try:
        wanted, outputs = Wanted.model_validate(stored["wanted"]), dict(stored["outputs"])
    except (KeyError, TypeError, ValidationError):
        raise MlctlError.of(
            "deploy.nothing-held",
            f"the release of {prior.key.address} that was held back is not known any more",
            "its file is gone, or was written by another version of mlctl",
            "run `mlctl apply`: it compares again",
            address=str(prior.key.address),
        ) from None
    _converge(wanted, folder, ctx, again=True)  # the file stays until another apply: the same may be asked again
    return Outcome(gatewayed.ID, outputs, prior.gate)


def adopt(desired: Desired, id: str, name: str, served: Mapping[str, Served], ctx: Context) -> Outcome:
    """Take over the controller of this environment whose gateway answers at the address `id`, when it does what is asked for."""
    wanted = _wanted(desired, name, served, ctx)
    outputs = _outputs(wanted, next(iter(served.values())).job)
    url, address, folder = str(outputs["url"]), str(desired.address), controllers.folder_of(desired.key, ctx)
    if id.rstrip("/") != url:
        raise differs(f"`{id}`", address, [("serve.host and serve.port", id.rstrip("/"), url)])
    if not folder.is_dir():
        raise not_found(
            f"gateway at {url}", "no controller of this environment has it", address, "`mlctl apply` deploys it"
        )
    there, asked = controllers.wanted_digests(folder), [item.digest for item in _revisions(wanted)]
    if sorted(there) != sorted(asked):
        raise differs(f"the gateway at {url}", address, [("revision", ", ".join(there), ", ".join(asked))])
    gatewayed.converge(wanted, folder, ctx)
    return Outcome(gatewayed.ID, outputs)


def delete(prior: Record, name: str, ctx: Context) -> None:
    """End the controller, the gateway and all releases."""
    folder = controllers.folder_of(prior.key, ctx)
    controllers.end(folder, name, gatewayed.drain_seconds(folder), ctx)
    (ctx.folder(prior.key) / _HELD_FILE).unlink(missing_ok=True)


def _wanted(desired: Desired, name: str, served: Mapping[str, Served], ctx: Context) -> Wanted:
    revisions = {
        model: revision_of(
            item.job, {field: value for field, value in item.facts.items() if field != "created"}, ctx.secrets.masked
        )
        for model, item in served.items()
    }
    return wanted_of(str(desired.address), name, desired.spec, revisions)


def _converge(wanted: Wanted, folder: Path, ctx: Context, *, again: bool) -> Standing:
    """A server that the deployment had before it had a strategy leaves the port when the gateway can take it."""
    direct = releases(folder / "releases")
    controller = folder / controllers.FOLDER
    if not any(release.state.running for release in direct) and not gatewayed.has_port(
        wanted.gateway.host, wanted.gateway.port, controller
    ):
        refuse_taken(wanted.gateway.host, wanted.gateway.port, wanted.address)
    found = gatewayed.converge(wanted, controller, ctx, again=again)
    stop_all(direct)
    return found


def _judge(desired: Desired, served: Mapping[str, Served], folder: Path, ctx: Context) -> parity.Judged | None:
    """The gate in front of all releases: what each model would be served equals what training read. The worst of them."""
    if desired.spec.require is None:
        return None
    rule, judged = desired.spec.require.feature_parity, []
    for model, item in served.items():
        if not isinstance(item.job, ServerJob):
            continue  # a language model reads no features
        place = folder / "parity" if len(served) == 1 else folder / "parity" / digest(model)[:12]
        judged.append(parity.judge(rule, item.job, item.evaluation.outputs, place, ctx))
    return next((item for item in judged if not item.gate.passed), judged[0] if judged else None)


def _revisions(wanted: Wanted) -> list[Any]:
    if isinstance(wanted.strategy, Stepwise):
        return [] if wanted.revision is None else [wanted.revision]
    return [rule.revision for rule in wanted.strategy.arms.values()]


def _outputs(wanted: Wanted, job: AnyServerJob) -> dict[str, Json]:
    """What dependents read: where it answers, and what is wanted of it. Which version answers how much is the rollout's."""
    url = server_url(wanted.gateway.host, wanted.gateway.port)
    predictions = None if job.log is None else job.log.folder
    arms = {} if isinstance(wanted.strategy, Stepwise) else wanted.strategy.arms
    rewards = None if wanted.rewards_port is None else server_url("127.0.0.1", wanted.rewards_port) + "/rewards"
    revision = wanted.revision or next(iter(arms.values())).revision
    return {
        "url": url,
        "port": wanted.gateway.port,
        "model": revision.model,
        "version": revision.version,
        "predictions": predictions,
        **(
            {"arms": {name: f"{arm.revision.model} v{arm.revision.version}" for name, arm in arms.items()}}
            if arms
            else {}
        ),
        **({"rewards": rewards} if rewards else {}),
        "digest": digest([url, predictions]),
    }
