"""Fuzz mlctl for long: spoiled specs, states, journals, job files and plans against the commands that only read.

Run it with: .venv/bin/python scripts/fuzz.py --count 20000 --seed 1 [--kind state]
Again one input: .venv/bin/python scripts/fuzz.py --kind state --seed 1 --only 4711
What is promised of every input stands in tests/faults/fuzz.py.
"""

from __future__ import annotations

import argparse
import collections
import faulthandler
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.faults import fuzz, fuzz_arena

_HANG_SECONDS = 120  # a call into C that never comes back cannot be interrupted: end with a trace instead


def main() -> int:
    """Run, print, and give 1 when there are findings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2_000, help="how many inputs in all (default: 2000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--kind", choices=sorted(fuzz_arena.KINDS), action="append", help="only this kind; may be given again"
    )
    parser.add_argument("--only", type=int, metavar="NUMBER", help="only the input of this number")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"), help="where projects of findings are kept")
    options = parser.parse_args()
    kinds = options.kind or list(fuzz_arena.KINDS)
    numbers = range(options.count) if options.only is None else [options.only]
    keep = options.keep.absolute()
    with tempfile.TemporaryDirectory(prefix="mlctl-fuzz-") as name:
        arena = fuzz_arena.Arena.make(Path(name))
        return run(arena, kinds, options.seed, list(numbers), keep)


def run(arena: fuzz_arena.Arena, kinds: list[str], seed: int, numbers: list[int], keep: Path) -> int:
    """Every number once, the kinds in turn; each new way to fail is told once, with how to see it again."""
    seen: collections.Counter[str] = collections.Counter()
    started, slowest = time.monotonic(), (0.0, "")
    for done, number in enumerate(numbers, 1):
        case = fuzz_arena.Case(kinds[number % len(kinds)] if len(numbers) > 1 else kinds[0], seed, number)
        faulthandler.dump_traceback_later(_HANG_SECONDS, exit=True)
        began = time.monotonic()
        finding = fuzz.run_case(arena, case)
        slowest = max(slowest, (time.monotonic() - began, f"{case.kind} {number}"))
        if finding is not None:
            tell(arena, finding, seen, keep)
        if done % 100 == 0 or done == len(numbers):
            took = time.monotonic() - started
            left = took / done * (len(numbers) - done)
            figures = f"{done:,} of {len(numbers):,}  {done / took:.1f}/s  {sum(seen.values())} findings  {left / 60:.0f} min left"
            print(figures, end="\r" if sys.stderr.isatty() else "\n", file=sys.stderr, flush=True)
    faulthandler.cancel_dump_traceback_later()
    ways = f"{sum(seen.values())} findings of {len(seen)} kinds" if seen else "no findings"
    print(
        f"{len(numbers):,} inputs in {time.monotonic() - started:.0f} s, {ways}; slowest {slowest[0]:.1f} s ({slowest[1]})"
    )
    return 1 if seen else 0


def tell(arena: fuzz_arena.Arena, finding: fuzz.Finding, seen: collections.Counter[str], keep: Path) -> None:
    """Say what was found, and keep its project, unless the same was found before."""
    what = f"{finding.command[0]}: {finding.what}"
    seen[what] += 1
    if seen[what] > 1:
        return
    case = finding.case
    keep.mkdir(parents=True, exist_ok=True)
    kept = fuzz.keep(arena, finding, keep)
    print(f"\n{what}\n  file   {kept / finding.file}\n  again  cd {kept} && mlctl {' '.join(finding.command)}")
    print(f"  or     python scripts/fuzz.py --kind {case.kind} --seed {case.seed} --only {case.number}")
    print("  " + finding.output.strip()[-600:].replace("\n", "\n  "), flush=True)


if __name__ == "__main__":
    sys.exit(main())
