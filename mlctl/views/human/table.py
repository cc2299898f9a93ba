"""Tables of plain text with a head, aligned by the columns that each character takes on a terminal."""

from __future__ import annotations

import io
from collections.abc import Sequence

from mlctl.views.human.text import safe

_WIDEST = 10_000


def table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = (), color: bool = False
) -> str:
    """Lines, each with its end; the heads named in `right` stand over figures. A line is as long as it has to be, as in all lists."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold" if color else "")
    for head in heads:
        made.add_column(head, justify="right" if head in right else "left", no_wrap=True)
    for row in rows:
        made.add_row(*(Text(safe(cell)) for cell in row))
    stream = io.StringIO()
    Console(
        file=stream,
        width=_WIDEST,
        force_terminal=color,
        color_system="standard" if color else None,
        legacy_windows=False,
    ).print(made)
    return "".join(f"{line.rstrip()}\n" for line in stream.getvalue().splitlines())
