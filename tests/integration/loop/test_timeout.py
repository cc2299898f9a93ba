"""`timeout` and preemption on a real training: it stops at a checkpoint and goes on from there."""

from __future__ import annotations

import json
import os
import signal

import pytest

from tests.integration.loop.project import TRAINING, Loop, wait_for


@pytest.mark.soak
def test_a_training_over_its_time_keeps_what_it_has_and_goes_on(loop: Loop) -> None:
    target, runs = ("--target", TRAINING), len(loop.runs(TRAINING))
    loop.edit("epochs: 12", "epochs: 400")
    loop.edit("    seed: 7", "    seed: 7\n    timeout: 30s")
    late = loop.run("apply", "--auto-approve", "--json", *target)
    assert late.exit_code in (1, 8), late
    (failed,) = late.of("apply_errored")
    assert failed["diagnostics"][0]["code"] == "step.timeout"
    assert failed["resumable"]
    assert loop.workers() == []
    (folder,) = {path.parent.parent for path in loop.home.glob(f"objects/{TRAINING}/*/checkpoints/*.json") if not (path.parent.parent / "trained.json").exists()}  # fmt: skip
    stopped_at = json.loads((folder / "ranks-ended.json").read_bytes())["step"]

    loop.edit("\n    timeout: 30s", "")
    process = loop.start("apply", "--auto-approve", "--json", *target)
    (resumed,) = wait_for(lambda: [line for line in _progress(folder) if "from a checkpoint" in line["message"]], "the training to go on")  # fmt: skip
    assert resumed["done"] == stopped_at > 0
    os.kill(
        json.loads((folder / "process.json").read_bytes())["pid"], signal.SIGTERM
    )  # as a machine that is taken away
    preempted = loop.finish(process)
    assert preempted.exit_code != 0
    again = loop.plan(*target).planned()[TRAINING]
    assert again["action"] == "resume"
    assert len(loop.runs(TRAINING)) == runs + 1  # one for this training, however often it was stopped


def _progress(folder: object) -> list[dict[str, object]]:
    path = f"{folder}/events.jsonl"
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as stream:
        return [json.loads(line) for line in stream.read().splitlines() if line.endswith("}")]
