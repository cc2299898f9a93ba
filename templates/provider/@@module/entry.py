"""The kind: what mlctl asks about entries of the catalogue, and has done to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from mlctl.provider import Context, Desired, Family, Observed, Outcome, Spec, diff_fields
from mlctl.types.address import ObjectKey
from mlctl.types.change import FieldChange, FieldClass
from mlctl.types.diagnostic import Diagnostic, MlctlError
from mlctl.types.state import Record
from mlctl.types.value import digest

from @@module import _client
from @@module.render import Entry, render
from @@module.settings import BLOCK, DEFAULT_PATH
from @@module.spec import EntrySpec


class @@{title}Entry:
    """The `@@section` section."""

    api_version: ClassVar[str] = "1.0"  # of mlctl.provider, when this was written
    section: ClassVar[str] = "@@section"
    family: ClassVar[Family] = Family.DEFINITION
    spec: ClassVar[type[Spec]] = EntrySpec
    identity: ClassVar[frozenset[str]] = frozenset({"entry"})  # another name is another entry, so the old one goes
    field_class: ClassVar[FieldClass] = FieldClass.DATA
    settings: ClassVar[frozenset[str]] = frozenset({BLOCK})

    def check(self, spec: EntrySpec, ctx: Context) -> Sequence[Diagnostic]:
        """Rules that the types cannot state; the tool is not asked."""
        if not spec.link or spec.link.startswith(("https://", "http://")):
            return ()
        why, fix = "a link is opened in a browser", f"write `link: https://{spec.link}`"
        return [Diagnostic("@@settings.bad-link", f"`{spec.link}` is no web address", why, fix, path=("link",))]

    def read(self, prior: Record, ctx: Context) -> Observed | None:
        """What the catalogue has now; None when the entry is gone, or is somebody else's by now."""
        found = _client.find(_recorded(prior, ctx), str(prior.spec.get("entry")))
        if found is None or found.mark != _mark(prior.made_as, ctx):
            return None
        known: dict[str, Any] = {"title": found.title, "link": found.link, "labels": list(found.labels)}
        # a field that nobody wrote is not in the record either, and counts only once it is no longer as it was left out
        return Observed({name: value for name, value in known.items() if name in prior.spec or value not in ("", [])})

    def diff(self, desired: Desired, prior: Record, seen: Observed) -> Sequence[FieldChange]:
        """Field by field."""
        return diff_fields(desired, prior, seen)

    def apply(self, desired: Desired, prior: Record | None, ctx: Context) -> Outcome:
        """Add the entry or change it. One statement, so that a kill leaves the old entry or the new one."""
        path, mark = _path(ctx.settings.get(BLOCK, {}), ctx), _mark(ctx.origins.get(desired.key, desired.key), ctx)
        entry = render(desired, mark)
        if not _client.put(path, entry):
            raise _not_ours(entry, desired)
        if prior is not None and (before := _recorded(prior, ctx)) != path:  # the `@@settings` block names another file
            _client.remove(before, entry.name, mark)
        return _outcome(entry)

    def delete(self, prior: Record, ctx: Context) -> None:
        """Remove the entry if it is ours, also when the apply that made it was cut off."""
        _client.remove(_recorded(prior, ctx), str(prior.spec.get("entry")), _mark(prior.made_as, ctx))

    def adopt(self, desired: Desired, id: str, ctx: Context) -> Outcome:
        """Take over an entry that somebody made, if it is what the block asks for; only its mark changes."""
        path = _path(ctx.settings.get(BLOCK, {}), ctx)
        entry, found = render(desired, _mark(desired.key, ctx)), _client.find(path, id)
        if found is None or found.name != entry.name:
            why, fix = f"the block is about `{entry.name}`", f"name that: `mlctl import {desired.address} {entry.name}`"
            summary = f"the catalogue has no entry `{id}` for {desired.address}"
            raise MlctlError.of("@@settings.not-found", summary, why, fix)
        if found.mark not in ("", entry.mark):
            raise _not_ours(entry, desired)
        differs = [name for name in ("title", "link", "labels") if getattr(found, name) != getattr(entry, name)]
        if differs or not _client.sign(path, entry):
            why = f"they differ in {', '.join(differs) or 'what was changed a moment ago'}"
            fix = "write the block as the entry is, import it, and change it after that"
            raise MlctlError.of("@@settings.differs", f"`{id}` is not what {desired.address} asks for", why, fix)
        return _outcome(entry)


def _outcome(entry: Entry) -> Outcome:
    """The digest is what dependents compare: of what they could read, and of nothing else."""
    content = [entry.name, entry.title, entry.link, list(entry.labels), entry.rows]
    return Outcome(entry.name, {"entry": entry.name, "digest": digest(content)})


def _mark(key: ObjectKey, ctx: Context) -> str:
    """Whose an entry is. `key` is the one it was made under: a block that was renamed since keeps its entry."""
    return f"{ctx.lineage} {key.address}"


def _path(settings: Mapping[str, Any], ctx: Context) -> Path:
    return ctx.path(str(settings.get("path", DEFAULT_PATH)))


def _recorded(prior: Record, ctx: Context) -> Path:
    """The catalogue that an entry was put into, whatever the project says now."""
    return _path(prior.spec.get(f"project_{BLOCK}") or {}, ctx)


def _not_ours(entry: Entry, desired: Desired) -> MlctlError:
    return MlctlError.of(
        "@@settings.not-ours",
        f"the catalogue has an entry `{entry.name}` already, and it was not made by {desired.address}",
        "mlctl changes and removes only what it made",
        f"choose another `entry`, or take it over: `mlctl import {desired.address} {entry.name}`",
    )
