"""Pitch and voicing by autocorrelation, with the smoothest path through the candidates of all frames.

P. Boersma: Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise ratio of a sampled
sound. IFA Proceedings 17 (1993). The autocorrelation of a windowed frame is divided by that of the window, so that the
peak at the pitch period is the share of the energy that repeats itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ser_core.features.framing import at_least, framed, power_of_two, power_spectrum

LOW_HZ, HIGH_HZ = 60.0, 500.0
"""Range of pitch that is looked for: speech of men, women and children, shouting included."""
WINDOW_SECONDS = 0.06
"""3.6 periods of the lowest pitch; Boersma asks for 3."""
CANDIDATES = 6
OCTAVE_COST = 0.01
"""Strength per octave by which a shorter period is preferred: two periods repeat as well as one."""
JUMP_COST = 0.5
"""Strength per octave of a jump between neighbouring frames."""
VOICED_STRENGTH = 0.5
VOICED_DB = 40.0
"""A frame is voiced when at least this share repeats, no further below the loudest frame of the clip."""


@dataclass(frozen=True)
class PitchTrack:
    """Pitch of each frame.

    Attributes:
        hertz: (frames,) the best period's, in unvoiced frames too.
        strength: (frames,) in [0, 1]: share of the energy that repeats itself after that period.
        voiced: (frames,) bool.
    """

    hertz: Tensor
    strength: Tensor
    voiced: Tensor

    def harmonics_to_noise_db(self) -> Tensor:
        """(frames,): energy that repeats itself over the rest, dB, within 30 either way (Boersma 1993, equation 4)."""
        share = self.strength.clamp(1e-3, 1 - 1e-3)
        return 10 * torch.log10(share / (1 - share))


def track_pitch(samples: Tensor, sample_rate_hz: int, *, window: int, hop: int) -> PitchTrack:
    """The pitch of a clip, (samples,), at the middle of each frame of `window` samples, every `hop` samples.

    Frames are widened to `WINDOW_SECONDS` on both sides, beyond the ends of the clip with zeros.
    """
    spare = max(0, round(WINDOW_SECONDS * sample_rate_hz) - window)
    padded = torch.nn.functional.pad(at_least(samples, window), (spare // 2, spare - spare // 2))
    frames = framed(padded, window + spare, hop)
    frames = frames - frames.mean(dim=1, keepdim=True)
    shortest, longest = int(sample_rate_hz / HIGH_HZ), int(sample_rate_hz / LOW_HZ)
    strength = _autocorrelation(frames, longest + 2)[:, shortest - 1 :]  # one lag more on either side of the range
    inside = strength[:, 1:-1]
    peaks = (inside >= strength[:, :-2]) & (inside > strength[:, 2:])
    lags = torch.arange(shortest, shortest + inside.shape[1])
    preferred = inside - OCTAVE_COST * torch.log2(lags * (LOW_HZ / sample_rate_hz))
    scores, places = torch.where(peaks, preferred, -1.0).topk(CANDIDATES, dim=1)
    path = torch.from_numpy(_smoothest(scores.numpy(), torch.log2(lags[places].float()).numpy()))
    best = places.gather(1, path[:, None])  # (frames, 1)
    before, at, after = (strength.gather(1, best + step)[:, 0] for step in range(3))
    bend = before - 2 * at + after
    shift = torch.where(bend < -1e-6, 0.5 * (before - after) / bend, 0.0).clamp(-0.5, 0.5)  # parabola through three
    energy = frames.square().mean(dim=1)
    at = at.clamp(0, 1)
    loud = energy > energy.max() * 10 ** (-VOICED_DB / 10)
    return PitchTrack(sample_rate_hz / (lags[best[:, 0]] + shift), at, (at >= VOICED_STRENGTH) & loud)


def _autocorrelation(frames: Tensor, lags: int) -> Tensor:
    """(frames, window) -> (frames, lags) of the signal itself: 1 at lag 0, the window's part divided out."""
    window = frames.shape[1]
    n_fft = power_of_two(window + lags)  # so that nothing wraps around
    taper, own = _taper(window, n_fft, lags)
    found = torch.fft.irfft(power_spectrum(frames * taper, n_fft), n=n_fft)[:, :lags]
    return found / (found[:, :1] + 1e-9) / own


@lru_cache(maxsize=8)
def _taper(window: int, n_fft: int, lags: int) -> tuple[Tensor, Tensor]:
    """A Hann window, and its own autocorrelation (lags,), 1 at lag 0."""
    taper = torch.hann_window(window)
    own = torch.fft.irfft(power_spectrum(taper[None], n_fft), n=n_fft)[0, :lags]
    return taper, own / own[0]


def _smoothest(scores: np.ndarray, octaves: np.ndarray) -> np.ndarray:
    """Viterbi's path, of the largest sum of scores less jumps: (frames, candidates) each -> (frames,) candidates."""
    total, came_from = scores[0], np.empty(scores.shape, dtype=np.int64)
    for frame in range(1, len(scores)):
        jumps = np.abs(octaves[frame - 1][:, None] - octaves[frame])
        reached = total[:, None] - JUMP_COST * jumps  # (candidate before, candidate)
        came_from[frame] = reached.argmax(axis=0)
        total = reached.max(axis=0) + scores[frame]
    path = np.empty(len(scores), dtype=np.int64)
    path[-1] = total.argmax()
    for frame in range(len(scores) - 1, 0, -1):
        path[frame - 1] = came_from[frame, path[frame]]
    return path
