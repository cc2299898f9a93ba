"""The gateway of a rollout: what it costs beside others, whether it ever loses a request, and whether it splits as it says.

    python scripts/bench/serving_gateway.py [--seconds 4] [--rounds 3] [--requests 200000] [--ids 20000] [--hashed 1000000] [--awake]

One run of three parts. The cost: each gateway in turn, several rounds, alone on one core, with the load and two nginx that
answer 200 bytes on another; with `--awake`, on cores that the kernel does not put to sleep meanwhile. The changes: a load of
so many requests while shares change, versions take each other's place, and an upstream is killed and started again; each
answer says who gave it and who it was told to be. The split: ids through Envoy against the offline assignment, and the
offline assignment of many more against their shares.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from measure import machine_busy
from serving_gateway_parts import (
    PEERS,
    UNIT,
    Load,
    Upstream,
    awake,
    cpu_seconds,
    load,
    ours,
    peer,
    workplace,
)

from mlctl.rollout.routes import TOTAL, Routes
from mlctl.runtime.gateway.units import place
from tests.integration.gateway.parts import Client

_ADDED_P50_MS, _TIMES_HTTPX = 0.2, 15.0
_CONNECTIONS = 32


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=200_000, help="while everything changes")
    parser.add_argument("--ids", type=int, default=20_000, help="sent through Envoy")
    parser.add_argument("--hashed", type=int, default=1_000_000)
    parser.add_argument("--awake", action="store_true", help="keep idle cores awake while the cost is measured (root)")
    options = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    with workplace() as folder:
        stable, candidate = Upstream("stable", folder), Upstream("candidate", folder)
        try:
            stable.start()
            candidate.start()
            with awake(options.awake):
                kept = cost(folder, stable, candidate, options.seconds, options.rounds)
            kept &= changes(folder, stable, candidate, options.requests)
            kept &= split(folder, stable, candidate, options.ids, options.hashed)
        finally:
            stable.kill()
            candidate.kill()
    return 0 if kept else 1


def cost(folder: Path, stable: Upstream, candidate: Upstream, seconds: float, rounds: int) -> bool:
    """The table, and whether its two bars hold."""
    names = ("direct", "mlctl: Envoy", "mlctl: Python", *PEERS)
    one: dict[str, list[Load]] = {name: [] for name in names}
    many: dict[str, list[Load]] = {name: [] for name in names}
    cpu: dict[str, list[float]] = {name: [] for name in names}
    busy, began = machine_busy(), time.perf_counter()
    for _ in range(rounds):
        for name in names:
            alone, loaded, spent = _measured(name, folder, stable, candidate, seconds)
            one[name].append(alone)
            many[name].append(loaded)
            cpu[name].append(spent / max(loaded.requests, 1) * 1e6)
    print(
        f"{'gateway':<20}{'c=1 P50 ms':>12}{'added':>9}{'P99 ms':>9}{f'c={_CONNECTIONS} req/s':>14}{'P99 ms':>9}{'CPU us/req':>12}{'not 200':>9}"
    )
    direct = statistics.median(item.p50_ms for item in one["direct"])
    for name in names:
        p50, p99 = (statistics.median(getattr(item, key) for item in one[name]) for key in ("p50_ms", "p99_ms"))
        best = max(item.requests / item.seconds for item in many[name])
        tail = statistics.median(item.p99_ms for item in many[name])
        bad = sum(item.lost + item.wrong + item.unavailable for item in (*one[name], *many[name]))
        per = f"{min(cpu[name]):.0f}" if name != "direct" else ""
        print(f"{name:<20}{p50:>12.3f}{p50 - direct:>9.3f}{p99:>9.2f}{best:>14,.0f}{tail:>9.2f}{per:>12}{bad:>9}")
    whose = {name: statistics.median(item.p50_ms for item in one[name]) for name in names}
    added, bare, proxy = (whose[name] - direct for name in ("mlctl: Envoy", "Envoy, bare", "HAProxy"))
    times = _best(many["mlctl: Envoy"]) / _best(many["Starlette + httpx"])
    cores = (machine_busy() - busy) / (time.perf_counter() - began)
    print(
        f"added P50 {added:.3f} ms (bar {_ADDED_P50_MS}); {times:.0f} times the httpx proxy (bar {_TIMES_HTTPX:.0f}); cores busy, ours included: {cores:.1f}"
    )
    print(
        f"of {added:.3f} ms: any proxy's (HAProxy) {proxy:.3f}, Envoy's beside it {bare - proxy:.3f}, our functions' {added - bare:.3f}"
    )
    return added <= _ADDED_P50_MS and times >= _TIMES_HTTPX


def changes(folder: Path, stable: Upstream, candidate: Upstream, requests: int) -> bool:
    """Nothing lost, nothing wrong, whatever changes."""
    third = Upstream("stable", folder)
    third.start()
    try:
        with ours("envoy", folder / "changes", _routes(stable, candidate, 0)) as (gateway, port, _):
            speed = load(port, 16, 1, folder).requests
            seconds = max(4.0, 1.15 * requests / max(speed, 1))
            found: list[Load] = []
            loading = threading.Thread(target=lambda: found.append(load(port, 16, seconds, folder, check=True)))
            loading.start()
            until, turns = time.monotonic() + seconds - 1, 0
            while time.monotonic() < until:
                for share in (100, 1000, 5000, TOTAL, 3000):
                    gateway.configure(_routes(stable, candidate, share))
                    time.sleep(0.1)
                gateway.configure(_routes(third, candidate, 5000))  # promoted, and the next one is on trial
                time.sleep(0.1)
                gateway.configure(_routes(stable, candidate, 0))
                time.sleep(0.1)
                candidate.kill()  # nobody is sent there any more
                time.sleep(0.1)
                if (
                    turns % 3 == 2
                ):  # and now somebody is: before it is there again, who comes is answered by the stable version
                    gateway.configure(_routes(stable, candidate, 3000))
                    time.sleep(0.2)
                candidate.start()
                turns += 1
            loading.join()
            gateway.configure(_routes(stable, candidate, 5000))
            hard_kill = threading.Thread(target=lambda: found.append(load(port, 16, 2, folder, check=True)))
            hard_kill.start()
            time.sleep(0.8)
            candidate.kill()
            time.sleep(0.4)
            candidate.start()
            hard_kill.join()
    finally:
        third.kill()
    whole, killed = found
    print(
        f"changes: {whole.requests:,} requests over {turns} turns: {whole.lost} without an answer, {whole.wrong} wrong, "
        f"{whole.unavailable} told to come again"
    )
    print(
        f"killed while it answers: {killed.requests:,} requests: {killed.lost} without an answer, {killed.wrong} wrong, "
        f"{killed.unavailable} told to come again (at most those it was answering: 16)"
    )
    return (
        whole.lost == whole.wrong == whole.unavailable == 0
        and killed.lost == killed.wrong == 0
        and killed.unavailable <= 16
    )


def split(folder: Path, stable: Upstream, candidate: Upstream, ids: int, hashed: int) -> bool:
    """Through Envoy as offline, and offline as the shares say."""
    routes, differ = _routes(stable, candidate, 3000), 0
    with ours("envoy", folder / "split", routes) as (_, port, _):
        client = Client(port)
        for number in range(ids):
            unit = f"user-{number}-é🙂"[: 6 + number % 12] + str(number)
            name, told, bucket = client.ask(unit=unit).body.decode().split()[:3]
            wanted = place(unit.encode(), UNIT.salt)
            differ += (int(bucket), told, name) != (wanted, *["candidate" if wanted >= 7000 else "stable"] * 2)
        client.connection.close()
    shares = (0.01, 0.1, 0.3, 0.5)
    counts = [0] * len(shares)
    for number in range(hashed):
        value = place(b"%d" % number, UNIT.salt)
        for index, share in enumerate(shares):
            counts[index] += value >= TOTAL * (1 - share)
    worst = max(abs(count / hashed - share) for count, share in zip(counts, shares, strict=True))
    print(
        f"split: {differ} of {ids:,} ids differ between Envoy and offline; {hashed:,} ids are within {worst * 100:.3f} points of their shares (bar 0.1)"
    )
    return differ == 0 and worst <= 0.001


def _measured(
    name: str, folder: Path, stable: Upstream, candidate: Upstream, seconds: float
) -> tuple[Load, Load, float]:
    """One connection, many, and the CPU seconds of the gateway under the many."""
    routes = _routes(stable, candidate, 1000)
    if name == "direct":
        return load(stable.port, 1, seconds, folder), load(stable.port, _CONNECTIONS, seconds, folder), 0.0
    if name.startswith("mlctl"):
        type_ = "envoy" if name.endswith("Envoy") else "python"
        with ours(type_, folder / "cost", routes) as (_, port, pid):  # type: ignore[arg-type]
            return _both(port, pid, folder, seconds)
    with peer(name, folder, stable, candidate) as (port, pid):
        return _both(port, pid, folder, seconds)


def _both(port: int, pid: int, folder: Path, seconds: float) -> tuple[Load, Load, float]:
    load(port, _CONNECTIONS, 1, folder)  # to warm up
    alone = load(port, 1, seconds, folder)
    before = cpu_seconds(pid)
    many = load(port, _CONNECTIONS, seconds, folder, check=False)
    return alone, many, cpu_seconds(pid) - before


def _best(loads: list[Load]) -> float:
    return max(item.requests / item.seconds for item in loads)


def _routes(stable: Upstream, candidate: Upstream, share: int) -> Routes:
    return Routes(
        {"stable": stable.backend("1"), "candidate": candidate.backend("2")},
        {"stable": TOTAL - share, "candidate": share},
        UNIT,
    )


if __name__ == "__main__":
    raise SystemExit(main())
