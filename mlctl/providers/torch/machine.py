"""What a training needs of the machine that starts it: packages, compilers, clients. Looked for when it is to be run, not when it is read."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib.util import find_spec

from mlctl.providers.torch.layout import engine_of
from mlctl.providers.torch.spec import Corpus, Galore, LowRank, Qlora, TrainingSpec
from mlctl.types.diagnostic import Diagnostic
from mlctl.types.jobs.recipe import ZERO, Layout

# The extra of mlctl that brings a package.
_EXTRAS = {
    "torch": "train", "transformers": "train", "accelerate": "train", "peft": "train", "deepspeed": "train", "trl": "train",
    "bitsandbytes": "qlora", "galore_torch": "galore", "ray": "ray", "optuna": "search",
}  # fmt: skip
_HERE = ("local", "torchrun", "ray")  # executors whose ranks run with this very Python
_CLIENTS = {"slurm": "sbatch", "kubernetes": "kubectl"}


def missing_tools(spec: TrainingSpec, layout: Layout) -> Iterator[Diagnostic]:
    """What is not installed here, with the line that installs it."""
    executor = spec.executor.type
    if executor in _HERE:
        for package, why in _packages(spec, layout, executor):
            if find_spec(package) is None:
                yield Diagnostic(
                    "training.package-missing",
                    f"the package `{package}` is not installed",
                    why,
                    f"pip install 'mlctl[{_EXTRAS[package]}]'",
                )
        if spec.memory.compile and shutil.which("g++") is None:
            yield Diagnostic(
                "training.compiler-missing",
                "there is no C++ compiler `g++`",
                "`memory.compile` compiles the model with it",
                "install g++ (Debian: apt-get install g++), or do without it",
            )
    client = _CLIENTS.get(executor)
    if client is not None and shutil.which(client) is None:
        yield Diagnostic(
            "training.client-missing",
            f"there is no program `{client}`",
            f"the executor `{executor}` submits and follows by it",
            f"install it, or run mlctl where `{client}` is",
        )


def _packages(spec: TrainingSpec, layout: Layout, executor: str) -> Iterator[tuple[str, str]]:
    yield "torch", "every training is computed by it"
    if engine_of(spec) == "hf":
        yield "transformers", "it is the engine `hf`"
        yield "accelerate", "the engine `hf` needs it"
    if layout.strategy in ZERO:
        yield "deepspeed", f"it is `{layout.strategy}`"
    if isinstance(spec.data, Corpus) and spec.data.packing:
        yield "trl", "it packs documents into rows"
    if isinstance(spec.method, LowRank):
        yield "peft", f"it is `{spec.method.type}`"
    if isinstance(spec.method, Galore):
        yield "galore_torch", "it is `galore`"
    if isinstance(spec.method, Qlora) or spec.optimizer.type == "adamw_8bit":
        yield "bitsandbytes", "it keeps numbers in 4 or 8 bits"
    if spec.distill is not None and spec.distill.on_policy:
        yield "trl", "it is on-policy distillation"
    if executor == "ray":
        yield "ray", "it is the executor"
    if spec.search is not None:
        yield "optuna", "it looks for hyperparameters (`search`)"
