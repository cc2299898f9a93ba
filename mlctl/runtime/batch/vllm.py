"""`vllm run-batch` on the prompts of a part: requests in OpenAI's batch format into a file, answers out of another."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.processes import leftover
from mlctl.processes.environment import worker_environment
from mlctl.runtime.batch.answers import Answer, Prompt
from mlctl.runtime.batch.stopping import Stopped
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.batch import BatchJob, Generation, VllmEngine

REQUESTS_FILE, ANSWERS_FILE, LOG_FILE = "requests.jsonl", "answers.jsonl", "engine.log"
_URL = "/v1/chat/completions"
_POLL_SECONDS = 0.2
_STOP_SECONDS = 10.0  # vLLM does not listen to SIGTERM while it starts
_TAIL_LINES = 12


class Vllm:
    """Runs the engine once for each part; it is in a session of its own, of which nothing is left behind."""

    at_once: int | None = None

    def __init__(
        self, job: BatchJob, asked: Generation, engine: VllmEngine, folder: Path, stopped: Callable[[], bool]
    ) -> None:
        self._job, self._asked, self._engine = job, asked, engine
        self._folder, self._stopped = folder, stopped
        leftover.end(folder, _STOP_SECONDS)  # of a program that was killed
        _refuse_plain_model(Path(job.model.folder))

    def answer(self, asked: Sequence[Prompt], done: Callable[[int], None]) -> list[Answer]:
        """Raises MlctlError when the engine fails, Stopped when the job is to end."""
        requests, answers = self._folder / REQUESTS_FILE, self._folder / ANSWERS_FILE
        answers.unlink(missing_ok=True)
        lines = request_lines(asked, self._job.model.name, self._asked)
        atomic.write_bytes(requests, "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogatepass"))
        self._run(requests, answers)
        found = read_answers(
            answers.read_text(encoding="utf-8").split("\n"), len(asked)
        )  # other line ends are of texts
        done(len(asked))
        for path in (requests, answers):
            path.unlink(missing_ok=True)
        return found

    def _run(self, requests: Path, answers: Path) -> None:
        command = batch_command(self._engine, self._job, requests.resolve(), answers.resolve())
        with open(self._folder / LOG_FILE, "wb") as log:
            process = subprocess.Popen(
                command, env=worker_environment(self._engine.environment), stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        try:
            leftover.note(self._folder, process.pid)
            while process.poll() is None:
                if self._stopped():
                    raise Stopped
                time.sleep(_POLL_SECONDS)
        finally:
            leftover.end(self._folder, _STOP_SECONDS)
            process.wait()
        if process.returncode != 0 or not answers.is_file():
            tail = (self._folder / LOG_FILE).read_text(errors="replace").strip().splitlines()[-_TAIL_LINES:]
            raise MlctlError.of(
                "batch.engine-failed",
                f"vLLM ended with {process.returncode} and gave no answers",
                "\n".join(tail),
                f"see the whole log in {self._folder / LOG_FILE}",
            )


def batch_command(engine: VllmEngine, job: BatchJob, requests: Path, answers: Path) -> list[str]:
    """The command line. On a machine without a GPU compiling the model takes longer than most batches do."""
    model = str(Path(job.model.folder).resolve())
    eager = [] if shutil.which("nvidia-smi") else ["--enforce-eager"]
    return [
        engine.python, "-m", "vllm.entrypoints.cli.main", "run-batch", "-i", str(requests), "-o", str(answers),
        "--model", model, "--served-model-name", job.model.name, *eager, *engine.options,
    ]  # fmt: skip


def request_lines(asked: Sequence[Prompt], model: str, how: Generation) -> Iterator[str]:
    """A request a line. A text counts as what a user says."""
    for index, prompt in enumerate(asked):
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        body = {"model": model, "messages": messages, "max_tokens": how.max_new_tokens, "temperature": how.temperature}
        request = {"custom_id": f"row-{index}", "method": "POST", "url": _URL, "body": body}
        yield json.dumps(request, ensure_ascii=False)


def read_answers(lines: Sequence[str], count: int) -> list[Answer]:
    """The answers in the order of the requests; each line says by `custom_id` which it answers. Raises MlctlError for a line that is none."""
    found: dict[str, Answer] = {}
    for line in filter(str.strip, lines):
        try:
            answer = json.loads(line)
            found[answer["custom_id"]] = _answer(answer)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise MlctlError.of(
                "batch.bad-answer",
                "the engine wrote a line that is no answer in OpenAI's batch format",
                f"{type(error).__name__}: {error}: {line[:200]}",
                "this version of the engine is not one that mlctl knows",
            ) from None
    return [found.get(f"row-{index}", Answer(None, "the engine gave no answer")) for index in range(count)]


def _answer(line: Mapping[str, Any]) -> Answer:
    response, error = line.get("response") or {}, line.get("error")
    body = response.get("body") or {}
    if error is not None or response.get("status_code", 200) != 200 or body.get("object") == "error":
        why = error if error is not None else body.get("error", body)
        text = why.get("message", why) if isinstance(why, Mapping) else why
        return Answer(None, str(text)[:500])
    return Answer(str(body["choices"][0]["message"]["content"] or ""))


def _refuse_plain_model(folder: Path) -> None:
    """A batch of vLLM takes conversations, so that the model needs a template for them. Raises MlctlError."""
    try:
        settings = json.loads((folder / "tokenizer_config.json").read_bytes())
    except (OSError, ValueError):
        settings = {}
    if not (folder / "chat_template.jinja").is_file() and "chat_template" not in settings:
        raise MlctlError.of(
            "batch.no-chat-template",
            f"the model in {folder} has no template for conversations",
            "a batch of vLLM takes conversations only",
            "use `engine: transformers`, which answers plain prompts",
        )
