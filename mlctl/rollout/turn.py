"""One turn of the machine while it is computed: the state so far, what is wanted and seen, and what is to be noted."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from mlctl.rollout.routes import Routes
from mlctl.rollout.seen import Note, Seen
from mlctl.rollout.state import Held, Release, RolloutState
from mlctl.rollout.verdict import Verdict
from mlctl.types.jobs.rollout import Revision, Wanted

_HELD_KEPT = 20

By = Literal["gate", "start", "abort", "undo"]


@dataclass
class Turn:
    """Local to one call of `advance`, so that what changes in it changes for nobody else."""

    state: RolloutState
    wanted: Wanted
    now: float
    seen: Seen
    notes: list[Note] = field(default_factory=list)

    def note(self, event: str, text: str) -> None:
        """Something for the history."""
        self.notes.append(Note(event, text))

    def ready(self, number: int | None) -> bool:
        """Whether a release can answer now."""
        release = self.state.release(number)
        return release is not None and release.ready

    def named(self, number: int | None) -> str:
        """`churn v8`, for people."""
        release = self.state.release(number)
        return "nothing" if release is None else called(release.revision)

    def obtain(self, revision: Revision) -> int:
        """The release of a revision: one that there is already, warm or about to be stopped, or a new one."""
        state = self.state
        for number, release in sorted(state.releases.items(), reverse=True):
            if release.revision.digest == revision.digest:
                fresh = replace(release, deaths=0, unready_seconds=0.0, leaving=None)
                self.state = replace(state, releases={**state.releases, number: fresh})
                return number
        number = state.next_number
        releases = {**state.releases, number: Release(number, revision)}
        self.state = replace(state, releases=releases, next_number=number + 1)
        return number

    def hold(self, revision: Revision, why: str, by: By, verdict: Verdict | None = None) -> None:
        """Remember that a revision is not to be tried again."""
        item = Held(revision.digest, revision.model, revision.version, why, by, self.now, verdict)
        others = tuple(other for other in self.state.held if other.digest != revision.digest)
        self.state = replace(self.state, held=(*others, item)[-_HELD_KEPT:])

    def release_held(self, digest: str) -> bool:
        """Forget that a revision is held. False when it is not."""
        others = tuple(item for item in self.state.held if item.digest != digest)
        found = len(others) < len(self.state.held)
        self.state = replace(self.state, held=others)
        return found


def called(revision: Revision) -> str:
    """`churn v8`, for people."""
    return f"{revision.model} v{revision.version}"


def same_routes(one: Routes | None, other: Routes | None) -> bool:
    """Whether two lead to the same, whatever their serial."""
    if one is None or other is None:
        return one is other
    return (dict(one.backends), list(one.shares.items()), one.unit, one.mirror) == (
        dict(other.backends),
        list(other.shares.items()),
        other.unit,
        other.mirror,
    )
