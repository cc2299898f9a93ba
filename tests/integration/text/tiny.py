"""A language model so small that it trains in a second: a random Llama with its own tokenizer and a ChatML template."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] not in ['system', 'user', 'assistant'] %}{{ raise_exception('unknown role') }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
WORDS = ("red", "green", "blue", "one", "two", "three", "cat", "dog", "bird", "what", "is", "the", "colour", "of")


def make_model(
    folder: Path, *, template: str | None = TEMPLATE, hidden: int = 32, layers: int = 2, seed: int = 0
) -> Path:
    """Write the model; the same seed gives the same weights."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = make_tokenizer(template)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=hidden, intermediate_size=2 * hidden, num_hidden_layers=layers,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256, tie_word_embeddings=True,
        bos_token_id=1, eos_token_id=2, pad_token_id=2,
    )  # fmt: skip
    torch.manual_seed(seed)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_tokenizer(template: str | None = TEMPLATE) -> Any:
    """Byte-level BPE with ChatML's tokens, whose end token is also the one that fills rows up."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    coder = Tokenizer(models.BPE())
    coder.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    coder.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    coder.train_from_iterator([" ".join(WORDS)] * 4, trainer)
    made = PreTrainedTokenizerFast(
        tokenizer_object=coder, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|im_end|>"
    )
    made.chat_template = template
    return made


def conversation(index: int) -> list[dict[str, str]]:
    """A question of many, whose answer follows from it."""
    one, other = WORDS[index % 9], WORDS[(index // 9) % 9]
    return [
        {"role": "user", "content": f"what is the colour of {one} {other} {index}"},
        {"role": "assistant", "content": f"the {one} is {WORDS[index % 3]}"},
    ]


def write_chats(path: Path, rows: Sequence[list[dict[str, str]]], column: str = "messages") -> Path:
    """A JSONL file with a conversation a line."""
    path.write_text("".join(json.dumps({column: row}) + "\n" for row in rows))
    return path
