"""One case lived through with the real tool: made, repeated, looked at, edited, removed, made anew, taken over."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from mlctl.provider import (
    Condition,
    Context,
    Describes,
    Desired,
    Estimates,
    Family,
    Importable,
    Keyed,
    Kind,
    Logs,
    Observed,
    flatten,
)
from mlctl.testing.case import Case, Edit, Then
from mlctl.testing.declarations import edited
from mlctl.testing.harness import make_desired, make_record
from mlctl.testing.records import broken, intent
from mlctl.testing.rules import Findings, Rule
from mlctl.testing.values import stored_problems
from mlctl.types.change import FieldChange, FieldClass
from mlctl.types.diagnostic import MlctlError, Severity
from mlctl.types.state import Pending, Record

T = TypeVar("T")

_METADATA = {"description": "changed by the conformance kit", "owner": "somebody", "tags": {"kit": "conformance"}}
_PASSING = (".txt", ".log", "-shm", "-wal")
_REPEAT = "mlctl repeats an apply that a crash cut off, so it has to find what is there by its key and end in that"
_NOBODYS = "conformance-nobody-has-this"


class _Stop(Exception):
    """A rule is broken in a way that leaves nothing to go on with."""


@dataclass
class Trial:
    """One case under way."""

    kind: Kind
    case: Case
    ctx: Context
    findings: Findings
    rule: Rule = Rule.CHECKED  # what is being looked at
    made: dict[str, Record] = field(default_factory=dict)
    record: Record = field(init=False)  # of the block of the case
    latest: Record = field(init=False)  # of the block that was applied last: that of the case, or an edited one

    def live(self) -> None:
        """Live through a life of the object, note what is wrong, and leave nothing behind."""
        try:
            self.run()
        except _Stop as stop:
            self.findings.cause = stop.__cause__
        finally:
            self.clean()

    def run(self) -> None:
        """Made, repeated, looked at, edited, removed, made anew, removed, taken over."""
        desired = self.desired(self.case.values, self.case.inputs)
        self.checked(desired)
        before = self.count()
        self.at(Rule.MADE)
        record = self.apply(desired, None, "apply")
        self.expect_count(before, 1, "apply", "one object is made")
        self.expect_settled(desired, record, "a fresh apply")
        self.repeats(desired, record, before)
        self.broken_records(desired, record)
        self.drift(desired, record)
        self.record = self.latest = record
        for edit in (*(Edit(name, value, Then.METADATA) for name, value in _METADATA.items()), *self.case.edits):
            self.edit(desired, edit)
        self.back(desired)
        self.expect_count(before, 1, "updates in place", "there is still one object")
        self.removals(desired, self.record, before)
        self.adoption(desired, before)

    def at(self, rule: Rule) -> None:
        """From here on it is about this rule."""
        self.rule = rule
        self.findings.reached.add(rule)

    def clean(self) -> None:
        """Remove everything that was made, also after a broken rule."""
        for record in list(self.made.values()):
            try:
                self.kind.delete(record, self.ctx)
            except Exception as error:
                self.say(Rule.DELETES, f"delete failed while the kit cleaned up: {type(error).__name__}: {error}")

    def say(self, rule: Rule, problem: str) -> None:
        """Note a problem."""
        self.findings.say(rule, problem)

    def call(self, what: str, do: Callable[[], T]) -> T:
        """Call the kind; whatever it raises ends the trial."""
        try:
            return do()
        except MlctlError as error:
            self.say(self.rule, f"{what} failed: {error}")
            raise _Stop from error
        except Exception as error:
            self.say(Rule.TOLERANT, _raised(what, error))
            raise _Stop from error

    def desired(self, values: Mapping[str, Any], inputs: Mapping[str, Record]) -> Desired:
        """What a project with this block would ask for."""
        return self.call("the block", lambda: make_desired(self.kind, self.case.address, values, self.ctx, inputs))

    def checked(self, desired: Desired) -> None:
        """`check` lets the block pass as it is written, and `parts` are texts that mean the same when asked twice."""
        self.at(Rule.CHECKED)
        written = self.kind.spec.model_validate(dict(self.case.values))
        found = self.call("check", lambda: list(self.kind.check(written, self.ctx)))
        for item in found:
            if item.severity is Severity.ERROR:
                self.say(Rule.CHECKED, f"check refuses the block of the case: {item.code}: {item.summary}")
        self.at(Rule.KEYED)
        if isinstance(self.kind, Keyed):
            keyed = self.kind
            parts = self.call("parts", lambda: dict(keyed.parts(desired.spec, self.ctx)))
            if parts != dict(keyed.parts(desired.spec, self.ctx)):
                self.say(
                    Rule.KEYED,
                    "parts gives another answer when it is asked again, so that the object is made anew every time",
                )
            for name, value in parts.items():
                if name == "spec" or name.startswith("input:") or not isinstance(value, str):
                    self.say(
                        Rule.KEYED,
                        f"parts gives `{name}`: a part is a text under a name such as `file:...`; `spec` and `input:` are taken",
                    )
        if self.findings.problems:
            raise _Stop

    def apply(self, desired: Desired, prior: Record | None, what: str) -> Record:
        """Apply, and judge what comes back as something to store."""
        self.findings.reached.add(Rule.STORABLE)
        self.made.setdefault(str(desired.key), intent(desired))  # so that it is removed even if apply fails half-way
        outcome = self.call(what, lambda: self.kind.apply(desired, prior, self.ctx))
        if not isinstance(outcome.id, str) and outcome.gate is None:
            self.say(
                Rule.STORABLE,
                f"{what} gives {outcome.id!r} for an id: give what the tool calls the object, or the address",
            )
        for problem in stored_problems(outcome.outputs, "outputs", self.ctx):
            self.say(Rule.STORABLE, problem)
        for problem in stored_problems(desired.values, "the recorded spec", self.ctx):
            self.say(Rule.STORABLE, problem)
        record = make_record(desired, outcome)
        self.made[str(desired.key)] = record
        return record

    def read(self, record: Record, what: str) -> Observed | None:
        """Read, and see that nothing was written."""
        self.findings.reached.add(Rule.LOOKS)
        before = self.files()
        seen = self.call(f"read after {what}", lambda: self.kind.read(record, self.ctx))
        written = self.files() - before
        if written and self.kind.family is Family.SERVICE:  # it runs, and may write at this very moment by itself
            time.sleep(1)
            before = self.files()
            self.call(f"another read after {what}", lambda: self.kind.read(record, self.ctx))
            written = self.files() - before
        if written:
            self.say(Rule.LOOKS, f"read wrote {', '.join(sorted(written))}: a plan must leave everything as it is")
        return seen

    def expect_settled(self, desired: Desired, record: Record, what: str) -> None:
        """What was just applied is there, works, and has no difference left."""
        self.findings.reached.add(Rule.SETTLED)
        seen = self.read(record, what)
        if seen is None:
            self.say(Rule.SETTLED, f"read finds nothing after {what}: every plan would make it again")
            raise _Stop
        if seen.condition is not Condition.READY:
            self.say(
                Rule.SETTLED,
                f"read says `{seen.condition}` after {what} ({seen.detail}): every plan would apply it again",
            )
        if left := self.diff(desired, record, seen):
            self.say(Rule.SETTLED, f"diff shows {_paths(left)} after {what}: every plan would apply it again")

    def diff(self, desired: Desired, record: Record, seen: Observed) -> list[FieldChange]:
        """Ask the kind what differs."""
        return self.call("diff", lambda: list(self.kind.diff(desired, record, seen)))

    def repeats(self, desired: Desired, record: Record, before: int | None) -> None:
        """Applied again, finished or cut off, it is the same object with the same outputs for dependents."""
        self.at(Rule.REPEATABLE)
        for prior, what in ((record, "a second apply"), (intent(desired), "an apply after one that was cut off")):
            again = self.apply(desired, prior, what)
            if again.id != record.id:
                self.say(
                    Rule.REPEATABLE,
                    f"{what} made two objects: the id was {record.id!r} and is now {again.id!r}; {_REPEAT}",
                )
            if again.digest != record.digest:
                self.say(
                    Rule.REPEATABLE,
                    f"{what} of the same block gives another digest: dependents would be made anew for nothing",
                )
            self.expect_count(before, 1, what, "there is still one object")
            self.expect_settled(desired, again, what)

    def broken_records(self, desired: Desired, record: Record) -> None:
        """A record that says little or nonsense is answered, or refused with MlctlError."""
        self.at(Rule.TOLERANT)
        for text, damaged in broken(desired, record):
            self.tolerates(f"read of a record {text}", self.kind.read, damaged, self.ctx)
            self.tolerates(f"diff with a record {text}", self.kind.diff, desired, damaged, Observed())
            if isinstance(self.kind, Logs):
                self.tolerates(f"log of a record {text}", self.kind.log, damaged, self.ctx)
            if isinstance(self.kind, Describes):
                self.tolerates(f"describe of a record {text}", self.kind.describe, damaged)
            if isinstance(self.kind, Estimates):
                self.tolerates(
                    f"estimate after a record {text}", self.kind.estimate, desired, [record, damaged], self.ctx
                )

    def tolerates(self, what: str, call: Callable[..., Any], *arguments: Any) -> None:
        """Call the kind with something odd: it may refuse it, and nothing else."""
        try:
            call(*arguments)
        except MlctlError:
            pass
        except Exception as error:
            self.say(Rule.TOLERANT, _raised(what, error))

    def drift(self, desired: Desired, record: Record) -> None:
        """Whatever `read` reports of the spec, a change of it outside mlctl shows."""
        self.at(Rule.DRIFT)
        seen = self.read(record, "apply")
        for path in flatten(seen.fields if seen is not None else {}):
            changed = Observed(edited(dict(seen.fields if seen is not None else {}), path, "changed outside"))
            if path not in {item.path for item in self.diff(desired, record, changed)}:
                self.say(
                    Rule.DRIFT, f"read reports `{path}`, but when it is changed outside mlctl, diff does not show it"
                )

    def edit(self, base: Desired, edit: Edit) -> None:
        """An edit does what the case says, and once applied nothing is left to do."""
        self.at(Rule.EDITS)
        inputs = self.case.inputs if edit.inputs is None else edit.inputs
        desired = self.desired(edited(self.case.values, edit.path, edit.value), inputs)
        what = f"an edit of `{edit.path}`"
        if desired.identity != base.identity:
            if edit.then is not Then.ANOTHER_OBJECT:
                self.say(Rule.EDITS, f"{what} makes another object; it should make {edit.then}")
            elif self.kind.family is not Family.BUILD:  # a build of other content is the same work as the first one
                self.replaced(base, desired, what)
            return
        changes = self.diff(desired, self.record, Observed())
        paths = [item.path for item in changes if item.field_class is not FieldClass.METADATA]
        if edit.then is Then.ANOTHER_OBJECT:
            identity = f"`identity`, which is {sorted(self.kind.identity)}"
            cause = "its content key" if self.kind.family is Family.BUILD else identity
            self.say(Rule.EDITS, f"{what} should make another object, and does not change {cause}")
        elif edit.then is Then.METADATA and (paths or not changes):
            shown = _paths(changes) or "nothing"
            self.say(
                Rule.EDITS,
                f"{what} should run nothing and be kept in the record; the plan shows {shown}: mark the field with `Metadata`",
            )
        elif edit.then is Then.NOTHING and changes:
            shown = _paths(changes)
            self.say(Rule.EDITS, f"{what} only writes the same in another way, and yet the plan shows {shown}")
        elif edit.then is Then.UPDATE:
            shows = edit.shows or edit.path
            if not any(path == shows or path.startswith(f"{shows}.") for path in paths):
                self.say(Rule.EDITS, f"{what} should show as `{shows}`; the plan shows {', '.join(paths) or 'nothing'}")
            if edit.applied:
                self.latest = self.apply(desired, self.latest, f"the update for {what}")
                self.expect_settled(desired, self.latest, what)

    def back(self, base: Desired) -> None:
        """Undo the edits: the object is what it was."""
        if self.latest is self.record:
            return
        back = self.apply(base, self.latest, "undoing the edits")
        self.expect_settled(base, back, "undoing the edits")
        if back.digest != self.record.digest:
            self.say(
                Rule.EDITS,
                "after undoing the edits the digest is another than before: dependents would be made anew for nothing",
            )
        self.record = self.latest = back

    def replaced(self, base: Desired, desired: Desired, what: str) -> None:
        """Make the other object beside the first, and remove it again: neither may touch the other."""
        self.back(base)
        other = self.apply(desired, None, f"making another object for {what}")
        self.expect_settled(desired, other, what)
        self.expect_settled(
            base, self.record, f"{what}, on the object it replaces: a replacement is made before the old one goes"
        )
        self.delete(other, f"delete of what {what} made")
        self.expect_settled(base, self.record, f"deleting the object that {what} had made")

    def removals(self, desired: Desired, record: Record, before: int | None) -> None:
        """Removed by what was known when an apply was cut off; made anew; removed in the ordinary way, twice."""
        cut_off = intent(desired)
        self.at(Rule.DELETES)
        self.delete(cut_off, "delete of a record that was cut off (id None, no outputs)")
        self.expect_gone(
            record, before, "delete of a record that was cut off: find the object by its key, not by its id"
        )
        self.at(Rule.SAME_ANEW)
        anew = self.apply(desired, None, "apply after delete")
        self.expect_settled(desired, anew, "apply after delete")
        if self.case.same_when_made_anew and anew.digest != record.digest:
            self.say(
                Rule.SAME_ANEW,
                "removed and made again, the same block gives another digest: it is not determined by what it is made of",
            )
        self.at(Rule.DELETES)
        pending = replace(anew, pending=Pending.DELETE)
        for what in ("delete", "a second delete"):
            self.delete(pending, what)
            self.expect_gone(anew, before, what)
        self.delete(cut_off, "delete of a record that was cut off before anything was made")
        self.broken_records(desired, anew)
        self.tolerates("delete of a record without a spec", self.kind.delete, replace(cut_off, spec={}), self.ctx)

    def adoption(self, desired: Desired, before: int | None) -> None:
        """What somebody made by hand is taken over as it is, and is then ours to remove; what is not there is refused."""
        if self.case.found is None or not isinstance(self.kind, Importable):
            return
        self.at(Rule.ADOPTS)
        importable = self.kind
        try:
            importable.adopt(desired, _NOBODYS, self.ctx)
            self.say(Rule.ADOPTS, f"adopt takes over `{_NOBODYS}`, which does not exist; it raises MlctlError")
        except MlctlError:
            pass
        except Exception as error:
            self.say(Rule.TOLERANT, _raised("adopt of what does not exist", error))
        known = self.call("making what is to be adopted", self.case.found)
        found = make_record(desired, self.call("adopt", lambda: importable.adopt(desired, known, self.ctx)))
        self.made[str(desired.key)] = found
        for problem in stored_problems(found.outputs, "outputs of adopt", self.ctx):
            self.say(Rule.ADOPTS, problem)
        self.expect_settled(desired, found, "adopt")
        again = make_record(desired, self.call("a second adopt", lambda: importable.adopt(desired, known, self.ctx)))
        if (again.id, again.digest) != (found.id, found.digest):
            self.say(Rule.ADOPTS, f"a second adopt ends in something else; {_REPEAT}")
        self.expect_count(before, 1, "adopt", "nothing was made beside what was there")
        self.delete(found, "delete of what was adopted")
        self.expect_gone(found, before, "delete of what was adopted")

    def delete(self, record: Record, what: str) -> None:
        """Remove an object; whatever the kind raises ends the trial."""
        self.call(what, lambda: self.kind.delete(record, self.ctx))
        self.made.pop(str(record.key), None)

    def expect_gone(self, record: Record, before: int | None, what: str) -> None:
        """The tool holds no more than before, and `read` finds nothing."""
        self.expect_count(before, 0, what, "nothing is left")
        if not self.case.only_in_state and self.read(record, what) is not None:
            self.say(Rule.DELETES, f"read still finds it after {what}")

    def expect_count(self, before: int | None, more: int, what: str, wish: str) -> None:
        """The tool holds so many more objects than before the first apply."""
        now = self.count()
        if before is not None and now is not None and now - before != more:
            self.say(
                Rule.MADE, f"after {what} the tool holds {now} objects, and {before} before it was first made; {wish}"
            )

    def count(self) -> int | None:
        """How many objects the tool holds, if the case can tell."""
        return None if self.case.count is None else self.case.count()

    def files(self) -> set[str]:
        """Every file below the project folder with its size and time, but for logs and what SQLite keeps beside a database."""
        found = set()
        for path in self.ctx.root.rglob("*"):
            if path.is_file() and not path.name.endswith(_PASSING):
                status = path.stat()
                found.add(f"{path.relative_to(self.ctx.root)} ({status.st_size} bytes, {status.st_mtime_ns})")
        return found


def _raised(what: str, error: Exception) -> str:
    return f"{what} raised {type(error).__name__}: {error}; a kind raises MlctlError, and nothing else"


def _paths(changes: Sequence[FieldChange]) -> str:
    return ", ".join(f"`{item.path}` ({item.old!r} -> {item.new!r}, {item.observed!r} found)" for item in changes)
