"""The `bench` program: put one load after the other on a deployment. Its report is the outputs."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import aiohttp

from mlctl.runtime.bench.loading import put
from mlctl.runtime.bench.sending import Sender
from mlctl.runtime.report import Report
from mlctl.types.diagnostic import MlctlError
from mlctl.types.job import JobResult, JobStatus
from mlctl.types.jobs.bench import BenchJob, BenchReport, Load, Point
from mlctl.types.spoken import spoken_latency

_TRIALS = 3  # requests that have to work before there is a load


def main(params: dict[str, object], report: Report) -> JobResult:
    """Raises MlctlError `bench.*` when the deployment does not answer the very first requests."""
    job = BenchJob.model_validate(params)
    bodies = [line for line in Path(job.bodies).read_bytes().splitlines() if line.strip()]
    points = asyncio.run(_measure(job, bodies, report))
    return JobResult(JobStatus.DONE, BenchReport(url=job.url, points=points).model_dump(mode="json"))


async def _measure(job: BenchJob, bodies: list[bytes], report: Report) -> list[Point]:
    headers = {"content-type": "application/json", **({"authorization": f"Bearer {job.token}"} if job.token else {})}
    timeout = aiohttp.ClientTimeout(total=job.timeout_seconds)
    connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=None)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout, connector=connector) as session:
        sender = Sender(session, job.url + job.path, streaming=job.streaming)
        await _tried(sender, bodies, session, job)
        points: list[Point] = []
        for number, load in enumerate(job.loads):
            if job.warmup_seconds:
                report.progress(f"warming up at {load}", number, len(job.loads), "loads")
                await put(load, sender, bodies, job.warmup_seconds, job.seed)
            report.progress(f"{load} for {job.seconds:g} s", number, len(job.loads), "loads")
            points.append(await put(load, sender, bodies, job.seconds, job.seed + number + 1))
            _tell(report, load, points[-1], number + 1, len(job.loads))
        return points


async def _tried(sender: Sender, bodies: list[bytes], session: aiohttp.ClientSession, job: BenchJob) -> None:
    """A load of requests that are all refused would measure how fast they are refused."""
    answer = None
    for body in bodies[:_TRIALS]:
        answer = await sender.send(body, time.perf_counter())
        if answer.good:
            return
    said = ""
    if answer is not None and answer.status.isdecimal():
        async with session.post(job.url + job.path, data=bodies[0]) as response:
            said = (await response.text())[:500]
    raise MlctlError.of(
        "bench.refused",
        f"{job.url} does not answer the requests well: {answer.status if answer else 'there are none'}",
        said or f"nobody answers within {job.timeout_seconds:g} s",
        "send what it takes with `--data FILE`, one JSON body a line; `mlctl status` tells whether it runs",
    )


def _tell(report: Report, load: Load, point: Point, done: int, total: int) -> None:
    name = "p99" if point.latency is not None and point.latency.known("p99") else "p50"
    told = f", {name.upper()} {spoken_latency(getattr(point.latency, name))}" if point.latency else ""
    report.progress(f"{load}: {point.rate:.1f} good answers a second{told}", done, total, "loads")
