"""A project in which each of the ten ways to make something cheaper applies to one resource at least, with prices of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from mlctl.workspace import Workspace

DAY = "2026-11-20"
ROWS = 50_000
PROJECT = """\
# what we sell, and how we answer
project: shop
prices: prices.yaml

datasets:
  chats: {path: data/chats.jsonl, key: [id]}
  chats_holdout: {path: data/chats_holdout.jsonl, key: [id]}
  visits: {path: data/visits.csv, key: [id]}
  visits_holdout: {path: data/visits_holdout.csv, key: [id]}

training:
  # all weights of the large one
  large:
    data: {dataset: chats, text: text, max_length: 1024}
    model: {type: causal_lm, base: meta-llama/Llama-3.1-8B, revision: 0e9e39f249a16976918f6564b8830bc894c89659}
    strategy: {type: fsdp, processes: 8}   # the whole machine
    epochs: 2
    batch_size: 64
    micro_batch_size: 4   # as much as fits
    optimizer: {type: adamw, lr: 2e-5}
    executor: {type: skypilot, gpu: H100, gpus: 8, storage: s3://shop/runs}   # rented
  small:
    data: {dataset: chats, text: text, max_length: 1024}
    model: {type: causal_lm, base: meta-llama/Llama-3.2-1B, revision: 0e9e39f249a16976918f6564b8830bc894c89659}
    strategy:
      type: ddp
      processes: 2
    epochs: 1
    batch_size: 16
    optimizer: {type: adamw, lr: 2e-5}
    executor: {type: skypilot, gpu: A100-80GB, gpus: 2, storage: s3://shop/runs}
  buys:
    data: {labels: visits, columns: [minutes, pages], target: bought, split: {by: random, test: 20%}}
    model: {type: mlp, hidden: [64, 32]}
    epochs: 5
    batch_size: 256
    optimizer: {type: adamw, lr: 1e-3}

evaluations:
  large_gate: {model: "${training.large.model}", dataset: chats_holdout, require: {loss: {max: 3, not_worse_than: champion}}, register: {name: large, alias: champion}}
  small_gate: {model: "${training.small.model}", dataset: chats_holdout, require: {loss: {max: 3, not_worse_than: champion}}, register: {name: small, alias: champion}}
  buys_gate: {model: "${training.buys.model}", dataset: visits_holdout, require: {accuracy: {min: 0.5, not_worse_than: champion}}, register: {name: buys, alias: champion}}

deployments:
  chat:
    model: large@champion
    serve: {port: 8300, engine: {type: vllm, max_model_len: 4096}}
    target:
      type: kubernetes
      image: registry.example/vllm:1
      models: s3://shop/models
      cpus: 8
      memory: 64Gi
      gpus: 2
      node_selector: {nvidia.com/gpu.product: NVIDIA-H100-80GB-HBM3, karpenter.sh/capacity-type: on-demand}
  slow:
    model: large@champion
    serve: {port: 8301, engine: {type: vllm, dtype: float32, max_model_len: 4096, max_running: 1}}
  rows:
    model: buys@champion
    serve: {port: 8302, batching: {max_size: 1}}
"""
_PRICES = (
    ("L4", "on_demand", 0.7), ("L4", "spot", 0.3), ("L40S", "on_demand", 1.2), ("A100-80GB", "on_demand", 2.0),
    ("A100-80GB", "spot", 0.6), ("H100", "on_demand", 3.6), ("H100", "spot", 1.2), ("B200", "on_demand", 6.7),
)  # fmt: skip


def price_list() -> str:
    """One provider, of whom all is known."""
    rows = [
        {"gpu": gpu, "provider": "House", "tier": tier, "usd": usd, "as_of": "2026-11-01", "source": "our contract"}
        for gpu, tier, usd in _PRICES
    ]
    return yaml.safe_dump({"rows": rows}, sort_keys=False)


def written(folder: Path, text: str = PROJECT, **files: str) -> Workspace:
    """The project in a folder, opened."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for part in ("", "_holdout"):
        (folder / "data" / f"chats{part}.jsonl").write_text(
            '{"id": 1, "text": "hello there"}\n' * 2
        )  # too few to foretell a length from
        (folder / "data" / f"visits{part}.csv").write_text("id,minutes,pages,bought\n1,2,3,0\n")
    (folder / "prices.yaml").write_text(price_list())
    (folder / "mlctl.yaml").write_text(text)
    for name, content in files.items():
        (folder / f"{name}.yaml").write_text(content)
    return Workspace(folder)


def spec_of(workspace: Workspace, address: str) -> Any:
    """A resource of the project as it is read from the disk now."""
    fresh = Workspace(workspace.root, chosen=workspace.chosen)
    return next(item.spec for name, item in fresh.project.resources.items() if str(name) == address)
