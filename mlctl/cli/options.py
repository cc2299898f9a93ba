"""Options that several commands share, and the helpers that read them."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from mlctl.types.address import Address
from mlctl.types.diagnostic import ExitCode, MlctlError, did_you_mean
from mlctl.types.state import Record
from mlctl.workspace import Workspace

ProjectDir = Annotated[Path, typer.Option("--project", "-C", help="The project folder.", show_default="this folder")]
ProjectFile = Annotated[
    Path | None,
    typer.Option("--file", "-f", help="The project file, relative to the folder.", show_default="mlctl.yaml"),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON lines for machines.")]
AutoApprove = Annotated[bool, typer.Option("--auto-approve", "-auto-approve", "--yes", "-y", help="Do not ask.")]
Targets = Annotated[
    list[str] | None,
    typer.Option(
        "--target", "-t", metavar="ADDRESS", help="Only this resource and what it depends on; may be given again."
    ),
]
Parallelism = Annotated[int, typer.Option("--parallelism", min=1, max=64, help="How many steps may run at once.")]
Refresh = Annotated[
    str,
    typer.Option(
        "--refresh",
        metavar="true|false|deep",
        help="Look at the real objects: by cheap evidence, not at all, or by asking the tools.",
    ),
]
DEFAULT_DIR = Path(".")
_SHOW_CURSOR = "\x1b[?25h"  # live lines hide it


def make_app() -> typer.Typer:
    """A Typer application as all commands use it: plain help, no completion options of its own."""
    return typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def make_group() -> typer.Typer:
    """An application of several commands; without the callback Typer would take a lone command for the whole."""
    app = make_app()
    app.callback()(lambda: None)
    return app


def open_workspace(directory: Path, file: Path | None, refresh: str = "true") -> Workspace:
    """The project in a folder. Raises MlctlError when the folder does not exist."""
    if not directory.is_dir():
        raise MlctlError.of(
            "cli.no-folder",
            f"there is no folder `{directory}`",
            "`--project` names the folder of a project",
            "check the path",
        )
    if refresh not in ("true", "false", "deep"):
        raise MlctlError.of(
            "cli.usage",
            f"`--refresh={refresh}` is not known",
            "it takes `true`, `false` or `deep`",
            did_you_mean(refresh, ["true", "false", "deep"]),
        )
    return Workspace(directory, directory / file if file is not None else None, deep=refresh == "deep")


def addresses(texts: list[str] | None) -> tuple[Address, ...]:
    """Addresses as given on the command line. Raises MlctlError for one of another shape."""
    try:
        return tuple(Address.parse(text) for text in texts or ())
    except ValueError as error:
        raise MlctlError.of(
            "cli.bad-address", str(error), "", "see the addresses with `mlctl plan` or `mlctl state list`"
        ) from None


def pick(records: dict[str, Record], section: str, name: str | None) -> Record:
    """The made object of a section by its name, or the only one there is. Raises MlctlError."""
    found = {
        address.partition(".")[2]: record for address, record in records.items() if address.startswith(f"{section}.")
    }
    wanted = (name or "").removeprefix(f"{section}.")
    if not wanted and len(found) == 1:
        return next(iter(found.values()))
    if wanted in found:
        return found[wanted]
    if not found:
        raise MlctlError.of(
            "cli.nothing-made",
            f"no `{section}` have been made yet",
            "this command works on what `mlctl apply` made",
            "run `mlctl apply`",
        )
    summary = (
        f"there is no `{section}.{wanted}` in the state"
        if wanted
        else f"there is more than one of `{section}`; name one"
    )
    raise MlctlError.of("cli.unknown-name", summary, "", did_you_mean(wanted, found))


def emit_json(value: dict[str, Any]) -> None:
    """One JSON line on stdout, at once. A number that JSON does not have, such as a loss that diverged, is null."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=str, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(value), ensure_ascii=False, default=str)
    print(text, flush=True)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def confirm(question: str, *, as_json: bool = False) -> bool:
    """Ask a person for `yes`. Raises MlctlError, with a word on what to add, when nobody can be asked: machines read JSON."""
    if as_json or not sys.stdin.isatty() or os.environ.get("CI"):
        why = f"`{question}` is asked before anything is done, and nobody is there to answer"
        raise MlctlError.of("cli.not-interactive", "there is no terminal to ask on", why, "add `--auto-approve`")
    print(f"{question} Only `yes` goes on: ", end="", flush=True)
    return sys.stdin.readline().strip() == "yes"


@contextmanager
def graceful(stop: threading.Event) -> Iterator[None]:
    """Turn the first Ctrl-C or SIGTERM into a request to stop at the next safe point; a second one ends the process.

    It ends there and then: an exception would wait for the threads of steps that do not listen. Nothing is lost by it,
    since the journal is on the disk and the operating system frees the lock.
    """

    def on_signal(number: int, frame: object) -> None:
        if stop.is_set():
            _say(_SHOW_CURSOR if sys.stdout.isatty() else "")
            os._exit(ExitCode.INTERRUPTED)
        stop.set()
        _say("\nstopping: running steps are asked to save and end; press again to leave at once (nothing is lost)\n")

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(text: str) -> None:
    """Write to stderr from a signal handler, which may have interrupted a print."""
    with suppress(OSError):
        os.write(2, text.encode())
