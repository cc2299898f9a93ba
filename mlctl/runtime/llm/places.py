"""Where an engine's files are, and what stands for the places in its command."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from mlctl.processes import engine as engines
from mlctl.types.environments import environments_home
from mlctl.types.jobs.llm import LlmJob
from mlctl.types.jobs.rollout import STATS_FOLDER
from mlctl.types.value import digest

_RUNTIME = Path(__file__).parent.parent
# how our packages are called inside of engines, which know nothing of mlctl
_INSIDE = {"mlctl_middleware": _RUNTIME / "middleware", "mlctl_inside": _RUNTIME / "llm" / "inside"}
_UNUSED_SECONDS = 3600.0  # one that is just being made is written down nowhere yet
_SHARED = "engine-"  # a folder beside those of the releases, which are numbers


def engine_folder(release: Path, shared: str | None) -> Path:
    """A folder for an engine's files. One that may outlive its first release has it beside that one's."""
    folder = release if shared is None else release.parent / f"{_SHARED}{digest([shared, release.name])[:12]}"
    packages = folder / "packages"
    packages.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, target in _INSIDE.items():
        link = packages / name
        if not link.is_symlink() or os.readlink(link) != str(target):
            link.unlink(missing_ok=True)
            link.symlink_to(target)
    return folder


def places(job: LlmJob, own: Path, root: Path) -> dict[str, str]:
    """What is known of them before a port and cores are."""
    model = root / job.engine.model
    return {
        "model": str(model.resolve()) if model.exists() else job.engine.model,  # a hub's model is no path
        "folder": str(own),
        "programs": str(_RUNTIME / "llm" / "inside"),
        "cache": str(environments_home().parent),
        "drain": str(max(1, round(job.timeout_seconds))),
    }


def tidy(release: Path, own: Path, inside: bool) -> None:
    """Have the counts of an engine be found in the release's folder, and remove the folders of engines that nobody has any more."""
    stats = release / STATS_FOLDER
    if inside and own != release and (stats.is_symlink() or not stats.exists()):
        stats.unlink(missing_ok=True)  # it may have shared another one before
        stats.symlink_to(os.path.relpath(own / STATS_FOLDER, release))
    used = {own.resolve()}
    for path in filter(Path.is_dir, release.parent.iterdir()):
        kept = engines.find(path)
        used |= {Path(kept.folder).resolve()} if kept is not None else set()
        used |= {(path / STATS_FOLDER).resolve().parent} if (path / STATS_FOLDER).is_symlink() else set()
    for path in release.parent.glob(f"{_SHARED}*"):
        if path.resolve() not in used and time.time() - path.stat().st_mtime > _UNUSED_SECONDS:
            shutil.rmtree(path, ignore_errors=True)
