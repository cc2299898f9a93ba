"""The code of on-demand transformations goes with the model: what it was trained with is what it is served with."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from mlctl.files.digests import FileDigests
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.features import Transformation
from mlctl.types.value import digest

CODE_FOLDER = "transformations"  # of a job's folder, and later of its model's


def keep_code(transformations: Sequence[Transformation], place: Path) -> list[Transformation]:
    """Copy their code below `place`, once, and give them as applied from there. Raises MlctlError when it is not what was planned."""
    if transformations and not place.exists():
        beside = place.with_name(f".{place.name}.new")
        shutil.rmtree(beside, ignore_errors=True)
        for item, folder in _folders(transformations, beside):
            root = Path(item.root)
            try:
                same = FileDigests().tree([root / name for name in item.closure], root) == item.code_digest
            except OSError:
                same = False
            if not same:
                raise MlctlError.of(
                    "features.code-changed",
                    f"the code of `{item.view}` in {item.root} is not what it was",
                    "the plan was made for another text",
                    "run `mlctl apply` again",
                )
            for name in item.closure:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(root / name, folder / name)
        os.replace(beside, place)
    return applied_from(transformations, place)


def applied_from(transformations: Sequence[Transformation], place: Path) -> list[Transformation]:
    """The same transformations with their code below another folder, into which `place` was copied."""
    start = Path.cwd()
    return [
        item.model_copy(update={"root": Path(os.path.relpath(folder, start)).as_posix()})
        for item, folder in _folders(transformations, place)
    ]


def digest_with(weights: str, transformations: Sequence[Transformation]) -> str:
    """The digest of a model: of its weights and, where there are any, of what computes its inputs."""
    if not transformations:
        return weights
    return digest([weights, [item.model_dump(mode="json", exclude={"view", "root"}) for item in transformations]])


def _folders(transformations: Sequence[Transformation], place: Path) -> list[tuple[Transformation, Path]]:
    """A folder of its own for each: two may hold different files of one name."""
    return [(item, place / str(index)) for index, item in enumerate(transformations)]
