"""Which kinds of resources and which settings are installed. A kind is imported when a project uses its section, and not before."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Collection, Mapping
from importlib.metadata import EntryPoint
from typing import Any

from pydantic import BaseModel

from mlctl.provider import API_VERSION, Kind, Spec
from mlctl.types.diagnostic import MlctlError, did_you_mean

KINDS = "mlctl.kinds"
SETTINGS = "mlctl.settings"

# Which extra brings the packages that our own providers need.
_EXTRAS = {
    "great_expectations": "data",
    "evidently": "data",
    "local": "data",
    "feast": "features",
    "torch": "train",
    "mlflow": "track",
    "serving": "serve",
    "ab_test": "stats",
}


class Registry:
    """Kinds by section and settings models by name, from the entry points of the installed packages."""

    def __init__(self) -> None:
        self._entries: dict[str, dict[str, list[EntryPoint]]] | None = None
        self._kinds: dict[str, Kind] = {}
        self._settings: dict[str, type[BaseModel]] = {}

    @classmethod
    def of(cls, *kinds: Kind, settings: Mapping[str, type[BaseModel]] | None = None) -> Registry:
        """A registry of just these, whatever is installed."""
        registry = cls()
        registry._entries = {KINDS: {}, SETTINGS: {}}
        registry._kinds = {kind.section: kind for kind in kinds}
        registry._settings = dict(settings or {})
        return registry

    def sections(self) -> Collection[str]:
        """The sections a project may have, in alphabetical order."""
        return sorted({*self._installed(KINDS), *self._kinds})

    def settings(self) -> Collection[str]:
        """The names of the settings blocks a project may have, in alphabetical order."""
        return sorted({*self._installed(SETTINGS), *self._settings})

    def kind(self, section: str) -> Kind:
        """The kind of a section. Raises MlctlError: `kind.missing`, `extra.missing`, `kind.conflict`, `kind.api` or `kind.broken`."""
        if section not in self._kinds:
            if section not in self._installed(KINDS):
                why = "the package that defined it may have been uninstalled"
                raise MlctlError.of(
                    "kind.missing",
                    f"no installed package has a kind for `{section}`",
                    why,
                    did_you_mean(section, self.sections()),
                )
            made: Any = self._load(KINDS, section)
            _check_version(section, getattr(made, "api_version", API_VERSION))
            try:
                kind = made()
            except Exception as error:  # a third party's constructor may raise anything
                raise _broken(section, f"{type(error).__name__}: {error}") from error
            _check_version(section, getattr(kind, "api_version", API_VERSION))  # where a function makes it
            if not isinstance(kind, Kind):
                raise _broken(section, "it does not have all the methods of `mlctl.provider.Kind`")
            if not (isinstance(kind.spec, type) and issubclass(kind.spec, Spec)):
                raise _broken(section, "its `spec` is no class derived from `mlctl.provider.Spec`")
            if kind.section != section:
                raise _broken(section, f"it calls itself the kind of `{kind.section}`")
            self._kinds[section] = kind
        return self._kinds[section]

    def settings_model(self, name: str) -> type[BaseModel]:
        """The model of a settings block. Raises MlctlError `extra.missing` or `kind.broken`."""
        if name not in self._settings:
            if name not in self._installed(SETTINGS):
                raise _broken(name, "a kind reads settings of this name, and no installed package defines them")
            model: Any = self._load(SETTINGS, name)
            if not (isinstance(model, type) and issubclass(model, BaseModel)):
                raise _broken(name, "it is no pydantic model")
            self._settings[name] = model
        return self._settings[name]

    def _installed(self, group: str) -> Mapping[str, list[EntryPoint]]:
        if self._entries is None:
            self._entries = {KINDS: {}, SETTINGS: {}}
            installed = importlib.metadata.entry_points()  # looks through every package, so once for both
            for found, names in self._entries.items():
                for entry in installed.select(group=found):
                    names.setdefault(entry.name, []).append(entry)
        return self._entries[group]

    def _load(self, group: str, name: str) -> Any:
        entries = self._installed(group)[name]
        if len({entry.value for entry in entries}) > 1:
            owners = " and ".join(sorted({f"`{entry.value}`" for entry in entries}))
            raise MlctlError.of(
                "kind.conflict",
                f"two installed packages define `{name}`",
                f"they are {owners}",
                "uninstall one of them",
            )
        entry = entries[0]
        try:
            return entry.load()
        except ModuleNotFoundError as error:
            missing = error.name or ""
            if f"{entry.module}.".startswith(f"{missing}.") or missing.startswith("mlctl"):
                raise _broken(name, f"there is no module `{missing}`") from error
            raise _missing(name, entry, missing) from error
        except ImportError as error:
            if (error.name or "").split(".")[0] == "mlctl":  # a name that this mlctl does not have, or has no longer
                raise _other_version(name, str(error)) from error
            raise _broken(name, f"{type(error).__name__}: {error}") from error
        except Exception as error:  # importing a third party's module may raise anything
            raise _broken(name, f"{type(error).__name__}: {error}") from error


def _missing(name: str, entry: EntryPoint, package: str) -> MlctlError:
    parts = entry.module.split(".")
    ours = _EXTRAS.get(parts[2]) if parts[:2] == ["mlctl", "providers"] and len(parts) > 2 else None
    install = f"pip install 'mlctl[{ours}]'" if ours else f"pip install {package.split('.')[0]}"
    return MlctlError.of(
        "extra.missing",
        f"`{name}` needs the package `{package}`, which is not installed",
        "mlctl's core is light; each stage's tools come with an extra",
        install,
    )


def _check_version(name: str, written_for: object) -> None:
    """Refuse a kind that was written for a newer major version of the public API, before anything of it is called."""
    major, _, minor = str(written_for).partition(".")
    if not (major.isdecimal() and minor.isdecimal()):
        raise _broken(name, f"its `api_version` is {written_for!r}; it is a text such as `{API_VERSION}`")
    if int(major) > int(API_VERSION.partition(".")[0]):
        raise _other_version(name, f"it says that it was written for version {written_for} of `mlctl.provider`")


def _other_version(name: str, why: str) -> MlctlError:
    return MlctlError.of(
        "kind.api",
        f"what is installed for `{name}` was written for another mlctl",
        f"{why}; this mlctl has version {API_VERSION}",
        "update mlctl, or install the release of that package that fits",
    )


def _broken(name: str, why: str) -> MlctlError:
    return MlctlError.of(
        "kind.broken",
        f"what is installed for `{name}` cannot be used",
        why,
        "reinstall or update the package that defines it",
    )
