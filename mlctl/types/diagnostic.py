"""Diagnostics: what is wrong, where, why, and how to fix it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import IntEnum, StrEnum


class Severity(StrEnum):
    """How grave a diagnostic is; only errors stop a command."""

    ERROR = "error"
    WARNING = "warning"


class ExitCode(IntEnum):
    """The stable exit codes of the command line (docs/reference/exit-codes.md)."""

    OK = 0
    ERROR = 1
    CHANGES = 2
    GATE_FAILED = 3
    POLICY = 4
    DRIFT = 5
    LOCKED = 6
    STALE_PLAN = 7
    PARTLY_APPLIED = 8
    BUG = 70
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class SourceRange:
    """A place in a project file. Lines and columns count characters from 1; `text` is the line itself."""

    file: str
    line: int
    column: int
    end_column: int
    text: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One problem. `path` is where in the YAML tree it sits, for a caller that has yet to look up `where`."""

    code: str
    summary: str
    why: str = ""
    fix: str = ""
    severity: Severity = Severity.ERROR
    where: SourceRange | None = None
    address: str = ""
    path: tuple[str | int, ...] = ()


@dataclass(eq=False)
class MlctlError(Exception):
    """An expected failure: bad input, a refused call, a tool that is down. Carries all diagnostics at once."""

    diagnostics: Sequence[Diagnostic]
    exit_code: ExitCode = field(default=ExitCode.ERROR)

    @classmethod
    def of(
        cls,
        code: str,
        summary: str,
        why: str = "",
        fix: str = "",
        *,
        address: str = "",
        exit_code: ExitCode = ExitCode.ERROR,
    ) -> MlctlError:
        """An error of a single diagnostic."""
        return cls([Diagnostic(code, summary, why, fix, address=address)], exit_code)

    def __str__(self) -> str:
        return "; ".join(f"{item.code}: {item.summary}" for item in self.diagnostics)


def system_refused(error: OSError, address: str = "") -> Diagnostic:
    """What the operating system refused, such as room on a disk: the surroundings are to be mended, not the project or mlctl."""
    about = " and ".join(f"`{name}`" for name in (error.filename, error.filename2) if name is not None)
    return Diagnostic(
        "system.refused",
        f"{address}: {error.strerror or error}" if address else f"the system refused: {error.strerror or error}",
        f"{type(error).__name__} about {about}" if about else f"{type(error).__name__}, and it does not say about what",
        "mend it (space, permissions, a file that went away), then run the command again",
        address=address,
    )


def said(error: Exception) -> str:
    """What an error of a library says, in one line: databases put their whole statement below it, and others more than that.

    A line that ends in a colon is about the next one, and has it added.
    """
    found = ""
    for line in str(error).splitlines():
        text = line.strip()
        if text.startswith(("[SQL", "[parameters", "(Background on")):
            break
        found = f"{found} {text}" if found else text
        if found and not found.endswith(":"):
            break
    return found.removesuffix(":") or type(error).__name__


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean `x`?` for the nearest known word, else the list of what is known, else nothing."""
    options = sorted(set(known))
    close = get_close_matches(word, options, n=1, cutoff=0.6)
    if close:
        return f"did you mean `{close[0]}`?"
    if options and len(options) <= 24:
        return "known here: " + ", ".join(f"`{item}`" for item in options)
    return ""
