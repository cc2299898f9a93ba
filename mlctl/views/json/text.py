"""JSON text that is safe on a terminal too. JSON escapes the controls below U+0020; there are more that steer a screen."""

from __future__ import annotations

import re

_STEERING = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069]")  # DEL and the C1 controls, line breaks, bidi overrides


def escaped(text: str) -> str:
    """The JSON text of the same value with escapes for what would steer a terminal. Such a character stands only in a string."""
    return (
        text if text.isascii() and "\x7f" not in text else _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    )
