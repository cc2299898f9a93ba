"""What is to be said beside the result of a command: for people on standard error, else as lines of JSON."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from mlctl.cli.options import emit_json
from mlctl.types.diagnostic import Diagnostic
from mlctl.views.human import diagnostics as human
from mlctl.views.human.style import wants_color, width
from mlctl.views.json import diagnostics as json_diagnostics


def tell(found: Sequence[Diagnostic], *, as_json: bool) -> None:
    """Say each of them."""
    for item in found if as_json else ():
        emit_json(json_diagnostics.to_json(item))
    if not as_json:
        sys.stderr.write(human.render(found, color=wants_color(sys.stderr), width=width()))
