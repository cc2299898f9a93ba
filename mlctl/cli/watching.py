"""Progress of a command that runs a worker program without applying anything: one line on the terminal, gone when it is done."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from mlctl.provider import Context
from mlctl.types.event import Progress
from mlctl.views.human.style import interactive
from mlctl.views.human.text import safe


@contextmanager
def watched(context: Context, what: str) -> Iterator[Context]:
    """The context with a sink for progress. Nothing is shown where nobody watches standard error."""
    if not interactive(sys.stderr):
        yield context
        return
    from rich.console import Console

    with Console(stderr=True, highlight=False, markup=False).status(what) as status:

        def show(event: Progress) -> None:
            counted = f" {event.done:,.0f} of {event.total:,.0f} {event.unit}" if event.total else ""
            status.update(f"{what}: {safe(event.message)}{counted}")

        yield replace(context, progress=show)
