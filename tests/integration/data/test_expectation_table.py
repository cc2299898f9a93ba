"""The table that plans are judged by is what the installed Great Expectations has."""

import json

import pytest

from mlctl.providers.great_expectations.expectations import EXPECTATIONS
from tests.integration.data.helpers import run_python

pytestmark = pytest.mark.tools

# Arguments every expectation has, which would have no effect here or are set by mlctl.
COMMON = {
    "id",
    "meta",
    "notes",
    "result_format",
    "description",
    "catch_exceptions",
    "rendered_content",
    "windows",
    "batch_id",
    "severity",
    "library_metadata",
}

LIST = """
import json
import great_expectations.expectations as all_of_them
from great_expectations.expectations.registry import get_expectation_impl, list_registered_expectation_implementations
found = {}
for name in list_registered_expectation_implementations():
    found[name] = {field: info.required for field, info in get_expectation_impl(name).__fields__.items()}
print(json.dumps(found))
"""


def test_the_table_is_that_of_the_library() -> None:
    installed = json.loads(run_python(LIST).splitlines()[-1])
    assert sorted(installed) == sorted(EXPECTATIONS)
    for name, fields in installed.items():
        own = {field: required for field, required in fields.items() if field not in COMMON}
        known = EXPECTATIONS[name]
        assert {field for field, required in own.items() if required} == known.required, name
        assert {field for field, required in own.items() if not required} | {"severity"} == known.optional, name
