"""llama.cpp's server by the package `xllamacpp`, as a program: it knows that package and the standard library alone."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from pathlib import Path


def main(arguments: list[str]) -> int:
    """Serve one GGUF file until SIGTERM. What is under way then has been waited for by the server in front."""
    import xllamacpp  # type: ignore[import-not-found]  # of the engine's own environment

    options = _parse(arguments)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    params = xllamacpp.CommonParams()
    params.model.path = options.model
    params.model_alias = {options.alias}
    params.hostnames = [options.host]
    params.port = options.port
    params.n_parallel = options.parallel
    params.n_ctx = options.context * options.parallel
    # one for each request that is worked on, and some for those that ask how it is: with fewer, connections are dropped
    params.n_threads_http = options.parallel + 8
    for processor in (params.cpuparams, params.cpuparams_batch):
        processor.n_threads = options.threads
    if "LLAMA_API_KEY" in os.environ:
        params.api_keys = [os.environ["LLAMA_API_KEY"]]
    params.endpoint_metrics = True
    params.endpoint_slots = False
    params.ui = False
    if options.chat_template is not None:
        params.chat_template = Path(options.chat_template).read_text(encoding="utf-8")
        params.use_jinja = True
    server = xllamacpp.Server(params)
    print(f"llama.cpp listens on {server.listening_address}", flush=True)
    stop.wait()
    return 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    for name in ("model", "alias", "host"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("port", "threads", "context", "parallel"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--chat-template")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)  # its threads have no end of their own
