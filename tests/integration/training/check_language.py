"""Checks of the language model that need torch; run by test_parallel.py in a process of its own, with the folder of a model."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from mlctl.runtime.trainer.torch_engine import llama


def rows() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two documents in the first row, one in the second, and prompts that do not count."""
    draw = torch.Generator().manual_seed(1)
    tokens = torch.randint(3, 250, (2, 24), generator=draw)
    positions = torch.stack([torch.cat([torch.arange(10), torch.arange(14)]), torch.arange(24)])
    tokens[1, 20] = 2  # the padding token in the midst of a text, whose embedding Transformers does not train
    labels = tokens.clone()
    labels[0, :3] = labels[0, 10:14] = labels[1, :7] = llama.IGNORED
    return tokens, positions, labels


def gradients(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    found = {name: value.grad for name, value in module.named_parameters() if value.grad is not None}
    module.zero_grad(set_to_none=True)
    return {name: value.clone() for name, value in found.items()}


def check(base: Path) -> None:
    tokens, positions, labels = rows()
    network = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).train()
    network.config.use_cache = False
    expected = network(input_ids=tokens, position_ids=positions, labels=labels).loss * int((labels != -100).sum())
    expected.backward()
    wanted = gradients(network)

    module = llama.load(base).train()
    assert sorted(module.state_dict()) == sorted(network.state_dict())
    llama._LOGITS = 5 * 256  # parts of five tokens, the last of them smaller
    for whole in (True, False):
        loss = module(tokens, positions, labels)
        torch.testing.assert_close(loss[0], expected.detach(), rtol=1e-6, atol=0)
        loss.backward()
        found = gradients(module)
        assert found.keys() == wanted.keys()
        for name, value in wanted.items():
            torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6, msg=f"{name} {whole}")
        llama._LOGITS = 1 << 25
    nothing = module(tokens, positions, torch.full_like(labels, llama.IGNORED))
    nothing.backward()  # a row that only fills a micro-batch
    assert nothing.item() == 0
    assert all((value == 0).all() for value in gradients(module).values())

    filled = llama.empty(base)
    llama.fill(filled, base, torch.device("cpu"))
    assert all(torch.equal(value, module.state_dict()[name]) for name, value in filled.state_dict().items())
    assert torch.equal(filled(tokens, positions, labels), module(tokens, positions, labels))


if __name__ == "__main__":
    torch.use_deterministic_algorithms(True)
    for folder in sys.argv[1:]:
        check(Path(folder))
