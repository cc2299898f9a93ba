"""Transformers' Trainer on rows of tokens that are prepared: our order of rows, our losses, our checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainingArguments

from mlctl.runtime.trainer.engine import Held, Place
from mlctl.runtime.trainer.hf_engine import held, methods, optimizers, zero
from mlctl.runtime.trainer.hf_engine.course import Course
from mlctl.runtime.trainer.hf_engine.rows import IGNORED, loader, validation_parts
from mlctl.runtime.trainer.hf_engine.saving import Saver
from mlctl.runtime.trainer.schedule import learning_rate
from mlctl.types.jobs.recipe import ZERO, Recipe


def arguments(recipe: Recipe, place: Place, accumulation: int, micro: int, total: int) -> TrainingArguments:
    """What the Trainer is told. All that it would do by itself besides steps is off: it is done by `Course`."""
    return TrainingArguments(
        output_dir=str(place.folder),
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=accumulation,
        max_steps=total,
        learning_rate=recipe.optimizer.lr,
        max_grad_norm=recipe.optimizer.max_grad_norm or 0.0,
        average_tokens_across_devices=False,  # the weight of a batch is known on each rank without asking
        bf16=recipe.precision == "bf16",
        fp16=recipe.precision == "fp16",
        torch_compile=False,
        deepspeed=zero.configuration(recipe),
        ddp_find_unused_parameters=False,
        ddp_broadcast_buffers=False,
        seed=recipe.seed,
        use_cpu=place.device.type == "cpu",
        ddp_backend=("gloo" if place.device.type == "cpu" else "nccl") if place.world > 1 else None,
        logging_strategy="no",
        logging_nan_inf_filter=False,
        eval_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        log_level="error",
        log_level_replica="error",
        remove_unused_columns=False,
        include_num_input_tokens_seen="no",
        push_to_hub=False,
    )


class RowTrainer(Trainer):  # type: ignore[misc]
    """Overrides what the Trainer does with data, losses and files, and leaves it the step itself."""

    optimizer: Any
    lr_scheduler: Any

    def __init__(self, model: Any, args: TrainingArguments, course: Course, saver: Saver, place: Place) -> None:
        self.course, self.saver, self.place, self.recipe = course, saver, place, course.recipe
        self._step_loss, self._norm = torch.zeros((), device=place.device), None
        self.held: Held | None = None
        super().__init__(model=model, args=args, compute_loss_func=token_loss, callbacks=[course])
        self.remove_callback(PrinterCallback)
        course.trainer = self

    # data

    def get_train_dataloader(self) -> DataLoader[Any]:
        """The micro-batches of this rank."""
        return loader(self.course.rows, self.course.batches, pinned=self.place.device.type == "cuda")

    def get_batch_samples(self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device) -> Any:
        """The micro-batches of a step, and over how many tokens its loss is averaged, as a share for each rank: DDP and DeepSpeed
        take the mean of the ranks' gradients."""
        samples = [next(epoch_iterator) for _ in range(num_batches)]
        weight = self.course.rows.weight(self.course.batches.rows(self.state.global_step))
        return samples, torch.tensor(max(weight, 1) / self.place.world, device=device)

    # a step

    def compute_loss_context_manager(self) -> Any:
        """Activations wait in the host's memory where that was asked for."""
        contexts = super().compute_loss_context_manager()
        if "activations" in self.recipe.memory.offload:
            contexts.enter_context(torch.autograd.graph.save_on_cpu(pin_memory=self.place.device.type == "cuda"))
        return contexts

    def training_step(self, *args: Any, **options: Any) -> torch.Tensor:
        """Also sum up the loss of the step's micro-batches."""
        loss: torch.Tensor = super().training_step(*args, **options)
        self._step_loss += loss
        return loss

    def taken_loss(self) -> torch.Tensor:
        """The sum of this rank's losses in the step, cleared for the next one."""
        loss, self._step_loss = self._step_loss, torch.zeros_like(self._step_loss)
        return loss

    def taken_norm(self) -> float | None:
        """The length of the step's gradient."""
        norm = self._norm
        return float(norm) if norm is not None else None

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        if self.args.max_grad_norm > 0:  # else nobody asked for it, and it costs a pass over all gradients
            self._norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        return self._norm

    def floating_point_ops(self, inputs: Any) -> int:
        """Counted once, from the number of parameters, by those who show it."""
        return 0

    def create_optimizer(self, model: Any = None) -> Any:
        """The recipe's own."""
        if self.optimizer is None:
            self.optimizer = optimizers.build(self.recipe, self.model)
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """The recipe's own, over the steps of the whole training."""
        if self.lr_scheduler is None:
            asked, total = self.recipe.optimizer, self.course.total
            self.lr_scheduler = optimizers.schedule(asked, optimizer or self.optimizer, total)
        return self.lr_scheduler

    def _run_epoch(self, *args: Any, **options: Any) -> None:
        """The Trainer asks after a step whether it was the last, and so would take one more from a checkpoint of the last."""
        if self.state.global_step < self.course.last:
            super()._run_epoch(*args, **options)

    def _prepare_for_training(self, *args: Any, **options: Any) -> Any:
        made = super()._prepare_for_training(*args, **options)
        self._check_wrapper()
        promised = held.promised(self.recipe, self.model)
        held.check(self.recipe.layout.strategy, Held(held.parameters(self.model), 0), promised)
        if self.recipe.memory.compile:
            self.model.compile(dynamic=True)
        if self.recipe.layout.strategy == "ddp" and self.place.world > 2:
            self._warm_up(made[0])
        return made

    def _check_wrapper(self) -> None:
        """Accelerate falls back to DDP, or to no exchange at all, without a word where it does not see what it looks for."""
        strategy, found = self.recipe.layout.strategy, self.model_wrapped
        if strategy in ZERO:
            right = self.deepspeed is not None
        elif self.place.world > 1:
            right = isinstance(found, DistributedDataParallel)
        else:
            right = found is self.model
        if not right:
            raise RuntimeError(
                f"`strategy: {strategy}` is not in force: accelerate made a {type(found).__name__} of the model; this is a mistake "
                "of mlctl or of a library's version, please report it"
            )

    def _warm_up(self, network: Any) -> None:
        """Throw a pass away: DDP lays its buckets out anew after the first one, which changes the order of sums among three ranks or
        more, and a training that goes on must sum in the same order as one that never stopped."""
        inputs = self._prepare_inputs(self.course.rows.batch([0]))
        labels = inputs.pop("labels")
        self.accelerator.backward(token_loss(network(**inputs), labels, num_items_in_batch=torch.tensor(1.0)))
        network.zero_grad()

    def prove(self) -> Held:
        """Count, once, what each rank holds after its first step, and fail if that is more than the strategy promises."""
        if self.held is not None:
            return self.held
        own = Held(held.parameters(self.model), held.optimizer_state(self.optimizer))
        held.check(self.recipe.layout.strategy, own, held.promised(self.recipe, self.model))
        everyone: list[Any] = [own]
        if self.place.world > 1:
            everyone = [None] * self.place.world
            dist.all_gather_object(everyone, own)
        self.held = own
        if self.course.progress is not None:
            self.course.progress.held(*held.sizes(self.model), everyone)
        return own

    # validation

    def validate(self) -> float:
        """The loss over the validation rows of all ranks: the sum over tokens, by their number."""
        rows, data = self.course.rows, self.course.rows.data
        total = torch.zeros((), dtype=torch.float64, device=self.place.device)
        # DeepSpeed's engine puts parts together for a pass; DDP would only wait for the others in it
        network = self.model_wrapped if self.recipe.layout.strategy in ZERO else self.model
        network.eval()
        with torch.no_grad():
            for part in validation_parts(
                data, self.place.rank, self.place.world, self.args.per_device_train_batch_size
            ):
                inputs = self._prepare_inputs(rows.batch(part))
                labels = inputs.pop("labels")
                total += token_loss(network(**inputs), labels, num_items_in_batch=torch.tensor(1.0)).double()
        network.train()
        if self.place.world > 1:
            dist.all_reduce(total)
        every = torch.arange(data.train, data.train + data.validation)
        return float(total) / max(rows.weight(every), 1)

    # files

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        self.saver.save(self)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        methods.read(Path(resume_from_checkpoint), model or self.model)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        step, asked = self.saver.step_of(Path(checkpoint)), self.recipe.optimizer
        if self.recipe.layout.strategy not in ZERO:  # else DeepSpeed has loaded it with the weights
            self.saver.read_optimizer(Path(checkpoint), self)
        self.lr_scheduler.load_state_dict({**self.lr_scheduler.state_dict(), "last_epoch": step})
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(asked, step, self.course.total)

    def _load_scaler(self, checkpoint: str | None) -> None:
        """Read with the optimizer."""

    def _load_rng_state(self, checkpoint: str | None) -> None:
        """Each step is seeded by its number."""


def token_loss(outputs: Any, labels: torch.Tensor, num_items_in_batch: torch.Tensor) -> torch.Tensor:
    """The sum of cross-entropies of the tokens that are foretold, by `num_items_in_batch`. Where few are, only those are computed."""
    logits = outputs["logits"] if isinstance(outputs, dict) else outputs[0]
    following = functional.pad(labels[:, 1:], (0, 1), value=IGNORED).reshape(-1)
    logits = logits.reshape(-1, logits.shape[-1])
    counted = following != IGNORED
    if int(counted.sum()) * 2 < len(following):
        logits, following = logits[counted], following[counted]
    total = functional.cross_entropy(logits.float(), following, ignore_index=IGNORED, reduction="sum")
    return total / num_items_in_batch.to(total.device)
