"""With this folder on PYTHONPATH, the `server` program of worker processes is the small one beside this file."""

import importlib.abc
import importlib.util
import sys
from pathlib import Path

_NAME = "mlctl.runtime.server.program"


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, fullname, path, target=None):
        if fullname != _NAME:
            return None
        return importlib.util.spec_from_file_location(_NAME, Path(__file__).with_name("tiny_server.py"))


sys.meta_path.insert(0, _Finder())
