"""Learn from a teacher's token probabilities, on the data's own text or on what the student writes itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn import functional
from transformers import AutoModelForCausalLM, AutoTokenizer

from mlctl.runtime.trainer.engine import Place
from mlctl.runtime.trainer.hf_engine.rows import IGNORED
from mlctl.runtime.trainer.hf_engine.trainer import RowTrainer
from mlctl.runtime.trainer.plan import RankPlan
from mlctl.types.jobs.recipe import Distillation


def load_teacher(plan: RankPlan, asked: Distillation, place: Place) -> Any:
    """The teacher, frozen. Raises ValueError when its tokens are not the student's."""
    base = plan.data.base  # type: ignore[union-attr]
    ours, theirs = (AutoTokenizer.from_pretrained(folder, local_files_only=True) for folder in (base, asked.teacher))
    if ours.get_vocab() != theirs.get_vocab():
        raise ValueError(
            f"the teacher {asked.teacher} has another vocabulary than the student ({len(theirs)} tokens, not {len(ours)}); "
            "probabilities of tokens can only be compared token by token, so take a teacher of the same family"
        )
    dtype = torch.float32 if plan.recipe.precision == "fp32" else torch.bfloat16
    teacher = AutoModelForCausalLM.from_pretrained(asked.teacher, dtype=dtype, local_files_only=True)
    teacher.config.use_cache = False
    return teacher.requires_grad_(False).eval().to(place.device)


class OfflineTrainer(RowTrainer):
    """The loss is `alpha` T^2 KL(teacher || student) + (1 - `alpha`) cross-entropy, over the tokens that are foretold, with both
    distributions at temperature T (Hinton, Vinyals and Dean 2015, eq. 4 and section 2.1)."""

    def __init__(self, teacher: Any, asked: Distillation, *arguments: Any) -> None:
        self.teacher, self.asked = teacher, asked
        super().__init__(*arguments)

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The loss of a micro-batch, by the weight of the whole batch."""
        labels = inputs.pop("labels")
        following = functional.pad(labels[:, 1:], (0, 1), value=IGNORED)
        counted = following != IGNORED
        outputs = model(**inputs)
        student = outputs["logits"][counted].float()
        with torch.no_grad():
            taught = self.teacher(**inputs).logits[counted].float()
        hard = functional.cross_entropy(student, following[counted], reduction="sum")
        student, taught = same_tokens(student, taught)
        soft = functional.kl_div(
            (student / self.asked.temperature).log_softmax(-1),
            (taught / self.asked.temperature).log_softmax(-1),
            reduction="sum",
            log_target=True,
        )
        alpha = self.asked.alpha
        total = alpha * self.asked.temperature**2 * soft + (1 - alpha) * hard
        loss = total / num_items_in_batch.to(total.device)
        return (loss, outputs) if return_outputs else loss


class OnPolicyTrainer(RowTrainer):
    """The student answers the prompts, and learns from the teacher's probabilities of what it wrote: the generalized Jensen-Shannon
    divergence, a mean over the tokens of an answer and over answers (Agarwal et al. 2024, eq. 1 and algorithm 1, lambda = 1)."""

    def __init__(self, teacher: Any, asked: Distillation, *arguments: Any) -> None:
        self.teacher, self.asked = teacher, asked
        self._divergence = divergence()
        super().__init__(*arguments)

    def get_batch_samples(self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device) -> Any:
        """The micro-batches of a step; its loss is averaged over rows, as nobody knows yet how much the student will write."""
        samples = [next(epoch_iterator) for _ in range(num_batches)]
        rows = len(self.course.batches.rows(self.state.global_step))
        return samples, torch.tensor(rows / self.place.world, device=device)

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The loss of a micro-batch, by the rows of the whole batch."""
        written, answered = self._answers(self.accelerator.unwrap_model(model), inputs)
        outputs = model(**written)
        keep = answered.shape[1]
        student = outputs["logits"][:, -keep - 1 : -1].float()
        with torch.no_grad():
            taught = self.teacher(**written).logits[:, -keep - 1 : -1].float()
        student, taught = same_tokens(student, taught)
        each = self._divergence(
            student, taught, beta=self.asked.beta, temperature=self.asked.temperature, reduction="none"
        )
        means = (each.sum(-1) * answered).sum(1) / answered.sum(1).clamp_min(1)
        loss = means.sum() / num_items_in_batch.to(means.device)
        return (loss, outputs) if return_outputs else loss

    def _answers(self, student: Any, inputs: Any) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Prompts with the student's answers, as a model takes them, and which tokens of the answers count (rows, tokens)."""
        ids, labels = inputs["input_ids"], inputs["labels"]
        rows = [
            row[: int((marks != IGNORED).nonzero()[0])]
            for row, marks in zip(ids, labels, strict=True)
            if (marks != IGNORED).any()
        ]
        if not rows:  # a rank that has nothing in a step must go along with the others; nothing of this row counts
            rows = [ids[0, :1]]
        width = max(len(row) for row in rows)
        pad = self.course.rows.data.pad_token
        prompts = torch.stack([functional.pad(row, (width - len(row), 0), value=pad) for row in rows])
        mask = torch.stack([functional.pad(torch.ones_like(row), (width - len(row), 0)) for row in rows])
        known = (
            self.teacher.get_input_embeddings().num_embeddings
        )  # a token beyond is padding of the student's vocabulary
        strange = list(range(known, student.get_input_embeddings().num_embeddings))
        with _generating(student), torch.no_grad():
            whole = student.generate(
                prompts,
                attention_mask=mask,
                do_sample=True,
                temperature=self.asked.temperature,
                top_k=0,
                top_p=1.0,
                max_new_tokens=self.asked.max_new_tokens,
                pad_token_id=pad,
                suppress_tokens=strange or None,
            )
        answers = whole[:, width:]
        counts = self._counts(student, answers)
        if not bool((labels != IGNORED).any()):
            counts = torch.zeros_like(counts)
        full = torch.cat([mask, counts.long()], dim=1)
        positions = (full.cumsum(-1) - 1).clamp_min(0)
        return {"input_ids": whole, "attention_mask": full, "position_ids": positions}, counts

    def _counts(self, student: Any, answers: torch.Tensor) -> torch.Tensor:
        """1 up to the first end of an answer, it included; 0 behind it."""
        ends = student.generation_config.eos_token_id
        over = torch.isin(
            answers,
            torch.tensor(ends if isinstance(ends, list) else [-1 if ends is None else ends], device=answers.device),
        )
        return ((over.cumsum(1) - over.long()) == 0).float()


def same_tokens(student: torch.Tensor, taught: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of the tokens that both have: models of one family pad one vocabulary to different sizes."""
    size = min(student.shape[-1], taught.shape[-1])
    return student[..., :size], taught[..., :size]


@contextmanager
def _generating(student: Any) -> Iterator[None]:
    """Write fast: without dropout, and with the keys and values of earlier tokens kept."""
    training, student.config.use_cache = student.training, True
    student.eval()
    try:
        yield
    finally:
        student.train(training)
        student.config.use_cache = False


def divergence() -> Any:
    """TRL's own: the one part of its distillation trainers that is used here. It is imported with all that they need, in seconds."""
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    from trl.experimental.gkd import GKDTrainer

    return GKDTrainer.generalized_jsd_loss


def trainer(plan: RankPlan, place: Place, *arguments: Any) -> RowTrainer:
    """The trainer that a recipe asks for: by a teacher, or by the data alone."""
    asked = plan.recipe.distillation
    if asked is None:
        return RowTrainer(*arguments)
    teacher = load_teacher(plan, asked, place)
    return (OnPolicyTrainer if asked.on_policy else OfflineTrainer)(teacher, asked, *arguments)
