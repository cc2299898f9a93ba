"""A rollout in a cluster, moved on by whoever applies or gives an order: the same state machine as on one machine.

Its state is kept in the cluster, in a ConfigMap, and written before anything is done; so an apply that was cut off, or one
from another machine, goes on where it was. Between two commands nothing moves it: its steps wait for `mlctl rollout
promote`, and keeping pods alive is the cluster's own work.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from mlctl.provider import Context
from mlctl.providers.serving.kubernetes import looking, world
from mlctl.providers.serving.kubernetes.asked import Asked
from mlctl.providers.serving.kubernetes.compare import current
from mlctl.providers.serving.kubernetes.kubectl import RESOURCES, Cluster, Objects
from mlctl.providers.serving.kubernetes.naming import ADDRESS, DEPLOYMENT, LINEAGE, Owner, revision_name
from mlctl.providers.serving.kubernetes.validate import refuse_invalid
from mlctl.rollout.machine import advance
from mlctl.rollout.seen import Action, Note, Seen, Stop
from mlctl.rollout.state import Phase, RolloutState, from_json, to_json
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.types.event import Progress
from mlctl.types.jobs.rollout import Order

_STATE, _ASKED, _KINDS, _NOTES = "rollout.json", "asked.json", "kinds.json", "history.json"
_NOTES_KEPT = 200
_PATIENCE_SECONDS = 60.0  # beyond the time that the cluster gives pods: it is the one to say that they are late


@dataclass(frozen=True, slots=True)
class Kept:
    """What a cluster keeps of a rollout. `version` is that of the ConfigMap, so that two who write do not overwrite each other."""

    state: RolloutState = field(default_factory=RolloutState)
    asked: Asked | None = None
    kinds: frozenset[str] = frozenset()  # of which there may be objects
    notes: tuple[Mapping[str, Any], ...] = ()
    version: str = ""
    said: tuple[Mapping[str, Any], ...] = ()  # the notes of this command


@dataclass(frozen=True)
class Time:
    """What a wait goes by; a test has its own."""

    now: Callable[[], float] = time.time
    poll_seconds: float = 1.0


@dataclass
class Rollout:
    """One rollout, while a command moves it."""

    cluster: Cluster
    owner: Owner
    ctx: Context
    clock: Time = field(default_factory=Time)

    def load(self) -> Kept | None:
        """What is kept; None when there is nothing. Raises MlctlError for what another owner keeps there."""
        there = self.cluster.named([("ConfigMap", state_name(self.owner))])
        if not there:
            return None
        [found] = there.values()
        self._refuse_foreign(found)
        data = found["data"]
        try:
            return Kept(
                from_json(json.loads(data[_STATE])),
                Asked.model_validate_json(data[_ASKED]),
                frozenset(json.loads(data[_KINDS])),
                tuple(json.loads(data[_NOTES])),
                found["metadata"].get("resourceVersion", ""),
            )
        except (KeyError, ValueError, TypeError) as error:
            raise MlctlError.of(
                "kubernetes.state-unreadable",
                f"the ConfigMap `{state_name(self.owner)}` cannot be read",
                f"{type(error).__name__}: another version of mlctl, or a person, has written it",
                "use the version of mlctl that made it; or delete the ConfigMap, and the next apply begins the rollout anew",
                address=self.owner.address,
            ) from None

    def move(self, kept: Kept, asked: Asked, order: Order | None = None) -> Kept:
        """Go on until a step holds or all is done. Raises MlctlError when pods are late, and when it is interrupted."""
        deadline, told = self.clock.now() + asked.start_seconds + _PATIENCE_SECONDS, ""
        orders = [] if order is None else [(f"{self.clock.now():017.3f}", order)]
        while True:
            live = self.cluster.ours(self.owner, kept.kinds)
            before = kept.state
            seen = self._seen(asked, before, live, orders)
            state, actions = advance(before, asked.wanted, self.clock.now(), seen)
            stopped = {action.number for action in actions if isinstance(action, Stop)}
            declared = world.objects(asked, state, stopped)
            refuse_invalid(declared, self.owner.address)
            kept = self._save(kept, asked, state, declared, actions)
            orders = [item for item in orders if item[0] not in state.taken]
            changed = self._sync(declared, live)
            if not changed and not stopped and not orders and _settled(state, before, seen):
                return kept
            if (news := _news(asked, state, live, seen)) and news != told:
                self.ctx.progress(Progress(told := news))
            self._wait(state, asked, live, deadline)

    def _seen(self, asked: Asked, state: RolloutState, live: Objects, orders: Sequence[tuple[str, Order]]) -> Seen:
        looks = looking.looks(asked, state, live, {})
        there = {name for kind, name in live if kind in ("Deployment", "InferenceService", "LLMInferenceService")}
        away = [
            number
            for number, look in looks.items()
            if look.backend is None and world.backend(asked, state.releases[number].revision).host in there
        ]
        trouble = {
            number: self.cluster.waits(self.owner, revision_name(state.releases[number].revision.digest))
            for number in away
        }
        if away:
            said = {number: ("; ".join(why), restarts) for number, (why, restarts) in trouble.items()}
            looks = looking.looks(asked, state, live, said)
        return Seen(releases=looks, routes=looking.routes_in_effect(asked, state, live), orders=orders)

    def _save(
        self,
        kept: Kept,
        asked: Asked,
        state: RolloutState,
        declared: Sequence[Mapping[str, Any]],
        actions: Sequence[Action],
    ) -> Kept:
        """Before anything is done: what is to be there, of which kinds, and how it came to that."""
        at = datetime.fromtimestamp(self.clock.now(), UTC).isoformat(timespec="seconds")
        notes = [{"at": at, "what": item.event, "text": item.text} for item in actions if isinstance(item, Note)]
        kinds = kept.kinds | {item["kind"] for item in declared}
        same = state.same_but_for_time(kept.state) and asked == kept.asked and kinds == kept.kinds and not notes
        if same and kept.version:
            return Kept(state, asked, kinds, kept.notes, kept.version, kept.said)
        history = (*kept.notes, *notes)[-_NOTES_KEPT:]
        data = {
            _STATE: json.dumps(to_json(state)),  # the order of shares matters
            _ASKED: asked.model_dump_json(),
            _KINDS: json.dumps(sorted(kinds)),
            _NOTES: json.dumps(history),
        }
        metadata = self.owner.metadata(state_name(self.owner))
        if kept.version:
            metadata["resourceVersion"] = kept.version
        made = self.cluster.apply([{"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}])
        version = next(iter(made.values()))["metadata"].get("resourceVersion", "")
        return Kept(state, asked, kinds, history, version, (*kept.said, *notes))

    def _sync(self, declared: Sequence[dict[str, Any]], live: Objects) -> bool:
        """Declare what is not as it should be, and remove what is not to be there. Says whether there was anything to do."""
        names = {(item["kind"], item["metadata"]["name"]) for item in declared}
        late = [item for item in declared if not _current(item, live)]
        new = [(item["kind"], item["metadata"]["name"]) for item in late]
        self._refuse_others([name for name in new if name not in live])
        self.cluster.apply(late)
        gone = [name for name in live if name not in names and name != ("ConfigMap", state_name(self.owner))]
        self.cluster.delete(sorted(gone, key=lambda name: (list(RESOURCES).index(name[0]), name[1]), reverse=True))
        return bool(late or gone)

    def _refuse_others(self, names: Sequence[tuple[str, str]]) -> None:
        for found in self.cluster.named(names).values():
            self._refuse_foreign(found)

    def _refuse_foreign(self, found: Mapping[str, Any]) -> None:
        """Raise MlctlError for an object that does not carry the marks of this deployment."""
        labels = found["metadata"].get("labels") or {}
        if all(labels.get(name) == value for name, value in self.owner.mark.items()):
            return
        whose = found["metadata"].get("annotations", {}).get(ADDRESS)
        marked = {name: labels[name] for name in (LINEAGE, DEPLOYMENT) if name in labels}
        raise MlctlError.of(
            "kubernetes.not-ours",
            f"the {found['kind']} `{found['metadata']['name']}` in `{self.owner.namespace}` was not made by this deployment",
            f"it belongs to {whose} of another project or environment ({marked})"
            if whose
            else "it carries no mark of mlctl",
            "use another namespace or another name for the deployment; what others made is never changed",
            address=self.owner.address,
        )

    def _wait(self, state: RolloutState, asked: Asked, live: Objects, deadline: float) -> None:
        if self.ctx.stop.wait(self.clock.poll_seconds):
            raise MlctlError.of(
                "rollout.not-awaited",
                f"the rollout of {self.owner.address} was not waited for",
                "mlctl was interrupted; the next `mlctl apply` goes on with it",
                f"see `mlctl rollout status {self.owner.address}`",
                exit_code=ExitCode.INTERRUPTED,
                address=self.owner.address,
            )
        if self.clock.now() > deadline:
            why = looking.problem(asked, live) or state.reason or "its pods are not ready"
            raise MlctlError.of(
                "kubernetes.late",
                f"{self.owner.address} is not as it should be after {asked.start_seconds:g} s",
                why,
                f"look at the pods (`kubectl -n {self.owner.namespace} get pods -l {self.owner.selector}`), then run "
                "`mlctl apply` again: it goes on where it was",
                address=self.owner.address,
            )


def _current(declared: Mapping[str, Any], live: Objects) -> bool:
    there = live.get((declared["kind"], declared["metadata"]["name"]))
    return there is not None and current(declared, there)


def _settled(state: RolloutState, before: RolloutState, seen: Seen) -> bool:
    """Whether nothing more comes of waiting: all is done, or a step holds that waits for a person."""
    if not state.same_but_for_time(before) or any(item.leaving is not None for item in state.releases.values()):
        return False
    if state.phase is Phase.HELD and state.stable is None and not state.arms:
        return True
    over = state.phase in (Phase.DONE, Phase.HELD, Phase.ENDED) or (state.phase is Phase.STEPPING and state.in_effect)
    return over and (state.routes is None or seen.routes is not None)


def _news(asked: Asked, state: RolloutState, live: Objects, seen: Seen) -> str:
    waits = next((look.why for look in seen.releases.values() if look.backend is None and look.why), "")
    return ": ".join(filter(None, [state.reason, waits or looking.problem(asked, live)]))


def state_name(owner: Owner) -> str:
    """The ConfigMap with the state of the rollout."""
    return f"{owner.name}-rollout"
