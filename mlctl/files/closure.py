"""The code closure of a Python file: itself and every project file it imports, directly or through others."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path


def code_closure(entry: Path, root: Path) -> list[Path]:
    """The files under `root` that running `entry` can load by import statements, sorted; `entry` among them.

    Imports are looked up beside the importing file and from `root`. What is not found there is taken to be an
    installed package, which the environment lock covers. Raises OSError, and SyntaxError for a file that does not parse.
    """
    found: set[Path] = set()
    waiting = [entry.resolve()]
    root = root.resolve()
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        for module, level in _imports(ast.parse(path.read_bytes(), filename=str(path))):
            waiting.extend(_project_files(module, level, path, root))
    return sorted(found)


def _imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            yield base, node.level
            # `from package import module` may name a file of its own
            yield from ((f"{base}.{alias.name}" if base else alias.name, node.level) for alias in node.names)


def _project_files(module: str, level: int, importer: Path, root: Path) -> Iterator[Path]:
    if level:
        folder = importer.parent
        for _ in range(level - 1):
            folder = folder.parent
        starts = [folder]
    else:
        starts = [importer.parent, root]
    parts = module.split(".") if module else []
    for start in starts:
        folder = start
        for part in parts:
            folder = folder / part
            for candidate in (folder.with_suffix(".py"), folder / "__init__.py"):
                if candidate.is_file() and candidate.resolve().is_relative_to(root):
                    yield candidate.resolve()
