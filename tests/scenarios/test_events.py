"""Every line of `--json` is what the published schema says, and the page about it shows lines that were really printed.

`MLCTL_GOLDEN=write` writes docs/reference/events.md and events.schema.json anew; a type whose line takes a heavy tool keeps
the example it has, which is checked against the schema.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from mlctl.types.change import Action, Reason
from mlctl.types.event import Event as RunEvent
from mlctl.views.json.events import EVENTS
from mlctl.views.json.plan import FORMAT
from mlctl.views.json.schema import events_schema
from tests.scenarios.runner import MLCTL

ROOT = Path(__file__).parents[2]
PAGE, SCHEMA = ROOT / "docs/reference/events.md", ROOT / "docs/reference/events.schema.json"
HEAVY = {
    "apply_detached", "held", "unlocked", "schedule", "features", "features_push", "features_serve", "feature_view", "parity",
    "log_parity", "monitor", "assignment", "model", "provenance", "reproduction", "model_exported", "model_converted",
    "kill_test", "engine_progress", "bench", "rollout", "rollout_history", "unit", "manifest", "experiment_analysis", "experiment_promotion",
    "experiment_certificate", "hash_vectors", "hash_check", "decision", "replay", "label_budget", "monitor_actions", "monitor_trend",
    "monitor_backtest", "retrain", "retrain_idle", "demo", "cost_run", "cost_deployment", "request", "metric_problem", "metrics_linted", "audit_finding", "audit", "maturity",
}  # fmt: skip

PROJECT = """\
project: shop
environments: {dev: {}}
variables: {top: {type: int, default: 100}}
datasets:
  visits: {path: data/visits.csv, key: [visit_id]}
data_checks:
  visits_ok:
    dataset: visits
    rules:
      - unique: {columns: [visit_id]}
      - range: {column: pages, max: "${var.top}"}
entities:
  visitor: {key: visitor_id, depends_on: [data_checks.visits_ok]}
"""
SIZE = """\
project: shop
datasets:
  visits: {path: data/visits.csv, key: [visit_id]}
  later: {path: data/visits.csv, key: [visit_id]}
training:
  buys:
    data: {labels: visits, columns: [visitor_id], target: pages, split: {by: random, test: 20%}}
    model: {type: mlp, hidden: [4]}
    epochs: 1
    optimizer: {type: adamw, lr: 1e-2}
evaluations:
  gate: {model: "${training.buys.model}", dataset: later, require: {roc_auc: {min: 0.5, not_worse_than: champion}}, register: {name: m, alias: champion}}
deployments:
  api: {model: m@champion, serve: {pattern: online, engine: torch, port: 8099}, log: {predictions: true, features: true}}
experiments:
  mail:
    deployment: api
    hypothesis: h
    unit: visitor_id
    arms: {control: 50, treatment: 50}
    primary: {metric: bought, type: proportion, baseline: 0.2, mde: {relative: 0.1}}
    guardrails: [{metric: error_rate, margin: 0.002}]
    design: {power: 0.8, alpha: 0.05, min_duration: 7d, daily_units: 900}
"""
PRICED = """\
project: shop
datasets:
  visits: {path: data/visits.csv, key: [visit_id]}
training:
  helper:
    data: {dataset: visits, text: pages, max_length: 512}
    model: {type: causal_lm, base: meta-llama/Llama-3.2-1B, revision: 4e20de362430cd3b72f300e6b0f18e50e7166e08}
    epochs: 1
    batch_size: 8
    optimizer: {type: adamw, lr: 1e-5}
    executor: {type: skypilot, gpu: H100, storage: "s3://helper/jobs"}
"""
CATALOGUE = """\
InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,Region,GpuInfo,SpotPrice
gpu_8x_h100_sxm5,H100,8,208,1800,23.92,us-east-1,,
"""
# Commands in the order in which they are run, with what is done before some of them.
STORY: list[str | tuple[str, str, str]] = [
    "version", "validate", "plan", "plan --target datasets.visits", "apply --auto-approve", "status", "output", "show entities.visitor",
    "why data_checks.visits_ok", "state list", "state show entities.visitor", "state log", "env list", "env show dev", "doctor",
    "console datasets.visits.rows", "fmt --check", "runs", "plan --out before.plan",
    "explain before.plan entities.visitor", "data profile visits", "data check", "data versions visits",
    "data contract record visits", "data contract show visits", "data contract export visits_ok --format gx --out suite.json",
    "data contract import suite.json", "features list", "engine list",
    ("data/visits.csv", "2,1,5", "1,1,5"), "plan", "plan --diff before.plan --var top=50", "apply --auto-approve", "status", "apply before.plan",
    "data diff visits@previous visits",
    'approve data_checks.visits_ok --why "a known double"', "plan",
    ("data/visits.csv", "pages", "sides"), "apply --auto-approve",
    ("data/visits.csv", "sides", "pages"), "apply --auto-approve",
    ("rm", ".mlctl/*/objects/datasets.visits", ""), "plan", "apply --auto-approve",
    ("data/visits.csv", "4,3,80", '4,3,80\n"not closed'), "apply --auto-approve", ("data/visits.csv", '\n"not closed', ""), "apply --auto-approve",
    ("mlctl.yaml", "entities:", "entites:"), "plan", ("mlctl.yaml", "entites:", "entities:"), "experiment size mail -f size.yaml",
    "plan -f priced.yaml", "cost estimate -f priced.yaml --rows visits=9000", "cost compare -f priced.yaml --rows visits=9000 --gpu H100 --gpus 1",
    "cost what-if -f priced.yaml --rows visits=9000 --set training.helper.epochs=2", "cost break-even --gpu H100 --rent 2.65", "cost actual",
    "cost size -f priced.yaml --rows visits=9000 --gpu H100 --gpus 1", "cost advise -f priced.yaml --rows visits=9000",
    "cost advise -f priced.yaml --rows visits=9000 --apply-patch 1 --yes", "cost import catalogue.csv --from skypilot --provider Lambda --as-of 2026-11-20",
    "state mv data_checks.visits_ok data_checks.double --auto-approve", "state fsck", "state diff 1 2", "state rm entities.visitor --auto-approve",
    "state undo --auto-approve", "no-such-command", "destroy --auto-approve", "destroy --auto-approve",
]  # fmt: skip


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, dict[str, Any]]]:
    """Each line that the story printed, with its command."""
    root = tmp_path_factory.mktemp("events")
    (root / "data").mkdir()
    (root / "data/visits.csv").write_text("visit_id,visitor_id,pages\n1,1,3\n2,1,5\n3,2,1\n4,3,80\n")
    (root / "mlctl.yaml").write_text(PROJECT)
    (root / "size.yaml").write_text(SIZE)
    (root / "priced.yaml").write_text(PRICED)
    (root / "catalogue.csv").write_text(CATALOGUE)
    found = []
    for step in STORY:
        if isinstance(step, tuple) and step[0] == "rm":
            (folder,) = root.glob(step[1])
            shutil.rmtree(folder)
        elif isinstance(step, tuple):
            text = (root / step[0]).read_text()
            assert step[1] in text, step
            (root / step[0]).write_text(text.replace(step[1], step[2]))
        else:
            found += [(step, line) for line in _run(root, step)]
    return found


def _run(root: Path, command: str) -> Iterator[dict[str, Any]]:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(root),
        "TZ": "UTC",
        "COLUMNS": "100",
        "MLCTL_PRICES_ON": "2026-11-22",
    }
    done = subprocess.run(
        [str(MLCTL), *shlex.split(command), "--json"], cwd=root, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode != 70, done.stdout
    for text in done.stdout.splitlines():
        line = json.loads(text)
        assert isinstance(line, dict), (command, text)
        yield line


@pytest.mark.tools
def test_every_line_is_what_the_schema_says(lines: list[tuple[str, dict[str, Any]]]) -> None:
    check = jsonschema.Draft202012Validator(events_schema(closed=True))
    for command, line in lines:
        problem = next(iter(check.iter_errors(line)), None)
        if problem is not None:
            own = {"$ref": f"#/$defs/event_{line.get('type')}"}
            closer = jsonschema.Draft202012Validator({**own, "$defs": events_schema(closed=True)["$defs"]})
            raise AssertionError(f"{command}: {line}\n{[item.message for item in closer.iter_errors(line)]}")


@pytest.mark.tools
def test_the_story_prints_every_type_that_takes_no_heavy_tool(lines: list[tuple[str, dict[str, Any]]]) -> None:
    assert EVENTS.keys() - {line["type"] for _, line in lines} <= HEAVY


@pytest.mark.tools
def test_the_page_shows_each_type_with_a_line_that_was_printed(lines: list[tuple[str, dict[str, Any]]]) -> None:
    kept = (
        dict(re.findall(r"^## (\w+)\n.*?```json\n(.*?)\n```", PAGE.read_text(), re.S | re.M)) if PAGE.exists() else {}
    )
    examples = {name: kept[name] for name in HEAVY & EVENTS.keys() if name in kept}
    for _, line in lines:
        if line["type"] not in examples and line["type"] not in HEAVY:
            examples[line["type"]] = json.dumps(_settled(line), ensure_ascii=False)
    for name in HEAVY & EVENTS.keys() - kept.keys():
        printed = [line for _, line in lines if line["type"] == name]
        if printed:
            examples[name] = json.dumps(_settled(printed[0]), ensure_ascii=False)
    check = jsonschema.Draft202012Validator(events_schema())
    for example in examples.values():
        check.validate(json.loads(example))
    page = _page(examples)
    if os.environ.get("MLCTL_GOLDEN") == "write":
        PAGE.write_text(page)
    assert PAGE.read_text() == page
    assert examples.keys() == EVENTS.keys()


def test_the_schema_in_the_documentation_is_what_the_program_prints() -> None:
    done = subprocess.run([str(MLCTL), "schema", "--events"], capture_output=True, text=True, check=True)
    if os.environ.get("MLCTL_GOLDEN") == "write":
        SCHEMA.write_text(done.stdout)
    assert SCHEMA.read_text() == done.stdout
    jsonschema.Draft202012Validator.check_schema(json.loads(done.stdout))


def test_every_type_that_the_program_writes_is_in_the_schema() -> None:
    sources = [*(ROOT / "mlctl/cli").rglob("*.py"), *(ROOT / "mlctl/views/json").glob("*.py")]
    texts = [
        path.read_text()
        for path in sources
        if not path.name.endswith("events.py") and path.name not in ("event_type.py", "schema.py")
    ]
    written = {name for text in texts for name in re.findall(r'\{[^{}]*?"type": "([a-z_]+)"', text)}
    assert written - EVENTS.keys() == set()
    assert EVENTS.keys() - written == set()


def test_all_words_of_the_program_are_words_of_the_schema() -> None:
    definitions = events_schema()["$defs"]
    assert set(definitions["action"]["enum"]) == {item.value for item in Action}
    assert set(definitions["reason"]["enum"]) == {item.value for item in Reason}
    assert len(RunEvent.__args__) == len([name for name in EVENTS if name.startswith("apply_")]) - 1 + 1, (
        "one for each, and `gate`"
    )


@pytest.mark.parametrize(
    ("line", "good"),
    [
        ({"type": "version", "mlctl": "1", "format": "1.99"}, True),
        ({"type": "version", "mlctl": "1", "format": "2.0"}, False),
        ({"type": "formatted", "file": "p", "changed": True, "later": "field"}, True),
        ({"type": "formatted", "file": "p"}, False),
        ({"type": "formatted", "file": "p", "changed": "yes"}, False),
        ({"file": "p", "changed": True}, False),
        ({"type": "no_such_type"}, False),
    ],
)
def test_readers_may_count_on_fields_and_must_allow_more(line: dict[str, Any], good: bool) -> None:
    assert jsonschema.Draft202012Validator(events_schema()).is_valid(line) is good


_FIXED = [
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)"), "2026-11-20T09:30:00Z"),
    (re.compile(r"\b\d{8}-\d{6}\b"), "20261120-093000"),
    (re.compile(r"\b[0-9a-f]{64}\b|\b[0-9a-f]{32}\b"), "8d97e01fc91e9af38f4dedfe14020370"),
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "1b4e28ba-2fa1-4d3b-a3f5-ef19b5a7633b"),
    (re.compile(r"\b[0-9a-f]{16}\b"), "27bf69a680cd5e3b"),
    (re.compile(r"/[\w./-]*/(?=mlctl\b|data/|\.mlctl|prices\.yaml)"), "/home/ann/shop/"),
]  # fmt: skip
_WORDS = {
    "by": "ann@builder", "who": "ann@builder", "host": "builder", "machine": "x86_64", "python": "3.11.7", "mlctl": "0.2.0", "seconds": 1.3,
    "size": 1720, "platform": "Linux", "ms": 12,
}  # fmt: skip


def _settled(value: Any, name: str = "") -> Any:
    """A line as it would be at any other time, on any other machine."""
    if name in _WORDS and not isinstance(value, dict | list):
        return _WORDS[name]
    if isinstance(value, dict):
        if value.get("type") == "doctor":
            return {"type": "doctor", "name": "duckdb", "ok": True, "text": "2.0.1", "fix": ""}
        if value.get("type") == "run":
            value = {**value, "id": "7f3a"}
        if value.get("type") == "data_version":
            value = {**value, "runs": ["7f3a"]}
        return {key: _settled(item, key) for key, item in value.items() if key not in ("git",)}
    if isinstance(value, list):
        return [_settled(item) for item in value]
    if isinstance(value, str):
        for pattern, fixed in _FIXED:
            value = pattern.sub(fixed, value)
    return value


def _page(examples: dict[str, str]) -> str:
    lines = [
        "# Events: what `--json` prints", "",
        "Every line that a command prints with `--json` is a JSON object with a `type`. `mlctl schema --events` prints the JSON Schema of",
        "all of them ([events.schema.json](events.schema.json)). Errors are lines too, of the type `diagnostic`, and the exit code is not 0.", "",
        f"The format of this page is **{FORMAT}**; `version`, the first line of long streams, says which one a program speaks.", "",
        "- Ignore types and fields that you do not know: a minor version adds some.",
        "- A major version changes what is there, or takes it away. It will be announced, and the one before kept for a time.",
        '- A value that is not known yet is `{"unknown": SOURCE}`. A secret is `(sensitive)`.',
        "- Numbers that JSON does not have, such as a loss that diverged, are null.", "",
        "Each example is a line that was printed by the tests; those of types that take a heavy tool are only checked against the schema.", "",
        "Three commands print a bare value, since one was asked for: `output NAME.KEY --json`, `predict --json`, and `schema`.",
    ]  # fmt: skip
    for name, event in EVENTS.items():
        lines += ["", f"## {name}", "", event.text, "", "```json", examples.get(name, "{}"), "```"]
    return "\n".join(lines) + "\n"
