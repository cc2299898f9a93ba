"""The load test of a deployment: which requests it sends, its run, and what it had to show."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from mlctl.cli.interrupting import Ending, interruptible
from mlctl.cli.watching import watched
from mlctl.files import atomic
from mlctl.launch import job
from mlctl.provider import Context
from mlctl.providers.serving.client import openapi, url_of
from mlctl.types.diagnostic import MlctlError
from mlctl.types.interrupt import Manner
from mlctl.types.jobs.bench import BenchJob, BenchReport, Load
from mlctl.types.requirement import Requirement
from mlctl.types.state import Record
from mlctl.workspace import Workspace

_MOST_BODIES = 10_000
_TAIL_BYTES = 4 * 1024 * 1024
_PROMPT_WORDS = ("the", "delivery", "of", "my", "order", "is", "late", "and", "I", "want", "to", "know", "where", "it")
_OUTPUT_TOKENS = 64


def run_bench(workspace: Workspace, record: Record, wanted: BenchJob, bodies: Sequence[dict[str, Any]]) -> BenchReport:
    """Run the test in a worker of its own. Raises MlctlError."""
    _, context = workspace.reader()
    folder = own_folder(context.home, record.key.address.name)
    requests = folder / "bodies.jsonl"
    atomic.write_bytes(requests, "".join(json.dumps(body) + "\n" for body in bodies).encode())
    params = wanted.model_copy(update={"bodies": str(requests)})
    with (
        interruptible(Ending(workspace.stop, default=Manner.STOP)),
        watched(context, f"load on {record.key.address}") as told,
    ):
        found = job.run("bench", params.model_dump(mode="json"), folder, told).outputs
    report = BenchReport.model_validate(dict(found))
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


def requests_for(
    record: Record, context: Context, data: Path | None, path: str, token: str | None
) -> list[dict[str, Any]]:
    """What is sent: the lines of a file, or what was asked lately by its prediction log, or rows of zeros. Raises MlctlError."""
    if data is not None:
        return _from_file(data)
    if path != "/predict":
        return list(_prompts(str(record.outputs.get("model", ""))))
    logged = list(islice(_logged(record, context), _MOST_BODIES))
    return logged or [_zeros(url_of(record), str(record.key.address), token)]


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
    """Requests as they were asked before, newest day first: by key, or by features where no key was given."""
    folder = record.outputs.get("predictions")
    if not isinstance(folder, str) or not context.path(folder).is_dir():
        return
    for path in sorted(context.path(folder).glob("*.jsonl"), reverse=True):
        with open(path, "rb") as stream:
            stream.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            lines = stream.read().splitlines()
        for line in reversed(lines):
            try:
                row = json.loads(line)
            except ValueError:
                continue  # the first of the tail may be cut
            if row.get("key") and row.get("code") == 200:
                yield {**row["key"], **(row.get("request") or {})}
            elif row.get("features") and row.get("code") == 200:
                yield {"instances": [row["features"]]}


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


def _prompts(model: str) -> Iterator[dict[str, Any]]:
    """Chats of some sixty tokens that differ from their first words on, so that no prefix cache answers for the model."""
    for number in range(64):
        words = [str(number), *(_PROMPT_WORDS[(number + place) % len(_PROMPT_WORDS)] for place in range(48))]
        yield {
            "model": model,
            "messages": [{"role": "user", "content": " ".join(words)}],
            "max_tokens": _OUTPUT_TOKENS,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
