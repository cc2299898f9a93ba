"""Where spoiled files go: an applied project, and for each kind of file the ways in which it may come to us."""

from __future__ import annotations

import json
import shutil
import signal
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

from mlctl.types.value import digest
from tests.faults import fuzz_mutations as spoil
from tests.faults.project import FILE, Project

ROOT = Path(__file__).resolve().parents[2]
HOME = Path(".mlctl") / "default"
STATE = HOME / "state.json"
PLAN = Path("saved.plan")
JOURNAL = HOME / "journal.jsonl"
_SPEC = Path("mlctl.yaml")
_CACHE = Path(".mlctl") / "cache" / "digests.txt"
_LARGEST = 6_000_000  # beyond what mlctl reads of a project file


@dataclass(frozen=True)
class Case:
    """One input; equal cases are equal bytes as long as the corpus is the same."""

    kind: str
    seed: int
    number: int

    @property
    def rng(self) -> Random:
        return Random(f"{self.kind}:{self.seed}:{self.number}")


class Arena:
    """A folder with an applied project, into which one spoiled file at a time is put and taken out again."""

    def __init__(self, root: Path, specs: list[bytes], journal: bytes) -> None:
        self.root = root
        self.specs = specs
        self.journal = journal
        self.jobs = sorted(path.relative_to(root) for path in (root / HOME / "objects").rglob("*.json*"))

    @classmethod
    def make(cls, folder: Path) -> Arena:
        """Apply a small project, beside the same one whose first apply was killed with all of its journal there."""
        killed = Project.make(folder / "killed")
        assert killed.apply_killed("before-fold", 1) == -signal.SIGKILL
        project = Project.make(folder / "project")
        done = project.run("apply", "--auto-approve")
        assert done.returncode == 0, done.stdout + done.stderr
        time.sleep(2.1)  # a file as young as these is not put into the cache of digests
        assert project.run("plan").returncode == 0
        assert (project.root / _CACHE).exists()
        specs = [(project.root / _SPEC).read_bytes()]
        (project.root / _SPEC).write_text(
            FILE.replace("spent, min: 0", "spent, min: -1") + "  guest: {key: guest_id}\n"
        )
        saved = project.run("plan", "--out", str(project.root / PLAN))
        assert saved.returncode == 0, saved.stdout + saved.stderr
        (project.root / _SPEC).write_bytes(specs[0])
        for file in sorted([*ROOT.glob("specs/**/mlctl.yaml"), *ROOT.glob("templates/starters/*/mlctl.yaml")]):
            specs.append(file.read_bytes())
            for data in [*file.parent.glob("data/*"), *file.parent.glob("src/*")]:
                target = project.root / data.relative_to(file.parent)
                target.parent.mkdir(exist_ok=True)
                if data.is_file() and not target.exists():
                    shutil.copyfile(data, target)
        journal = _journal_of((project.root / STATE).read_bytes(), killed.journal.read_bytes())
        return cls(project.root, specs, journal)

    @contextmanager
    def spoiled(self, case: Case) -> Iterator[Path]:
        """The project with the file of a case in it."""
        file, data = KINDS[case.kind](self, case.rng)
        path = self.root / file
        before = path.read_bytes() if path.exists() else None
        path.write_bytes(data)
        try:
            yield file
        finally:
            if before is None:
                path.unlink()
            else:
                path.write_bytes(before)

    def state_folder(self) -> dict[str, tuple[int, bytes]]:
        """Every file of the environment, with its mode."""
        files = sorted(path for path in (self.root / HOME).rglob("*") if path.is_file())
        return {str(path): (path.stat().st_mode, path.read_bytes()) for path in files}


def _spec(arena: Arena, rng: Random) -> tuple[Path, bytes]:
    return _SPEC, _often(rng.choice(arena.specs), spoil.spoil_yaml, rng)


def _state(arena: Arena, rng: Random) -> tuple[Path, bytes]:
    """A state that something changed, which its checksum tells; and one of the first format, which had none, so that all of
    what stands in it is read."""
    data = (arena.root / STATE).read_bytes()
    if rng.random() < 0.4:
        return STATE, _often(data, rng.choice((spoil.spoil_json, _json_text)), rng)
    value = json.loads(data)
    value |= {"format": 1}
    value.pop("checksum", None)
    return STATE, _often(json.dumps(value).encode(), spoil.spoil_json, rng)


def _journal(arena: Arena, rng: Random) -> tuple[Path, bytes]:
    """Damaged lines, and lines whose checksum is right and whose content is not."""
    if rng.random() < 0.3:
        return JOURNAL, _often(arena.journal, _json_text, rng)
    lines = arena.journal.splitlines()
    at = rng.randrange(len(lines))
    text = _often(lines[at].partition(b" ")[2], spoil.spoil_json, rng).replace(b"\n", b" ")
    lines[at] = sealed(text)
    return JOURNAL, b"\n".join(lines) + b"\n"


def sealed(text: bytes) -> bytes:
    """A line of a journal with its checksum."""
    return b"%08x %s" % (zlib.crc32(text), text)


def _journal_of(state: bytes, journal: bytes) -> bytes:
    """A journal as one that belongs to a state, so that it is played over it."""
    head = {name: json.loads(state)[name] for name in ("lineage", "serial")}
    return b"\n".join([sealed(json.dumps(head).encode()), *journal.splitlines()[1:]]) + b"\n"


def _job(arena: Arena, rng: Random) -> tuple[Path, bytes]:
    """A file that a worker program left: its job, its result, its events, its process."""
    file = rng.choice(arena.jobs)
    return file, _often((arena.root / file).read_bytes(), rng.choice((spoil.spoil_json, _json_text)), rng)


def _cache(arena: Arena, rng: Random) -> tuple[Path, bytes]:
    return _CACHE, _often((arena.root / _CACHE).read_bytes(), rng.choice((spoil.spoil_json, _json_text)), rng)


def _plan(arena: Arena, rng: Random) -> tuple[Path, bytes]:
    """A saved plan that something changed, which its digest tells; and one that was given a new digest."""
    data = (arena.root / PLAN).read_bytes()
    if rng.random() < 0.5:
        return PLAN, _often(data, rng.choice((spoil.spoil_json, _json_text)), rng)
    data = _often(data, spoil.spoil_json, rng)
    with suppress(ValueError, TypeError, AttributeError, RecursionError):
        value = json.loads(data)
        value["digest"] = digest({name: item for name, item in value.items() if name != "digest"})
        data = json.dumps(value).encode()
    return PLAN, data


def _json_text(data: bytes, rng: Random) -> bytes:
    """JSON spoiled as text."""
    if rng.random() < 0.5:
        return spoil.spoil_bytes(data, rng)
    return spoil.spoil_words(data.decode("latin-1"), rng).encode("utf-8", "surrogatepass")


def _often(data: bytes, change: Callable[[bytes, Random], bytes], rng: Random) -> bytes:
    """Mostly one change, now and then many."""
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        data = change(data, rng)[:_LARGEST]
    return data


KINDS: dict[str, Callable[[Arena, Random], tuple[Path, bytes]]] = {
    "spec": _spec,
    "state": _state,
    "journal": _journal,
    "job": _job,
    "cache": _cache,
    "plan": _plan,
}
