"""Code of the project, or kept with a model, that a worker program runs."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType


@contextmanager
def project_code(root: Path, file: str) -> Iterator[ModuleType]:
    """Import a file with its neighbours, and leave no trace: not in the import system, since two models may hold different
    code of one name, and not in the folder, since bytecode beside the code would be taken for a part of it."""
    path = (root / file).resolve()
    folders = list(dict.fromkeys([str(path.parent), str(root.resolve())]))
    own = {item.stem if item.suffix == ".py" else item.name for folder in folders for item in Path(folder).iterdir()}
    hidden = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] in own}
    sys.path[:0] = folders
    unwritten, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    name = "project_" + hashlib.blake2b(str(path).encode(), digest_size=8).hexdigest()
    try:
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise ImportError(f"{path} cannot be imported")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.dont_write_bytecode = unwritten
        del sys.path[: len(folders)]
        for loaded in list(sys.modules):
            if loaded == name or loaded.split(".")[0] in own:
                del sys.modules[loaded]
        sys.modules.update(hidden)
