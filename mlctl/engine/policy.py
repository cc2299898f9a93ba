"""Rules that a team sets for itself, asked of a plan before anything is touched. The document they see: docs/guides/policies.md."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from mlctl.engine.ledger import Ledger
from mlctl.engine.policy_document import document
from mlctl.spec.project import Project
from mlctl.types.change import Plan
from mlctl.types.diagnostic import Diagnostic, ExitCode, MlctlError, Severity

if TYPE_CHECKING:
    from mlctl.engine.jmespath_limits import Search
    from mlctl.spec.policies import Policy, Waiver

_SHOWN = 20  # how many findings of one policy are told one by one
_NOTHING: tuple[Any, ...] = (None, False, "", [], {})  # what JMESPath calls false


@dataclass(frozen=True, slots=True)
class Verdict:
    """One thing that a policy found wrong, about an address or about the plan as a whole."""

    policy: str
    severity: Severity
    message: str
    address: str = ""
    waiver: Waiver | None = None  # who lets it pass for now
    ended: Waiver | None = None  # a waiver that would have, and whose time is over

    @property
    def refuses(self) -> bool:
        """Whether nothing may be applied because of it."""
        return self.severity is Severity.ERROR and self.waiver is None


def evaluate(
    policies: Mapping[str, Policy], plan: Plan, project: Project, ledger: Ledger, environment: str, today: date
) -> list[Verdict]:
    """Everything that the policies which count here find, in the order they are written.

    Raises MlctlError for one that gives no answer.
    """
    if not policies:
        return []
    from mlctl.engine.jmespath_limits import Search

    search = Search(document(plan, project, ledger, environment, today))
    return [
        verdict
        for name, policy in policies.items()
        for verdict in _placed(name, _judge(name, policy, search, today), project)
    ]


def diagnostics(verdicts: Sequence[Verdict], project: Project) -> list[Diagnostic]:
    """What is told of verdicts: errors, warnings, and waived ones as warnings that name who waived them."""
    told = []
    counts: dict[str, int] = {}
    for item in verdicts:
        counts[item.policy] = counts.get(item.policy, 0) + 1
        if counts[item.policy] <= _SHOWN:
            told.append(_diagnostic(item, project))
    for name, count in counts.items():
        if count > _SHOWN:
            summary = f"policy `{name}` has {count - _SHOWN} more findings"
            worst = next(item for item in verdicts if item.policy == name)
            told.append(Diagnostic("policy.more", summary, severity=worst.severity))
    return told


def check(plan: Plan, project: Project, ledger: Ledger, today: date | None = None) -> list[Diagnostic]:
    """Refuse a plan that the project's policies do not let through, else give what there is to be told of it.

    Raises MlctlError with exit code 4 and every finding. A plan that would change nothing is never refused.
    """
    # the day that people here call today: a rule about Fridays means theirs
    day = today if today is not None else datetime.now(UTC).astimezone().date()
    verdicts = evaluate(project.policies, plan, project, ledger, project.environment, day)
    told = diagnostics(verdicts, project)
    if any(item.refuses for item in verdicts) and not plan.empty:
        raise MlctlError(told, ExitCode.POLICY)
    return told


def _placed(name: str, verdicts: Iterator[Verdict], project: Project) -> list[Verdict]:
    """The findings of one policy. Raises MlctlError, with the policy's line, when it gives no answer."""
    try:
        return list(verdicts)
    except MlctlError as error:
        where = project.where_block(("policies", name))
        raise MlctlError([replace(item, where=where) for item in error.diagnostics], error.exit_code) from None


def _judge(name: str, policy: Policy, search: Search, today: date) -> Iterator[Verdict]:
    """The findings of one policy, with their waivers."""
    answer = search(name, policy.expression)
    if isinstance(answer, int | float) and not isinstance(answer, bool):
        raise _unusable(name, f"its expression gives the number {answer}, which is neither a yes nor a no")
    if policy.deny is None:
        found: list[Any] = [True] if _empty(answer) else []
    elif isinstance(answer, list):
        found = [item for item in answer if not _empty(item)]
    else:
        found = [] if _empty(answer) else [answer]
    for item in found:
        address, detail = _about(item)
        lasting, ended = _waiver(policy.waivers, address, today)
        message = f"{policy.message or _unnamed(policy)}{f': {detail}' if detail else ''}"
        yield Verdict(name, Severity(policy.severity), message, address, lasting, ended)


def _about(item: Any) -> tuple[str, str]:
    """The address that a finding names, and what else it says."""
    if isinstance(item, Mapping) and isinstance(item.get("address"), str):
        return item["address"], ""
    if isinstance(item, str):
        return (item, "") if re.fullmatch(r"[a-z_]+\.\S+", item) else ("", item)
    return "", "" if item is True else json.dumps(item, ensure_ascii=False, default=str)[:200]


def _waiver(waivers: Sequence[Waiver], address: str, today: date) -> tuple[Waiver | None, Waiver | None]:
    """The waiver that covers an address today, and else one that did until its time was over."""
    fitting = [item for item in waivers if _matches(item.address, address)]
    lasting = next((item for item in fitting if item.until >= today), None)
    ended = max(fitting, key=lambda item: item.until, default=None)
    return lasting, None if lasting is not None else ended


def _matches(pattern: str, address: str) -> bool:
    """Whether an address fits a pattern in which `*` stands for any text and `?` for one character, and all else for itself."""
    parts = (".*" if letter == "*" else "." if letter == "?" else re.escape(letter) for letter in pattern)
    return re.fullmatch("".join(parts), address, re.DOTALL) is not None


def _diagnostic(item: Verdict, project: Project) -> Diagnostic:
    """One verdict for people: what is refused, by which policy, and who could let it pass."""
    about = f"{item.address}: " if item.address else ""
    where = project.where_block(("policies", item.policy))
    if item.waiver is not None:
        why = f"waived by {item.waiver.who} until {item.waiver.until}: {item.waiver.why}"
        summary = f"{about}{item.message} (policy `{item.policy}`, waived)"
        return Diagnostic("policy.waived", summary, why, "", Severity.WARNING, where, item.address)
    why = f"the project's policy `{item.policy}` says so"
    if item.ended is not None:
        why += f"; the waiver of {item.ended.who} ended on {item.ended.until}"
    fix = "change the project so that it holds, or have its owner add a waiver with a date"
    code = "policy.denied" if item.severity is Severity.ERROR else "policy.warned"
    return Diagnostic(code, f"{about}{item.message}", why, fix, item.severity, where, item.address)


def _empty(value: Any) -> bool:
    """What JMESPath counts as false. Zero is not, and is refused before."""
    return any(value is nothing or (type(value) is type(nothing) and value == nothing) for nothing in _NOTHING)


def _unnamed(policy: Policy) -> str:
    return f"denied by `{policy.expression}`" if policy.deny is not None else f"`{policy.expression}` does not hold"


def _unusable(name: str, why: str) -> MlctlError:
    return MlctlError.of(
        "policy.unusable",
        f"the policy `{name}` gives no answer",
        why,
        "compare it, for example `length(changes) > `3``; a policy that cannot be answered lets nothing through",
    )
