"""Which rewards came, and which request, arm and propensity each belongs to. Survives any kill.

    rewards/YYYY-MM-DD.jsonl   every reward that was taken, one a line, on the disk before its sender is told: the truth;
                               packed (`.gz`) once the day and the one after it are over
    rewards/index.sqlite       made of that and of the prediction log: what belongs together, and sums by arm

The index knows how far it has read both, in the same transaction as what it made of them. If it is lost or broken it is
made again; a kill between the line and the index is a line read once more.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.runtime.controller.packing import name_of, pack, records, unread
from mlctl.runtime.controller.tail import Tail
from mlctl.stats.bandit import ArmRewards

WAIT_SECONDS = 60.0  # a request may be logged after its reward came: servers write their logs late
_ROUNDS = 16  # of reading, at one update: some megabytes each
_KEPT_WINDOWS = 2.0  # so long requests are known, to tell a late reward from one of nobody's

_TABLES = """
CREATE TABLE IF NOT EXISTS read (source TEXT PRIMARY KEY, offset INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS requests (id TEXT PRIMARY KEY, arm TEXT NOT NULL, version TEXT NOT NULL, at REAL NOT NULL,
    propensity REAL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS requests_at ON requests (at);
CREATE TABLE IF NOT EXISTS rewards (id TEXT PRIMARY KEY, reward REAL NOT NULL, at REAL NOT NULL, state TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS rewards_at ON rewards (at);
CREATE INDEX IF NOT EXISTS rewards_waiting ON rewards (id) WHERE state = 'waiting';
CREATE TABLE IF NOT EXISTS sums (arm TEXT, version TEXT, number INTEGER, total REAL, squares REAL, inverse REAL, weighted REAL,
    weighted_squares REAL, PRIMARY KEY (arm, version)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counted (state TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID;
"""
# Unknown is of no request that was logged; preview is of one whose client picked the arm itself, so that no share led there.
STATES = ("matched", "waiting", "duplicate", "late", "unknown", "preview")


@dataclass(frozen=True, slots=True)
class Reward:
    """What somebody says a request was worth."""

    request_id: str
    value: float
    at: float


class Ledger:
    """One writer at a time: the controller of a deployment. Raises OSError when the disk refuses; nothing was taken then."""

    def __init__(self, folder: Path, logs: Callable[[], Iterable[Path]], window_seconds: float) -> None:
        self._folder = folder
        self._logs = logs
        self._window = window_seconds
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._database = _open(folder / "index.sqlite")
        self._packed = ""  # the day up to which that was done
        with self._database:
            self._replay_packed()
            self._replay()

    def take(self, rewards: Sequence[Reward]) -> list[str]:
        """Put rewards on the disk, then find out what each belongs to: one of STATES for each of them."""
        lines = "".join(
            json.dumps({"request_id": item.request_id, "reward": item.value, "at": item.at}) + "\n" for item in rewards
        )
        day = f"{datetime.now(UTC):%Y-%m-%d}.jsonl"
        _append(self._folder / day, lines.encode())
        with self._database:
            return self._replay()[-len(rewards) :]

    def update(self, now: float) -> None:
        """Read what the prediction log has got, match what waits, and forget what is too old."""
        with self._database:
            oldest = now - _KEPT_WINDOWS * self._window - WAIT_SECONDS
            whole = self._read_requests(oldest)
            waiting = self._database.execute("SELECT id, reward, at FROM rewards WHERE state = 'waiting'").fetchall()
            for name, value, at in waiting:
                state = self._match(Reward(name, value, at))
                if state == "waiting" and whole and now - at > WAIT_SECONDS:  # else its line may be still to come
                    state = "unknown"
                if state != "waiting":
                    self._database.execute("UPDATE rewards SET state = ? WHERE id = ?", (state, name))
                    self._count(state)
            self._database.execute("DELETE FROM requests WHERE at < ?", (oldest,))
            self._database.execute("DELETE FROM rewards WHERE at < ? AND state <> 'waiting'", (oldest,))
        yesterday = f"{datetime.fromtimestamp(now, UTC) - timedelta(days=1):%Y-%m-%d}"
        if self._packed != yesterday:  # once a day: nobody writes into the file of a day before that any more
            pack(self._folder, yesterday, self._offsets("rewards "))
            self._packed = yesterday

    def by_version(self) -> dict[tuple[str, str], ArmRewards]:
        """What came back of each arm and version of it: an arm with a new model begins anew."""
        rows = self._database.execute("SELECT * FROM sums")
        return {(arm, version): ArmRewards(*figures) for arm, version, *figures in rows}

    def counted(self) -> dict[str, int]:
        """How many rewards ended in each state, and how many wait now."""
        found = dict.fromkeys(STATES, 0) | dict(self._database.execute("SELECT state, number FROM counted"))
        query = "SELECT count(*) FROM rewards WHERE state = 'waiting'"
        return {**found, "waiting": self._database.execute(query).fetchone()[0]}

    def close(self) -> None:
        """Let go of the files."""
        self._database.close()

    def _enter(self, item: Reward) -> str:
        if self._database.execute("SELECT 1 FROM rewards WHERE id = ?", (item.request_id,)).fetchone() is not None:
            self._count("duplicate")
            return "duplicate"
        state = self._match(item)
        self._database.execute("INSERT INTO rewards VALUES (?, ?, ?, ?)", (item.request_id, item.value, item.at, state))
        if state != "waiting":
            self._count(state)
        return state

    def _match(self, item: Reward) -> str:
        query = "SELECT arm, version, at, propensity FROM requests WHERE id = ?"
        request = self._database.execute(query, (item.request_id,)).fetchone()
        if request is None:
            return "waiting"
        arm, version, asked, propensity = request
        if item.at - asked > self._window:
            return "late"
        if propensity is None:
            return "preview"
        query = (
            "SELECT number, total, squares, inverse, weighted, weighted_squares FROM sums WHERE arm = ? AND version = ?"
        )
        row = self._database.execute(query, (arm, version)).fetchone()
        new = (ArmRewards(*row) if row else ArmRewards()).plus(item.value, propensity)
        figures = (new.number, new.total, new.squares, new.inverse, new.weighted, new.weighted_squares)
        self._database.execute("INSERT OR REPLACE INTO sums VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (arm, version, *figures))
        return "matched"

    def _count(self, state: str) -> None:
        self._database.execute(
            "INSERT INTO counted VALUES (?, 1) ON CONFLICT (state) DO UPDATE SET number = number + 1", (state,)
        )

    def _replay(self) -> list[str]:
        """Enter the rewards that are on the disk and not in the index: those that just came, or what a kill cut off."""
        tail = Tail([self._folder], {str(self._folder / name): at for name, at in self._offsets("rewards ").items()})
        states = []
        while records := tail.read():
            for record in records:
                with suppress(KeyError, TypeError, ValueError):
                    item = Reward(str(record["request_id"]), float(record["reward"]), float(record["at"]))
                    states.append(self._enter(item))
        for path, offset in tail.offsets.items():
            self._set_read(f"rewards {Path(path).name}", offset)
        return states

    def _replay_packed(self) -> None:
        """Enter the days that are packed, when the index is made again."""
        for path in unread(self._folder, self._offsets("rewards ")):
            for record in records(path):
                with suppress(KeyError, TypeError, ValueError):
                    self._enter(Reward(str(record["request_id"]), float(record["reward"]), float(record["at"])))
            self._set_read(f"rewards {name_of(path)}", 0)  # that it was read; nobody asks how far, since it never grows

    def _read_requests(self, oldest: float) -> bool:
        """Note which arm each request went to, as far as the prediction log has grown: some of it, when that is much.

        Gives whether it was all.
        """
        first_day = f"{datetime.fromtimestamp(max(oldest, 0.0), UTC):%Y-%m-%d}"
        tail = Tail(self._logs(), self._offsets("log "), first_day)
        before, whole = dict(tail.offsets), False
        for _ in range(_ROUNDS):
            records = tail.read()
            rows = filter(None, map(_request, records))
            self._database.executemany("INSERT OR IGNORE INTO requests VALUES (?, ?, ?, ?, ?)", rows)
            if not records:
                whole = True
                break
        for path, offset in tail.offsets.items():
            if before.get(path) != offset:
                self._set_read(f"log {path}", offset)
        return whole

    def _offsets(self, kind: str) -> dict[str, int]:
        rows = self._database.execute("SELECT source, offset FROM read")
        return {source.removeprefix(kind): offset for source, offset in rows if source.startswith(kind)}

    def _set_read(self, source: str, offset: int) -> None:
        self._database.execute("INSERT OR REPLACE INTO read VALUES (?, ?)", (source, offset))


def _request(record: Mapping[str, Any]) -> tuple[str, str, str, float, float | None] | None:
    """A line of the prediction log as a row; None for a copy, whose answer reached nobody, and for lines of others."""
    try:
        if record["role"] == "shadow":
            return None
        at = datetime.fromisoformat(record["ts"]).timestamp()
        propensity = record.get("propensity")
        given = float(propensity) if propensity is not None and 0 < float(propensity) <= 1 else None
        names = str(record["request_id"]), str(record["variant"]), str(record["version"])
        "".join(names).encode()  # half of a surrogate pair would be refused by the index, with all lines beside it
        return *names, at, given
    except (KeyError, TypeError, ValueError):
        return None


def _open(path: Path) -> sqlite3.Connection:
    try:
        return _connect(path)
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", None) not in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            raise  # a full disk, say
        # broken: it is made again of what else is there
        for name in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
            name.unlink(missing_ok=True)
        return _connect(path)


def _connect(path: Path) -> sqlite3.Connection:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    database = sqlite3.connect(path, timeout=10.0, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")  # what the last transactions lose is read again from the lines
        database.executescript(_TABLES)
    except BaseException:
        database.close()
        raise
    return database


def _append(path: Path, data: bytes) -> None:
    """Add whole lines and have them on the disk. A part that a full disk left is taken back."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        size = os.lseek(handle, 0, os.SEEK_END)
        if size and os.pread(handle, 1, size - 1) != b"\n":
            data = b"\n" + data  # somebody was killed in the middle of a line: it stays alone
        try:
            if os.write(handle, data) < len(data):
                raise OSError(28, "No space left on device", str(path))
            os.fsync(handle)
            if not size:
                atomic.sync_folder(path.parent)  # the file is new: its name has to be there after a loss of power too
        except OSError:
            os.ftruncate(handle, size)
            raise
    finally:
        os.close(handle)
