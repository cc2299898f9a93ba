"""Make a decision of the ledger again from what is kept with it, and hold the two against each other, to the bit."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from mlctl.provider import Context
from mlctl.types.decision import Decision
from mlctl.types.diagnostic import MlctlError
from mlctl.types.value import Json

# Kind of decision -> the module whose `replay` makes it again and whose `code` says what the code is now.
REPLAYS: Mapping[str, str] = {
    "experiment": "mlctl.providers.ab_test.replay",
    "monitor": "mlctl.providers.evidently.replay",
    "gate": "mlctl.providers.serving.replay",
}
_SHOWN = 10  # differences


class Replay(Protocol):
    """What a module of `REPLAYS` has."""

    def replay(self, decision: Decision, folder: Path, ctx: Context) -> Mapping[str, Json]:
        """The outputs, made again of the decision's inputs and the files in its folder. Raises MlctlError when that cannot be."""
        ...

    def code(self) -> str:
        """As `Decision.code` would be now."""
        ...


@dataclass(frozen=True)
class Replayed:
    """What came out, and where it differs: dotted fields with what they were and are."""

    outputs: Mapping[str, Json]
    code: str
    differences: tuple[tuple[str, Json, Json], ...]

    @property
    def same(self) -> bool:
        """To the bit."""
        return not self.differences


def replay(decision: Decision, folder: Path, ctx: Context) -> Replayed:
    """Make it again. Raises MlctlError when the kind cannot be replayed, or what it was made of is gone."""
    name = REPLAYS.get(decision.kind)
    if name is None:
        raise MlctlError.of(
            "decision.no-replay",
            f"a decision of the kind `{decision.kind}` cannot be replayed",
            "it rests on what was seen at that moment, of which only the figures are kept",
            "see them with `mlctl decisions show`; " + f"what can be replayed: {', '.join(REPLAYS)}",
        )
    module = cast("Replay", importlib.import_module(name))
    again = json.loads(json.dumps(module.replay(decision, folder, ctx)))
    kept = json.loads(json.dumps(decision.outputs))
    return Replayed(again, module.code(), tuple(_differences(kept, again)))


def _differences(kept: Any, again: Any, path: str = "") -> Iterator[tuple[str, Json, Json]]:
    """Where two values of JSON differ. Numbers are the same when they are written the same."""
    if isinstance(kept, dict) and isinstance(again, dict):
        for name in sorted(kept.keys() | again.keys()):
            yield from _differences(kept.get(name), again.get(name), f"{path}.{name}" if path else name)
    elif isinstance(kept, list) and isinstance(again, list) and len(kept) == len(again):
        for index, (one, other) in enumerate(zip(kept, again, strict=True)):
            yield from _differences(one, other, f"{path}[{index}]")
    elif json.dumps(kept, sort_keys=True) != json.dumps(again, sort_keys=True):
        yield path, kept, again


def text_of(found: Replayed, decision: Decision) -> str:
    """For a person."""
    if found.same:
        changed = (
            "" if found.code == decision.code else f"; the code is another one now ({found.code}, then {decision.code})"
        )
        return f"same: {decision.verdict}, to the bit{changed}"
    number = len(found.differences)
    lines = [f"differs in {number} {'figure' if number == 1 else 'figures'}"]
    lines += [f"  {path}: {json.dumps(was)} -> {json.dumps(now)}" for path, was, now in found.differences[:_SHOWN]]
    if len(found.differences) > _SHOWN:
        lines.append(f"  ... and {len(found.differences) - _SHOWN} more")
    code = f"the code that decided was {decision.code}, and is {found.code} now"
    lines.append(
        code
        if found.code != decision.code
        else "the code is the same: what was kept was changed, or this machine computes otherwise"
    )
    return "\n".join(lines)
