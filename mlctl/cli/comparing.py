"""What is different since a saved plan, for people and machines."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

from mlctl.cli.options import emit_json
from mlctl.engine.saved.compare import Comparison
from mlctl.views.human.plan import value
from mlctl.views.human.style import Paint, wants_color
from mlctl.views.human.text import safe
from mlctl.views.json.plan import header

_COLORS = {"+": "green", "-": "red", "@": "cyan"}


def show_comparison(found: Comparison, since: Path, *, as_json: bool) -> None:
    """Print a comparison."""
    if as_json:
        emit_json(header())
        for step in found.steps:
            emit_json({"type": "plan_difference", **asdict(step)})
        for name, (old, new) in found.values.items():
            emit_json({"type": "value_difference", "name": name, "old": old, "new": new})
        emit_json({"type": "comparison", "same": found.same, "files": found.lines})
        return
    if found.same:
        print(f"Nothing is different since {since}.")
        return
    paint = Paint(wants_color(sys.stdout))
    for step in found.steps:
        print(f"{paint(step.address, 'bold')}\n  then  {safe(step.planned)}\n  now   {safe(step.now)}")
    for name, (old, new) in found.values.items():
        print(f"{paint(f'var.{name}', 'bold')}: {value(old)} -> {value(new)}")
    for line in found.lines:
        print(paint(safe(line), _COLORS[line[0]]) if line[:1] in _COLORS else safe(line))
