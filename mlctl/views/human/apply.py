"""An apply as people watch it: a line for each step, a live line for each that runs, and a table of what came of it."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, TextIO

from mlctl.types.address import Address
from mlctl.types.event import (
    Event,
    StepDetached,
    StepDone,
    StepFailed,
    StepGate,
    StepProgress,
    StepSkipped,
    StepStarted,
)
from mlctl.types.state import Gate, Record
from mlctl.views.human import diagnostics
from mlctl.views.human.plan import cause, name, verdict, why
from mlctl.views.human.style import Paint, columns, figure, interactive, seconds, wants_color, width
from mlctl.views.human.text import safe

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

_QUIET_SECONDS = 5.0  # without a terminal, how often a running step may write a line


class ApplyView:
    """Shows events as they come. On a terminal running steps have a live line; elsewhere a line every few seconds."""

    def __init__(self, stream: TextIO = sys.stdout) -> None:
        self.stream = stream
        self.paint = Paint(wants_color(stream))
        self._running: dict[Address, tuple[float, StepProgress | None]] = {}
        self._counted: dict[Address, tuple[str, float, float]] = {}  # what is counted, since when, from which count
        self._told: dict[Address, float] = {}
        self._fresh: set[Address] = set()  # what this apply made
        self._live: Live | None = None

    def __enter__(self) -> ApplyView:
        if interactive(self.stream):
            from rich.console import Console
            from rich.live import Live

            console = Console(file=self.stream, highlight=False, no_color=not self.paint.color)
            self._live = Live(console=console, refresh_per_second=8, transient=True, get_renderable=self._status)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def pause(self) -> None:
        """Take the live lines off the terminal, for a question to stand there."""
        if self._live is not None:
            self._live.stop()

    def resume(self) -> None:
        """Put them back."""
        if self._live is not None:
            self._live.start()

    def __call__(self, event: Event) -> None:
        """Take one event."""
        match event:
            case StepStarted(change):
                self._running[change.address] = (time.monotonic(), None)
                self._line(f"{change.action.symbol:>3} {name(change)}: {change.action} ({why(change)})")
            case StepProgress(address):
                self._progress(address, event)
            case StepDone(change, record, took, reused):
                if self._running.pop(change.address, None) is not None and not reused:
                    self._fresh.add(change.address)
                how = "reused, nothing to do" if reused else f"done in {seconds(took)}"
                self._line(self.paint("  ✓ ", "green") + f"{name(change)}: {how}")
                if not reused:
                    self._warn(record)
            case StepGate(address, gate) if address in self._fresh or not gate.passed:  # an old pass is no news
                self._gate(address, gate)
            case StepFailed(change, found, took, resumable):
                self._running.pop(change.address, None)
                tail = "; it can be resumed" if resumable else ""
                self._line(self.paint("  ✗ ", "red") + f"{name(change)}: failed after {seconds(took)}{tail}")
                self._line(diagnostics.render(found, color=self.paint.color, width=width()).rstrip())
            case StepDetached(change, took):
                self._running.pop(change.address, None)
                line = f"{name(change)}: goes on alone, after {seconds(took)} with this command"
                self._line(self.paint("  ↻ ", "cyan") + line)
            case StepSkipped(change, because, reason):
                told = cause(change, because, reason)
                self._line(self.paint("  · ", "dim") + f"{name(change)}: skipped, {told}")

    def _warn(self, record: Record | None) -> None:
        """What a kind remarks on in what it made: its output `warnings`."""
        noted = None if record is None else record.outputs.get("warnings")
        for item in noted if isinstance(noted, list) else ():
            if isinstance(item, dict) and "text" in item:
                self._line(f"    {self.paint('warning', 'yellow')}: {safe(str(item['text']))}")

    def _gate(self, address: Address, gate: Gate) -> None:
        closed = self.paint("APPROVED", "yellow") if gate.open else self.paint("NOT PASSED", "red", "bold")
        mark = self.paint("passed", "green") if gate.passed else closed
        self._line(f"    gate {address}: {mark}, {verdict(gate)}")
        for detail in gate.details:  # of one that passed these are warnings
            self._line(f"         {safe(detail)}")

    def _progress(self, address: Address, event: StepProgress) -> None:
        now = time.monotonic()
        began, _ = self._running.get(address, (now, None))
        self._running[address] = (began, event)
        if event.done is not None and self._counted.get(address, ("",))[0] != event.unit:
            self._counted[address] = (event.unit, now, event.done)
        if self._live is None and now - self._told.get(address, began) >= _QUIET_SECONDS:
            self._told[address] = now
            self._line(f"    {address}: {describe(event, self._left(event, now))}")

    def _left(self, event: StepProgress, now: float) -> float | None:
        """Seconds left at the pace since counting began; a step that prepares first is not held to that time."""
        _, since, start = self._counted.get(event.address, ("", now, 0.0))
        if event.done is None or event.total is None or event.done <= start or now - since < 1:
            return None
        return (now - since) * (event.total - event.done) / (event.done - start)

    def _line(self, text: str) -> None:
        if self._live is not None:
            from rich.text import Text

            self._live.console.print(Text.from_ansi(text))
        else:
            print(text, file=self.stream, flush=True)

    def _status(self) -> Text:
        from rich.text import Text

        now = time.monotonic()
        rows = [
            [
                f"  {address}",
                "starting" if event is None else describe(event, self._left(event, now)),
                seconds(now - began),
            ]
            for address, (began, event) in list(self._running.items())
        ]
        return Text("\n".join(columns(rows)))


def describe(event: StepProgress, left: float | None) -> str:
    """How far a step is: the share done, the time left if it can be told, and its figures."""
    parts = [event.message]
    if event.done is not None and event.total:
        unit = f" {event.unit}" if event.unit else ""
        parts.append(f"{event.done / event.total:.0%} ({figure(event.done)} of {figure(event.total)}{unit})")
        if left is not None:
            parts.append(f"{seconds(left)} left")
    elif event.done is not None:
        parts.append(f"{figure(event.done)} {event.unit}".rstrip())
    parts += [f"{name} {figure(value)}" for name, value in event.metrics.items()]
    return safe(", ".join(parts))
