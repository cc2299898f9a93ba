"""mlctl bench: put a load on a deployment."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mlctl.cli.options import AsJson, emit_json, make_app, pick, seconds_of
from mlctl.cli.project import in_project
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.types.jobs.bench import BenchJob, Load
from mlctl.types.requirement import Requirement, parse_requirement
from mlctl.views.human.style import wants_color
from mlctl.workspace import Workspace

app = make_app()


class PromptSource(StrEnum):
    """Where prompts come from when no file has them."""

    SYNTHETIC = "synthetic"
    LOG = "log"


_Concurrency = Annotated[
    str | None,
    typer.Option("--concurrency", "-c", metavar="N,...", help="Clients of closed loops, one after the other."),
]
_Rate = Annotated[str | None, typer.Option("--rate", "-r", metavar="QPS,...", help="Requests a second of open loops.")]
_Data = Annotated[
    Path | None, typer.Option("--data", "-d", metavar="FILE", help="Bodies to send, one JSON object a line.")
]
_Prompts = Annotated[
    PromptSource | None,
    typer.Option("--prompts", help="Of a language model: made up, or those that its prediction log has the texts of."),
]
_MaxTokens = Annotated[
    int | None, typer.Option("--max-tokens", min=1, help="Of an answer of a language model; 64 if not given.")
]
_Require = Annotated[
    list[str] | None, typer.Option("--require", metavar="TEXT", help="A bound, at a load; repeat it for several.")
]


@app.command(
    help="Measure a deployment under load: latency (P50, P95, P99), requests and errors a second; of a language model also the "
    "time to the first token (TTFT), the time per output token (TPOT) and tokens a second.\n\n"
    "--concurrency is a closed loop: each client waits for its answer. --rate is an open loop: requests arrive at random, "
    "whether the server keeps up or not, and times count from when a request was due. Requests are those of the prediction log, "
    "of a file, or rows of zeros; of a language model made-up chats, a file's, or the log's (--prompts log).\n\n"
    "With --require it is a gate: exit 3 when something is not met.\n\n"
    "Examples:\n\n  mlctl bench churn_api\n\n  mlctl bench churn_api --concurrency 1,8,32 --duration 20s --html bench.html\n\n"
    "  mlctl bench --require 'p99 < 50ms at 100 qps' --require 'error_rate <= 0.1% at 100 qps'\n\n"
    "  mlctl bench helper_api --rate 2,4 --data prompts.jsonl --max-tokens 256 --json",
)
@in_project
def bench(
    workspace: Workspace,
    deployment: Annotated[str | None, typer.Argument(help="May be left out when there is only one.")] = None,
    concurrency: _Concurrency = None,
    rate: _Rate = None,
    duration: Annotated[str, typer.Option("--duration", help="How long each load is kept up.")] = "10s",
    warmup: Annotated[str, typer.Option("--warmup", help="How long it is kept up before that, unmeasured.")] = "2s",
    data: _Data = None,
    prompts: _Prompts = None,
    max_tokens: _MaxTokens = None,
    require: _Require = None,
    timeout: Annotated[str, typer.Option("--timeout", help="After which a request is given up.")] = "30s",
    seed: Annotated[int, typer.Option("--seed", help="Draws the arrivals of open loops.")] = 0,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page with plots.")] = None,
    as_json: AsJson = False,
) -> int:
    """Measure, show, judge."""
    from mlctl.cli.benchmarking import Asking, judged, requests_for, run_bench, writable
    from mlctl.providers.serving.client import path_of, token_of, url_of
    from mlctl.views.human import bench as view

    if html is not None:
        writable(html)
    requirements = [_requirement(text) for text in require or []]
    loads = _loads(concurrency, rate, requirements)
    record = pick(workspace.records(), "deployments", deployment)
    address = str(record.key.address)
    path, token = path_of(record), token_of(record, lambda: workspace.surroundings.secrets)
    asking = Asking(data, None if prompts is None else prompts.value, max_tokens)
    requests = requests_for(record, workspace.reader()[1], asking, path, token)
    wanted = BenchJob(
        url=url_of(record),
        path=path,
        token=token,
        bodies="",
        loads=loads,
        seconds=_positive("--duration", duration),
        warmup_seconds=seconds_of(warmup),
        timeout_seconds=_positive("--timeout", timeout),
        streaming=all(bool(body.get("stream")) for body in requests.bodies),
        seed=seed,
    )
    report = run_bench(workspace, record, wanted, requests)
    verdicts = list(judged(report, requirements))
    if html is not None:
        from mlctl.files import atomic
        from mlctl.views.html import bench as page

        atomic.write_bytes(html, page.render(address, report, verdicts).encode())
    if as_json:
        required = [
            {"text": item.text, "load": str(load), "value": value, "met": met} for item, load, value, met in verdicts
        ]
        emit_json({"type": "bench", "address": address, **report.model_dump(mode="json"), "required": required})
    else:
        print(view.text(address, report, verdicts, color=wants_color(sys.stdout)), end="")
    return ExitCode.OK if all(met for *_, met in verdicts) else ExitCode.GATE_FAILED


def _loads(concurrency: str | None, rate: str | None, requirements: list[Requirement]) -> list[Load]:
    """What was asked for, then what requirements are about; one load of 8 clients when nobody asks for any."""
    asked = [Load(kind="closed", value=value) for value in _numbers("--concurrency", concurrency, whole=True)]
    asked += [Load(kind="open", value=value) for value in _numbers("--rate", rate, whole=False)]
    asked += [item.load for item in requirements if item.load is not None]
    return list(dict.fromkeys(asked)) or [Load(kind="closed", value=8)]


def _numbers(option: str, text: str | None, *, whole: bool) -> list[float]:
    found = []
    for part in (text or "").split(",") if text is not None else ():
        try:
            value = float(part)
        except ValueError:
            value = 0.0
        if not 0 < value < 1e6 or (whole and value != int(value)):
            kind = "whole numbers" if whole else "numbers"
            raise MlctlError.of(
                "cli.usage", f"`{option} {text}` is not a list of {kind} above 0", "", f"for example `{option} 1,8,32`"
            )
        found.append(value)
    return found


def _positive(option: str, text: str) -> float:
    seconds = seconds_of(text)
    if seconds <= 0:
        raise MlctlError.of("cli.usage", f"`{option} {text}` is no time at all", "", f"for example `{option} 10s`")
    return seconds


def _requirement(text: str) -> Requirement:
    try:
        return parse_requirement(text)
    except ValueError as error:
        raise MlctlError.of("cli.usage", str(error), "", "see `mlctl bench --help`") from None
