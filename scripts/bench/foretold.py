"""What a plan foretells of a training beside what it takes: the quickstart's network, and SmolLM2-135M by LoRA (specs/chat).

    .venv/bin/python scripts/bench/foretold.py [quickstart] [chat] [--runs 3] [--steps 60] [--folder DIR]

Each example is applied in a folder of its own, as often as asked, each time with another seed, so that the state holds the runs
before. Of each run it prints what the formulas alone say, what the plan said (the first has nothing to be calibrated by), and
what was measured, with the error of both. `specs/chat` needs its data and its base model: python specs/chat/prepare.py. Ends
with 1 when a measurement lies outside of what the plan called low and high.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measure import machine_busy

SPECS = Path(__file__).resolve().parents[2] / "specs"
MLCTL = str(Path(sys.executable).with_name("mlctl"))
TRAININGS = {"quickstart": "training.shops_next_week", "chat": "training.helper"}
NEEDED = {"quickstart": ("data",), "chat": ("data", "models")}
FIGURES = {"memory": ("MiB", 2**20), "seconds": ("s", 1.0)}


@dataclass(frozen=True)
class Foretold:
    """One figure of one run: by the formulas, by the plan with its range, and as it was."""

    formula: float
    planned: Mapping[str, Any]
    actual: float

    @property
    def within(self) -> bool:
        """Whether the plan's range holds it."""
        low, high = float(self.planned["low"]), float(self.planned["high"])
        return low <= self.actual <= high


def main() -> int:
    """Apply, print, and give 1 when something was outside of its range."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("examples", nargs="*", help=f"of {', '.join(TRAININGS)}; both when none is given")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=60, help="of specs/chat")
    parser.add_argument("--folder", type=Path, default=None, help="where to work")
    given = parser.parse_args()
    if unknown := set(given.examples) - set(TRAININGS):
        parser.error(f"there is no example {', '.join(sorted(unknown))}")
    outside = 0
    for name in given.examples or list(TRAININGS):
        with tempfile.TemporaryDirectory(prefix=f"foretold-{name}-", dir=given.folder) as scratch:
            project = copied(name, Path(scratch))
            for number, (run, others) in enumerate(runs(name, project, given.runs, given.steps), 1):
                outside += sum(not item.within for item in run.values())
                print(*lines(f"{name} {number}", run, others), sep="\n", flush=True)
    return 1 if outside else 0


def copied(name: str, folder: Path) -> Path:
    """The example's project file and data."""
    for item in NEEDED[name]:
        source = SPECS / name / item
        if not source.exists():
            raise SystemExit(f"{source} is not there; see {SPECS / name / 'README.md'}")
        shutil.copytree(source, folder / item)
    shutil.copy(SPECS / name / "mlctl.yaml", folder / "mlctl.yaml")
    return folder


def runs(name: str, project: Path, count: int, steps: int) -> Iterator[tuple[dict[str, Foretold], float]]:
    """Train so often, each time with another seed; the inputs are made before, so that the first plan knows them too."""
    address, spec = TRAININGS[name], (project / "mlctl.yaml").read_text()
    asked = ["--var", f"steps={steps}"] if name == "chat" else []
    mlctl(project, "apply", "--auto-approve", "--exclude", address, "--target", inputs(name), *asked)
    for seed in range(101, 101 + count):
        (project / "mlctl.yaml").write_text(spec.replace("seed: 7", f"seed: {seed}"))
        busy, before = machine_busy(), os.times()
        mlctl(project, "apply", "--auto-approve", "--target", address, *asked)
        after = os.times()
        wall = after.elapsed - before.elapsed
        own = after.children_user + after.children_system - before.children_user - before.children_system
        others = max(machine_busy() - busy - own, 0.0) / wall
        shown = json.loads(mlctl(project, "show", address, "--json", *asked).splitlines()[-1])
        told, planned = shown["outputs"]["estimate"], shown["provenance"]["estimate"]
        predicted, actual = told["predicted"], told["actual"]
        formulas = {"memory": predicted["memory"], "seconds": predicted["seconds"] + predicted["start"]}
        took = {"memory": actual["memory"], "seconds": actual["held_seconds"]}  # from start to end, as is planned
        yield {name: Foretold(formulas[name], planned[name], float(took[name])) for name in FIGURES}, others


def inputs(name: str) -> str:
    """What the training learns from."""
    return "feature_views.shopping" if name == "quickstart" else "datasets.questions"


def mlctl(project: Path, *arguments: str) -> str:
    """Run a command in the project. Raises SystemExit with its output when it fails."""
    done = subprocess.run(
        [MLCTL, *arguments], cwd=project, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"mlctl {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def lines(title: str, run: Mapping[str, Foretold], others: float) -> Iterator[str]:
    """A run as rows of a table."""
    for figure, item in run.items():
        unit, size = FIGURES[figure]
        low, mid, high = (float(item.planned[name]) / size for name in ("low", "mid", "high"))
        yield (
            f"{title:14}{figure:9}{unit:4} formula {item.formula / size:8.1f} ({item.formula / item.actual - 1:+5.0%})"
            f"  plan {mid:8.1f} ({mid * size / item.actual - 1:+5.0%}), {low:.1f} to {high:.1f}, {item.planned['basis']}"
            f"  measured {item.actual / size:8.1f}{'' if item.within else '  OUTSIDE'}"
        )
    yield f"{'':14}cores that others took meanwhile: {others:.2f}"


if __name__ == "__main__":
    sys.exit(main())
