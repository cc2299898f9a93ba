"""A project of kinds that take a second at most, to be killed again and again through the command line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import nursery

MLCTL = str(Path(sys.executable).with_name("mlctl"))
DRIVER = str(Path(__file__).with_name("driver.py"))
KILLED = -9

FILE = """
project: faults
datasets:
  visits: {path: data/visits.csv, timestamp: at, key: [visit_id]}
data_checks:
  visits_ok:
    dataset: visits
    rules:
      - not_null: {columns: [visit_id, shop_id]}
      - range: {column: spent, min: 0, max: 1000}
entities:
  shop: {key: shop_id, dtype: int64}
  visitor: {key: visitor_id, dtype: int64}
"""


@dataclass
class Project:
    """A folder with a project file and a table."""

    root: Path

    @classmethod
    def make(cls, root: Path) -> Project:
        """Two datasets with a check and two entities: nothing is applied yet."""
        (root / "data").mkdir(parents=True)
        rows = [
            f"{number},{number % 3},{number % 7},{number * 1.5},2024-01-{number % 28 + 1:02}" for number in range(90)
        ]
        (root / "data" / "visits.csv").write_text("\n".join(["visit_id,shop_id,visitor_id,spent,at", *rows]) + "\n")
        (root / "mlctl.yaml").write_text(FILE)
        return cls(root)

    @property
    def home(self) -> Path:
        return self.root / ".mlctl" / "default"

    @property
    def journal(self) -> Path:
        return self.home / "journal.jsonl"

    def copy(self, root: Path) -> Project:
        """The same at another place, as if it had always been there."""
        shutil.copytree(self.root, root)
        return Project(root)

    def change(self) -> None:
        """One value, one metadata field, one new and one removed block: a run, an update, a creation and a removal."""
        table = self.root / "data" / "visits.csv"
        table.write_text(table.read_text().replace("\n5,2,5,7.5,", "\n5,2,5,8.5,"))
        text = FILE.replace("  visitor: {key: visitor_id, dtype: int64}", "  guest: {key: visitor_id, dtype: int64}")
        (self.root / "mlctl.yaml").write_text(text.replace("    dataset: visits", "    owner: me\n    dataset: visits"))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `mlctl`."""
        return nursery.mlctl(*arguments, folder=self.root)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start `mlctl`; nobody reads what it writes."""
        return subprocess.Popen(
            [MLCTL, *arguments], cwd=self.root, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )  # fmt: skip

    def apply_killed(self, point: str, number: int) -> int:
        """Apply, killed at the given point if that is reached; gives the exit code."""
        called = [DRIVER, point, str(number), "apply", "--auto-approve", "--parallelism", "1"]
        code = f"import runpy, sys; sys.argv = {called!r}; runpy.run_path(sys.argv[0], run_name='__main__')"
        return nursery.commands().python(code, environment=os.environ, folder=self.root).wait(300)

    def heal(self) -> None:
        """The next apply ends well, and nothing is left to do or to be folded."""
        done = self.run("apply", "--auto-approve")
        assert done.returncode == 0, done.stdout + done.stderr
        done = self.run("plan", "--detailed-exitcode")
        assert done.returncode == 0, done.stdout + done.stderr
        assert not self.journal.exists()

    def objects(self) -> dict[str, Any]:
        """What the state holds that is the same on every way there, by key."""
        stored = json.loads((self.home / "state.json").read_bytes())["objects"]
        same = ("id", "spec", "parts", "uses", "outputs", "gate", "pending")
        return {key: {name: record.get(name) for name in same} for key, record in stored.items()}

    def folders(self) -> set[str]:
        """The folders of objects on disk."""
        return {str(path.relative_to(self.home)) for path in (self.home / "objects").glob("*/*")}
