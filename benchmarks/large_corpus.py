"""A corpus of 200,000 short clips whose features fit no trial's share: memory of a search, and speed of streaming.

    python benchmarks/large_corpus.py --folder /mnt/room

The corpus is made on the fly: spans of synthetic recordings, one of each speaker (1.9 GB), whose features take 1.3 GiB.
First a real search runs on it by the command line, while the peak memory of the driver and of each process that trains
is sampled: anonymous memory, which is a process's own, apart from pages of mapped files and from Ray's object store,
which its neighbours share. Then the same epoch is trained on resident and on streamed clips in turn, so that a busy
machine slows both; medians over rounds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from rich.console import Console
from rich.table import Table

from ser_core.architectures import default_config
from ser_core.config import Config
from ser_core.corpora import load_corpus
from ser_core.features.placement import Where
from ser_core.features.store import FeatureStore, feature_store
from ser_core.splits import Fold
from ser_core.training.run import train

RATE_HZ = 16_000
SPEAKERS = 100
CLASSES = ("angry", "happy", "neutral", "sad")
SECONDS = (0.25, 0.35)
"""Shortest and longest clip."""
SETTINGS = {
    "features.n_mels": 128,
    "features.hop_ms": 10.0,
    "features.window_ms": 25.0,
    "features.deltas": 0,
    "features.clip_seconds": 0.3,
}
"""28 frames of 128 values a clip."""
SEARCHED = {**SETTINGS, "model.width": 2, "optim.batch_size": 64}
"""The smallest model: what is not computing weighs most."""
GOAL_BYTES = 3 * 2**30
GOAL_SLOWER = 0.1
SAMPLE_SECONDS = 0.2
GIB, MIB = 2**30, 2**20
DRIVER = "driver"


def make_corpus(folder: Path, clips: int) -> Path:
    """Recordings of every speaker, and the manifest of the clips in them; nothing where both are there already."""
    manifest = folder / f"clips-{clips}.csv"
    if manifest.exists():
        return manifest
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    lines = ["path,speaker,emotion,start,end"]
    for speaker in range(SPEAKERS):
        rng = np.random.default_rng(speaker)
        lengths = rng.uniform(*SECONDS, clips // SPEAKERS)
        ends = np.cumsum(np.round(lengths * RATE_HZ).astype(int))
        labels = rng.integers(0, len(CLASSES), len(lengths))
        pitch = np.repeat(100.0 * (1 + labels) + speaker, np.diff(ends, prepend=0))  # a tone for each class
        noise = rng.standard_normal(len(pitch), dtype=np.float32)
        samples = 0.2 * np.sin(2 * np.pi * np.cumsum(pitch) / RATE_HZ).astype(np.float32) + 0.05 * noise
        soundfile.write(folder / "audio" / f"{speaker}.wav", samples, RATE_HZ, subtype="PCM_16")
        bounds = np.concatenate([[0], ends]) / RATE_HZ
        lines += [
            f"audio/{speaker}.wav,s{speaker},{CLASSES[label]},{start:.6f},{end:.6f}"
            for label, start, end in zip(labels, bounds, bounds[1:], strict=False)
        ]
    manifest.write_text("\n".join(lines) + "\n")
    return manifest


# -- memory ------------------------------------------------------------------------------------------------------------


@dataclass
class Peaks:
    """The largest values that were seen of a process, in bytes.

    Attributes:
        own: anonymous memory. files: pages of mapped files. shared: of Ray's object store. resident: all at one time.
    """

    own: int = 0
    files: int = 0
    shared: int = 0
    resident: int = 0

    def see(self, status: Mapping[str, int]) -> None:
        """Take note of /proc/PID/status, in bytes."""
        self.own, self.files = max(self.own, status["RssAnon"]), max(self.files, status["RssFile"])
        self.shared, self.resident = max(self.shared, status["RssShmem"]), max(self.resident, status["VmRSS"])


def memory_of(pid: int) -> dict[str, int]:
    """The resident memory of a process by kind, in bytes; empty when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    values = {name: rest.split() for name, _, rest in (line.partition(":") for line in lines)}
    kinds = ("RssAnon", "RssFile", "RssShmem", "VmRSS")
    return {kind: int(values[kind][0]) * 1024 for kind in kinds} if "VmRSS" in values else {}


def processes_below(pid: int) -> dict[int, str]:
    """All descendants of a process, with how they call themselves."""
    found: dict[int, str] = {}
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # it has ended meanwhile
            for child in map(int, children.read_text().split()):
                found[child] = Path(f"/proc/{child}/cmdline").read_text().partition("\0")[0]
                found |= processes_below(child)
    return found


def watch(driver: int, peaks: dict[str, Peaks], done: threading.Event) -> None:
    """Sample the memory of a driver and of all processes below it that have trained, until it is done."""
    training = set[int]()
    while not done.wait(SAMPLE_SECONDS):
        below = processes_below(driver)
        training |= {pid for pid, name in below.items() if name.startswith("ray::") and "Training" in name}
        for name, pid in [(DRIVER, driver), *((f"trial process {pid}", pid) for pid in training & set(below))]:
            if status := memory_of(pid):
                peaks.setdefault(name, Peaks()).see(status)


def search(manifest: Path, folder: Path, model: str, settings: Mapping[str, object]) -> tuple[dict[str, Peaks], Path]:
    """A search of one trial of one epoch, its repeat and its refit; the peaks of its processes, and its run folder."""
    run = Path(tempfile.mkdtemp(prefix="run-", dir=folder)) / "run"
    command = [
        sys.executable, "-m", "search", "search", "--model", model, "--data", str(manifest), "--run-dir", str(run),
        "--cache-dir", str(folder / "cache"), "--trials", "1", "--max-epochs", "1", "--folds", "1", "--finalists", "1",
        "--seeds", "1", *(word for name, value in settings.items() for word in ("--set", f"{name}={value}")),
    ]  # fmt: skip
    peaks, done = dict[str, Peaks](), threading.Event()
    with subprocess.Popen(command, cwd=Path(__file__).parents[1]) as process:
        watcher = threading.Thread(target=watch, args=(process.pid, peaks, done))
        watcher.start()
        code = process.wait()
        done.set()
        watcher.join()
    if code:
        raise SystemExit(f"the search ended with exit code {code}")
    check_seen(peaks)
    return peaks, run


def check_seen(peaks: Mapping[str, Peaks]) -> None:
    """End where no process was seen that trained: its memory would be missing in the verdict."""
    if set(peaks) <= {DRIVER}:
        raise SystemExit("no process that trains was seen below the search, so its memory is not known")


# -- speed -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Speed:
    """Clips a second over epochs of the same clips, medians, and the median of their ratio in one round."""

    model: str
    resident: float
    streamed: float
    ratio: float


def compare(store: FeatureStore, config: Config, clips: int, rounds: int, label: str) -> Speed:
    """Train epochs of so many clips, resident and streamed in turn. All clips have been read before."""
    rows = np.sort(np.random.default_rng(0).permutation(len(store.clip_ids))[:clips])
    fold = Fold(fit=rows, evaluate=rows[:0])
    budget = config.with_params({"optim.epochs": rounds + 1})
    runs = [train(budget, fold, store, device="cpu", room_bytes=room) for room in (store.frames.nbytes, 0)]
    assert [run.placement.where for run in runs] == [Where.RESIDENT, Where.MAPPED]
    seconds: list[list[float]] = []
    for number in range(rounds + 1):
        turn = runs if number % 2 else runs[::-1]
        each = {id(run): run.advance() for run in turn}
        if len({report.train_loss for report in each.values()}) != 1:
            raise SystemExit("streamed and resident clips gave different losses")
        if number:  # the first warms up
            seconds.append([each[id(run)].seconds for run in runs])
    resident, streamed = (statistics.median(column) for column in zip(*seconds, strict=True))
    ratio = statistics.median(ours / theirs for theirs, ours in seconds)
    return Speed(label, clips / resident, clips / streamed, ratio)


# -- the whole ---------------------------------------------------------------------------------------------------------


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where corpus, features and run lie (default: made and deleted)")
    parser.add_argument("--clips", type=int, default=200_000, help="of the corpus (default: 200000)")
    parser.add_argument("--epoch-clips", type=int, default=20_000, help="of an epoch that is timed (default: 20000)")
    parser.add_argument("--rounds", type=int, default=7, help="of the comparison (default: 7)")
    parser.add_argument("--out", type=Path, help="a JSON file for the figures")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    given = parse(arguments)
    if given.folder is not None:
        measure(given, given.folder)
        return
    with tempfile.TemporaryDirectory(prefix="ser-large-") as folder:
        measure(given, Path(folder))


def measure(given: argparse.Namespace, folder: Path) -> None:
    """Make the corpus in a folder, search on it, compare, and say what came out."""
    console = Console(width=max(110, Console().width))
    torch.set_num_threads(1)
    manifest_file = make_corpus(folder, given.clips)
    peaks, run = search(manifest_file, folder, "shallow_cnn", SEARCHED)
    result = json.loads((run / "result.json").read_text())
    table = Table("process", "own, MiB", "mapped files, MiB", "object store, MiB", "resident at once, MiB")
    for name, peak in peaks.items():
        table.add_row(name, *(f"{value / MIB:,.0f}" for value in asdict(peak).values()))
    console.print(table)
    console.print(f"clips of the trials: {result['search']['clips']}", highlight=False)
    most = max(peak.resident for peak in peaks.values())
    verdict = "met" if most < GOAL_BYTES else "missed"
    console.print(f"driver and trials below 3 GiB, shared pages included: {verdict} ({most / GIB:.2f} GiB)")

    config = default_config("shallow_cnn", SETTINGS)
    cache = folder / "cache"
    manifest = load_corpus(str(manifest_file), skip_bad=False, classes=None, cache_dir=cache)
    store = feature_store(manifest, config.features, cache_dir=cache)
    console.print(f"{len(store.clip_ids):,} clips, {store.frames.nbytes / GIB:.2f} GiB of features", highlight=False)
    speeds = [
        compare(store, config.with_params({"model.width": width}), given.epoch_clips, given.rounds, label)
        for label, width in (("shallow_cnn", 16), ("shallow_cnn, width 2", 2))
    ]
    table = Table("model", "resident, clips/s", "streamed, clips/s", "streamed epoch over resident, median of pairs")
    for speed in speeds:
        table.add_row(speed.model, f"{speed.resident:,.0f}", f"{speed.streamed:,.0f}", f"{speed.ratio:.3f}")
    console.print(table)
    worst = max(speed.ratio for speed in speeds)
    verdict = "met" if worst <= 1 + GOAL_SLOWER else "missed"
    console.print(f"streamed within {100 * GOAL_SLOWER:.0f} % of resident: {verdict} ({worst:.3f})")
    if given.out is not None:
        document = {
            "clips": given.clips,
            "feature_bytes": store.frames.nbytes,
            "placed": result["search"]["clips"],
            "peaks": {name: asdict(peak) for name, peak in peaks.items()},
            "speeds": [asdict(speed) for speed in speeds],
        }
        given.out.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
