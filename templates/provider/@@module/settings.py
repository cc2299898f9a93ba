"""The `@@settings` block of a project file."""

from __future__ import annotations

from mlctl.provider import Block

BLOCK = "@@settings"
DEFAULT_PATH = "@@settings.db"


class @@title(Block):
    """Where the catalogue is, below the project folder."""

    path: str = DEFAULT_PATH
