"""Kill a real apply at random moments, many times, and see that nothing is lost: `python scripts/soak_kills.py --kills 100`.

Each round is the quickstart's loop on a small shop: data checks, features, a data-parallel training, its evaluation, a server
and a monitor. An apply is killed with SIGKILL: mlctl alone, or with every worker, or the workers first. The next apply is
killed as well, until the round has had its share; the last one is left alone, and has to end where an apply ends that nobody
disturbed: same digests, one registered version, one MLflow run with each epoch once, nothing at work but the server. After
each kill the checkpoints must be no older than before.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.integration.loop.project import GATE, SERVER, TRAINING, Loop

COMPARED = ("datasets.purchases", "datasets.labels", "feature_views.shopping", TRAINING, GATE)
VICTIMS = ("mlctl", "all", "workers")


@dataclass
class Figures:
    """What the soak has seen."""

    kills: int = 0
    rounds: int = 0
    during_training: int = 0
    resumed: int = 0
    joined: int = 0


def main() -> int:
    """Run rounds until there were as many kills as asked for. Any broken promise ends it with a message."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--each", type=int, default=6, help="kills in one round at most")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    draw, figures, began = random.Random(options.seed), Figures(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mlctl-soak-") as folder:
        wanted, seconds = _undisturbed(Path(folder) / "reference")
        print(f"an apply that nobody disturbs takes {seconds:.1f} s", flush=True)
        while figures.kills < options.kills:
            figures.rounds += 1
            count = min(options.each, options.kills - figures.kills)
            _round(Path(folder) / str(figures.rounds), draw, count, seconds, wanted, figures)
            print(f"{figures} after {time.monotonic() - began:.0f} s", flush=True)
    print(f"nothing was lost in {figures.kills} kills: {figures}")
    return 0


def _undisturbed(root: Path) -> tuple[dict[str, str], float]:
    loop = Loop.make(root / "project")
    try:
        started = time.monotonic()
        loop.apply()
        return loop.digests(COMPARED), time.monotonic() - started
    finally:
        loop.close()


def _round(
    root: Path, draw: random.Random, kills: int, seconds: float, wanted: dict[str, str], figures: Figures
) -> None:
    loop, story = Loop.make(root / "project"), list[str]()
    try:
        for _ in range(kills):
            before, program = _newest(loop), _program(loop)
            victims, wait = draw.choice(VICTIMS), draw.uniform(0.2, min(0.7 * seconds, 30))
            story.append(f"{victims} after {wait:.2f} s")
            process = loop.start("apply", "--auto-approve", "--json")
            try:
                process.wait(wait)
                break
            except subprocess.TimeoutExpired:
                figures.kills += 1
            if victims == "workers":
                loop.kill_workers()
                time.sleep(draw.uniform(0, 0.3))
            process.kill()
            process.wait()
            if victims == "all":
                loop.kill_workers()
            _look(loop, before, program, figures, story)
        _settled(loop, wanted, story)
    finally:
        loop.close()


def _look(loop: Loop, before: int, program: int | None, figures: Figures, story: list[str]) -> None:
    """What is there right after a kill: checkpoints no older than before, one training program at most."""
    now = _newest(loop)
    assert now >= before, f"a checkpoint was lost: step {before}, then {now}; {story}"
    training = [item for item in loop.workers() if item.info["cmdline"][2:4] == ["mlctl.runtime", "train"]]
    assert len(training) <= 1, f"two trainings at once; {story}"
    figures.during_training += bool(before)
    figures.joined += program is not None and program == _program(loop)
    figures.resumed += any(step >= before > 0 for step in _resumed(loop))


def _settled(loop: Loop, wanted: dict[str, str], story: list[str]) -> None:
    done = loop.run("apply", "--auto-approve", "--json")
    assert done.exit_code == 0, f"{story}\n{done}"
    assert loop.plan().exit_code == 0, story
    assert loop.digests(COMPARED) == wanted, story
    assert (loop.versions(), loop.served_version()) == (["1"], "1"), story
    assert [status for _, status in loop.runs(TRAINING)] == ["FINISHED"], story
    epochs = loop.sql("SELECT step, count(*) FROM metrics WHERE key = 'val_loss' GROUP BY step ORDER BY step")
    assert epochs == [(epoch, 1) for epoch in range(1, 13)], f"{epochs}; {story}"
    left = [" ".join(item.cmdline()) for item in loop.processes()]
    assert len(left) == 1, f"{left}; {story}"
    assert SERVER in left[0], f"{left}; {story}"


def _folders(loop: Loop) -> list[Path]:
    return list((loop.home / "objects" / TRAINING).glob("*"))


def _newest(loop: Loop) -> int:
    """The step of the newest checkpoint, 0 without one. A finished training keeps its last."""
    return max(
        (int(path.stem[5:]) for folder in _folders(loop) for path in folder.glob("checkpoints/step-*.json")), default=0
    )


def _program(loop: Loop) -> int | None:
    """The pid of the training program that was started last."""
    found = [path for folder in _folders(loop) if (path := folder / "process.json").exists()]
    return int(json.loads(found[0].read_bytes())["pid"]) if found else None


def _resumed(loop: Loop) -> list[int]:
    """The steps at which the training program that was started last said that it goes on."""
    steps = []
    for folder in _folders(loop):
        events = folder / "events.jsonl"
        for line in events.read_bytes().splitlines() if events.exists() else ():
            try:
                event = json.loads(line)
            except ValueError:  # a line that the kill cut short
                continue
            if event["message"] == "going on from a checkpoint":
                steps.append(int(event["done"]))
    return steps


if __name__ == "__main__":
    raise SystemExit(main())
