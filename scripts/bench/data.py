"""What the data half costs, beside its peers, one part after the other; each prints its own table and ratios.

    digest  content digests: against a direct read and MD5; 100,000 unchanged files planned again
    checks  50 million rows, ten rules: against a hand-written script, Great Expectations, pandera
    join    the point-in-time join: against Feast's engines and a plain ASOF join; windows over 50 million events
    online  reads of the online stores under load: against Feast's own; parity over 100,000 keys

Run it with: .venv/bin/python scripts/bench/data.py [PART ...] [-- options of the part]
Ends with 1 when a bar is broken.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PARTS = ("digest", "checks", "join", "online")


def main(arguments: list[str]) -> int:
    """Run the parts that are named, or all."""
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    chosen, options = arguments[:cut] or list(PARTS), arguments[cut + 1 :]
    if unknown := [part for part in chosen if part not in PARTS]:
        print(__doc__)
        return 0 if unknown == ["--help"] else 2
    broken = 0
    for part in chosen:
        print(f"\n## {part}\n", flush=True)
        done = subprocess.run([sys.executable, str(HERE / f"data_{part}.py"), *options], check=False)
        broken = max(broken, done.returncode)
    return broken


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
