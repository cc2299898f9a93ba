"""What a part of a monitor found in one run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mlctl.stats.drift import Verdict
from mlctl.types.jobs.monitor import Alarm


@dataclass(frozen=True)
class Found:
    """`figures` is all of it as JSON; `draw` makes HTML of it for the report, and is None when there is nothing to draw.

    HTML may be a whole page: its head and body are then taken apart and put into the report.
    """

    verdict: Verdict
    summary: str
    figures: dict[str, Any]
    alarms: tuple[Alarm, ...] = ()
    draw: Callable[[], str] | None = None
