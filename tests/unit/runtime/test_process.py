"""How worker processes end."""

from __future__ import annotations

import subprocess
import sys


def test_leaving_hands_on_the_code_and_what_was_printed() -> None:
    program = (
        "import sys; from mlctl.runtime import process; process.begin(); sys.stdout.write('said'); process.leave(3)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "said")
