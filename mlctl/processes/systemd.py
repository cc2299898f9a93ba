"""Words and lines as units of systemd hold them."""

from __future__ import annotations

from mlctl.types.diagnostic import MlctlError


def quoted(text: str, *, command: bool = False) -> str:
    """A word as systemd reads it: `%` begins a specifier everywhere, `$` a variable in commands. Raises MlctlError."""
    text = plain(text).replace("\\", "\\\\").replace('"', '\\"')
    text = text.replace("$", "$$") if command else text
    return f'"{text}"' if any(char in text for char in " \t'\";") else text


def plain(text: str) -> str:
    """The rest of a line. Raises MlctlError for what does not fit on one."""
    if any(ord(char) < 32 for char in text):
        raise MlctlError.of(
            "deploy.unit-path",
            "a path with a line break cannot stand in a unit of systemd",
            f"it is {text!r}",
            "move the project to a folder without one in its name",
        )
    return text.replace("%", "%%")
