"""Put a load on a deployment, closed or open, and sum up what came of it."""

from __future__ import annotations

import asyncio
import itertools
import math
import random
import time
from collections import Counter
from collections.abc import Sequence

from mlctl.runtime.bench.sending import Answer, Sender
from mlctl.types.jobs.bench import Lengths, Load, Point, Spread

_MOST_UNDER_WAY = 5_000  # of an open loop: more than that is a server that does not follow, and memory without end
_PER_DECADE, _DECADES, _LEAST = 10, 7, 1e-4


async def put(load: Load, sender: Sender, bodies: Sequence[bytes], seconds: float, seed: int) -> Point:
    """Keep a load up for some seconds, and wait for the answers to what was sent meanwhile."""
    began = time.perf_counter()
    if load.kind == "closed":
        answers, unsent = await _closed(int(load.value), sender, bodies, began + seconds), 0
    else:
        answers, unsent = await _open(load.value, sender, bodies, began + seconds, random.Random(seed))  # noqa: S311
    return summed(load, answers, time.perf_counter() - began, unsent)


async def _closed(clients: int, sender: Sender, bodies: Sequence[bytes], until: float) -> list[Answer]:
    turns, answers = itertools.cycle(bodies), []

    async def client() -> None:
        while (now := time.perf_counter()) < until:
            answers.append(await sender.send(next(turns), now))
            if not answers[-1].good:
                await asyncio.sleep(0.01)  # one that refuses at once must not be asked a hundred thousand times

    await asyncio.gather(*(client() for _ in range(clients)))
    return answers


async def _open(
    rate: float, sender: Sender, bodies: Sequence[bytes], until: float, draw: random.Random
) -> tuple[list[Answer], int]:
    turns, answers, unsent = itertools.cycle(bodies), list[Answer](), 0
    under_way: set[asyncio.Task[None]] = set()

    async def one(body: bytes, due: float) -> None:
        answers.append(await sender.send(body, due))

    due = time.perf_counter()
    while (due := due + draw.expovariate(rate)) < until:
        if (early := due - time.perf_counter()) > 0:
            await asyncio.sleep(early)
        if len(under_way) >= _MOST_UNDER_WAY:
            unsent += 1
            await asyncio.sleep(0)
            continue
        task = asyncio.create_task(one(next(turns), due))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
    await asyncio.gather(*under_way)
    return answers, unsent


def summed(load: Load, answers: Sequence[Answer], seconds: float, unsent: int) -> Point:
    """Rates, errors and quantiles."""
    good = [answer for answer in answers if answer.good]
    streamed = [answer for answer in good if answer.ttft is not None]
    decoding = [answer.decoding / (answer.tokens - 1) for answer in streamed if answer.tokens > 1]
    return Point(
        load=load,
        requests=len(answers),
        errors=len(answers) - len(good),
        unsent=unsent,
        statuses=dict(sorted(Counter(answer.status for answer in answers).items())),
        seconds=seconds,
        rate=len(good) / seconds if seconds else 0.0,
        latency=spread([answer.seconds for answer in good]),
        ttft=spread([answer.ttft for answer in streamed if answer.ttft is not None]),
        tpot=spread(decoding),
        tokens_per_second=sum(answer.tokens for answer in streamed) / seconds if streamed else None,
        prompt_tokens=lengths([answer.prompt_tokens for answer in good if answer.prompt_tokens is not None]),
        answer_tokens=lengths([answer.tokens for answer in good if answer.tokens or answer.prompt_tokens is not None]),
        histogram=_histogram([answer.seconds for answer in good]),
    )


def spread(values: Sequence[float]) -> Spread | None:
    """Mean and quantiles (the smallest value that the given share does not exceed), None without values."""
    if not values:
        return None
    ordered = sorted(values)
    p50, p95, p99 = (ordered[math.ceil(share * len(ordered)) - 1] for share in (0.5, 0.95, 0.99))
    return Spread(mean=sum(ordered) / len(ordered), p50=p50, p95=p95, p99=p99, max=ordered[-1], number=len(ordered))


def lengths(tokens: Sequence[int]) -> Lengths | None:
    """Of prompts or answers, None where nobody says."""
    return Lengths(mean=sum(tokens) / len(tokens), least=min(tokens), most=max(tokens)) if tokens else None


def _histogram(values: Sequence[float]) -> list[int]:
    counts = [0] * (_PER_DECADE * _DECADES)
    for value in values:
        place = math.floor(math.log10(max(value, _LEAST) / _LEAST) * _PER_DECADE)
        counts[min(max(place, 0), len(counts) - 1)] += 1
    return counts
