"""Progress of a command that works for a while without applying anything: one line on the terminal, gone when it is done."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

from mlctl.provider import Context
from mlctl.types.event import Progress
from mlctl.views.human.style import interactive
from mlctl.views.human.text import safe

T = TypeVar("T")
_FEW = 3  # are done before anybody could read it


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


def one_by_one(items: Sequence[T], name: Callable[[T], str]) -> Iterator[T]:
    """One after the other, with the one that is at work told."""
    told = interactive(sys.stderr) and len(items) > _FEW
    try:
        for number, item in enumerate(items, 1):
            if told:
                print(f"\r\x1b[2K{number} of {len(items)}: {safe(name(item))}", end="", file=sys.stderr, flush=True)
            yield item
    finally:
        if told:
            print("\r\x1b[2K", end="", file=sys.stderr, flush=True)
