"""Run the tests side by side; the few that failed then, once more, alone and one after another.

A test that is right may come too late on a busy machine. So up to five failures are looked at again: when all of them pass
alone, the run has passed, and says which those were. One that fails twice has failed. Arguments go to pytest.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

MOST = 5
FAILED = 1  # pytest's exit code when tests failed, and nothing else went wrong
CACHE = Path(".pytest_cache/run")  # of this run alone: what failed in another one is none of its business
EARLY = re.compile(r"-[a-zA-Z]*x|--exitfirst|--maxfail.*|--sw.*|--stepwise.*")  # then most tests may not have been run


def main(arguments: list[str]) -> int:
    """The exit code of the whole run."""
    shutil.rmtree(CACHE, ignore_errors=True)
    code = _pytest("--numprocesses", "2", "--dist", "loadfile", *arguments)
    failed = _failed()
    if code != FAILED or not 0 < len(failed) <= MOST or any(EARLY.fullmatch(item) for item in arguments):
        return code
    if not all("::" in item for item in failed):  # a file that cannot be imported
        return code
    print(f"\nonce more, alone: {len(failed)} of the tests failed", flush=True)
    code = _pytest(*arguments, "--numprocesses", "0", "--last-failed", "--last-failed-no-failures", "none")
    again = _failed()
    if passed := [item for item in failed if item not in again]:
        print("\npassed only when run alone:", *passed, sep="\n  ", flush=True)
    if again:
        print("\nfailed twice:", *again, sep="\n  ", flush=True)
    return code or (FAILED if again else 0)  # one that was not found again, by another name, has not passed


def _pytest(*arguments: str) -> int:
    # random tests ask the same examples each time, so that a change is judged by what it changed; `make soak` looks for new ones
    command = [sys.executable, "-m", "pytest", "-o", f"cache_dir={CACHE}", "--hypothesis-profile=ci", *arguments]
    return subprocess.run(command, check=False).returncode


def _failed() -> list[str]:
    """What failed last, as pytest remembers it."""
    try:
        return sorted(json.loads((CACHE / "v/cache/lastfailed").read_bytes()))
    except FileNotFoundError:
        return []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
