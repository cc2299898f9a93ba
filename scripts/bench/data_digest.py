"""Benchmark of content digests: a large file against a direct read and dvc's MD5, and very many small files planned again.

    scripts/bench/data_digest.py [--gigabytes 5] [--files 100000] [--runs 3] [--dvc VENV] [--folder DIR]

Bars: a digest runs at 90 % of the speed of a direct read or more, and a plan over small files that did not change takes under
2 s. Every figure is the best of its runs, all taken in one run of this script, one after the other. With `--dvc` the `dvc` of
that environment is measured too; else MD5 as Python has it, which is what dvc computes.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from mlctl.files.digests import FileDigests

_BLOCK = 1 << 20
_BAR_OF_READ, _BAR_SECONDS = 0.90, 2.0


def main() -> int:
    """Run all, print ratios, and end with 1 when a bar is missed."""
    asked = _arguments()
    folder = Path(tempfile.mkdtemp(prefix="mlctl-digest-", dir=asked.folder))
    try:
        kept = [_large(folder, asked.gigabytes, asked.runs, asked.dvc), _small(folder, asked.files, asked.runs)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if all(kept) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--gigabytes", type=float, default=5)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--dvc", type=Path, help="a virtual environment that has dvc")
    parser.add_argument("--folder", type=Path, help="where the data is written")
    return parser.parse_args()


def _large(folder: Path, gigabytes: float, runs: int, dvc: Path | None) -> bool:
    path = folder / "large.bin"
    size = _write(path, int(gigabytes * 1e9))
    print(f"one file of {size / 1e9:.2f} GB (best of {runs})")
    sides: dict[str, Callable[[], object]] = {
        "direct read": lambda: _read(path),
        "cat": lambda: subprocess.run(["cat", str(path)], check=True, stdout=subprocess.DEVNULL),
        "mlctl digest": lambda: FileDigests().file(path),
        "MD5 (hashlib)": lambda: _md5(path),
    }
    if dvc is not None:
        sides["dvc"] = lambda: _dvc(path, dvc)
    kept = True
    for cold in (False, True):
        seconds = {name: min(_timed(side, path, cold=cold) for _ in range(runs)) for name, side in sides.items()}
        print(f"  {'from the disk' if cold else 'in the page cache'}")
        for name, taken in seconds.items():
            print(f"    {name:<16}{size / taken / 1e9:6.2f} GB/s")
        # one that drops pages cannot make others do so: what the disk gives differs from run to run
        share = min(seconds["direct read"], seconds["cat"]) / seconds["mlctl digest"]
        print(f"    digest / fastest direct read: {share:.2f} (bar {_BAR_OF_READ})")
        print(f"    digest / MD5: {seconds['MD5 (hashlib)'] / seconds['mlctl digest']:.1f} times as fast")
        kept = kept and share >= _BAR_OF_READ
    return kept


def _small(folder: Path, count: int, runs: int) -> bool:
    project = folder / "project"
    rows = _parquet(folder)
    for number in range(count):
        if number % 1000 == 0:
            place = project / "data" / f"{number // 1000:04}"
            place.mkdir(parents=True)
        (place / f"{number:06}.parquet").write_bytes(rows)
    (project / "mlctl.yaml").write_text("project: many\ndatasets:\n  small: {path: data}\n")
    time.sleep(2.5)  # digests of files that were changed just now are not remembered
    mlctl = [str(Path(sys.executable).with_name("mlctl"))]
    applied = _seconds(lambda: subprocess.run([*mlctl, "apply", "--yes"], cwd=project, check=True, capture_output=True))
    plans = [
        _seconds(lambda: subprocess.run([*mlctl, "plan"], cwd=project, check=True, capture_output=True))
        for _ in range(runs + 1)
    ]
    best = min(plans)
    print(
        f"{count:,} small files\n  first apply {applied:.2f} s\n  plan, nothing changed: {best:.2f} s (bar {_BAR_SECONDS})"
    )
    return best < _BAR_SECONDS


def _parquet(folder: Path) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"a": [1, 2, 3], "b": ["x", "y", None]}), folder / "one.parquet")
    return (folder / "one.parquet").read_bytes()


def _write(path: Path, size: int) -> int:
    block = os.urandom(64 << 20)
    with open(path, "wb") as stream:
        for _ in range(max(1, size // len(block))):
            stream.write(block)
        stream.flush()
        os.fsync(stream.fileno())
    return path.stat().st_size


def _timed(side: Callable[[], object], path: Path, *, cold: bool) -> float:
    if cold:
        handle = os.open(path, os.O_RDONLY)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)
    return _seconds(side)


def _seconds(side: Callable[[], object]) -> float:
    start = time.perf_counter()
    side()
    return time.perf_counter() - start


def _read(path: Path) -> None:
    buffer = bytearray(_BLOCK)
    handle = os.open(path, os.O_RDONLY)
    while os.readv(handle, [buffer]):
        pass
    os.close(handle)


def _md5(path: Path) -> str:
    found = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as stream:
        while block := stream.read(_BLOCK):
            found.update(block)
    return found.hexdigest()


def _dvc(path: Path, venv: Path) -> None:
    code = "import sys; from dvc_data.hashfile.hash import file_md5; from dvc_objects.fs.local import LocalFileSystem as F; file_md5(sys.argv[1], F())"
    subprocess.run([str(venv / "bin" / "python"), "-c", code, str(path)], check=True)


if __name__ == "__main__":
    sys.exit(main())
