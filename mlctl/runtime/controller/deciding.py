"""What a rollout decides goes into the ledger of decisions: that a gate passed or failed, and that a version took over or was taken back.

A decision is kept before the state that follows from it: a kill in between makes the next controller decide the same once
more, and it then finds it in the ledger. A disk that is full costs the entry and nothing else: who heals must not die of it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlctl.files import atomic, decisions
from mlctl.files.decision_code import code_of
from mlctl.rollout.replay import DECIDING
from mlctl.rollout.seen import Answer, Note
from mlctl.rollout.state import RolloutState
from mlctl.rollout.verdict import Says, Verdict
from mlctl.runtime.controller.asking import Look
from mlctl.runtime.controller.saying import say
from mlctl.types.decision import Decision
from mlctl.types.jobs.rollout import LOOKS_FILE, ROLLOUT_FILE, GateRule, Revision, Stepwise, Wanted
from mlctl.types.secret import Secrets

_LOOKS_BYTES = 32 * 1024 * 1024  # a gate that was asked for weeks is not replayed
_RECENT = 200  # decisions that are looked through
_INTENT_FILE = "retrain.json"  # of a retraining that is at work, beside the ledger
# What becomes of a version, by the event of the history that says so.
_ENDS = {"promoted": "promoted", "held": "rolled back", "undone": "undone", "ended": "ended"}


@dataclass(frozen=True, slots=True)
class _About:
    """The version that a decision is about."""

    model: str
    version: str


class Deciding:
    """Writes for one controller. Without a home it writes nothing."""

    def __init__(self, folder: Path, home: Path | None, secrets: Secrets) -> None:
        self._folder, self._home, self._secrets = folder, home, secrets
        self._kept: dict[str, str] | None = None  # ids by what names a decision within a rollout

    def look(self, look: Look) -> None:
        """Note what a gate goes by, before the state that knows of the look is kept."""
        if self._home is None:
            return
        path = self._folder / LOOKS_FILE
        line = json.dumps(self._secrets.hidden(asdict(look)), allow_nan=False).encode() + b"\n"
        try:
            fresh = look.number == 1
            if not fresh and path.stat().st_size > _LOOKS_BYTES:
                return
            flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_TRUNC if fresh else os.O_APPEND)
            handle = os.open(path, flags, 0o600)
            try:
                os.write(handle, line)
            finally:
                os.close(handle)
        except OSError as error:
            say(f"a look of the gate cannot be noted: {error}")

    def keep(
        self, before: RolloutState, after: RolloutState, wanted: Wanted, answer: Answer | None, notes: Sequence[Note]
    ) -> None:
        """Keep what was decided between two states, told by the notes about it. `answer` is what a gate had just said."""
        if self._home is None or not isinstance(wanted.strategy, Stepwise):
            return  # arms are decided on by an experiment
        said = answer.verdict if answer is not None and answer.token == before.token else before.verdict
        for note in notes:
            if note.event == "step" or note.event in _ENDS:
                try:
                    self._one(before, after, wanted, said, note, self._home)
                except Exception as error:  # a full disk, a ledger that somebody edited: no version stays for that
                    say(f"the decision cannot be kept in the ledger: {type(error).__name__}: {error}")

    def _one(
        self, before: RolloutState, after: RolloutState, wanted: Wanted, said: Verdict | None, note: Note, home: Path
    ) -> None:
        about = _about(before, after, note.event)
        if about is None:
            return
        verdict = _verdict(after, said, note.event)
        step = before.current_step()
        cause = _cause(home, about)
        if verdict is not None and step is not None and step.gate in before.gates:
            cause = self._gate(before, wanted, verdict, str(step.gate), about, cause, home)
        if note.event in _ENDS:
            first = note.event == "promoted" and before.stable is None
            self._put(
                home, f"{before.token}/{note.event}/{before.stable}/{before.previous_since:.3f}", Decision(
                    kind="rollout", address=wanted.address, verdict=_ENDS[note.event], rule=note.text, at=_now(),
                    inputs={"model": about.model, "version": about.version, "step": before.step + 1, "first": first,
                            "strategy": None if before.strategy is None else before.strategy.type},
                    outputs={"answers": _answers(after), "promotions": after.promotions, "failures": after.failures},
                    cause=cause, by="controller",
                ),
            )  # fmt: skip

    def _gate(
        self, before: RolloutState, wanted: Wanted, verdict: Verdict, gate: str, about: _About, cause: str, home: Path
    ) -> str:
        """What the gate of a step said, with all that it had to go by."""
        rule: GateRule = before.gates[gate]
        looks = self._looks(before)
        made = Decision(
            kind="gate", address=wanted.address, verdict=verdict.says.value, rule=verdict.why, at=_now(),
            inputs={"gate": gate, "rule": rule.model_dump(mode="json"), "model": about.model, "version": about.version,
                    "token": before.token, "looks": int(before.memory.get("looks", 0))},
            files=() if looks is None else (LOOKS_FILE,),
            outputs={"verdict": json.loads(json.dumps(asdict(verdict)))}, code=code_of(DECIDING), cause=cause, by="controller",
        )  # fmt: skip
        return self._put(home, f"{before.token}/gate", made, {} if looks is None else {LOOKS_FILE: looks})

    def _looks(self, before: RolloutState) -> bytes | None:
        """The looks of this step, once each; None when they are not all there."""
        found: dict[int, bytes] = {}
        try:
            lines = (self._folder / LOOKS_FILE).read_bytes().splitlines()
        except OSError:
            return None
        for line in lines:
            try:
                stored = json.loads(line)
            except ValueError:
                continue
            if stored.get("token") == before.token:
                found[int(stored["number"])] = line  # of one that was noted twice the later counts
        wanted = range(1, int(before.memory.get("looks", 0)) + 1)
        if any(number not in found for number in wanted):
            return None
        return b"".join(found[number] + b"\n" for number in wanted)

    def _put(self, home: Path, name: str, made: Decision, files: Mapping[str, bytes] | None = None) -> str:
        """Once, whatever was killed in between. Gives the id."""
        if self._kept is None:
            self._kept = self._of_a_turn_that_was_cut_off(home, made.address)
        if name not in self._kept:
            named = Decision(**{**_fields(made), "inputs": {**made.inputs, "turn": name}})
            self._kept[name] = decisions.keep(home, Decision(**self._secrets.hidden(_fields(named))), files)
        return self._kept[name]

    def _of_a_turn_that_was_cut_off(self, home: Path, address: str) -> dict[str, str]:
        """What the ledger has that the state does not know of yet."""
        try:
            state = (self._folder / ROLLOUT_FILE).stat().st_mtime
        except OSError:
            return {}
        since = datetime.fromtimestamp(state, UTC).isoformat()
        return {
            str(item.inputs["turn"]): item.id
            for item in _recent(home)
            if item.address == address and item.by == "controller" and item.at >= since and "turn" in item.inputs
        }


def _fields(made: Decision) -> dict[str, Any]:
    return {name: getattr(made, name) for name in Decision.__slots__}


def _about(before: RolloutState, after: RolloutState, event: str) -> _About | None:
    """Which version it is: the one on trial, or the one that came of it."""
    if event == "held" and after.held:
        item = after.held[-1]
        return _About(item.model, item.version)
    # one on trial is known from before: the state after an end has let go of it
    took_over = event in ("promoted", "undone")
    release = after.release(after.stable) if took_over else before.release(before.candidate)
    found: Revision | None = None if release is None else release.revision
    return None if found is None else _About(found.model, found.version)


def _verdict(after: RolloutState, said: Verdict | None, event: str) -> Verdict | None:
    """What the gate of the step said, when that is why."""
    if event == "held":
        held = after.held[-1] if after.held else None
        return held.verdict if held is not None and held.by == "gate" else None
    return said if event in ("step", "promoted", "ended") and said is not None and said.says is Says.PASS else None


def _answers(after: RolloutState) -> str | None:
    release = after.release(after.stable)
    return None if release is None else f"{release.revision.model} v{release.revision.version}"


def _cause(home: Path, about: _About) -> str:
    """The evaluation that let the version through, else the retraining that is at work on it, else nobody."""
    for item in _recent(home):
        made = (item.outputs.get("model"), str(item.outputs.get("version")))
        if item.kind == "gate" and item.by != "controller" and made == (about.model, about.version):
            return item.id
    begun = (atomic.read_object(home / _INTENT_FILE) or {}).get("begun")
    return next(iter(begun.values()), "") if isinstance(begun, dict) else ""


def _recent(home: Path) -> Iterator[Decision]:
    """The latest decisions, newest first. A ledger may be long, and whoever answers requests does not wait for all of it."""
    folder = home / decisions.FOLDER
    names = sorted((path.name for path in folder.iterdir()), reverse=True) if folder.is_dir() else []
    for name in [name for name in names if not name.startswith(".")][:_RECENT]:
        with suppress(KeyError, TypeError, ValueError):
            yield Decision.from_json(atomic.read_object(folder / name / "decision.json") or {})


def _now() -> str:
    return datetime.now(UTC).isoformat()
