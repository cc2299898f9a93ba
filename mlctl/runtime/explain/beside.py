"""The process that explains, seen from the server: started once it serves, started again when it dies, ended with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from mlctl.runtime.controller.tail import Tail

_FIRST_WAIT, _LONGEST_WAIT = 5.0, 600.0  # seconds until it is started again, doubled each time
_STEADY_SECONDS = 600.0
_GRACE_SECONDS = 2.0


class Beside:
    """Nothing that goes wrong with it reaches the server."""

    def __init__(self, folder: Path, log: Path) -> None:
        self._folder, self._log = folder, Tail([log])
        self._log.skip()  # what was predicted before we were here is another release's
        self._stop = threading.Event()
        self._life, self._alive = os.pipe()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep, name="explanations", daemon=True)

    def start(self) -> None:
        """Have it run."""
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self._stop.set()
        os.close(self._alive)  # it ends now
        process = self._process
        if process is not None:
            try:
                process.wait(_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._thread.is_alive():
            self._thread.join(_GRACE_SECONDS)
        os.close(self._life)

    def _keep(self) -> None:
        wait = _FIRST_WAIT
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                read = json.dumps(self._log.offsets)  # by another one, when this is not the first
                self._log.skip()
                command = [
                    sys.executable,
                    "-m",
                    "mlctl.runtime.explain.worker",
                    str(self._folder),
                    str(self._life),
                    read,
                ]
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    pass_fds=(self._life,),
                    env={**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"},
                )
                code = self._process.wait()
            except OSError as error:
                code = error.errno or 1
            if self._stop.is_set():
                return
            if time.monotonic() - began > _STEADY_SECONDS:
                wait = _FIRST_WAIT
            print(f"the process that explains ended with {code}; the next is started in {wait:g} s", flush=True)
            self._stop.wait(wait)
            wait = min(_LONGEST_WAIT, wait * 2)
