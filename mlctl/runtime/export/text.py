"""Language models: the GGUF file, and how many prompts llama.cpp answers with it as the source does."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pyarrow as arrow

from mlctl.files import atomic
from mlctl.processes.environment import worker_environment
from mlctl.runtime.batch.rows import Rows, discard, prepare, prompts
from mlctl.runtime.export.figures import judge, quantiles
from mlctl.runtime.export.gguf_file import write_gguf
from mlctl.runtime.export.inside import llama_cpp_answers
from mlctl.runtime.report import Report
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.batch import BatchJob, Generation, LocalBatch, TransformersEngine
from mlctl.types.jobs.export import Asking, ExportJob
from mlctl.types.state import Gate

_SAMPLES = 20  # of what both said, in the report
_ANSWER_SECONDS = 120.0  # llama.cpp's longest answer, and its start


def export_text(job: ExportJob, asking: Asking, report: Report) -> tuple[dict[str, Any], Gate]:
    """Make the file, compare, and judge. Raises MlctlError."""
    from mlctl.runtime.trainer.text.base import begin

    begin()
    report.progress("writing GGUF")
    write_gguf(Path(job.model.folder), report.folder / job.file, asking.precision, job.model.name)
    asked = _prompts(job, asking, report.folder)
    report.progress("asking the source", 0, len(asked), "prompts")
    texts, before = _source(job, asking, asked, report)
    report.progress("asking llama.cpp", 0, len(asked), "prompts")
    after = _llama_cpp(report.folder / job.file, texts, asking, report.folder) if texts else []
    pairs = list(zip(before, after, strict=True))
    same = [one["text"].strip() == other["text"].strip() for one, other in pairs]
    found = {"agreement": sum(same) / len(same)} if same else {}
    samples = [
        {"prompt": text, "source": one["text"], "export": other["text"], "same": alike}
        for text, (one, other), alike in zip(texts, pairs, same, strict=True)
    ]
    samples.sort(key=lambda item: bool(item["same"]))  # what differs first
    facts = {
        "rows": len(texts), "parity": found, "metrics": {}, "samples": samples[:_SAMPLES],
        "latency": {"source": _taken(before), "export": _taken(after)} if texts else {},
    }  # fmt: skip
    return facts, judge(job.require, len(texts), found, {}, "answers")


def _taken(answers: list[dict[str, Any]]) -> dict[str, float]:
    seconds = sum(item["seconds"] for item in answers)
    return {
        **quantiles([item["seconds"] for item in answers]),
        "tokens_per_second": round(sum(item["tokens"] for item in answers) / seconds, 1),
    }


def _prompts(job: ExportJob, asking: Asking, folder: Path) -> list[Any]:
    """The first prompts of the dataset that are there."""
    generation = Generation(
        prompt=asking.prompt, messages=asking.messages, max_new_tokens=asking.max_new_tokens, temperature=0.0,
        engine=TransformersEngine(),
    )  # fmt: skip
    wanted = BatchJob(
        model=job.model, dataset=job.dataset, where=None, columns=[], rows_per_part=1, generation=generation, executor=LocalBatch(),
    )  # fmt: skip
    count = prepare(wanted, folder)
    tables = list(Rows(folder).between(0, min(count, 10 * asking.documents)))
    discard(folder)
    found = [text for text in (prompts(arrow.concat_tables(tables)) if tables else []) if text is not None]
    return [text if asking.prompt is not None else _conversation(text, job) for text in found[: asking.documents]]


def _conversation(text: str, job: ExportJob) -> list[dict[str, Any]]:
    try:
        found = json.loads(text)
        return [{"role": str(item["role"]), "content": str(item["content"])} for item in found]
    except (ValueError, KeyError, TypeError):
        raise MlctlError.of(
            "export.bad-prompt",
            f"a row of `{job.dataset.name}` holds no conversation: {text[:80]}",
            "`generate.messages` names a column of lists of {role, content}",
            "correct the rows, or name another column",
        ) from None


def _source(job: ExportJob, asking: Asking, asked: list[Any], report: Report) -> tuple[list[str], list[dict[str, Any]]]:
    """The prompts as text, as the source is served with them, and what it answers."""
    from mlctl.runtime.trainer.text.model import Served

    served = Served(Path(job.model.folder))
    texts, answers = [], []
    for index, item in enumerate(asked):
        texts.append(_as_text(served, item))
        began = time.perf_counter()
        (text,) = served.predict([item], {"max_new_tokens": asking.max_new_tokens})
        seconds = time.perf_counter() - began
        tokens = len(served.tokenizer(text, add_special_tokens=False)["input_ids"])
        answers.append({"text": text, "seconds": seconds, "tokens": tokens})
        report.progress("asking the source", index + 1, len(asked), "prompts")
    return texts, answers


def _as_text(served: Any, item: Any) -> str:
    """As `Served` codes a prompt: by the template where the model was trained on conversations, or is given one."""
    if isinstance(item, str) and served.settings["form"] == "messages":
        item = [{"role": "user", "content": item}]
    if isinstance(item, str):
        return item
    return str(served.tokenizer.apply_chat_template(list(item), tokenize=False, add_generation_prompt=True))


def _llama_cpp(file: Path, texts: list[str], asking: Asking, folder: Path) -> list[dict[str, Any]]:
    given, made, program = folder / "prompts.json", folder / "answers.json", Path(llama_cpp_answers.__file__)
    atomic.write_json(given, texts)
    context = max(len(text.encode()) for text in texts) + asking.max_new_tokens + 8  # a token has a byte at least
    command = [asking.python, str(program), str(file), str(given), str(made), str(asking.max_new_tokens), str(context)]
    limit = _ANSWER_SECONDS * (1 + len(texts))
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limit,
            check=False,
            env=worker_environment(),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _no_answers(f"{type(error).__name__}: {error}") from None
    if done.returncode != 0 or not made.is_file():
        raise _no_answers("\n".join(done.stderr.strip().splitlines()[-8:]))
    found: list[dict[str, Any]] = json.loads(made.read_bytes())
    for path in (given, made):
        path.unlink()
    return found


def _no_answers(why: str) -> MlctlError:
    return MlctlError.of(
        "export.llama-cpp-failed",
        "llama.cpp does not run the file",
        why,
        "run `mlctl engine install xllamacpp`, or name an interpreter with xllamacpp by `generate.python`",
    )
