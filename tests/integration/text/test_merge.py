"""An adapter goes into the weights one matrix after another: the same to the bit as in 32 bits, with half of the memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.integration.text.tiny import make_model

pytestmark = pytest.mark.filterwarnings("default")  # of the libraries under test


def adapted(base: Path, folder: Path, **settings: Any) -> Path:
    """An adapter that says something, in PEFT's format."""
    import torch
    from peft import LoraConfig, get_peft_model

    from mlctl.runtime.trainer.text.base import load_folder

    torch.manual_seed(1)
    config = LoraConfig(r=4, lora_alpha=8, task_type="CAUSAL_LM", **settings)
    module = get_peft_model(load_folder(base, torch.float32), config)
    for name, value in module.named_parameters():
        if "lora_" in name:
            value.data.normal_(std=0.05)
    module.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", ["bfloat16", "float16", "float32"])
@pytest.mark.parametrize(
    "settings",
    [
        {"target_modules": "all-linear"},
        {"target_modules": "all-linear", "use_dora": True},
        {"target_modules": ["q_proj", "up_proj"], "use_rslora": True, "rank_pattern": {"q_proj": 2}},
    ],
    ids=["lora", "dora", "ranks"],
)
def test_what_is_merged_in_16_bits_is_what_peft_merges_in_32_and_rounds(
    tmp_path: Path, kind: str, settings: dict[str, Any]
) -> None:
    import torch
    from peft import PeftModel

    from mlctl.runtime.trainer.text.base import load_folder
    from mlctl.runtime.trainer.text.merge import merged

    dtype = getattr(torch, kind)
    plain = make_model(tmp_path / "plain")
    base = tmp_path / "base"
    load_folder(plain, dtype).save_pretrained(base)
    adapter = adapted(base, tmp_path / "adapter", **settings)
    whole = PeftModel.from_pretrained(load_folder(base, torch.float32), str(adapter)).merge_and_unload(safe_merge=True)
    expected = whole.to(dtype).state_dict()
    module = merged(load_folder(base, dtype), adapter)
    assert {value.dtype for value in module.parameters()} == {dtype}
    found = module.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    before = load_folder(base, dtype).state_dict()
    assert any(not torch.equal(found[name], before[name]) for name in before)


def test_no_more_than_one_matrix_is_in_32_bits_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from peft.tuners.lora import Linear

    from mlctl.runtime.trainer.text.base import load_folder
    from mlctl.runtime.trainer.text.merge import merged

    base = make_model(tmp_path / "base", layers=3)
    adapter = adapted(base, tmp_path / "adapter", target_modules="all-linear")
    module, wide = load_folder(base, torch.bfloat16), []
    merge = Linear.merge

    def watched(self: Any, *args: Any, **options: Any) -> None:
        wide.append(
            sum(value.dtype == torch.float32 for name, value in module.named_parameters() if "lora_" not in name)
        )
        merge(self, *args, **options)

    monkeypatch.setattr(Linear, "merge", watched)
    merged(module, adapter)
    assert set(wide) - {0} == {1}
