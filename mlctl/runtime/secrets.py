"""The secrets of a worker process: what mlctl handed it in its environment, and the ways in which it keeps them in."""

from __future__ import annotations

import json
import os
from functools import cache

from mlctl.types.secret import ENVIRONMENT, Secrets, announce


@cache
def known() -> Secrets:
    """What this process was given; nothing when it was started without."""
    return Secrets(json.loads(os.environ.get(ENVIRONMENT, "{}")))


def keep() -> None:
    """See that nothing this process prints holds a secret. To be called before anything else is done."""
    if known():
        from mlctl.files.redacting import guard_output

        announce(known())
        guard_output()
