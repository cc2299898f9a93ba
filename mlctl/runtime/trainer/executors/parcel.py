"""What ranks need on a machine that shares no disk: plan, prepared data, code and base model, by content, under paths that move.

A blob in the bucket is named by the digest of its bytes, so that it is sent once, whichever try needs it. The manifest of an
attempt says which blob stands where; roots of paths in the plan are written as `<job>`, `<project>` and `<more>/N`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blake3 import blake3

from mlctl import __version__
from mlctl.files import atomic
from mlctl.runtime import secrets
from mlctl.runtime.trainer.objects import Objects
from mlctl.runtime.trainer.plan import PLAN_FILE, PreparedCustom, PreparedText, RankPlan
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.recipe import CausalLmModel, PythonModel
from mlctl.types.secret import sealed_names

JOB, PROJECT, MORE = "<job>", "<project>", "<more>"
_FOLDERS = {JOB: "job", PROJECT: "project", MORE: "more"}  # of the scratch folder on the other machine
CODE_FOLDER = "code"  # below the job's folder: the project's code, as it was asked for
_CURVE = "curve.bin"  # what is measured so far goes along, else a training that goes on elsewhere forgets it
_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Parcel:
    """A manifest, and where on this machine the blobs that it names are read from."""

    manifest: dict[str, Any]
    blobs: dict[str, Path]


def pack(folder: Path, project: Path) -> Parcel:
    """All that the plan in a job's folder names. Raises MlctlError for a plan that holds secrets: buckets are no place for them."""
    plan = RankPlan.read(folder)
    stored = json.loads((folder / PLAN_FILE).read_bytes())
    if names := sealed_names(secrets.known().masked(stored)):
        raise MlctlError.of(
            "training.remote-secret",
            f"the parameters of the model hold {', '.join(sorted(names))}",
            "a training on another machine gets its parameters through a bucket, in which no secret is written",
            "have the code read the value from its environment, and name the variable under `executor.secrets`",
        )
    roots = {str(folder.resolve()): JOB, str(project.resolve()): PROJECT}
    places: dict[str, Path] = {}
    for path in _named(plan, folder):
        _take(path, project, roots, places)
    files, blobs = {}, {}
    for name, path in sorted(places.items()):
        digest = str(blake3().update_mmap(path).hexdigest())
        files[name], blobs[digest] = digest, path
    manifest = {"mlctl": __version__, "plan": _renamed(stored, _by_length(roots)), "files": files}
    return Parcel(manifest, blobs)


def send(parcel: Parcel, objects: Objects, manifest: str, tell: Callable[[str], None]) -> None:
    """Put what is not there yet into the bucket, and the manifest last. Raises MlctlError."""
    there = objects.names("input/")
    missing = [digest for digest in parcel.blobs if f"input/{digest}" not in there]
    size = sum(parcel.blobs[digest].stat().st_size for digest in missing)
    if missing:
        tell(f"sending {len(missing)} files, {size / 1e6:,.1f} MB, to {objects.storage.url}")
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(lambda digest: objects.put_file(f"input/{digest}", parcel.blobs[digest]), missing))
    objects.put_json(manifest, parcel.manifest)


def receive(objects: Objects, manifest: Mapping[str, Any], scratch: Path) -> Path:
    """Lay a parcel out below a folder, the plan last; the job's folder in it. Files that are there and right are kept. Raises MlctlError."""
    if manifest["mlctl"] != __version__:
        raise MlctlError.of(
            "training.remote-version",
            f"this machine has mlctl {__version__}, and the training was sent by {manifest['mlctl']}",
            "the two speak through files whose form is theirs alone",
            "use an image, or a `setup`, with the same version of mlctl",
        )
    for name in _FOLDERS.values():
        (scratch / name).mkdir(parents=True, exist_ok=True)

    def fetch(item: tuple[str, str]) -> None:
        name, digest = item
        path = _moved(name, scratch)
        if path.exists() and blake3().update_mmap(path).hexdigest() == digest:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.new")
        try:
            objects.get_file(f"input/{digest}", beside)
            problem = None if blake3().update_mmap(beside).hexdigest() == digest else "damaged"
        except FileNotFoundError:
            problem = "gone"
        if problem is not None:
            raise MlctlError.of(
                "training.remote-damaged",
                f"`input/{digest}` in {objects.storage.url} is {problem}",
                "",
                "remove the object, and apply again",
            )
        os.replace(beside, path)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(fetch, manifest["files"].items()))
    folder = scratch / _FOLDERS[JOB]
    roots = {token: str((scratch / name).resolve()) for token, name in _FOLDERS.items()}
    atomic.write_json(folder / PLAN_FILE, _renamed(manifest["plan"], roots))
    return folder


def _named(plan: RankPlan, folder: Path) -> Iterator[Path]:
    """Every file or folder that ranks read, as the plan writes it: absolute, or from the project's folder."""
    data, recipe = plan.data, plan.recipe
    if isinstance(data, PreparedCustom):
        yield from map(Path, data.files)
    else:
        yield Path(data.folder)
    if isinstance(data, PreparedText):
        yield Path(data.base)
    if isinstance(recipe.model, CausalLmModel):
        yield from (Path(item.path) for item in recipe.model.adapters)
        if recipe.model.revision is None:
            yield Path(recipe.model.base)
    if isinstance(recipe.model, PythonModel):
        yield folder.resolve() / CODE_FOLDER
    if recipe.distillation is not None:
        yield Path(recipe.distillation.teacher)
    yield folder.resolve() / _CURVE


def _take(path: Path, project: Path, roots: dict[str, str], places: dict[str, Path]) -> None:
    """Add the files of a path to what is sent, under a root that is known or a new one."""
    whole = Path(os.path.abspath(project / path))
    if not whole.exists():
        return  # a hub's id, or a file that only some trainings have
    root = next((known for known in _by_length(roots) if whole.is_relative_to(known)), None)
    if root is None:
        root = str(whole)
        roots[root] = f"{MORE}/{len(roots) - 2}"
    found = [item for item in sorted(whole.rglob("*")) if item.is_file()] if whole.is_dir() else [whole]
    for item in found:
        rest = item.relative_to(root).as_posix()
        places[roots[root] if rest == "." else f"{roots[root]}/{rest}"] = item


def _by_length(roots: Mapping[str, str]) -> dict[str, str]:
    """The roots, the deepest first: the job's folder stands in the project's."""
    return dict(sorted(roots.items(), key=lambda item: -len(item[0])))


def _renamed(value: Any, roots: Mapping[str, str]) -> Any:
    """A tree of JSON in which paths below a root stand below another."""
    if isinstance(value, str):
        for old, new in roots.items():
            if value == old or value.startswith(f"{old}/"):
                return new + value[len(old) :]
        return value
    if isinstance(value, list):
        return [_renamed(item, roots) for item in value]
    if isinstance(value, dict):
        return {name: _renamed(item, roots) for name, item in value.items()}
    return value


def _moved(name: str, scratch: Path) -> Path:
    token, _, rest = name.partition("/")
    path = scratch / _FOLDERS[token] / rest
    if ".." in Path(rest).parts:
        raise ValueError(f"{name!r} leaves its folder")
    return path
