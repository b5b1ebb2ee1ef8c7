"""Runs of a protocol side by side on one Ray, beside the same runs one after another."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from _scale_simulated import memory_mb

LOOK_SECONDS = 0.5
RUN = Path(__file__).parents[1] / "search" / "run.py"


@dataclass(frozen=True, kw_only=True)
class BatchRow:
    """Every fold of a protocol, done in one way.

    Attributes:
        way: "side by side" or "one after another".
        folds: of the protocol.
        wall_seconds: from the first command to the end of the last.
        core_seconds: of all processors of the machine that were busy meanwhile, whoever kept them so.
        busy: share of all processors' time.
        driver_mb: memory of a driver, the most that was seen of it.
    """

    way: str
    folds: int
    wall_seconds: float
    core_seconds: float
    busy: float
    driver_mb: float


def measure_batch(
    data: str, protocol: str, folds: Sequence[str], options: Sequence[str], repeats: int
) -> list[BatchRow]:
    """Do every fold in both ways, in turn, so often: a row for each time.

    Args:
        data: corpus. protocol: as `--split` takes it. folds: its folds, likewise.
        options: further ones of every run.
    """
    rows = []
    for _ in range(repeats):
        for way, splits in (("side by side", [protocol]), ("one after another", folds)):
            folder = Path(tempfile.mkdtemp(prefix="ser-scale-"))
            began, before, most = time.monotonic(), _busy_seconds(), 0.0
            for number, split in enumerate(splits):
                words = ["--data", data, "--split", split, "--run-dir", str(folder / str(number)), *options]
                most = max(most, _run([sys.executable, str(RUN), *words]))
            wall, busy = time.monotonic() - began, _busy_seconds() - before
            shutil.rmtree(folder)
            rows.append(
                BatchRow(
                    way=way,
                    folds=len(folds),
                    wall_seconds=wall,
                    core_seconds=busy,
                    busy=busy / (wall * (os.cpu_count() or 1)),
                    driver_mb=most,
                )
            )
    return rows


def _run(command: Sequence[str]) -> float:
    """Run a command to its end: the most memory that its process was seen with, in MB.

    Raises:
        CalledProcessError: it failed.
    """
    most, process = 0.0, subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        with suppress(FileNotFoundError, ProcessLookupError, ValueError):  # it has just ended
            most = max(most, memory_mb(process.pid)[0])
        time.sleep(LOOK_SECONDS)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return most


def times_as_quick(rows: Sequence[BatchRow]) -> float:
    """By the medians of the wall times."""
    together, apart = (
        median(row.wall_seconds for row in rows if row.way == way) for way in ("side by side", "one after another")
    )
    return apart / together


def _busy_seconds() -> float:
    """Of all processors since the machine began, as Linux counts them: user, nice, system, interrupts."""
    user, nice, system, _idle, _waiting, irq, softirq, *_ = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
