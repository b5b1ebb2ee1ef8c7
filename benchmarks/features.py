"""Features: clips per second of each kind, beside torchaudio clip by clip, in one run.

    python benchmarks/features.py [FOLDER]

FOLDER is anything that `--data` takes; without one the synthetic demo corpus is used. Figures are medians over rounds
in which ours and torchaudio's take turns, so that a busy machine slows both; one thread each. The whole way from files
to a store and back from its cache is timed as well.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torchaudio
from rich.console import Console
from rich.table import Table

from ser_core.config import FeatureConfig
from ser_core.corpora import load_corpus
from ser_core.features.audio import read_audio
from ser_core.features.store import feature_store
from ser_core.features.transforms import Extractor, extractor, mel_filters

KINDS = {
    "log_mel": FeatureConfig(kind="log_mel"),
    "log_mel, 2 deltas": FeatureConfig(kind="log_mel", deltas=2),
    "log_mel, trimmed at 40 dB": FeatureConfig(kind="log_mel", trim_db=40.0),
    "mfcc": FeatureConfig(kind="mfcc"),
    "mfcc_stats": FeatureConfig(kind="mfcc_stats"),
    "kaldi_fbank": FeatureConfig(kind="kaldi_fbank", n_mels=128, low_hz=20.0),
}


def torchaudio_way(settings: FeatureConfig) -> Callable[[np.ndarray], torch.Tensor] | None:
    """The same feature of one clip by torchaudio alone; None where it has no such feature."""
    if settings.trim_db or settings.kind == "mfcc_stats":
        return None
    if settings.kind == "kaldi_fbank":
        return lambda samples: torchaudio.compliance.kaldi.fbank(
            torch.from_numpy(samples)[None], window_type="hanning", num_mel_bins=settings.n_mels
        )
    spectrogram = {
        "n_fft": 2 * (len(mel_filters(settings)) - 1),
        "win_length": 400,
        "hop_length": 160,
        "f_min": settings.low_hz,
        "f_max": settings.high_hz,
        "n_mels": settings.n_mels,
    }
    if settings.kind == "mfcc":
        return _of_tensor(torchaudio.transforms.MFCC(16_000, settings.n_mfcc, log_mels=True, melkwargs=spectrogram))
    mel, delta = torchaudio.transforms.MelSpectrogram(16_000, **spectrogram), torchaudio.transforms.ComputeDeltas()

    def with_deltas(samples: torch.Tensor) -> torch.Tensor:
        orders = [(mel(samples) + 1e-6).log()]
        for _ in range(settings.deltas):
            orders.append(delta(orders[-1]))
        return torch.cat(orders)

    return _of_tensor(with_deltas)


def _of_tensor(function: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[np.ndarray], torch.Tensor]:
    return lambda samples: function(torch.from_numpy(samples))


def _alone(extract: Extractor, samples: np.ndarray) -> list[np.ndarray]:
    return extract([samples])


def clips_per_second(function: Callable[[np.ndarray], object], clips: Sequence[np.ndarray]) -> float:
    """Clips per second of processor time, which other busy processes disturb less than wall time."""
    started = time.process_time()
    for samples in clips:
        function(samples)
    return len(clips) / (time.process_time() - started)


def compare(clips: Sequence[np.ndarray], rounds: int) -> Table:
    """Ours beside torchaudio, one thread, from samples in memory."""
    table = Table(
        "feature", "ours, clips/s", "torchaudio, clips/s", title=f"{len(clips)} clips, median of {rounds} rounds"
    )
    for name, settings in KINDS.items():
        extract, peer = extractor(settings), torchaudio_way(settings)
        ours, theirs = [], []
        for _ in range(rounds):
            ours.append(clips_per_second(partial(_alone, extract), clips))
            if peer is not None:
                theirs.append(clips_per_second(peer, clips))
        table.add_row(name, f"{statistics.median(ours):.0f}", f"{statistics.median(theirs):.0f}" if theirs else "–")
    return table


def time_store(where: str, cache_dir: Path, rounds: int) -> Table:
    """From files to a store, and from its cache, wall seconds."""
    manifest = load_corpus(where, skip_bad=True, classes=None, cache_dir=cache_dir)
    table = Table("feature", "first time, s", "from cache, s", title=f"store of {len(manifest.clips)} clips, wall time")
    for name, settings in KINDS.items():
        first: list[float] = []
        cached: list[float] = []
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as empty:
                for seconds in (first, cached):
                    started = time.perf_counter()
                    feature_store(manifest, settings, cache_dir=Path(empty))
                    seconds.append(time.perf_counter() - started)
        table.add_row(name, f"{statistics.median(first):.2f}", f"{statistics.median(cached):.2f}")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", default="demo", help="corpus, as --data takes it (default: demo)")
    parser.add_argument(
        "--clips", type=int, default=200, help="clips for the comparison with torchaudio (default: 200)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds, of which the median is shown (default: 3)")
    given = parser.parse_args()
    torch.set_num_threads(1)
    console = Console()
    with tempfile.TemporaryDirectory() as cache:
        manifest = load_corpus(given.data, skip_bad=True, classes=None, cache_dir=Path(cache))
        every = max(1, len(manifest.clips) // given.clips)
        clips = [read_audio(clip.path, 16_000) for clip in manifest.clips[::every]]
        console.print(compare(clips, given.rounds))
        console.print(time_store(given.data, Path(cache), given.rounds))


if __name__ == "__main__":
    main()
