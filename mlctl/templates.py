"""Floor 1: the templates that ship with the package, and how their placeholders are filled."""

from __future__ import annotations

from pathlib import Path
from string import Template


class ProjectTemplate(Template):
    """`@@name` and `@@{name}`, so that the `${...}` of projects and of CI files goes through untouched."""

    delimiter = "@@"


def root() -> Path:
    """The folder of templates: inside an installed package, beside it in a checkout."""
    inside = Path(__file__).parent / "templates"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "templates"


def starters() -> list[str]:
    """The names of the projects to start from."""
    return sorted(path.name for path in (root() / "starters").iterdir() if path.is_dir())


def files(starter: str) -> dict[str, bytes]:
    """The files of a starter by their path in the new project. `gitignore` becomes `.gitignore`, since wheels drop dot files."""
    folder = root() / "starters" / starter
    found = {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    return {
        path.with_name("." + path.name).as_posix() if path.name == "gitignore" else path.as_posix(): data
        for path, data in found.items()
    }


def demo() -> bytes:
    """The project of `mlctl demo`, with its placeholders."""
    return (root() / "demo" / "mlctl.yaml").read_bytes()


def pipelines() -> list[str]:
    """The hosts that there is a CI pipeline for."""
    return sorted(path.stem for path in (root() / "ci").glob("*.yml"))


def pipeline(host: str) -> bytes:
    """The CI pipeline of a host, with its placeholders."""
    return (root() / "ci" / f"{host}.yml").read_bytes()


def fill(data: bytes, values: dict[str, str]) -> bytes:
    """A text file with its placeholders filled. Raises KeyError for one without a value."""
    return ProjectTemplate(data.decode()).substitute(values).encode()
