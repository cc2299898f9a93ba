"""The value of each variable: default < environment < `MLCTL_VAR_…` < `--var-file` < `--var`, and of `${env.NAME}`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from mlctl.spec.places import Located, Place
from mlctl.spec.reading import displayed
from mlctl.spec.report import Report
from mlctl.spec.source import Source
from mlctl.spec.suggest import Suggestions, found, shown
from mlctl.spec.validation import YamlPath
from mlctl.spec.variables import PREFIX, Variable, misfit, read
from mlctl.types.diagnostic import Diagnostic
from mlctl.types.secret import HIDDEN, SHORTEST
from mlctl.types.value import Json

_SECRET_NAMES = ("TOKEN", "SECRET", "PASSWORD", "PASSWD", "KEY", "CREDENTIAL", "WEBHOOK")


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the command line says about the environment and its values, before anything is read."""

    environment: str | None = None
    values: tuple[tuple[str, str], ...] = ()
    value_files: tuple[Path, ...] = ()


class Values:
    """Looks up every variable, and reports all that is wrong with what was given.

    A secret that is not set, or empty, is no error yet: `missing` tells of it, and its place is held by a word, so that commands that
    only look at what was made need no secrets. `kept` are values of an earlier load, as a saved plan holds them: what is
    not secret then comes from nowhere else.
    """

    def __init__(
        self,
        variables: Mapping[str, Variable],
        place: Place,
        report: Report,
        suggest: Suggestions,
        kept: Mapping[str, Json] | None = None,
    ) -> None:
        self.variables = variables
        self.known: dict[str, Json] = {}
        self.secrets: dict[str, str] = {}  # by the name they are written as: `var.token`, `env.API_KEY`
        self.missing: dict[str, Diagnostic] = {}
        self.read: dict[str, str] = {}  # what was read from the process and is no secret, as `env.NAME`
        self.broken: set[str] = set()
        self._place = place
        self._report = report
        self._suggest = suggest
        self._kept = kept

    def look_up(self, overlay: Mapping[str, Json], overlay_place: Located, chosen: Chosen) -> None:
        """Go through the sources from the weakest to the strongest; `overlay` are the values of the environment."""
        self.known = {name: item.default for name, item in self.variables.items() if not item.required}
        for name, value in overlay.items():
            if self._declared(name, overlay_place, (name,)) and not self._in_file(name, overlay_place):
                self._take(name, value, overlay_place, (name,))
        if self._kept is not None:
            self.known.update({name: value for name, value in self._kept.items() if name in self.variables})
        for name, item in self.variables.items():
            text = os.environ.get(PREFIX + name)
            if item.sensitive and text == "":  # a code host gives a request from a fork its secrets so
                continue
            if text is not None and (self._kept is None or item.sensitive):
                self._take_text(name, text, PREFIX + name)
        for path in chosen.value_files:
            self._file(path)
        for name, text in chosen.values:
            self._argument(name, text)
        for name, item in self.variables.items():
            if name not in self.known and name not in self.broken:
                self._absent(name, item)
            elif item.sensitive and name not in self.broken:
                self.secrets[f"var.{name}"] = self.known[name]

    def plain(self) -> dict[str, Json]:
        """The values in force that are no secrets, with what was read from the process."""
        return {name: value for name, value in self.known.items() if not self.variables[name].sensitive} | self.read

    def environ(self, name: str) -> str | None:
        """The value of `${env.NAME}`; None when it is not set and its name is not that of a secret."""
        label = f"env.{name}"
        secret = any(word in name.upper() for word in _SECRET_NAMES)
        if not secret and self._kept is not None and label in self._kept:
            value = str(self._kept[label])
        elif (found := os.environ.get(name)) or (found is not None and not secret):
            value = found
        elif secret:
            why = "a secret is read where the command runs, and stands in no file"
            summary = f"`{name}` is not set"
            self.missing.setdefault(label, Diagnostic("spec.missing-value", summary, why, f"set {name}"))
            return HIDDEN
        else:
            return None
        if not secret:
            self.read[label] = value
        elif label not in self.secrets and not self._unfit(label, value):
            self.secrets[label] = value
        return value

    def _declared(self, name: str, place: Located, path: YamlPath) -> bool:
        if name in self.variables:
            return True
        why, fix = "the project declares none of this name", self._suggest(name, list(self.variables))
        self._report.at(place, path, "spec.unknown-variable", f"there is no variable {shown(name)}", why, fix, key=True)
        return False

    def _in_file(self, name: str, place: Located) -> bool:
        if not self.variables[name].sensitive:
            return False
        why = "what stands in a project file stays in its history"
        fix = f"remove it, and set {PREFIX}{name} where the command runs"
        summary = f"the sensitive variable {shown(name)} has a value here"
        self._report.at(place, (name,), "spec.secret-in-file", summary, why, fix, key=True)
        self.broken.add(name)
        return True

    def _take(self, name: str, value: Json, place: Located, path: YamlPath) -> None:
        """A value that stands in a file."""
        problem = misfit(self.variables[name], value, path, f"the variable {shown(name)}")
        if problem is not None:
            self._report.problem(place, (), problem, None)
        if problem is not None or (self.variables[name].sensitive and self._unfit(f"var.{name}", value)):
            self.broken.add(name)
        else:
            self.known[name] = value

    def _take_text(self, name: str, text: str, origin: str) -> None:
        """A value that was given as text, which means what it would in a project file unless it is to be a text."""
        item = self.variables[name]
        value = text if item.type == "string" else read(text)
        problem = misfit(item, value, (), origin)
        if problem is not None:
            self._tell(problem.code, problem.summary, problem.why, problem.fix)
        if problem is not None or (item.sensitive and self._unfit(f"var.{name}", value)):
            self.broken.add(name)
        else:
            self.known[name] = value

    def _file(self, path: Path) -> None:
        """The values of one `--var-file`."""
        source = Source.parse(path, displayed(path))
        self._report.diagnostics += source.diagnostics
        if source.value is None:
            return
        if not isinstance(source.value, dict):
            why, fix = "a file of values is a block of variables", "write `NAME: VALUE` lines"
            summary = f"{source.name} holds {found(source.value)}"
            self._report.at(source, (), "spec.wrong-type", summary, why, fix)
            return
        for name, value in source.value.items():
            if self._declared(name, source, (name,)):
                self._take(name, value, source, (name,))

    def _argument(self, name: str, text: str) -> None:
        """One `--var`."""
        if name not in self.variables:
            fix = self._suggest(name, list(self.variables))
            why = "the project declares none of this name"
            self._tell("spec.unknown-variable", f"there is no variable {shown(name)} for `--var`", why, fix)
        elif self.variables[name].sensitive:
            why = "other users of the machine can read the arguments of a command"
            fix = f"set {PREFIX}{name}, or name a file with `--var-file`"
            summary = f"`--var` gives the sensitive variable {shown(name)}"
            self._tell("spec.secret-in-arguments", summary, why, fix)
            self.broken.add(name)
        else:
            self._take_text(name, text, f"`--var {name}=…`")

    def _absent(self, name: str, item: Variable) -> None:
        """A variable without a value: an error, unless it is a secret that this command may not need."""
        others = [key for key in os.environ if key.startswith(PREFIX) and key[len(PREFIX) :] not in self.variables]
        near = get_close_matches(PREFIX + name, others, n=1, cutoff=0.85)
        why = "it has no default" + (f"; {near[0]} is set, and no variable has that name" if near else "")
        fix = f"set {PREFIX}{name}, or " + (
            "name a file with `--var-file`" if item.sensitive else f"give `--var {name}=…`"
        )
        where = self._place.where_key((name,))
        problem = Diagnostic("spec.missing-value", f"the variable `{name}` has no value", why, fix, where=where)
        if item.sensitive:
            self.missing[f"var.{name}"] = problem
            self.known[name] = HIDDEN
        else:
            self._report.diagnostics.append(problem)
            self.broken.add(name)

    def _unfit(self, label: str, value: Json) -> bool:
        if not isinstance(value, str):
            return False
        if "${" in value:
            why = "it would be taken for an expression, and shown"
            self._tell("spec.bad-secret", f"the sensitive value `{label}` holds a `${{`", why, "use another secret")
            return True
        if len(value) >= SHORTEST:
            return False
        why = "so short a text would be found, and hidden, in what has nothing to do with it"
        summary = f"the sensitive value `{label}` has fewer than {SHORTEST} characters"
        self._tell("spec.short-secret", summary, why, "use a longer secret")
        return True

    def _tell(self, code: str, summary: str, why: str, fix: str) -> None:
        """A problem of the command line or the process, which has no place in a file."""
        self._report.diagnostics.append(Diagnostic(code, summary, why, fix))
