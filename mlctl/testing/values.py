"""Whether what a kind gives back can be stored: JSON as it stands, and portable to another folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from mlctl.provider import Context
from mlctl.types.value import canonical, contains_unknown


def stored_problems(values: Mapping[str, Any], what: str, ctx: Context) -> Iterator[str]:
    """What is wrong with outputs, or with a spec, as part of a state file."""
    for name, value in values.items():
        if contains_unknown(value):
            yield f"{what}: `{name}` is not known although everything it depends on is"
            continue
        try:
            text = canonical(value)
        except (TypeError, ValueError) as error:
            yield f"{what}: `{name}` is not JSON ({error}); NaN and infinity are not either"
            continue
        if json.loads(text) != value:
            yield f"{what}: `{name}` comes back from JSON as another value; use lists, and text for the keys of mappings"
        for root in sorted({str(ctx.root), str(ctx.root.resolve())}):
            if root in text:
                yield f"{what}: `{name}` holds the path of the project folder; keep paths relative to it, so that a project can be moved"
                break
