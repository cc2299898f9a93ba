"""A word on a terminal of how far a command is that asks about many resources."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from mlctl.views.human.style import interactive
from mlctl.views.human.text import safe

if TYPE_CHECKING:
    from mlctl.cli.costing.workloads import Found

_FEW = 3  # are done before anybody could read it


def watched(found: Sequence[Found]) -> Iterator[Found]:
    """One after the other, with the one that is at work told on standard error."""
    told = interactive(sys.stderr) and len(found) > _FEW
    try:
        for number, item in enumerate(found, 1):
            if told:
                print(f"\r\x1b[2K{number} of {len(found)}: {safe(item.address)}", end="", file=sys.stderr, flush=True)
            yield item
    finally:
        if told:
            print("\r\x1b[2K", end="", file=sys.stderr, flush=True)
