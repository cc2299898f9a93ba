"""The training loop of one rank.

Everything random is a pure function of (seed, epoch) or (seed, step, rank), so a training that goes on from a checkpoint
takes the very steps that it would have taken. Tensors: x (rows, features), y (rows,).
"""

from __future__ import annotations

import json
import random
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from mlctl.runtime.trainer import checkpoint, model
from mlctl.runtime.trainer.plan import FEATURES_FILE, PROGRESS_FILE, TARGET_FILE, RankPlan, Steps
from mlctl.runtime.trainer.stop import StopSignal
from mlctl.types.jobs.train import CHECKPOINTS

_REPORT_SECONDS = 0.5


@dataclass
class Position:
    """Where a training stands, and what of the running epoch is yet to be reported. A rank's loss sum is its own."""

    step: int  # steps done
    history: list[dict[str, float]]
    loss_sum: float = 0.0
    row_count: int = 0
    seconds: float = 0.0  # of the running epoch, before this process began


class Loop:
    """One rank of a training."""

    def __init__(
        self, plan: RankPlan, folder: Path, rank: int, world: int, device: torch.device, stop: StopSignal
    ) -> None:
        self.plan, self.folder, self.rank, self.world, self.device, self.stop = plan, folder, rank, world, device, stop
        self.steps = Steps(plan.train, plan.batch_size, plan.epochs, world)
        self.x = torch.from_numpy(
            np.load(Path(plan.table) / FEATURES_FILE, mmap_mode="c")
        )  # all ranks share the pages of one file
        self.y = torch.from_numpy(np.load(Path(plan.table) / TARGET_FILE, mmap_mode="c"))
        random.seed(plan.seed)
        np.random.seed(plan.seed)
        torch.manual_seed(plan.seed)
        self.module = model.build(plan.config, folder / model.CODE_FOLDER)
        for name in ("mean", "std", "offset", "scale"):
            getattr(self.module, name).copy_(torch.tensor(getattr(plan, name)))
        self.module.to(device)
        self.optimizer = _optimizer(plan, self.module)
        self.position = Position(0, [])
        self._reported = 0.0
        self._vote: tuple[torch.Tensor, Any] | None = None  # on stopping, under way

    def run(self) -> str:
        """Train from the newest checkpoint to the end: `done`, or `preempted` when asked to stop (a checkpoint is saved)."""
        network = self._distribute()
        self._resume()
        started = time.perf_counter()
        order, order_epoch = torch.empty(0, dtype=torch.long), -1
        for step in range(self.position.step, self.steps.total):
            epoch = step // self.steps.per_epoch
            if epoch != order_epoch:
                order, order_epoch = self._order(epoch), epoch
            self._step(network, order, step)
            self._report(step, time.perf_counter() - started)
            if self.steps.ends_epoch(step):
                self._end_epoch(epoch, time.perf_counter() - started)
                started = time.perf_counter()
            stopping = self._agree_to_stop() and step + 1 < self.steps.total
            if stopping or self.steps.saves_after(step, self.plan.checkpoint_every):
                self._save(epoch, time.perf_counter() - started)
            if stopping:
                return "preempted"
        return "done"

    def _distribute(self) -> torch.nn.Module:
        """The module behind DDP. One forward and backward pass is thrown away first: DDP lays its gradient buckets out anew
        after the first pass, which changes the order of sums among three ranks or more, and a training that goes on from a
        checkpoint must sum in the same order as one that never stopped."""
        if self.world == 1:
            return self.module
        before = {name: value.clone() for name, value in self.module.state_dict().items()}
        network = DistributedDataParallel(
            self.module,
            device_ids=[self.device.index] if self.device.type == "cuda" else None,
            # means and scales never change, so that only buffers of the network itself are worth a message at every step
            forward_sync_buffers=any(True for _ in self.module.network.buffers()),
        )
        rows = torch.arange(2) % len(self.x)
        network(self.x[rows].to(self.device)).sum().backward()
        self.optimizer.zero_grad(set_to_none=True)
        self.module.load_state_dict(before)
        return network

    def _order(self, epoch: int) -> torch.Tensor:
        """The order of training rows in an epoch."""
        return torch.randperm(self.plan.train, generator=torch.Generator().manual_seed(_mix(self.plan.seed, epoch)))

    def _step(self, network: torch.nn.Module, order: torch.Tensor, step: int) -> None:
        first, last, size = self.steps.bounds(step, self.rank)
        rows = order[first:last]
        x, y = self.x[rows].to(self.device, non_blocking=True), self.y[rows].to(self.device, non_blocking=True)
        self._seed(_mix(self.plan.seed, step, self.rank))
        network.train()
        with self._autocast():
            out = network(x)
        loss = self._loss(out, y)
        # DDP averages over ranks; with the rank's sum scaled so, the gradient is that of the mean over the whole batch
        (loss * (self.world / size)).backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        value = loss.item()
        if not np.isfinite(value):
            raise FloatingPointError(
                f"the loss became {value} at step {step + 1}; lower `optimizer.lr`, or look for huge values among the features"
            )
        self.position.loss_sum += value
        self.position.row_count += last - first
        self.position.step = step + 1

    def _seed(self, seed: int) -> None:
        """Seed what dropout draws from. `torch.manual_seed` also looks for devices of every make, 0.2 ms a step."""
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def _loss(self, out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The sum over rows of binary cross-entropy, or of squared error in units of the target's standard deviation."""
        if self.plan.config["task"] == "binary":
            return functional.binary_cross_entropy_with_logits(out.float(), y, reduction="sum")
        return (((out.float() - y) / self.plan.scale) ** 2).sum()

    def _autocast(self) -> Any:
        return (
            torch.autocast(self.device.type, dtype=torch.bfloat16) if self.plan.precision == "bf16" else nullcontext()
        )

    def _end_epoch(self, epoch: int, seconds: float) -> None:
        position = self.position
        train_loss, rows = self._sum_over_ranks(position.loss_sum, float(position.row_count))
        validation_loss, validated = self._sum_over_ranks(*self._validate())
        spent = position.seconds + seconds
        line = {
            "epoch": epoch + 1,
            "step": position.step,
            "train_loss": train_loss / rows,
            "val_loss": validation_loss / validated,
            "seconds": spent,
            "rows_per_second": rows / spent,
        }
        position.history.append(line)
        position.loss_sum, position.row_count, position.seconds = 0.0, 0, 0.0
        self._write({"type": "epoch", "total": self.steps.total, **line})

    def _validate(self) -> tuple[float, float]:
        """This rank's sum of losses over its share of the validation rows, and how many those are."""
        first = self.plan.train + self.plan.validation * self.rank // self.world
        last = self.plan.train + self.plan.validation * (self.rank + 1) // self.world
        total = 0.0
        self.module.eval()
        with torch.inference_mode():
            for start in range(first, last, max(self.plan.batch_size, 4096)):
                rows = slice(start, min(start + max(self.plan.batch_size, 4096), last))
                with self._autocast():
                    out = self.module(self.x[rows].to(self.device))
                total += self._loss(out, self.y[rows].to(self.device)).item()
        return total, float(last - first)

    def _sum_over_ranks(self, *values: float) -> list[float]:
        if self.world == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return [float(value) for value in total.tolist()]

    def _agree_to_stop(self) -> bool:
        """Whether any rank was asked to stop: all then stop after the same step.

        The answer is that of the step before: a vote travels while the next step is computed, since to wait for it
        takes as long as a third of a small step.
        """
        if self.world == 1:
            return self.stop.set
        vote = self._vote
        flag = torch.tensor([int(self.stop.set)], device=self.device)
        self._vote = flag, dist.all_reduce(flag, op=dist.ReduceOp.MAX, async_op=True)
        if vote is None:
            return False
        vote[1].wait()
        return bool(vote[0].item())

    def _save(self, epoch: int, seconds: float) -> None:
        """Rank 0 saves for all; sums that are each rank's own are gathered, so that they go on bit by bit."""
        position = self.position
        sums: list[Any] = [None] * self.world
        own = (position.loss_sum, position.row_count)
        if self.world == 1:
            sums = [own]
        else:
            dist.all_gather_object(sums, own)
        if self.rank == 0:
            content = {
                "model": self.module.state_dict(), "optimizer": self.optimizer.state_dict(), "rng": self.plan.seed, "world": self.world,
                "step": position.step, "epoch": epoch, "history": position.history, "sums": sums, "seconds": position.seconds + seconds,
            }  # fmt: skip
            checkpoint.save(
                self.folder / CHECKPOINTS,
                content,
                step=position.step,
                total=self.steps.total,
                epoch=epoch,
                keep=self.plan.checkpoint_keep,
            )
        if self.world > 1:
            dist.barrier()

    def _resume(self) -> None:
        """Load the newest whole checkpoint; rank 0 chooses it for all."""
        chosen: list[Any] = [
            str(found) if self.rank == 0 and (found := checkpoint.newest(self.folder / CHECKPOINTS)) else None
        ]
        if self.world > 1:
            dist.broadcast_object_list(chosen, src=0)
        if chosen[0] is None:
            return
        stored = checkpoint.load(Path(chosen[0]))
        self.module.load_state_dict(stored["model"])
        self.optimizer.load_state_dict(stored["optimizer"])
        loss_sum, row_count = stored["sums"][self.rank]
        self.position = Position(stored["step"], stored["history"], loss_sum, row_count, stored["seconds"])
        self._write({"type": "resumed", "step": stored["step"], "total": self.steps.total})

    def _report(self, step: int, seconds: float) -> None:
        now = time.monotonic()
        if self.rank == 0 and now - self._reported >= _REPORT_SECONDS:
            self._reported = now
            position = self.position
            rate = position.row_count * self.world / max(position.seconds + seconds, 1e-9)
            self._write(
                {
                    "type": "step",
                    "epoch": step // self.steps.per_epoch + 1,
                    "step": position.step,
                    "total": self.steps.total,
                    "loss": position.loss_sum / max(position.row_count, 1),
                    "rows_per_second": rate,
                }
            )

    def _write(self, line: dict[str, Any]) -> None:
        if self.rank == 0:
            with open(self.folder / PROGRESS_FILE, "a", encoding="utf-8") as stream:
                stream.write(json.dumps(line) + "\n")


def _mix(*parts: int) -> int:
    """One seed from several numbers; near numbers give seeds that have nothing in common."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _optimizer(plan: RankPlan, module: torch.nn.Module) -> torch.optim.Optimizer:
    if plan.optimizer == "adamw":
        return torch.optim.AdamW(module.parameters(), lr=plan.lr, weight_decay=plan.weight_decay)
    return torch.optim.SGD(module.parameters(), lr=plan.lr, weight_decay=plan.weight_decay)
