"""Options that several commands share, and the helpers that read them."""

from __future__ import annotations

import json
import math
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from mlctl.types.address import Address
from mlctl.types.change import Mode, Selection
from mlctl.types.diagnostic import MlctlError, did_you_mean
from mlctl.types.secret import redacted
from mlctl.types.state import Record, State
from mlctl.types.units import parse_duration
from mlctl.views.json.text import escaped
from mlctl.workspace import Chosen, Workspace

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
Exclude = Annotated[
    list[str] | None,
    typer.Option("--exclude", metavar="ADDRESS", help="Not this resource nor what depends on it; may be given again."),
]
Replace = Annotated[
    list[str] | None,
    typer.Option(
        "--replace", metavar="ADDRESS", help="Make this resource anew although nothing changed; may be given again."
    ),
]
LockTimeout = Annotated[
    str, typer.Option("--lock-timeout", metavar="DURATION", help="How long to wait for another writer, such as 60s.")
]
Detach = Annotated[
    bool, typer.Option("--detach", help="Leave the work to a process of its own; join it with `mlctl attach`.")
]
Unhold = Annotated[bool, typer.Option("--unhold", help="Lift the hold of a rollback, and change what it set.")]


def make_app() -> typer.Typer:
    """A Typer application as all commands use it: plain help, no completion options of its own."""
    return typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def make_group(text: str) -> typer.Typer:
    """An application of several commands, with its help; without the callback Typer would take a lone command for the whole."""
    app = make_app()
    app.callback(help=text)(lambda: None)
    return app


def refreshing(workspace: Workspace, refresh: str) -> bool:
    """Whether to look at the real objects, from `--refresh`; `deep` is set on the workspace. Raises MlctlError for another word."""
    if refresh not in ("true", "false", "deep"):
        raise MlctlError.of(
            "cli.usage",
            f"`--refresh={refresh}` is not known",
            "it takes `true`, `false` or `deep`",
            did_you_mean(refresh, ["true", "false", "deep"]),
        )
    workspace.deep = refresh == "deep"
    return refresh != "false"


def one_of(given: Mapping[str, object]) -> None:
    """Raise MlctlError when more than one of some options was given: one of them would be without effect."""
    names = [f"`{name}`" for name, value in given.items() if value]
    if len(names) > 1:
        raise MlctlError.of("cli.usage", f"{' and '.join(names)} exclude each other", "", "choose one of them")


def addresses(texts: list[str] | None) -> tuple[Address, ...]:
    """Addresses as given on the command line. Raises MlctlError for one of another shape."""
    try:
        return tuple(Address.parse(text) for text in texts or ())
    except ValueError as error:
        raise MlctlError.of(
            "cli.bad-address", str(error), "", "see the addresses with `mlctl plan` or `mlctl state list`"
        ) from None


def seconds_of(text: str, option: str = "--lock-timeout") -> float:
    """The seconds of a duration such as `60s`; `0s` is not to wait. Raises MlctlError."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise MlctlError.of("cli.usage", str(error), "", f"for example `{option} 60s`") from None


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
    value = redacted(value)
    try:
        text = json.dumps(value, ensure_ascii=False, default=str, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(value), ensure_ascii=False, default=str)
    print(escaped(text), flush=True)


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


def selected(
    target: list[str] | None,
    exclude: list[str] | None,
    replace: list[str] | None,
    mode: Mode = Mode.NORMAL,
    *,
    refresh: bool = True,
    unattended: bool = False,
) -> Selection:
    """What a plan looks at, from the options of a command. Raises MlctlError for what does not go together."""
    chosen = Selection(addresses(target), addresses(exclude), addresses(replace), mode, refresh, unattended)
    both = sorted(set(chosen.targets) & set(chosen.exclude))
    if both:
        raise MlctlError.of("cli.usage", f"`{both[0]}` is both a target and excluded", "", "choose one of them")
    if chosen.replace and mode is not Mode.NORMAL:
        raise MlctlError.of(
            "cli.usage", f"`--replace` has no effect with `--{mode}`", "nothing is made then", "leave it out"
        )
    if not refresh and mode is Mode.REFRESH_ONLY:
        why = "one looks at the real objects alone, the other not at all"
        raise MlctlError.of("cli.usage", "`--refresh-only` and `--refresh=false` exclude each other", why, "choose one of them")  # fmt: skip
    return chosen


def again(workspace: Workspace, command: str, options: Mapping[str, Sequence[object] | bool | None]) -> str:
    """A command line that does the same once more: the project, the environment and the values, then a command's own options."""
    words = ["mlctl"]
    if workspace.root != Path.cwd():
        words += ["-C", os.path.relpath(workspace.root)]
    if workspace.file is not None:
        words += ["-f", os.path.relpath(workspace.file, workspace.root)]
    if workspace.chosen.environment is not None and workspace.chosen.environment != os.environ.get("MLCTL_ENV"):
        words += ["-e", workspace.chosen.environment]
    for file in workspace.chosen.value_files:
        words += ["--var-file", str(file)]
    for name, value in workspace.chosen.values:
        words += ["--var", f"{name}={workspace.context(State('')).secrets.hidden(value)}"]
    words.append(command)
    for option, given in options.items():
        if given is True:
            words.append(option)
        elif given:
            words += (
                [word for item in given for word in (option, str(item))] if option else [str(item) for item in given]
            )
    return shlex.join(words)


def applying(workspace: Workspace, plan: Path) -> str:
    """The command line that applies a saved plan: all but the folder of the project is in the plan."""
    return again(replace(workspace, file=None, chosen=Chosen()), "apply", {"": [plan]})
