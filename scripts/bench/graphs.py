"""One graph written three times: as a project of mlctl, of Terraform and of DVC. Nothing in it does any work.

A node is `e` and its number. A layered graph has ten layers; from the second on, a node depends on the one above it, and
every third also on that one's neighbour. A flat graph has no edges. Each node carries one text; in a layered graph it
names outputs of the nodes it depends on, so that all three tools have values to put in, not only an order to keep.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

LAYERS = 10

Graph = list[list[int]]  # the dependencies of each node, by number


def layered(size: int) -> Graph:
    """Ten layers; each node has one or two dependencies in the layer before its own."""
    width = size // LAYERS
    graph: Graph = []
    for number in range(size):
        above = number - width
        if above < 0:
            graph.append([])
        elif number % 3 or width == 1:
            graph.append([above])
        else:
            graph.append([above, above + 1 if (above + 1) % width else above + 1 - width])
    return graph


def flat(size: int) -> Graph:
    """No edges."""
    return [[] for _ in range(size)]


SHAPES = {"layered": layered, "flat": flat}


def text(number: int, names: list[str]) -> str:
    """What a node carries."""
    return f"number {number}" + (f" after {' and '.join(names)}" if names else "")


def write_mlctl(graph: Graph, folder: Path) -> None:
    """Entities, which exist in the state alone."""
    lines = ["project: bench", "entities:"]
    for number, above in enumerate(graph):
        said = text(number, [f"${{entities.e{other}.name}}" for other in above])
        lines.append(f"  e{number}: {{key: k{number}, dtype: int64, description: '{said}'}}")
    (folder / "mlctl.yaml").write_text("\n".join(lines) + "\n")


def write_terraform(graph: Graph, folder: Path) -> None:
    """`terraform_data`, which is built in and exists in the state alone."""
    blocks = []
    for number, above in enumerate(graph):
        said = text(number, [f"${{terraform_data.e{other}.id}}" for other in above])
        blocks.append(f'resource "terraform_data" "e{number}" {{\n  input = "{said}"\n}}\n')
    (folder / "main.tf").write_text("\n".join(blocks))


def write_terraform_state(size: int, folder: Path) -> None:
    """The state that an apply of a flat graph would leave; made by hand, because a real apply of 10,000 takes an hour."""
    resources = [_terraform_resource(number) for number in range(size)]
    state = {
        "version": 4, "terraform_version": "1.15.5", "serial": 1, "lineage": "00000000-0000-0000-0000-000000000000",
        "outputs": {}, "resources": resources, "check_results": None,
    }  # fmt: skip
    (folder / "terraform.tfstate").write_text(json.dumps(state, indent=2))


def _terraform_resource(number: int) -> dict[str, object]:
    """One entry of Terraform's state."""
    value = {"value": text(number, []), "type": "string"}
    identity = hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()
    attributes = {"id": identity, "input": value, "output": value, "triggers_replace": None}
    instance = {
        "schema_version": 0, "attributes": attributes, "sensitive_attributes": [], "identity_schema_version": 0,
    }  # fmt: skip
    return {
        "mode": "managed", "type": "terraform_data", "name": f"e{number}",
        "provider": 'provider["terraform.io/builtin/terraform"]', "instances": [instance],
    }  # fmt: skip


def write_dvc(graph: Graph, folder: Path) -> None:
    """Stages that write one line each, which their dependents name as a file they read."""
    stages = {}
    for number, above in enumerate(graph):
        stage = {"cmd": f"echo {text(number, [])} > out/e{number}", "outs": [{f"out/e{number}": {"cache": False}}]}
        stages[f"e{number}"] = {**stage, **({"deps": [f"out/e{other}" for other in above]} if above else {})}
    (folder / "out").mkdir(exist_ok=True)
    (folder / "dvc.yaml").write_text(json.dumps({"stages": stages}, indent=1))  # JSON is YAML


def write_dvc_results(graph: Graph, folder: Path) -> None:
    """The files and the lock that `dvc repro` would leave; made by hand, because a real one of 1,000 takes minutes."""

    def entry(number: int) -> dict[str, object]:
        data = f"{text(number, [])}\n".encode()
        digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
        return {"path": f"out/e{number}", "hash": "md5", "md5": digest, "size": len(data)}

    lock = {}
    for number, above in enumerate(graph):
        (folder / "out" / f"e{number}").write_text(f"{text(number, [])}\n")
        stage: dict[str, object] = {"cmd": f"echo {text(number, [])} > out/e{number}"}
        if above:
            stage["deps"] = [entry(other) for other in above]
        lock[f"e{number}"] = {**stage, "outs": [entry(number)]}
    (folder / "dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": lock}, indent=1))
