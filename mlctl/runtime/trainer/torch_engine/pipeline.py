"""Cut the layers of a language model into pipeline stages, and send the micro-batches of a batch through them (1F1B)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from mlctl.runtime.trainer.torch_engine.llama import Elsewhere, LanguageModel
from mlctl.runtime.trainer.torch_engine.mesh import STAGES, Grid
from mlctl.runtime.trainer.torch_engine.text_task import TextBatch, TextTask
from mlctl.types.jobs.transformer import layers_of_stage

if TYPE_CHECKING:
    from torch.distributed.pipelining import Schedule1F1B

_LENGTHS = 32  # lengths are rounded up to a multiple, since the stages make new buffers whenever the shape changes


def cut_layers(module: LanguageModel, stages: int, stage: int) -> None:
    """Leave this rank the layers of its stage; the first keeps the embedding, the last the norm and the output layer."""
    own = layers_of_stage(len(module.model.layers), stages, stage)
    module.first, module.last = stage == 0, stage == stages - 1
    for number in range(len(module.model.layers)):
        if number not in own:
            module.model.layers[number] = Elsewhere()
    if not module.first:
        module.model.embed_tokens = None
    if not module.last:
        module.model.norm, module.lm_head = Elsewhere(), None


class Pipe:
    """The stage of this rank at work: the same batch goes through all stages, each of which reads its tokens itself."""

    def __init__(
        self, module: LanguageModel, task: TextTask, grid: Grid, microbatches: int, device: torch.device
    ) -> None:
        self.module, self.task, self.grid, self.microbatches, self.device = module, task, grid, microbatches, device
        self._width = int(module.config.hidden_size)
        self._made: dict[bool, tuple[tuple[int, int, int], Schedule1F1B]] = {}
        self._scale = 1.0
        self._losses: list[torch.Tensor] = []

    def learn(self, rows: torch.Tensor, parts: int, scale: float) -> float:
        """Forward and backward over rows, with the loss times `scale`; the sum of losses, which only the last stage knows."""
        self._scale = scale
        return self._run(rows, parts, train=True)

    def judge(self, rows: torch.Tensor, parts: int) -> float:
        """The sum of losses without gradients, which only the last stage knows."""
        with torch.no_grad():
            return self._run(rows, parts, train=False)

    def _run(self, rows: torch.Tensor, parts: int, *, train: bool) -> float:
        """All parts go through at once, each in as many micro-batches as were asked for: in between stages would wait.

        Micro-batches have one shape: empty rows make up for what is missing.
        """
        count = parts * self.microbatches
        each = -(-len(rows) // count)
        length = min(-(-self.task.longest(rows) // _LENGTHS) * _LENGTHS, self.task.data.max_length)
        batch = self.task.batch(rows, self.device, each * count, length)
        schedule = self._schedule(count, each, batch.input_ids.shape[1], train)
        self._losses.clear()
        self._pass(schedule, batch, train)
        return float(torch.stack(self._losses).sum()) if self._losses else 0.0

    def _pass(self, schedule: Schedule1F1B, batch: TextBatch, train: bool) -> None:
        inputs = (batch.input_ids,) if self.module.first else ()
        known: dict[str, Any] = {"position_ids": batch.position_ids, "labels": batch.labels}
        if self.module.last:
            known["target"] = batch.labels  # the loss itself is what the last stage puts out
        run = schedule.step if train else schedule.eval
        run(*inputs, return_outputs=False, **known)

    def _schedule(self, count: int, rows: int, length: int, train: bool) -> Schedule1F1B:
        """The schedule for so many micro-batches of this shape. All stages see the same rows, so all make a new one at the same time."""
        from torch.distributed.pipelining import PipelineStage, Schedule1F1B

        shape, schedule = self._made.get(train, ((0, 0, 0), None))
        if schedule is None or shape != (count, rows, length):
            hidden = torch.empty(rows, length, self._width, device=self.device, requires_grad=train)
            stage = PipelineStage(
                self.module,
                self.grid.stage,
                self.grid.stages,
                self.device,
                input_args=torch.empty(rows, length, dtype=torch.long, device=self.device)
                if self.module.first
                else hidden,
                output_args=torch.empty(1, device=self.device, requires_grad=train) if self.module.last else hidden,
                group=self.grid.mesh.get_group(STAGES),
            )
            schedule = Schedule1F1B(stage, count, loss_fn=self._loss, scale_grads=False)
            self._made[train] = (count, rows, length), schedule
        return schedule

    def _loss(self, output: torch.Tensor, _target: torch.Tensor) -> torch.Tensor:
        loss = output[0]
        self._losses.append(loss.detach())
        return loss * self._scale
