"""Follow a run from its events, as on the terminal that began it, while it works or after its end."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import Any

from mlctl.cli.options import emit_json
from mlctl.engine.applier import Applied
from mlctl.engine.runs import RunFolder
from mlctl.types.address import Address
from mlctl.types.change import Action
from mlctl.types.diagnostic import ExitCode
from mlctl.types.event import StepDetached, StepDone, StepFailed, StepGate, StepSkipped
from mlctl.views.human import diagnostics as human_diagnostics
from mlctl.views.human import result as human_result
from mlctl.views.human.apply import ApplyView
from mlctl.views.human.style import wants_color, width
from mlctl.views.json.replay import diagnostic_of, event_of

_POLL_SECONDS = 0.1


def follow(folder: RunFolder, *, as_json: bool) -> int:
    """Show a run until its end, and give its exit code."""
    applied = _lines(folder) if as_json else _watched(folder)
    about = folder.read()
    code = ExitCode.INTERRUPTED if about.exit_code is None else ExitCode(about.exit_code)
    if not as_json:
        applied.interrupted = code is ExitCode.INTERRUPTED
        if about.exit_code is None:
            print(f"\nThe run {folder.id} was killed; nothing is lost.")
        print(human_result.render(applied, color=wants_color(sys.stdout)), flush=True)
    return code


def outcome(folder: RunFolder) -> Applied:
    """What came of a run so far."""
    applied = Applied()
    for line in _tail(folder):
        if line is None:
            break
        applied = _added(applied, line)
    return applied


def _lines(folder: RunFolder) -> Applied:
    for line in _until_its_end(folder):
        emit_json({name: value for name, value in line.items() if name != "change"})
    return Applied()


def _watched(folder: RunFolder) -> Applied:
    applied = Applied()
    with ApplyView() as view:
        for line in _until_its_end(folder):
            applied = _added(applied, line)
            if line["type"] == "diagnostic":
                shown = human_diagnostics.render([diagnostic_of(line)], color=wants_color(sys.stderr), width=width())
                sys.stderr.write(shown)
            elif (event := event_of(line)) is not None:
                view(event)
    return applied


def _until_its_end(folder: RunFolder) -> Iterator[dict[str, Any]]:
    """The lines of a run as they come; ends with the run."""
    over = False
    for line in _tail(folder):
        if line is not None:
            yield line
        elif over:
            return
        else:
            over = not folder.running  # what it wrote before its end is still to be read
            if not over:
                time.sleep(_POLL_SECONDS)


def _tail(folder: RunFolder) -> Iterator[dict[str, Any] | None]:
    """Whole lines as they come, None whenever there is no more for now. Never ends."""
    rest, offset = b"", 0
    while True:
        if folder.events_path.exists():
            with open(folder.events_path, "rb") as stream:
                stream.seek(offset)
                data = stream.read()
            offset += len(data)
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                try:
                    stored = json.loads(line)
                except ValueError:  # torn by a kill or a full disk
                    continue
                yield stored
        yield None


def _added(applied: Applied, line: dict[str, Any]) -> Applied:
    """The outcomes with one more line. A supervisor that carried on begins anew, and its word on a step is the last."""
    if line["type"] == "apply_summary":
        applied.seconds = line["seconds"]
        return applied
    event = event_of(line)
    if isinstance(event, StepGate):
        applied.gates = [*(item for item in applied.gates if item.address != event.address), event]
    elif isinstance(event, StepDone | StepFailed | StepSkipped | StepDetached):
        place = _place(event)
        applied.failed = [item for item in applied.failed if _place(item) != place]
        applied.skipped = [item for item in applied.skipped if _place(item) != place]
        applied.detached = [item for item in applied.detached if _place(item) != place]
        match event:
            case StepDone():
                applied.done.append(event)
            case StepFailed():
                applied.failed.append(event)
            case StepSkipped():
                applied.skipped.append(event)
            case StepDetached():
                applied.detached.append(event)
    return applied


def _place(event: StepDone | StepFailed | StepSkipped | StepDetached) -> tuple[Address, bool]:
    """Which step it is: making something of an address, or removing something of it."""
    return event.change.address, event.change.action is Action.DELETE
