"""A walk over a graph of steps: each once those before it are done, with a few threads."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Hashable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from mlctl.provider import Context

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


def walk(
    steps: Mapping[K, T],
    before: Mapping[K, Collection[K]],
    do: Callable[[T], None],
    slow: Callable[[T], bool],
    ctx: Context,
    parallelism: int,
) -> None:
    """Do each step once those before it are done; slow ones in threads, the others at once. Steps keep the given order where they may."""
    waits = {key: set(earlier) for key, earlier in before.items()}
    after: dict[K, list[K]] = {key: [] for key in steps}
    for key, earlier in waits.items():
        for found in earlier:
            after[found].append(key)
    place = {key: number for number, key in enumerate(steps)}
    keys = list(steps)
    ready = [place[key] for key in steps if not waits[key]]
    heapq.heapify(ready)
    running: dict[Future[None], K] = {}

    def finish(key: K) -> None:
        for later in after[key]:
            waits[later].discard(key)
            if not waits[later]:
                heapq.heappush(ready, place[later])

    with ThreadPoolExecutor(max_workers=parallelism, thread_name_prefix="mlctl-step") as pool:
        while ready or running:
            while ready and len(running) < parallelism:
                key = keys[heapq.heappop(ready)]
                if slow(steps[key]) and not ctx.stop.is_set():
                    running[pool.submit(do, steps[key])] = key
                else:
                    do(steps[key])
                    finish(key)
            if running:
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    finish(running.pop(future))
                    future.result()
