"""Are the statistics right? Simulations with seeds and intervals, each next to what is done elsewhere, on the same streams.

    .venv/bin/python scripts/bench/statistics.py [--quick] [--only experiments,drift,concept] [--json FILE]

A bar is broken when the whole 95 % interval of a figure lies on its wrong side. Ends with 1 when one is.
"""

from __future__ import annotations

import sys

if __name__ == "statistics":
    # another script of this folder asked for the standard library's module, and found this file, which lies beside it
    import importlib.util
    import sysconfig

    _spec = importlib.util.spec_from_file_location("statistics", f"{sysconfig.get_path('stdlib')}/statistics.py")
    assert _spec is not None
    assert _spec.loader is not None
    sys.modules["statistics"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["statistics"])

PARTS = ("experiments", "drift", "concept")


def main() -> int:
    """Play, print, and say whether every bar holds."""
    import argparse
    import importlib
    import json
    import time
    from pathlib import Path

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few streams: a check of the script, not of the figures")
    parser.add_argument("--only", default=",".join(PARTS), metavar="NAME,...", help="the parts to play")
    parser.add_argument("--json", type=Path, help="where to write what was measured")
    given = parser.parse_args()
    asked = given.only.split(",")
    if unknown := set(asked) - set(PARTS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    found, broken = [], []
    for part in asked:
        began = time.monotonic()
        print(f"\n## {part}\n\n| figure | ours | bar | elsewhere |\n|---|---|---|---|", flush=True)
        for line in importlib.import_module(f"statistics_{part}").run(given.quick):
            holds = kept(line.bar, line.low, line.high)
            found.append({"part": part, **line._asdict(), "kept": holds})
            broken += [] if holds else [line.name]
            peers = ", ".join(f"{name}: {figure(value)}" for name, value in line.peers.items())
            print(
                f"| {line.name} | {figure(line.value)} ({figure(line.low)} to {figure(line.high)}) | {line.bar} {'' if holds else 'BROKEN'} | {peers} |",
                flush=True,
            )
        print(f"\n{time.monotonic() - began:.0f} s")
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=1) + "\n")
    print("\n" + "\n".join(f"BROKEN {name}" for name in broken) if broken else "\nevery bar holds")
    return 1 if broken else 0


def kept(bar: str, low: float, high: float) -> bool:
    """Whether a figure may keep its bar, given its interval. A figure without a bar has none to break."""
    if not bar:
        return True
    sign, _, limit = bar.partition(" ")
    return low <= float(limit) if sign == "<=" else high >= float(limit)


def figure(value: float) -> str:
    """A figure to four digits."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


if __name__ == "__main__":
    sys.exit(main())
