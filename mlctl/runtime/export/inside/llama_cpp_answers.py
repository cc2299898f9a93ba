"""What llama.cpp answers with a GGUF file, by the package `xllamacpp`: `python FILE MODEL PROMPTS ANSWERS MOST CONTEXT`.

PROMPTS is a JSON list of texts; ANSWERS becomes a JSON list of {"text", "seconds", "tokens"}.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path


def main(model: str, prompts: str, answers: str, most: int, context: int) -> None:
    """The likeliest token each time, one prompt after the other."""
    import xllamacpp  # type: ignore[import-not-found]  # of the engine's own environment

    params = xllamacpp.CommonParams()
    params.model.path = model
    params.n_parallel, params.n_ctx = 1, context
    for processor in (params.cpuparams, params.cpuparams_batch):
        processor.n_threads = 1
    params.hostnames, params.port = ["127.0.0.1"], 0
    params.ui = False
    server = xllamacpp.Server(params)
    made = []
    for prompt in json.loads(Path(prompts).read_text(encoding="utf-8")):
        asked = {"prompt": prompt, "max_tokens": most, "temperature": 0, "stream": False, "cache_prompt": False}
        began = time.perf_counter()
        found = server.handle_completions(asked)
        if "choices" not in found:
            raise SystemExit(f"llama.cpp gave no answer: {json.dumps(found)[:500]}")
        seconds = time.perf_counter() - began
        made.append(
            {"text": found["choices"][0]["text"], "seconds": seconds, "tokens": found["usage"]["completion_tokens"]}
        )
    Path(answers).write_text(json.dumps(made), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
    sys.stdout.flush()
    os._exit(0)  # its threads have no end of their own
