"""Play an experiment some thousand times, with and without an effect, and count what its own rules say."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlctl.runtime.certify.streams import Streams
from mlctl.runtime.report import Report
from mlctl.stats.arm_metrics import wilson
from mlctl.stats.experiment_verdict import Look, Rules, Ruling, decide
from mlctl.types.job import JobResult, JobStatus
from mlctl.types.jobs.certify import CertifyJob

_BATCH = 500  # runs that are drawn at once
_SECONDS = 0.5  # between two lines of progress


@dataclass
class Tally:
    """What came of the runs of one kind."""

    runs: int = 0
    claims: int = 0  # a success metric shown better or, with two tails, worse
    units: int = 0  # until the verdict
    verdicts: dict[str, int] = field(default_factory=dict)
    broken: int = 0  # stopped for a guardrail
    right_arm: int = 0  # shipped, and the one with the effect

    def add(self, ruling: Ruling, units: int, tails: int, wanted: str) -> None:
        """One run."""
        shown = {one.says for one in ruling.findings if not one.guardrail}
        self.runs += 1
        self.claims += bool(shown & ({"better", "worse"} if tails == 2 else {"better"}))
        self.units += units
        self.verdicts[ruling.verdict] = self.verdicts.get(ruling.verdict, 0) + 1
        self.broken += any(one.says == "broken" for one in ruling.findings)
        self.right_arm += ruling.verdict == "ship" and ruling.arm == wanted

    def to_json(self) -> dict[str, Any]:
        """For the result: shares with Wilson's 95 % intervals."""
        return {
            "runs": self.runs,
            "claims": share(self.claims, self.runs),
            "shipped": share(self.right_arm, self.runs),
            "invalid": share(self.verdicts.get("invalid", 0), self.runs),
            "stopped_by_guardrail": share(self.broken, self.runs),
            "mean_units": self.units / self.runs,
            "verdicts": self.verdicts,
        }


def share(hits: int, runs: int) -> dict[str, float]:
    """A share with its interval."""
    low, high = wilson(hits / runs, runs)
    return {"share": hits / runs, "low": low, "high": high}


def main(params: Mapping[str, Any], report: Report) -> JobResult:
    """Both kinds of streams."""
    job = CertifyJob.model_validate(params)
    rules = Rules.from_json(job.rules)
    tallies = {}
    for number, (kind, effect) in enumerate((("aa", False), ("ab", True))):
        generator = np.random.default_rng([job.seed, number])
        tallies[kind] = play(job, rules, Streams(job, rules, effect), generator, report, number)
    return JobResult(
        JobStatus.DONE,
        {
            "experiment": job.experiment,
            "seed": job.seed,
            "looks": len(job.looks),
            "units": job.looks[-1],
            **{kind: tally.to_json() for kind, tally in tallies.items()},
        },
    )


def play(
    job: CertifyJob, rules: Rules, streams: Streams, generator: np.random.Generator, report: Report, number: int
) -> Tally:
    """All runs of one kind."""
    tally, told = Tally(), 0.0
    while tally.runs < job.runs:
        streams.draw(generator, min(_BATCH, job.runs - tally.runs))
        for run in range(streams.runs):
            ruling, look = one_run(job, rules, streams, run)
            tally.add(ruling, job.looks[look], rules.tails, rules.treatments[0])
        if time.monotonic() - told > _SECONDS:
            told = time.monotonic()
            what = "streams without an effect" if number == 0 else "streams with the effect"
            report.progress(what, number * job.runs + tally.runs, 2 * job.runs, "streams")
    return tally


def one_run(job: CertifyJob, rules: Rules, streams: Streams, run: int) -> tuple[Ruling, int]:
    """Look until there is a verdict, as `experiment analyze` would."""
    looks: list[Look] = []
    for index in range(len(job.looks)):
        last = index == len(job.looks) - 1
        looks.append(streams.look(run, index, last=last, early=index < job.early))
        ruling = decide(rules, looks)
        if ruling.verdict != "continue" or last:
            return ruling, index
    raise ValueError("a design without a look")
