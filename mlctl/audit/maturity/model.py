"""The section "model" of the ML Test Score."""

from __future__ import annotations

from mlctl.audit.case import Case
from mlctl.audit.maturity.check import Check, Seen, every, some


def committed(case: Case) -> Seen:
    """Each training that was made was made from a commit, and from nothing else."""

    def clean(code: object) -> bool:
        return isinstance(code, dict) and bool(code.get("commit")) and not code.get("dirty")

    made = [item for item in case.all("training") if item.record is not None]
    return every(made, lambda item: clean(case.provenance(item).get("code")), "trainings from a clean commit")


def _online(case: Case) -> Seen:
    decided = [item for item in case.decisions if item.kind == "experiment" and item.verdict in ("ship", "stop")]
    return Seen(bool(decided), f"experiments decided: {', '.join(item.address for item in decided) or 'none'}")


def _tuned(case: Case) -> Seen:
    swept = {item.address.name.partition("[")[0] for item in case.all("training") if "[" in item.address.name}
    found = some(case.all("training"), lambda item: bool(item.get("search")), "trainings with a search")
    return Seen(found.passed or bool(swept), f"{found.evidence}; sweeps: {', '.join(sorted(swept)) or 'none'}")


def _staleness(case: Case) -> Seen:
    made = [item for item in case.decisions if item.kind == "check" and item.inputs.get("check") == "backtest"]
    return Seen(bool(made), f"backtests of monitors: {len(made) or 'none'}")


def _simpler(case: Case) -> Seen:
    """Without hidden layers, a network is a linear model."""
    linear = {item.address for item in case.all("training") if item.get("model.hidden") == []}
    judged = [
        str(gate.address)
        for gate in case.all("evaluations")
        if gate.record is not None and any(item.address in linear for item in case.uses(gate, "training"))
    ]
    return Seen(bool(judged), f"evaluations of a linear model: {', '.join(judged) or 'none'}")


CHECKS = (
    Check("reviewed", "Each model comes from reviewed, committed code", "commit, then mlctl apply", committed),
    Check("online-metrics", "Offline metrics move with those of customers", "mlctl experiment analyze", _online),
    Check("tuned", "Hyperparameters were searched for", "add `search` or a `matrix` to a training", _tuned),
    Check("staleness", "It is known how fast a model gets old", "mlctl monitor backtest", _staleness),
    Check("simpler-model", "A simpler model was tried", "evaluate one with `model: {type: mlp, hidden: []}`", _simpler),
    Check("slices", "Quality is known for the slices that matter", "evaluate each of them, and attest it"),
    Check("inclusion", "The model was looked at for whom it leaves out", "do so, and attest it"),
)
