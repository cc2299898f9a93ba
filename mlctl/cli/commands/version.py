"""mlctl version: print the version, or with --json what it runs on."""

from __future__ import annotations

import platform

from mlctl import __version__
from mlctl.cli.options import AsJson, emit_json, make_app

app = make_app()


@app.command(help="Print the version.")
def version(as_json: AsJson = False) -> int:
    """Print it."""
    if as_json:
        from mlctl.views.json.plan import header

        emit_json(
            {
                **header(),
                "python": platform.python_version(),
                "platform": platform.platform(),
            }
        )
    else:
        print(f"mlctl {__version__}")
    return 0
