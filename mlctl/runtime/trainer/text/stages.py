"""A training of a language model on text, before and after its ranks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.runtime.report import Report
from mlctl.runtime.trainer.plan import PLAN_FILE, PreparedText, RankPlan
from mlctl.runtime.trainer.stages import Finished
from mlctl.types.jobs.recipe import CausalLmModel
from mlctl.types.jobs.train import TextData, TrainJob


def prepare(job: TrainJob, folder: Path, report: Report) -> RankPlan:
    """Find the base model, and make rows of tokens of the text. Raises MlctlError."""
    from mlctl.runtime.trainer.text.base import begin, resolve
    from mlctl.runtime.trainer.text.prepare import prepare as prepare_tokens

    begin()
    data, model = _asked(job)
    report.progress("looking at the base model")
    base = resolve(model, folder)
    plan = prepare_tokens(job.recipe, data, base, folder, report)
    atomic.write_bytes(folder / PLAN_FILE, plan.model_dump_json().encode())
    return plan


def finish(job: TrainJob, plan: RankPlan, folder: Path, ended: Mapping[str, Any], report: Report) -> Finished:
    """Make the model folder, and judge the model on the validation rows. Raises MlctlError."""
    from mlctl.runtime.trainer.text.base import begin
    from mlctl.runtime.trainer.text.finish import finish as finish_model

    begin()
    data, model = _asked(job)
    if not isinstance(plan.data, PreparedText):
        raise TypeError(f"text was prepared as {plan.data.type}")
    return finish_model(plan.recipe, data, model, plan.data, folder, ended, report)


def _asked(job: TrainJob) -> tuple[TextData, CausalLmModel]:
    if not isinstance(job.data, TextData) or not isinstance(job.recipe.model, CausalLmModel):
        raise TypeError(f"not a language model on text: {job.recipe.model.type} on {job.data.type}")
    return job.data, job.recipe.model
