"""The load test of a deployment: which requests it sends, its run, and what it had to show."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from mlctl.cli.interrupting import Ending, interruptible
from mlctl.cli.watching import watched
from mlctl.files import atomic
from mlctl.files.log_tail import newest
from mlctl.launch import job
from mlctl.provider import Context
from mlctl.providers.serving.client import openapi, url_of
from mlctl.types.diagnostic import MlctlError
from mlctl.types.interrupt import Manner
from mlctl.types.jobs.bench import BenchJob, BenchReport, Load, Sent
from mlctl.types.requirement import Requirement
from mlctl.types.state import Record
from mlctl.workspace import Workspace

_MOST_BODIES = 10_000
_MOST_LINES = 20_000  # of the log that are looked at
_PROMPT_WORDS = ("the", "delivery", "of", "my", "order", "is", "late", "and", "I", "want", "to", "know", "where", "it")
_OUTPUT_TOKENS = 64


@dataclass(frozen=True, slots=True)
class Asking:
    """What requests are to be: `data` is a file of theirs, `prompts` where those of a language model come from."""

    data: Path | None = None
    prompts: Literal["synthetic", "log"] | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Requests:
    """The bodies that are sent in turn, and where they are from."""

    source: Literal["synthetic", "log", "file", "zeros"]
    bodies: Sequence[dict[str, Any]]

    def sent(self, lines: bytes) -> Sent:
        """What a report says of them."""
        same = self.bodies[0].get("max_tokens")
        if any(body.get("max_tokens") != same for body in self.bodies):
            same = None
        digest = hashlib.sha256(lines).hexdigest()
        return Sent(
            source=self.source, bodies=len(self.bodies), digest=digest, max_tokens=same if type(same) is int else None
        )


def run_bench(workspace: Workspace, record: Record, wanted: BenchJob, asked: Requests) -> BenchReport:
    """Run the test in a worker of its own. Raises MlctlError."""
    _, context = workspace.reader()
    folder = own_folder(context.home, record.key.address.name)
    requests = folder / "bodies.jsonl"
    lines = "".join(json.dumps(body) + "\n" for body in asked.bodies).encode()
    atomic.write_bytes(requests, lines)
    params = wanted.model_copy(update={"bodies": str(requests)})
    with (
        interruptible(Ending(workspace.stop, default=Manner.STOP)),
        watched(context, f"load on {record.key.address}") as told,
    ):
        found = job.run("bench", params.model_dump(mode="json"), folder, told).outputs
    report = BenchReport.model_validate({**found, "sent": asked.sent(lines)})
    job.discard(folder)
    return report


def own_folder(home: Path, name: str) -> Path:
    """An empty folder for one run: a job's folder that two shared would have the second end the first."""
    place = home / "benchmarks"
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=place))


def writable(page: Path) -> None:
    """Raise MlctlError when a page could not be written there: better now than after a long load."""
    if page.is_dir() or not page.parent.is_dir():
        why = "it is a folder" if page.is_dir() else f"there is no folder {page.parent}"
        raise MlctlError.of(
            "cli.usage", f"`--html {page}` cannot be written", why, "name a file in a folder that exists"
        )


def requests_for(record: Record, context: Context, asking: Asking, path: str, token: str | None) -> Requests:
    """What is sent: the lines of a file, or what was asked lately by its prediction log, or what is made up. Raises MlctlError."""
    language = path != "/predict"
    _refuse_without_effect(asking, language)
    if language:
        return _of_language_model(record, context, asking)
    if asking.data is not None:
        return Requests("file", _from_file(asking.data))
    logged = list(islice(_logged(record, context), _MOST_BODIES))
    if logged:
        return Requests("log", logged)
    return Requests("zeros", [_zeros(url_of(record), str(record.key.address), token)])


def _refuse_without_effect(asking: Asking, language: bool) -> None:
    given = {"--prompts": asking.prompts is not None, "--max-tokens": asking.max_tokens is not None}
    for option in (name for name, told in given.items() if told and not language):
        why = "it scores rows of features, and gives no text"
        raise MlctlError.of("cli.usage", f"`{option}` is for language models", why, "leave it out")
    if asking.data is not None and asking.prompts is not None:
        why = "both say what is sent"
        raise MlctlError.of("cli.usage", "`--prompts` has no effect beside `--data`", why, "leave one of them out")


def _of_language_model(record: Record, context: Context, asking: Asking) -> Requests:
    """Chats. Those of a file that say more than their prompt are sent as they are, but for `--max-tokens`."""
    model = str(record.outputs.get("model", ""))
    most = _OUTPUT_TOKENS if asking.max_tokens is None else asking.max_tokens
    if asking.data is not None:
        own = {} if asking.max_tokens is None else {"max_tokens": asking.max_tokens}
        lines = _from_file(asking.data)
        return Requests(
            "file",
            [
                {**line, **own} if "messages" in line else _chat(model, _prompt_of(line, asking.data), most)
                for line in lines
            ],
        )
    if asking.prompts != "log":
        return Requests("synthetic", [_chat(model, text, most) for text in _prompts()])
    texts = [
        row["prompt"]
        for row in islice(_lines(record, context), _MOST_BODIES)
        if row.get("code") == 200 and row.get("prompt")
    ]
    if not texts:
        why = "it is empty, or `observe.capture` keeps no texts in it (`redacted` and `full` do)"
        fix = "give prompts with `--data FILE`, one JSON object with a `prompt` a line"
        raise MlctlError.of("bench.data", f"the prediction log of {record.key.address} has no prompts", why, fix)
    return Requests("log", [_chat(model, text, most) for text in texts])


def _prompt_of(line: dict[str, Any], path: Path) -> str:
    if isinstance(line.get("prompt"), str):
        return str(line["prompt"])
    fix = "give each line `messages`, as they are sent, or a `prompt`"
    raise MlctlError.of(
        "bench.data", f"`--data {path}` cannot be used", "a line has neither `messages` nor a `prompt`", fix
    )


def judged(
    report: BenchReport, requirements: Iterable[Requirement]
) -> Iterator[tuple[Requirement, Load, float | None, bool]]:
    """Each requirement at each load it is about, with what was measured and whether that is good."""
    for requirement in requirements:
        for point in report.points:
            if requirement.load in (None, point.load):
                yield requirement, point.load, requirement.value(point), requirement.met(point)


def _from_file(path: Path) -> list[dict[str, Any]]:
    bodies = []
    try:
        with open(path, encoding="utf-8") as stream:
            for number, line in enumerate(stream, 1):
                if not line.strip():
                    continue
                body = json.loads(line)
                if not isinstance(body, dict):
                    raise ValueError(f"line {number} is no JSON object")
                bodies.append(body)
                if len(bodies) == _MOST_BODIES:
                    break
    except (OSError, ValueError) as error:
        fix = "give a file with one JSON body a line"
        raise MlctlError.of("bench.data", f"`--data {path}` cannot be used", str(error), fix) from None
    if not bodies:
        raise MlctlError.of("bench.data", f"`--data {path}` is empty", "there is nothing to send", "")
    return bodies


def _logged(record: Record, context: Context) -> Iterator[dict[str, Any]]:
    """Requests as they were asked before: by key, or by features where no key was given."""
    for row in _lines(record, context):
        if row.get("key") and row.get("code") == 200:
            yield {**row["key"], **(row.get("request") or {})}
        elif row.get("features") and row.get("code") == 200:
            yield {"instances": [row["features"]]}


def _lines(record: Record, context: Context) -> Iterator[dict[str, Any]]:
    """The last lines of the log, newest first."""
    folder = record.outputs.get("predictions")
    if isinstance(folder, str):
        yield from newest(context.path(folder), _MOST_LINES)


def _zeros(url: str, address: str, token: str | None) -> dict[str, Any]:
    """A row of zeros with the columns that the server says it takes."""
    forms = openapi(url, address, token)["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"][
        "schema"
    ]
    for form in forms.get("oneOf", [forms]):
        items = form.get("properties", {}).get("instances", {}).get("items", {})
        if "properties" in items:
            return {"instances": [dict.fromkeys(items["properties"], 0)]}
    fix = "give requests with `--data FILE`, one JSON body a line"
    raise MlctlError.of("bench.data", f"{address} does not say which columns it takes", "", fix, address=address)


def _prompts() -> Iterator[str]:
    """Prompts of some sixty tokens that differ from their first words on, so that no prefix cache answers for the model."""
    for number in range(64):
        words = [str(number), *(_PROMPT_WORDS[(number + place) % len(_PROMPT_WORDS)] for place in range(48))]
        yield " ".join(words)


def _chat(model: str, prompt: str, most: int) -> dict[str, Any]:
    """A request that has its answer streamed and its tokens counted."""
    return {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": most,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
