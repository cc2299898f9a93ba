"""How a trained language model is loaded to answer. A copy of this file travels inside each model folder.

It knows only torch, transformers and the standard library, so that a model loads where mlctl is not installed, and an old
model by the code it was made with. The folder is a model of Transformers and of MLflow at once: the weights are there once.
"""

import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

SETTINGS_FILE = "mlctl.json"
MOST_NEW_TOKENS = 128
_AT_ONCE = 8


def generate(module: Any, tokenizer: Any, prompts: list[list[int]], most: int) -> list[str]:
    """What the model writes after each prompt, the likeliest token each time, until it ends or has written `most` tokens."""
    known = module.generation_config.eos_token_id
    ends = {tokenizer.eos_token_id, *(known if isinstance(known, list) else [known])} - {None}
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else min(ends, default=0)
    settings = GenerationConfig(
        max_new_tokens=most, do_sample=False, eos_token_id=sorted(ends), pad_token_id=pad, use_cache=True
    )
    answers = [""] * len(prompts)
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    for start in range(0, len(order), _AT_ONCE):
        part = order[start : start + _AT_ONCE]
        width = max(len(prompts[index]) for index in part)
        ids = torch.full((len(part), width), pad)
        mask = torch.zeros((len(part), width), dtype=torch.long)
        for row, index in enumerate(part):  # to the right, so that all go on from the last place
            ids[row, width - len(prompts[index]) :] = torch.tensor(prompts[index])
            mask[row, width - len(prompts[index]) :] = 1
        with torch.inference_mode():
            given = ids.to(module.device), mask.to(module.device)
            made = module.generate(given[0], attention_mask=given[1], generation_config=settings)
        for row, index in enumerate(part):
            answers[index] = tokenizer.decode(made[row, width:], skip_special_tokens=True)
    return answers


class Served:
    """A trained model as `mlflow.pyfunc` serves it: texts in, texts out."""

    def __init__(self, folder: Path) -> None:
        self.settings: dict[str, Any] = json.loads((folder / SETTINGS_FILE).read_bytes())
        self.tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        self.module = AutoModelForCausalLM.from_pretrained(
            str(folder), dtype="auto", local_files_only=True, use_safetensors=True
        )
        self.module.to("cuda" if torch.cuda.is_available() else "cpu").eval()

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> list[str]:
        """Answers to prompts: a list of texts or of conversations, or a data frame with a column `messages` or `prompt`. A text counts
        as what a user says where the model was trained on conversations. `max_new_tokens` may be given in `params`."""
        if hasattr(model_input, "columns"):
            name = "messages" if "messages" in model_input.columns else "prompt"
            model_input = model_input[name].tolist()
        if isinstance(model_input, str):
            model_input = [model_input]
        most = int((params or {}).get("max_new_tokens", MOST_NEW_TOKENS))
        return generate(self.module, self.tokenizer, [self._prompt(item) for item in model_input], most)

    def _prompt(self, given: Any) -> list[int]:
        if isinstance(given, str) and self.settings["form"] == "messages":
            given = [{"role": "user", "content": given}]
        if isinstance(given, str):
            ids: list[int] = self.tokenizer(given)["input_ids"]
            return ids[:-1] if ids[-1:] == [self.tokenizer.eos_token_id] and len(ids) > 1 else ids
        text = self.tokenizer.apply_chat_template(list(given), tokenize=False, add_generation_prompt=True)
        found: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return found


def _load_pyfunc(path: str) -> Served:
    """What mlflow.pyfunc calls with the model's folder."""
    return Served(Path(path))
