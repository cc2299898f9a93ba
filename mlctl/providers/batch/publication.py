"""The folder of the project that shows a batch: a link to its parts, swapped in whole, so that no reader sees two batches mixed."""

from __future__ import annotations

import os
from pathlib import Path

from mlctl.files.atomic import sync_folder
from mlctl.provider import Context
from mlctl.types.diagnostic import MlctlError


def publish(output: str, parts: Path, ctx: Context, address: str) -> None:
    """Let the folder show these parts. Raises MlctlError for something that is there and not ours."""
    link = _link(output, ctx)
    if shows(output, parts, ctx):
        return
    if os.path.lexists(link) and not _ours(link, ctx):
        raise MlctlError.of(
            "batch.output-taken",
            f"`{output}` exists, and was not made by mlctl",
            "nothing of it is overwritten; mlctl shows predictions there by a link to them",
            "name another `output`, or move it away",
            address=address,
        )
    link.parent.mkdir(parents=True, exist_ok=True)
    beside = link.with_name(f".{link.name}.new")
    beside.unlink(missing_ok=True)
    beside.symlink_to(os.path.relpath(parts, link.parent), target_is_directory=True)
    os.replace(beside, link)
    sync_folder(link.parent)


def shows(output: str, parts: Path, ctx: Context) -> bool:
    """Whether the folder shows these parts."""
    link = _link(output, ctx)
    return link.is_symlink() and link.resolve() == parts.resolve()


def withdraw(output: str, parts: Path, ctx: Context) -> None:
    """Take the link away, if it leads to these parts."""
    if shows(output, parts, ctx):
        _link(output, ctx).unlink()


def _link(output: str, ctx: Context) -> Path:
    ctx.path(str(Path(output).parent))  # the link itself leads into the environment's folder, and is not followed here
    return ctx.root / output


def _ours(link: Path, ctx: Context) -> bool:
    """Whether it is a link to an object of this environment, living or removed."""
    return link.is_symlink() and link.resolve().is_relative_to((ctx.home / "objects").resolve())
