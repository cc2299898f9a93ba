"""A language model from text to the registry: trained by the engine, judged beside its base and the champion on rows it has not seen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlctl.types.state import Record
from tests.integration.text.jobs import refused
from tests.integration.text.project import TextProject
from tests.integration.text.tiny import conversation, make_model, write_chats

pytestmark = pytest.mark.tools
REGISTER = {"name": "chat", "alias": "champion"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> TextProject:
    return TextProject(tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="module")
def good(project: TextProject) -> Record:
    return project.train("training.good")


@pytest.fixture(scope="module")
def champion(project: TextProject, good: Record) -> Record:
    bars = {"loss": {"better_than": "base", "margin": 2}, "token_f1": {"min": 0.3, "better_than": "base"}}
    return project.evaluate(
        "evaluations.gate", "training.good", "holdout", bars, register=REGISTER, generation={"documents": 10}
    )


def results(project: TextProject, record: Record) -> dict[str, object]:
    found: dict[str, object] = json.loads((project.ctx.folder(record.key) / "evaluation.json").read_bytes())
    return found


def test_a_model_that_is_better_than_its_base_passes_and_is_registered(
    project: TextProject, good: Record, champion: Record
) -> None:
    assert champion.gate is not None
    assert champion.gate.passed, champion.gate.details
    outputs = champion.outputs
    assert (outputs["name"], outputs["version"], outputs["task"]) == ("chat", "1", "causal_lm")
    assert outputs["model"] == good.outputs["model"]
    assert outputs["metrics"]["loss"] < outputs["base_metrics"]["loss"] - 2
    assert outputs["rows"] == 30
    page = (project.ctx.folder(champion.key) / "evaluation.html").read_text()
    assert "<th>base</th>" in page


@pytest.mark.soak
def test_one_that_is_worse_than_the_champion_does_not(project: TextProject, champion: Record) -> None:
    project.train("training.weak", epochs=1, optimizer={"type": "adamw", "lr": 1e-6})
    bars = {"loss": {"not_worse_than": "champion"}, "perplexity": {"better_than": "base", "margin": 100}}
    weak = project.evaluate("evaluations.weak", "training.weak", "holdout", bars, register=REGISTER)
    assert weak.gate is not None
    assert not weak.gate.passed
    loss, perplexity = weak.gate.details
    assert "is worse than the champion's" in loss
    assert "is not better than the base's" in perplexity
    assert weak.outputs["champion_metrics"]["loss"] == pytest.approx(champion.outputs["metrics"]["loss"])
    assert weak.outputs["model"] == champion.outputs["model"]  # the champion stays


def test_a_base_and_a_champion_that_did_not_change_are_not_asked_again(
    project: TextProject, good: Record, champion: Record
) -> None:
    bars = {"loss": {"better_than": "base", "margin": 1}, "token_f1": {"min": 0.2, "better_than": "base"}}
    again = project.evaluate("evaluations.again", "training.good", "holdout", bars, generation={"documents": 10})
    log = (project.ctx.folder(again.key) / "events.jsonl").read_text()
    assert "the base was measured on these documents before" in log
    assert "asking" not in log
    assert again.outputs["metrics"] == champion.outputs["metrics"]
    assert again.outputs["base_metrics"] == champion.outputs["base_metrics"]
    other = project.evaluate("evaluations.other", "training.good", "holdout", bars, generation={"documents": 9})
    log = (project.ctx.folder(other.key) / "events.jsonl").read_text()
    assert "asking the base" in log  # other answers
    assert "measuring the base" not in log  # the same loss


@pytest.mark.soak
def test_what_was_measured_of_documents_is_not_taken_for_what_was_written_over_them(
    project: TextProject, good: Record
) -> None:
    project.add_chats("moved", range(310, 316))
    bars = {"loss": {"max": 100}}
    first = project.evaluate("evaluations.before", "training.good", "moved", bars)
    write_chats(project.root / "moved.jsonl", [conversation(number) for number in range(316, 322)])
    second = project.evaluate("evaluations.after", "training.good", "moved", bars)  # the dataset was not made anew
    assert second.outputs["metrics"]["loss"] != first.outputs["metrics"]["loss"]


def test_documents_that_were_trained_on_fail_the_gate(project: TextProject, good: Record) -> None:
    project.add_chats("seen", [*range(300, 310), 5, 6])
    seen = project.evaluate("evaluations.seen", "training.good", "seen", {"loss": {"max": 100}})
    assert seen.gate is not None
    assert seen.gate.summary == "eval.leakage: 2 documents were trained on, for example row 11; row 12"
    assert results(project, seen)["leaked_rows"] == 2


def test_what_does_not_fit_is_said(project: TextProject, good: Record) -> None:
    with refused("eval.metric-task", "`roc_auc` does not go with a causal_lm model", "token_f1"):
        project.evaluate("evaluations.wrong", "training.good", "holdout", {"roc_auc": {"min": 0.5}})
    project.add_rows("other", [{"text": "hi"}], {"text": "varchar"})
    with refused("training.no-column", "`other` has no column `messages`"):
        project.evaluate("evaluations.other", "training.good", "other", {"loss": {"max": 9}})


@pytest.mark.soak
def test_a_base_that_is_gone_or_a_champion_with_other_tokens_cannot_be_compared(
    project: TextProject, champion: Record
) -> None:
    from tokenizers import AddedToken, Tokenizer

    make_model(project.root / "other", seed=1)
    path = project.root / "other" / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.add_tokens([AddedToken("zzz")])
    tokenizer.save(str(path))
    project.train("training.other", model={"type": "causal_lm", "base": "other"}, epochs=1)
    (project.root / "other").rename(project.root / "moved")
    bars = {"loss": {"better_than": "base", "not_worse_than": "champion"}}
    found = project.evaluate("evaluations.strange", "training.other", "holdout", bars, register=REGISTER)
    assert found.gate is not None
    said = " | ".join(found.gate.details)
    assert "the champion has another vocabulary" in said
    assert "the base cannot be measured on these rows: there is no folder `other`" in said
    assert Path(project.root / str(found.outputs["model"])).is_dir()
