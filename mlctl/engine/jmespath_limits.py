"""JMESPath expressions, asked of one document within limits: an expression of a hundred characters can ask for more than fits in memory."""

from __future__ import annotations

from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.visitor import TreeInterpreter

from mlctl.spec.policies import said
from mlctl.types.diagnostic import MlctlError

LONGEST = 4_000  # characters
_STEPS = 5_000_000  # a filter over 10,000 resources takes 200,000


class _TooMuch(Exception):
    """The answer would take too long, or too much memory."""


class _Counting(TreeInterpreter):
    """The interpreter, counting what it looks at and what it makes."""

    def __init__(self) -> None:
        super().__init__()
        self._left = _STEPS

    def visit(self, node: Any, *args: Any, **kwargs: Any) -> Any:
        """One node on one value. Raises _TooMuch when all of them together were too many or too large."""
        found = super().visit(node, *args, **kwargs)
        # what a list or a text was made of was copied, and doubles with a few characters: `[@, @][]`
        made = node["type"] in ("flatten", "multi_select_list", "function_expression")
        self._left -= 1 + (len(found) if made and isinstance(found, list | str) else 0)
        if self._left < 0:
            raise _TooMuch
        return found


class Search:
    """Asks expressions of a document."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document

    def __call__(self, name: str, expression: str) -> Any:
        """The answer. Raises MlctlError for an expression that has none, in the name of who asks."""
        if len(expression) > LONGEST:
            raise _refused(name, f"its expression has {len(expression)} characters, and {LONGEST} are the most")
        try:
            return _Counting().visit(jmespath.compile(expression).parsed, self._document)
        except JMESPathError as error:
            raise _refused(name, said(error)) from None
        except RecursionError:
            raise _refused(name, "its expression is nested too deeply") from None
        except _TooMuch:
            raise _refused(name, "its expression takes too long on this project") from None


def _refused(name: str, why: str) -> MlctlError:
    return MlctlError.of(
        "policy.unusable",
        f"the policy `{name}` gives no answer",
        why,
        "correct its expression; a policy that cannot be answered lets nothing through",
    )
