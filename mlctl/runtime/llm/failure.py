"""Why an engine did not start or went away, in words that lead to what can be done about it."""

from __future__ import annotations

import re
from pathlib import Path

from mlctl.processes import worker
from mlctl.types import job as contract
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.llm import EngineJob

_TAIL_BYTES = 64 * 1024
# what engines write, and what it means; the first that is found counts
_KNOWN = (
    (r"unrecognized arguments: (?P<what>.*)", "it does not know {what}", "look at `engine.extra`"),
    (r"No module named '?(?P<what>[\w.]+)'?", "its Python has no `{what}`", "install it there, or name another `engine.python`"),
    (
        r"(?P<what>max_model_len|max seq len|maximum model length|max_position_embeddings)[^\n]*",
        "the length does not go with the model or the memory",
        "lower `max_model_len`, or give more by `kv_cache_gb`",
    ),
    (
        r"(CUDA out of memory|out of memory|Cannot allocate memory|DefaultCPUAllocator|MemoryError|less than desired)",
        "there is not enough memory",
        "lower `kv_cache_gb` or `max_model_len`, or take smaller weights",
    ),
    (r"Address already in use", "its port was taken meanwhile", "run `mlctl apply` again"),
    (r"No such file or directory|not found", "something it needs is not there", "see its words below"),
    (r"(?P<what>(safetensors|Safetensor|header)[^\n]*(rror|nvalid)[^\n]*)", "the model cannot be read: {what}", "make the model again"),
)  # fmt: skip


def failed(folder: Path, job: EngineJob, what: str) -> MlctlError:
    """An engine that is not there, with the end of what it said."""
    text = _end(folder / contract.LOG_FILE)
    meaning, fix = "", "see the whole log"
    for pattern, why, then in _KNOWN:
        if found := re.search(pattern, text):
            meaning, fix = why.format(**{"what": "", **found.groupdict("")}), then
            break
    why = f"{meaning}; the end of its log:" if meaning else "the end of its log:"
    return MlctlError.of(
        "llm.engine-failed",
        f"the engine `{job.type}` does not answer: {what}",
        f"{why}\n{worker.log_tail(folder)}",
        f"{fix}; the whole log is {folder / contract.LOG_FILE}",
    )


def _end(log: Path) -> str:
    try:
        with open(log, "rb") as stream:
            stream.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            return stream.read().decode("utf-8", "replace")
    except OSError:
        return ""
