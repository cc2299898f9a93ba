"""What the server of a language model is told: the parameters of the `llm_server` program, and the files of its folder.

The program keeps an engine (vLLM, llama.cpp, any command) as a process in a session of its own. Its folder holds, besides
what every worker's holds, `engine.json`: the engine's session, written before the engine begins. By it, what a kill left behind
is found and ended (`mlctl.processes.engine`), and releases that differ in nothing but an adapter find the engine of the other.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from mlctl.types.jobs.server import Admission, Observed, PredictionLog, ServedModel, ServerJob
from mlctl.types.value import digest

ENGINE_FILE = "engine.json"
PLACES = frozenset({"model", "host", "port", "cores", "threads", "folder", "programs", "cache", "drain"})


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Adapter(_Part):
    """A LoRA adapter in PEFT's format (a folder relative to the project), and what requests call it."""

    name: str
    folder: str
    version: str


class EngineJob(_Part):
    """How an engine is started and talked to.

    In `command`, `environment` and `files`, `{name}` stands for what only the moment of the start can tell: `{model}` the
    absolute path of what is loaded, `{host}` and `{port}` where to listen, `{cores}` and `{threads}` the processor cores it was
    allotted, `{folder}` a folder of its own, `{programs}` that of our programs inside of engines, `{cache}` one for what it may
    compute again, `{drain}` the seconds it has to finish.
    """

    type: str
    command: list[str]
    environment: dict[str, str] = {}
    files: dict[str, str] = {}  # written into its folder before the start
    model: str  # what it loads: a folder or a file, relative to the project
    model_digest: str | None = None  # of its content, where that can change and the path stays
    health: str = "/health"
    middleware: list[str] = []  # arguments that have it run our ASGI middleware; none when it cannot
    adapters: Literal["vllm"] | None = None  # how adapters are loaded while it runs, if they can be
    # how many cores it is allotted, 0 for half of them; None for an engine that computes elsewhere
    threads: int | None = None
    # variables that tell it a key which requests have to bring; used where our server is in front of it
    key_variables: list[str] = []
    start_seconds: float = 600.0


class LlmJob(Observed):
    """Everything that makes one server of a language model what it is: two equal jobs are the same release."""

    deployment: str
    host: str
    port: int  # 0: any free one, which ready.json then tells, with no server in front where the engine can do without
    model: ServedModel  # what is registered
    engine: EngineJob
    adapter: Adapter | None = None  # of this version, where the engine has loaded its base
    admission: Admission = Admission()
    timeout_seconds: float  # the longest silence: until an answer begins, and between two of its pieces
    log: PredictionLog | None = None

    def engine_digest(self) -> str:
        """Equal for all jobs that one engine can do at once: those that differ in nothing but their adapter."""
        kept = self.model_dump(mode="json", exclude={"adapter", "port", "host"})
        return digest({**kept, "model": None if self.adapter is not None else kept["model"]})


AnyServerJob = ServerJob | LlmJob
