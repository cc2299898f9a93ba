"""Is the state whole? Looks at everything that is kept, mends what is safe to mend, and never removes an object."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from mlctl.engine.store.local import LocalStore
from mlctl.engine.store.protocol import Store
from mlctl.files.digests import FileDigests
from mlctl.provider import Context
from mlctl.types.address import ObjectKey
from mlctl.types.diagnostic import Diagnostic, MlctlError, Severity
from mlctl.types.state import State

_OLD_SECONDS = 60.0  # a temporary file lives for milliseconds; one of this age was left behind by a kill
_GRAVE, _LIGHT = Severity.ERROR, Severity.WARNING

# Each problem: how grave it is, why it is one, and what to do.
_PROBLEMS = {
    "journal-damaged": (
        _GRAVE, "lines of it do not match their checksum", "`--repair`, like the next apply, keeps the others and sets a copy aside",
    ),
    "temporary": (_LIGHT, "a kill left it behind before it was put in its place", "`--repair` removes it"),
    "mode": (_LIGHT, "others can use it, and a state names all that you have", "`--repair` makes its mode 600"),
    "generation-serial": (_GRAVE, "its name and its content differ: it was put there by hand", "do not undo to it"),
    "generation-ahead": (_LIGHT, "the state was put back by hand", "`mlctl state diff` shows what it knows"),
    "use-missing": (_LIGHT, "what it was made with was forgotten or lost", "the next plan shows whether that matters"),
    "no-identity": (_GRAVE, "a build without an identity cannot be told from another one", "`mlctl state rm` it, then apply"),
    "one-folder": (_GRAVE, "a move was made by hand", "`mlctl state rm` all but one of them"),
    "no-order": (_LIGHT, "which of them is the present one cannot be told", "apply chooses again"),
    "orphan": (
        _LIGHT, "its object was forgotten, or the state was put back", "look into it, and remove it yourself if it is not needed",
    ),
    "no-folder": (
        _LIGHT, "it was removed, or it is on the machine that made it", "the next apply makes it again if it is needed",
    ),
}  # fmt: skip


_MENDED = ("fsck.journal-damaged", "fsck.temporary", "fsck.mode")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be. `mended` once it is."""

    problem: Diagnostic
    mended: bool = False

    @property
    def mendable(self) -> bool:
        """Whether a repair would mend it."""
        return not self.mended and self.problem.code in _MENDED


def check(store: Store, home: Path, is_build: Callable[[str], bool], *, repair: bool = False) -> list[Finding]:
    """Look at the state, its journal, its generations, its files and the folders of its objects.

    `home` is the local folder of the environment. `is_build` says whether the objects of a section are builds. Raises
    MlctlError when the place cannot be reached, or when it is to be mended while another holds the lock.
    """
    findings: list[Finding] = []
    if repair:
        findings += _folded(store)
    elif isinstance(store, LocalStore):
        findings += _journal(store)
    if isinstance(store, LocalStore):
        findings += _files(store, repair=repair)
    state: State | None = None
    try:
        state = store.read()
    except MlctlError as error:
        findings += [Finding(item) for item in error.diagnostics]
    findings += _generations(store, state)
    if state is not None:
        findings += _records(state, is_build)
        findings += _folders(state, home, is_build)
    return findings


def _folded(store: Store) -> list[Finding]:
    """Mend what opening the state for writing mends by itself: a journal is folded, and one that is damaged set aside."""
    try:
        with store.session("state fsck"):
            pass
    except MlctlError as error:
        if error.diagnostics[0].code not in ("state.damaged", "state.missing", "state.newer-format"):
            raise
    return [Finding(item, mended=True) for item in store.warnings]


def _journal(store: LocalStore) -> Iterator[Finding]:
    entries = store.entries()
    if entries is not None and entries.damaged:
        yield _finding("journal-damaged", f"{entries.damaged} lines of {store.journal_path} are damaged")


def _files(store: LocalStore, *, repair: bool) -> Iterator[Finding]:
    """Files that others may use, and temporary files of writers that were killed."""
    if not store.home.is_dir():
        return
    with store.alone("state fsck") if repair else nullcontext():
        own = [path for path in store.home.glob("*") if path.is_file()]
        own += [
            path for name in ("generations", "documents") for path in (store.home / name).rglob("*") if path.is_file()
        ]
        for path in sorted(own):
            status = path.stat()
            if path.name.startswith(".") and time.time() - status.st_mtime > _OLD_SECONDS:
                if repair:
                    path.unlink(missing_ok=True)
                yield _finding("temporary", f"{path} is a temporary file", mended=repair)
            elif status.st_mode & 0o077:
                if repair:
                    path.chmod(0o600)
                yield _finding("mode", f"{path} has mode {status.st_mode & 0o777:o}", mended=repair)


def _generations(store: Store, state: State | None) -> Iterator[Finding]:
    """Generations that cannot be read, say another serial than their name, or are ahead of the state."""
    for item in store.generations():
        try:
            found = store.generation(item.serial)
        except MlctlError as error:
            yield from (Finding(problem) for problem in error.diagnostics)
            continue
        if found.serial != item.serial:
            yield _finding("generation-serial", f"generation {item.serial} says that it is {found.serial}")
        elif state is not None and item.serial > state.serial + 1:  # one ahead is a write that a kill cut off
            yield _finding(
                "generation-ahead", f"generation {item.serial} is ahead of the state, which has {state.serial}"
            )


def _records(state: State, is_build: Callable[[str], bool]) -> Iterator[Finding]:
    """Records that do not fit together."""
    for record in sorted(state.objects.values(), key=lambda item: item.key):
        for use in record.uses:
            if use.key not in state.objects:
                yield _finding("use-missing", f"`{record.key}` was made with `{use.key}`, which is not in the state")
        if not record.key.identity and is_build(record.key.address.section):
            yield _finding("no-identity", f"`{record.key}` has no identity")
    made = Counter(record.made_as for record in state.objects.values())
    for key, count in sorted(made.items()):
        if count > 1:
            yield _finding("one-folder", f"{count} objects were made as `{key}`, and share its folder")
    places = Counter((record.key.address, record.sequence) for record in state.objects.values())
    for (address, sequence), count in sorted(places.items()):
        if count > 1:
            yield _finding("no-order", f"{count} objects of `{address}` have the same place in time, {sequence}")


def _folders(state: State, home: Path, is_build: Callable[[str], bool]) -> Iterator[Finding]:
    """Folders that no record knows, and finished builds whose folder is not here."""
    context = Context(home, home, "", "", state.lineage, {}, FileDigests())
    known: dict[Path, ObjectKey] = {context.folder(record.made_as): record.key for record in state.objects.values()}
    there = {path for path in (home / "objects").glob("*/*") if path.is_dir()}
    for path in sorted(there - known.keys()):
        yield _finding("orphan", f"{path} belongs to no object of the state")
    for path, key in sorted(known.items()):
        if path not in there and state.objects[key].complete and is_build(key.address.section):
            yield _finding("no-folder", f"the folder of `{key}` is not here: {path}")


def _finding(word: str, summary: str, *, mended: bool = False) -> Finding:
    severity, why, fix = _PROBLEMS[word]
    return Finding(Diagnostic(f"fsck.{word}", summary, why, fix, severity), mended)
