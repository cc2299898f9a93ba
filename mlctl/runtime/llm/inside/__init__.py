"""What runs inside of engines, in their environments: the standard library, the engine, and nothing of mlctl.

vLLM loads this folder as the package `mlctl_inside`, by its option `--middleware`.
"""

from .guard import Guard as Guard
from .guard import Versions as Versions
