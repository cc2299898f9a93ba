"""What a command may import. Speed of the command line is a feature, and imports are what it is lost by."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mlctl.registry import Registry

HEAVY = [
    "torch", "pandas", "numpy", "mlflow", "feast", "great_expectations", "evidently", "duckdb", "pyarrow", "sklearn",
    "scipy", "statsmodels", "boto3", "fastapi", "transformers", "vllm", "matplotlib",
]  # fmt: skip
ROOT = Path(__file__).parents[2]


def imported(*arguments: str, cwd: Path = ROOT) -> set[str]:
    """The heavy modules in the process after a command line has run."""
    program = (
        "import sys, json, io, contextlib\n"
        "from mlctl.cli.main import run\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):\n"
        "    run(sys.argv[1:])\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True, cwd=cwd
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "command",
    [["plan"], ["validate"], ["status"], ["why", "training.shops_next_week"], ["graph"], ["state", "list"], ["output"]],
)
def test_commands_that_only_look_import_no_heavy_library(command: list[str]) -> None:
    assert imported("-C", "specs/quickstart", *command) & {*HEAVY} == set()


LANGUAGE = """\
project: chat
datasets:
  chats: {path: chats.jsonl, key: [id]}
training:
  helper:
    data: {dataset: chats, prompt: prompt, completion: completion}
    model: {type: causal_lm, base: base}
    method: {type: lora}
    strategy: {type: auto, processes: 2}
    epochs: 1
    batch_size: 4
    optimizer: {type: adamw, lr: 1e-3}
    search: {trials: 3, space: {method.alpha: {low: 4.0, high: 32.0}}}
"""
CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "intermediate_size": 128,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 4, "vocab_size": 256,
    "max_position_embeddings": 2048, "tie_word_embeddings": False,
}  # fmt: skip


@pytest.mark.parametrize("command", [["plan"], ["validate"], ["status"], ["why", "training.helper"]])
def test_a_language_model_is_looked_at_without_a_heavy_library(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    for name, text in (
        ("mlctl.yaml", LANGUAGE), ("chats.jsonl", '{"id": 1, "prompt": "a", "completion": "b"}\n'),
        ("base/config.json", json.dumps(CONFIG)), ("base/tokenizer.json", "{}"), ("base/model.safetensors", ""),
    ):  # fmt: skip
        (tmp_path / name).write_text(text)
    assert imported(*command, cwd=tmp_path) & {*HEAVY, "optuna", "peft", "trl", "ray", "sky"} == set()


def test_version_and_help_import_next_to_nothing() -> None:
    for arguments in (["--version"], ["--help"]):
        assert imported(*arguments) & {*HEAVY, "typer", "pydantic", "yaml", "rich"} == set()


def test_plan_does_not_import_rich() -> None:
    assert "rich" not in imported("-C", "specs/quickstart", "plan")


@pytest.mark.parametrize("section", sorted(Registry().sections()))
def test_a_kind_is_cheap_to_import(section: str) -> None:
    program = (
        f"import sys; from mlctl.registry import Registry; Registry().kind({section!r}); print(','.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert {name.partition(".")[0] for name in done.stdout.split(",")} & {*HEAVY} == set()
