"""What was measured of a language model before, by what it depends on: the model, the documents, how it is asked, and our own code.

A base, or a champion that has not changed, is not asked anew by each evaluation. One small file for each measurement, the newest few
hundred of an environment; a file that is gone or damaged only costs the time to measure again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.files.digests import FileDigests
from mlctl.types.value import digest, digest_bytes

FOLDER = "measured"  # in the home of an environment
_MOST = 300
_READ = (".safetensors", ".json", ".jinja", ".model", ".txt")  # what of a model's folder its answers depend on
_LIBRARIES = ("torch", "transformers", "tokenizers")


class Kept:
    """The measurements of an environment. `folder` is that of an evaluation's object: `HOME/objects/NAME/IDENTITY`."""

    def __init__(self, folder: Path) -> None:
        self._place = folder.parents[2] / FOLDER

    def find(self, key: str) -> dict[str, float] | None:
        """What was measured under a key."""
        try:
            stored = atomic.read_object(self._place / f"{key}.json")
        except (OSError, ValueError):
            return None
        found = (stored or {}).get("metrics")
        if not isinstance(found, dict) or not all(isinstance(value, float) for value in found.values()):
            return None
        return found

    def keep(self, key: str, metrics: Mapping[str, float]) -> None:
        """Write it down, and let go of the oldest. Where that cannot be written it is measured again one day."""
        with suppress(OSError):
            self._place.mkdir(parents=True, exist_ok=True)
            atomic.write_json(self._place / f"{key}.json", {"metrics": dict(metrics)})
            files = sorted(self._place.glob("*.json"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
            for path in files[_MOST:]:
                path.unlink(missing_ok=True)


def key_of(model: Path, dataset: str, asked: Mapping[str, Any], where: str) -> str:
    """The key of a measurement: of a model's files, a dataset's digest, how it is asked, and on what it is computed."""
    return digest([_content(model), dataset, dict(asked), where, _code()])


@cache
def _content(model: Path) -> str:
    files = [path for path in model.iterdir() if path.is_file() and path.suffix in _READ]
    return FileDigests().tree(files, model)


@cache
def _code() -> str:
    """Of our own modules that tell the figures, and of the libraries that compute them."""
    from mlctl.runtime.evaluate import answers, text
    from mlctl.runtime.trainer.hf_engine import rows as batches
    from mlctl.runtime.trainer.text import base, layout, measure, rows, tokens
    from mlctl.runtime.trainer.text import model as generating

    modules = (answers, text, base, batches, layout, measure, rows, tokens, generating)
    sources = [digest_bytes(Path(os.fspath(str(item.__file__))).read_bytes()) for item in modules]
    return digest([*sources, *(version(name) for name in _LIBRARIES)])
