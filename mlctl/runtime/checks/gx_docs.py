"""Great Expectations' own pages about a validation, and the validation as its JSON, in a folder.

The pages load styles and fonts from the web when they are opened; mlctl's own report does not.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from mlctl.types.value import Json

SUITE, VALIDATION, PAGES = "suite.json", "validation.json", "site"


def write_docs(suite: Any, results: Any, folder: Path) -> None:
    """Write `suite.json`, `validation.json` and the pages below `site/`, beside and then swapped in."""
    from great_expectations.render.renderer import ExpectationSuitePageRenderer, ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

    beside = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    (beside / PAGES).mkdir(parents=True)
    view = DefaultJinjaPageView()
    (beside / SUITE).write_text(_json(suite.to_json_dict()), encoding="utf-8")
    (beside / VALIDATION).write_text(_json(results.to_json_dict()), encoding="utf-8")
    for name, renderer, subject in (
        ("index.html", ValidationResultsPageRenderer(), results),
        ("suite.html", ExpectationSuitePageRenderer(), suite),
    ):
        (beside / PAGES / name).write_text(view.render(renderer.render(subject)), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    beside.rename(folder)


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, default=native) + "\n"


def native(item: Any) -> Json:
    """A numpy value that Great Expectations leaves in its results."""
    return item.item() if hasattr(item, "item") else str(item)
