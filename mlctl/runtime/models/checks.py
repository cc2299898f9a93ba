"""Whether what a model was made of is still as it was: the bytes of its data, its code, its base, the packages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mlctl.files.digests import FileDigests
from mlctl.runtime.trainer.provenance import environment, git
from mlctl.types.jobs.models import Check

_LISTED = 3  # files that are named


def checks(document: Mapping[str, Any], root: Path) -> list[Check]:
    """One for each thing that a document of provenance names. Reads every file of the data once."""
    digests = FileDigests()
    return [
        *(_files("data", item["name"], item["files"], root, digests) for item in document["data"]),
        *_code(document["code"], root, digests),
        *_base(document.get("base"), root, digests),
        *_environment(document["environment"]),
    ]


def _files(what: Any, name: str, files: Mapping[str, str], root: Path, digests: FileDigests) -> Check:
    """Whether files have the bytes they had."""
    gone = [path for path in files if not (root / path).is_file()]
    changed = [
        path for path, digest in files.items() if path not in gone and digests.file((root / path).absolute()) != digest
    ]
    if gone:
        return Check(what=what, name=name, status="gone", detail=_named(gone))
    return Check(what=what, name=name, status="changed" if changed else "same", detail=_named(changed))


def _named(paths: list[str]) -> str:
    more = f" and {len(paths) - _LISTED} more" if len(paths) > _LISTED else ""
    return ", ".join(paths[:_LISTED]) + more


def _code(code: Mapping[str, Any], root: Path, digests: FileDigests) -> Iterator[Check]:
    commit = code["commit"]
    if commit is not None:
        yield _commit(commit, bool(code["dirty"]), root)
    if code["files"]:
        yield _files("code", "the model's files", code["files"], root, digests)


def _commit(commit: str, dirty: bool, root: Path) -> Check:
    head = git(root, "rev-parse", "HEAD")
    there = git(root, "cat-file", "-t", commit) == "commit"
    with_changes = "it was trained with changes that were not committed" if dirty else ""
    if not there:
        return Check(what="commit", name=commit, status="gone", detail="it is not in this repository")
    if head != commit:
        return Check(
            what="commit", name=commit, status="elsewhere", detail=with_changes or "another one is checked out"
        )
    return Check(what="commit", name=commit, status="changed" if dirty else "same", detail=with_changes)


def _base(base: Mapping[str, Any] | None, root: Path, digests: FileDigests) -> Iterator[Check]:
    """The folders of weights that training began with."""
    if base is None:
        return
    for item in (base, base.get("teacher")):
        if item is None:
            continue
        name, wanted = item["base"], item["digest"]
        place = root / name
        if wanted is None:
            yield Check(what="base", name=name, status="unknown", detail=f"of a hub, revision {item.get('revision')}")
        elif not place.is_dir():
            yield Check(what="base", name=name, status="gone")
        else:
            files = sorted(path for path in place.rglob("*") if path.is_file())
            same = digests.tree(files, place) == wanted
            yield Check(what="base", name=name, status="same" if same else "changed")


def _environment(then: Mapping[str, str]) -> Iterator[Check]:
    now = environment()
    for name, value in then.items():
        same = now.get(name) == value
        detail = "" if same or name == "packages" else f"{value}, now {now.get(name)}"
        yield Check(what="environment", name=name, status="same" if same else "changed", detail=detail)
