"""The versions of a dataset that the state holds, how one is named, and whether its rows can still be read."""

from __future__ import annotations

from collections.abc import Sequence

from mlctl.provider import Context
from mlctl.types.diagnostic import MlctlError, did_you_mean
from mlctl.types.jobs.profile import dataset_digest
from mlctl.types.state import Record

PREVIOUS = "previous"


def split(text: str) -> tuple[str, str]:
    """The dataset and the version that `name`, `name@IDENTITY` or `name@previous` names; no version is the current one."""
    name, at, version = text.removeprefix("datasets.").rpartition("@")
    return (name, version) if at else (version, "")


def pick_version(records: Sequence[Record], name: str, version: str) -> Record:
    """One of the versions of a dataset, given the newest first. Raises MlctlError when it is not there, or not the only one."""
    made = [record for record in records if record.complete or record.outputs]
    if not version and made:
        return made[0]
    if version == PREVIOUS:
        if len(made) > 1:
            return made[1]
        raise MlctlError.of(
            "data.no-version",
            f"`datasets.{name}` has no previous version",
            f"the state holds {'one version of it' if made else 'none'}; older ones are kept as `lifecycle: {{retain: N}}` says",
            f"see `mlctl data versions {name}`",
        )
    found = [record for record in made if record.key.identity.startswith(version)] if version else []
    if len(found) == 1:
        return found[0]
    if found:
        shown = ", ".join(f"`{record.key.identity}`" for record in found[:5])
        raise MlctlError.of(
            "data.ambiguous-version",
            f"`{name}@{version}` names {len(found)} versions",
            shown,
            "give more of its digits",
        )
    known = [f"{name}@{record.key.identity}" for record in made]
    raise MlctlError.of(
        "data.no-version",
        f"there is no `{name}@{version}` in the state" if version else f"`datasets.{name}` was not made yet",
        "",
        did_you_mean(f"{name}@{version}", known) or f"see `mlctl data versions {name}`"
        if made
        else "run `mlctl apply`",
    )


def holds_rows(record: Record, ctx: Context) -> bool:
    """Whether the files that a version was made of are still the same: files of the project are overwritten by newer ones."""
    files = record.outputs.get("files")
    if not isinstance(files, list) or not files:
        return False
    paths = [ctx.root / str(file) for file in files]
    if not all(path.is_file() for path in paths):
        return False
    folder = ctx.folder(record.key)
    if all(path.is_relative_to(folder) for path in paths):
        return True  # a copy of its own, which nobody writes a second time
    try:
        contents = [ctx.digests.file(path) for path in paths]
    except OSError:
        return False
    return dataset_digest(record.outputs, contents) == record.digest
