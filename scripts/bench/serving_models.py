"""Our model server against mosec, BentoML, LitServe and `mlflow models serve`: the same network, the same requests, the same load.

    python scripts/bench/serving_models.py [--seconds 5] [--rounds 3] [--sides mlctl mosec bentoml litserve mlflow] [--json FILE]

A network of 32-1024-1024-1024-2 in float32, one torch thread, batches of up to 32 rows. Every server takes the same body,
`{"instances": [{32 named features}]}`, from `wrk` with 32 and with 1 connection, and its answers are compared with the
network's own before it is measured. Sides take turns, in `--rounds` rounds, so that what else the machine does falls on all.
CPU per request is that of all processes of a server, the steadiest of the figures.

Bars: at least twice LitServe and 0.7 of mosec in requests a second with 32 connections. Each server batches as its makers
recommend; where a batch waits, it waits 1 ms.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import site
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
from measure import machine_busy

from mlctl.processes import service, worker
from mlctl.processes.environment import worker_environment
from mlctl.types.secret import Secrets

CACHE = Path(os.environ.get("MLCTL_BENCH_DIR") or Path.home() / ".cache" / "mlctl-bench")
PEER = Path(__file__).with_name("serving_models_peer.py")
PEERS = {"mosec": "mosec==0.9.8", "bentoml": "bentoml==1.4.39", "litserve": "litserve==0.2.19"}
SIDES = ("mlctl", "mlctl with log", *PEERS, "mlflow")
COLUMNS = [f"feature_{number:02d}" for number in range(32)]
CONNECTIONS = (32, 1)
START_SECONDS = 60.0
BARS = {"litserve": 2.0, "mosec": 0.7}


@dataclass(frozen=True)
class Measured:
    """One run of wrk against one server."""

    side: str
    connections: int
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float  # of the server, for each request
    failures: int
    others: float  # cores that everything else on the machine took meanwhile, wrk included


@dataclass(frozen=True)
class Server:
    """How a side is asked."""

    url: str
    headers: Mapping[str, str]
    processes: Callable[[], list[psutil.Process]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=5.0, help="of each run of wrk")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sides", nargs="+", default=list(SIDES), choices=SIDES)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="mlctl-serving-models-"))
    found: list[Measured] = []
    try:
        prepare(folder)
        for number in range(options.rounds):
            for side in options.sides:
                with started(side, folder) as server:
                    check(server, folder)
                    load(server, folder, 8, 1.0)  # not counted: threads and caches come up
                    for connections in CONNECTIONS:
                        measured = measure(side, server, folder, connections, options.seconds)
                        print(f"round {number + 1}: {told(measured)}", flush=True)
                        found.append(measured)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    best = summary(found)
    print_table(best)
    if options.json:
        options.json.write_text(json.dumps([asdict(item) for item in best], indent=2))
    return judge(best)


def prepare(folder: Path) -> None:
    """The network as an MLflow model and as a state, the request, and what the network answers to it. In a process of its own."""
    command = [sys.executable, str(PEER), str(folder)]
    subprocess.run(command, check=True, env=worker_environment({"OMP_NUM_THREADS": "1"}), stdout=subprocess.DEVNULL)
    body = (folder / "body.json").read_text()
    (folder / "post.lua").write_text(
        f"wrk.method = 'POST'\nwrk.body = [[{body}]]\nwrk.headers['Content-Type'] = 'application/json'\n"
        "wrk.headers['Accept'] = 'application/json'\n"
    )


@contextmanager
def started(side: str, folder: Path) -> Iterator[Server]:
    """A server that answers. It is ended with all its processes, whatever it leaves behind."""
    port = free_port()
    if side.startswith("mlctl"):
        with ours(folder, port, logged=side.endswith("log")) as server:
            yield server
        return
    command = peer_command(side, folder, port)
    environment = {"OMP_NUM_THREADS": "1", "MLCTL_BENCH_FOLDER": str(folder), "BENTOML_DO_NOT_TRACK": "True"}
    with open(folder / f"{side}.log", "ab") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=worker_environment(environment), stdout=log, stderr=log,
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    path = {"mlflow": "/invocations", "mosec": "/inference"}.get(side, "/predict")
    try:
        server = Server(f"http://127.0.0.1:{port}{path}", {}, lambda: family(process.pid))
        wait(server, folder, process)
        yield server
    finally:
        end_all(process)


@contextmanager
def ours(folder: Path, port: int, *, logged: bool) -> Iterator[Server]:
    """Our server as a deployment starts it."""
    place = folder / f"mlctl-{port}" / "1"
    place.mkdir(parents=True)
    params = {
        "deployment": "bench", "host": "127.0.0.1", "port": port, "model": {"name": "mlp", "version": "1", "folder": "model"},
        "serving": {"columns": COLUMNS}, "batching": {"max_size": 32, "max_wait_seconds": 0.001}, "timeout_seconds": 30.0,
        "log": {"folder": f"log-{port}", "features": True} if logged else None,
    }  # fmt: skip
    service.start("server", params, place, folder, Secrets(), environment={"OMP_NUM_THREADS": "1"})
    try:
        deadline = time.monotonic() + START_SECONDS
        while (state := service.find(place)).ready is None:
            if not state.running or time.monotonic() > deadline:
                raise SystemExit(f"our server did not start:\n{worker.log_tail(place)}")
            time.sleep(0.05)
        pid = int(state.pid or 0)
        yield Server(f"http://127.0.0.1:{port}/predict", {}, lambda: family(pid))
    finally:
        worker.stop(place, 5.0)


def peer_command(side: str, folder: Path, port: int) -> list[str]:
    """How a peer is started."""
    at, here = ["--host", "127.0.0.1", "--port", str(port)], PEER.parent
    if side == "mlflow":
        model = str(folder / "model")
        return [sys.executable, "-m", "mlflow", "models", "serve", "-m", model, "--env-manager", "local", *at]
    python = str(peer_python(side))
    if side == "mosec":
        return [python, str(here / "serving_models_mosec.py"), "--port", str(port), "--address", "127.0.0.1"]
    if side == "litserve":
        return [python, str(here / "serving_models_litserve.py"), str(port)]
    return [python, "-m", "bentoml", "serve", "serving_models_bento:Scorer", "--working-dir", str(here), *at]


def peer_python(side: str) -> Path:
    """The Python of a venv with a peer in it that sees our own torch, made on first use."""
    folder = CACHE / f"serving-{side}"
    python, marker = folder / "bin" / "python", folder / f"{PEERS[side]}.installed"
    if not marker.exists():
        print(f"installing {PEERS[side]} into {folder} …", file=sys.stderr, flush=True)
        venv.create(folder, clear=True, with_pip=True)
        [packages] = (folder / "lib").glob("python3*/site-packages")
        (packages / "torch-of-the-caller.pth").write_text("\n".join(site.getsitepackages()) + "\n")
        subprocess.run([python, "-m", "pip", "install", "-q", PEERS[side]], check=True)
        marker.touch()
    return python


def wait(server: Server, folder: Path, process: subprocess.Popen[bytes]) -> None:
    """Until it answers right."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        with suppress(OSError, ValueError, KeyError, TypeError, AssertionError):
            check(server, folder)
            return
        if process.poll() is not None or time.monotonic() > deadline:
            logs = "\n".join(path.read_text(errors="replace")[-3000:] for path in folder.glob("*.log"))
            raise SystemExit(f"{server.url} does not answer:\n{logs}")
        time.sleep(0.1)


def check(server: Server, folder: Path) -> None:
    """Raises AssertionError when the answer is not the network's."""
    body = (folder / "body.json").read_bytes()
    request = urllib.request.Request(
        server.url, body, {"content-type": "application/json", "accept": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            answer: Any = json.loads(response.read())
    except urllib.error.HTTPError as error:
        raise AssertionError(error.read().decode(errors="replace")) from None
    score = (answer if isinstance(answer, list) else answer["predictions"])[0]  # BentoML gives the rows alone
    found = list(score["score"]) if "score" in score else list(score.values())
    wanted = json.loads((folder / "answer.json").read_bytes())
    assert len(found) == len(wanted), answer
    assert all(abs(one - two) < 1e-4 for one, two in zip(found, wanted, strict=True)), answer


def measure(side: str, server: Server, folder: Path, connections: int, seconds: float) -> Measured:
    """One run of wrk, and what the server's processes took meanwhile."""
    busy, before, began = machine_busy(), cpu(server), time.perf_counter()
    output = load(server, folder, connections, seconds)
    took, spent = time.perf_counter() - began, cpu(server) - before
    requests = int(re.search(r"(\d+) requests in", output)[1])  # type: ignore[index]
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
    failures = int(failed[1]) if failed else 0
    failures += sum(map(int, broken.groups())) if broken else 0
    return Measured(
        side,
        connections,
        requests / took,
        milliseconds(output, "50"),
        milliseconds(output, "99"),
        spent / max(requests, 1) * 1e6,
        failures,
        (machine_busy() - busy - spent) / took,
    )


def load(server: Server, folder: Path, connections: int, seconds: float) -> str:
    """What wrk says."""
    command = [
        "wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--latency", "-s", str(folder / "post.lua"), server.url,
    ]  # fmt: skip
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def milliseconds(output: str, percentile: str) -> float:
    """A percentile out of wrk's table."""
    found = re.search(rf"\n +{percentile}% +([\d.]+)(us|ms|s)", output)
    return float(found[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[found[2]] if found else float("nan")


def family(pid: int) -> list[psutil.Process]:
    """A process and all that it began."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


def cpu(server: Server) -> float:
    """CPU seconds of a server so far."""
    total = 0.0
    for process in server.processes():
        with suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def end_all(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM is not enough for all of them: some leave their workers behind."""
    found = family(process.pid)
    for number in (signal.SIGINT, signal.SIGKILL):
        for item in found:
            with suppress(psutil.Error):
                item.send_signal(number)
        _, found = psutil.wait_procs(found, timeout=5)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def summary(found: Sequence[Measured]) -> list[Measured]:
    """The medians over the rounds."""
    best = []
    for side, connections in dict.fromkeys((item.side, item.connections) for item in found):
        runs = [item for item in found if (item.side, item.connections) == (side, connections)]
        figures = {
            name: statistics.median(getattr(item, name) for item in runs)
            for name in ("requests_per_second", "p50_ms", "p99_ms", "cpu_us", "others")
        }
        best.append(Measured(side, connections, failures=sum(item.failures for item in runs), **figures))
    return best


def told(item: Measured) -> str:
    return (
        f"{item.side:15} c={item.connections:<3} {item.requests_per_second:9,.0f} req/s  p50 {item.p50_ms:7.2f} ms  p99 {item.p99_ms:7.2f} ms  "
        f"{item.cpu_us:7.0f} us CPU/req  {item.failures} failures  others {item.others:.1f} cores"
    )


def print_table(best: Sequence[Measured]) -> None:
    print(
        "\n| server | connections | requests/s | p50 ms | p99 ms | CPU us/request | failures |\n|---|---|---|---|---|---|---|"
    )
    for item in best:
        print(
            f"| {item.side} | {item.connections} | {item.requests_per_second:,.0f} | {item.p50_ms:.2f} | {item.p99_ms:.2f} | "
            f"{item.cpu_us:.0f} | {item.failures} |"
        )


def judge(best: Sequence[Measured]) -> int:
    """Whether the bars are kept."""
    rates = {item.side: item.requests_per_second for item in best if item.connections == CONNECTIONS[0]}
    missed = 0
    for side, bar in BARS.items():
        if "mlctl" in rates and side in rates:
            ratio = rates["mlctl"] / rates[side]
            missed += ratio < bar
            print(f"{'ok ' if ratio >= bar else 'BAD'} mlctl / {side}: {ratio:.2f}, at least {bar}")
    failures = sum(item.failures for item in best if item.side.startswith("mlctl"))
    print(f"{'ok ' if not failures else 'BAD'} {failures} of our requests failed")
    return 1 if missed or failures else 0


if __name__ == "__main__":
    sys.exit(main())
