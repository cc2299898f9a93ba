"""The closed loop, from a model that works to one that was retrained because the world changed; and with bad retrainings instead.

apply -> traffic -> no alarm -> the world changes -> alarm -> nothing new to learn from -> labels come -> retrained -> judged
against the champion -> shadow -> canary -> promoted. With `bad`: labels mixed up, stopped by the evaluation; then a network
that is far too slow, taken back by the canary. Each number is measured while it runs.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path

from mlctl.cli.demo.households import Household, Town, roc_auc, table
from mlctl.cli.demo.stage import Done, Stage, stage
from mlctl.cli.demo.traffic import Traffic

TRAINING, DEPLOYMENT, MONITOR, GATE = (
    "training.shops_next_week",
    "deployments.shops_api",
    "shops_drift",
    "evaluations.shops_gate",
)
_SEED = 20_261
_KNOWN, _HELD_OUT, _CALM, _BATCH, _MOST_BATCHES = 1500, 500, 400, 150, 8
_NEW = 2500
_HELD_OUT_FIRST = 1_000_001
_SLOW = ("hidden: [32]", "hidden: [4096, 4096]")
_WAITING_SECONDS = 120.0
_MAX_HOURS = "0.1"  # a demonstration ends, whatever happens


def run(folder: Path | None, *, bad: bool, as_json: bool) -> int:
    """All of it; 0 when everything came as it has to."""
    town = Town(_SEED)
    files = {
        "data/visits.csv": table(town.households(_KNOWN, changed=False), 1),
        "data/visits_holdout.csv": table(town.households(_HELD_OUT, changed=False), _HELD_OUT_FIRST),
    }
    with stage(folder, files, as_json=as_json) as made:
        return Loop(made, town).run(bad=bad)


class Loop:
    """One run of the story."""

    def __init__(self, made: Stage, town: Town) -> None:
        self.stage, self.town = made, town
        self.traffic = Traffic(made.port, town)

    def run(self, *, bad: bool) -> int:
        """From the first apply to the end."""
        self.first_model()
        before = self.calm()
        self.drift(before)
        self.nothing_new()
        if bad:
            self.mixed_up_labels()
            self.too_slow()
        else:
            self.retrained()
        self.told()
        return self.over()

    def first_model(self) -> None:
        """Data, training, gate, server, monitor: all from one file."""
        made = self.stage
        made.head("A first model, trained, judged and served")
        began = time.monotonic()
        done = made.mlctl("apply", "--auto-approve")
        auc = _metric(done)
        made.check(
            "apply", self._version() == "1", f"version 1 answers, ROC AUC {auc:.3f} on {_HELD_OUT} held-out households, in {time.monotonic() - began:.0f} s",
            seconds=round(time.monotonic() - began, 1), roc_auc=auc,
        )  # fmt: skip

    def calm(self) -> float:
        """Requests like those it was trained on. Gives what the model is worth on them."""
        made = self.stage
        made.head("Traffic as it was trained on: no alarm")
        auc = roc_auc(self.traffic.send(_CALM, changed=False)) or 0.0
        done = made.mlctl("monitor", "run", expected=(0, 5))
        (line,) = done.of("monitor")
        made.check(
            "calm", line["verdict"] == "ok", f"{_CALM} predictions, AUC {auc:.3f} once their labels are known; the monitor: {line['summary']}",
            predictions=_CALM, roc_auc=auc, verdict=line["verdict"],
        )  # fmt: skip
        return auc

    def drift(self, before: float) -> None:
        """The world changes: the features, and what follows from them."""
        made = self.stage
        made.head("The world changes: everybody subscribes to a delivery, baskets become rarer and larger")
        sent, scored = 0, []
        for _ in range(_MOST_BATCHES):
            scored += self.traffic.send(_BATCH, changed=True)
            sent += _BATCH
            done = made.mlctl("monitor", "run", expected=(0, 5))
            (line,) = done.of("monitor")
            if line["verdict"] == "alarm":
                break
        auc = roc_auc(scored) or 0.0
        moved = ", ".join(alarm["name"] for alarm in line["alarms"])
        made.check(
            "alarm", line["verdict"] == "alarm", f"alarm after {sent} predictions of the new kind: {moved}",
            delay_predictions=sent, alarms=[alarm["name"] for alarm in line["alarms"]], decision=line["actions"].get("decision"),
        )  # fmt: skip
        made.tell(
            "worth",
            f"what no test of features can see, and labels will show: AUC fell from {before:.3f} to {auc:.3f}",
            roc_auc=auc,
        )

    def nothing_new(self) -> None:
        """An alarm is no new knowledge: without labels nothing is trained."""
        made = self.stage
        made.head("The alarm asks for a training, and there is nothing new to learn from yet")
        done = made.mlctl("retrain", "--on-alarm", "--auto-approve")
        made.check("unchanged", _verdict(done) == "skipped", f"{_verdict(done)}: {_rule(done)}", verdict=_verdict(done))

    def retrained(self) -> None:
        """Labels of the new kind come, and the loop closes."""
        made, (seen, held_out) = self.stage, self._labels()
        made.head(f"{_NEW} labels of the new kind have come; the next alarm retrains")
        self._learn_from(seen, held_out)
        self._alarm_again()
        with self.traffic.flowing(3):
            began = time.monotonic()
            done = self._retrain("--on-alarm")
            seconds = time.monotonic() - began
            self._until(lambda: len(self.traffic.of("2")) >= 600)
        made.check("trained", _verdict(done) == "trained", f"{_verdict(done)}: {_rule(done)}", verdict=_verdict(done))
        made.tell("gate", f"the evaluation against the champion: {_gate(done)}", gate=_gate(done))
        made.check(
            "promoted",
            done.exit_code == 0 and self._version() == "2",
            f"shadow, 20 %, 50 %, promoted: version 2 answers, {seconds:.0f} s after the alarm",
            seconds=round(seconds, 1),
        )
        old, new = roc_auc(self.traffic.of("1")) or 0.0, roc_auc(self.traffic.of("2")) or 0.0
        made.check(
            "better",
            new > old,
            f"AUC in production: version 1 {old:.3f}, version 2 {new:.3f}",
            roc_auc_before=old,
            roc_auc_after=new,
        )
        self._none_lost()

    def mixed_up_labels(self) -> None:
        """A bad table: the evaluation stops it, and nobody is asked by it."""
        made, (seen, held_out) = self.stage, self._labels()
        made.head("A bad retraining: labels were joined on the wrong key, so that each household has another's")
        self._learn_from(self.town.shuffled(seen), held_out)
        self._alarm_again()
        with self.traffic.flowing(2):
            done = self._retrain("--on-alarm")
        made.tell("gate", f"the evaluation against the champion: {_gate(done)}", gate=_gate(done))
        made.check(
            "stopped",
            done.exit_code == 3 and self._version() == "1",
            "stopped before it answered anybody; version 1 goes on",
            exit_code=done.exit_code,
        )

    def too_slow(self) -> None:
        """A bad network: good answers, and too late. The canary takes it back."""
        made, (seen, held_out) = self.stage, self._labels()
        made.head("Another one: the labels are right, and somebody made the network over a hundred times as wide")
        self._learn_from(seen, held_out)
        text = (made.root / "mlctl.yaml").read_text()
        made.write("mlctl.yaml", text.replace(*_SLOW).replace("epochs: 20", "epochs: 1").encode())
        with self.traffic.flowing(3):
            done = self._retrain()
        made.tell("gate", f"the evaluation against the champion: {_gate(done)}", gate=_gate(done))
        held = [line for line in done.of("rollout") if line["phase"] == "held"]
        why = held[-1]["reason"] if held else "it was not taken back"
        made.check(
            "rolled_back", done.exit_code == 3 and bool(held), f"taken back: {why}", exit_code=done.exit_code, why=why
        )
        made.check(
            "untouched", self._version() == "1", "version 1 answers all requests, as before", version=self._version()
        )
        self._none_lost()

    def told(self) -> None:
        """The chain of causes, from the ledger; and one of its links made again."""
        made = self.stage
        made.head("Every step is a decision, with its cause")
        lines = sorted(
            made.mlctl("decisions", "list", "--limit", "1000").of("decision"), key=lambda line: str(line["at"])
        )
        shown = [line for line in lines if line["kind"] != "monitor" or line["verdict"] == "alarm"]
        for line in shown:
            cause = next((f"<- {item['kind']} {item['verdict']}" for item in lines if item["id"] == line["cause"]), "")
            made.tell(
                "decision",
                f"{line['kind']:<8} {line['verdict']:<12} {line['address']}  {cause}",
                decision=line["id"],
                cause=line["cause"],
            )
        for kind in ("monitor", "gate"):
            replayable = [
                line for line in shown if line["kind"] == kind and (kind == "monitor" or line["by"] == "controller")
            ]
            for line in replayable[-1:]:
                again = made.mlctl("replay", line["id"], expected=(0, 1))
                (found,) = again.of("replay")
                made.check(
                    "replay",
                    bool(found["same"]),
                    f"the {kind} decision {line['id']}, made again: the same to the bit",
                    same=found["same"],
                )

    def over(self) -> int:
        """How it ended."""
        made = self.stage
        seconds = time.monotonic() - made.began
        text = f"{'all of it as it has to be' if not made.wrong else f'{len(made.wrong)} things are wrong'}, in {seconds:.0f} s; nothing runs any more in a moment"
        made.head("The end")
        made.check("end", not made.wrong, text, seconds=round(seconds, 1), wrong=made.wrong)
        return 1 if made.wrong else 0

    def _labels(self) -> tuple[list[Household], list[Household]]:
        return self.town.households(_NEW, changed=True), self.town.households(_HELD_OUT, changed=True)

    def _learn_from(self, seen: list[Household], held_out: list[Household]) -> None:
        self.stage.write("data/visits.csv", table(seen, 500_001))
        self.stage.write("data/visits_holdout.csv", table(held_out, _HELD_OUT_FIRST))

    def _alarm_again(self) -> None:
        """The drift is still there; the next run of the monitor says so."""
        self.traffic.send(_BATCH, changed=True)
        self.stage.mlctl("monitor", "run", MONITOR, expected=(5,))

    def _retrain(self, *options: str) -> Done:
        done = self.stage.wait(
            self.stage.start("retrain", *options, "--auto-approve", "--wait", "--max-hours", _MAX_HOURS)
        )
        return self.stage.expect(done, "retrain", (0, 3))

    def _version(self) -> str:
        """Which version answers most, by its own word."""
        lines = self.stage.mlctl("rollout", "status", expected=(0, 3)).of("rollout")
        stable = [item for item in lines[-1]["variants"] if item["name"] == "stable"] if lines else []
        return str(stable[0]["version"]) if stable else ""

    def _none_lost(self) -> None:
        total = sum(self.traffic.statuses.values())
        self.stage.check(
            "lost", self.traffic.failed == 0, f"{total:,} requests were sent while all of this went on, {self.traffic.failed} of them got no good answer",
            requests=total, failed=self.traffic.failed,
        )  # fmt: skip

    def _until(self, holds: object) -> None:
        """Wait for traffic."""
        deadline, pause = time.monotonic() + _WAITING_SECONDS, threading.Event()
        while callable(holds) and not holds() and time.monotonic() < deadline:
            pause.wait(0.1)


def _metric(done: Done) -> float:
    found = [line["outputs"]["metrics"]["roc_auc"] for line in done.of("apply_complete") if line["address"] == GATE]
    return float(found[0]) if found else float("nan")


def _retrain_line(done: Done, kind: str) -> dict[str, object]:
    found = [line for line in done.of("retrain") if line["kind"] == kind]
    return found[-1] if found else {}


def _verdict(done: Done) -> str:
    return str(_retrain_line(done, "retrain").get("verdict", "nothing"))


def _rule(done: Done) -> str:
    return str(_retrain_line(done, "retrain").get("rule", ""))


def _gate(done: Done) -> str:
    line = _retrain_line(done, "gate")
    return f"{line.get('verdict', 'not asked')}: {line.get('rule', '')}"
