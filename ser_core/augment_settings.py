"""What is done to training batches: the part `augment` of a configuration."""

from __future__ import annotations

from dataclasses import dataclass

from ser_core.settings import field_problems, raise_problems, setting

SAMPLE_CHANGES = ("speed_change", "reverb_seconds", "background_noise", "gain_db")
"""Augmentation that is done to samples."""


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """What is done to training batches, on the device, after normalisation."""

    freq_masks: int = setting(2, "SpecAugment frequency masks per clip (Park et al. 2019, section 2)", low=0, high=10)
    freq_mask_bins: int = setting(10, "largest width of a frequency mask, bins", low=0, high=256)
    time_masks: int = setting(2, "SpecAugment time masks per clip", low=0, high=10)
    time_mask_frames: int = setting(24, "largest width of a time mask, frames", low=0, high=2_000)
    mixup_alpha: float = setting(0.0, "mixup's Beta(alpha, alpha) (Zhang et al. 2018); 0 does not mix", low=0, high=10)
    noise_std: float = setting(
        0.0, "Gaussian noise on normalised features, in standard deviations of a bin", low=0, high=5
    )
    time_shift_seconds: float = setting(0.3, "largest shift of the crop in either direction, s", low=0, high=30)
    freq_warp: float = setting(
        0.0,
        "largest relative stretch of the mel axis, as of another vocal tract (Jaitly & Hinton 2013); spectrograms only",
        low=0,
        high=0.5,
    )
    tempo_change: float = setting(
        0.0, "largest relative change of the rate of speech (Ko et al. 2015); spectrograms only", low=0, high=0.5
    )
    speed_change: float = setting(
        0.0,
        "relative change of speed, and of pitch with it: every clip is faster, slower or as it is (Ko et al. 2015); "
        "samples only, to a whole percent",
        low=0,
        high=0.5,
    )
    reverb_seconds: float = setting(
        0.0, "longest reverberation time of a made room, s (Polack 1988); samples only", low=0, high=3
    )
    background_noise: float = setting(
        0.0, "loudest noise, white to brown, as a share of the clip's level; samples only", low=0, high=3
    )
    gain_db: float = setting(0.0, "largest change of loudness in either direction, dB; samples only", low=0, high=40)

    def __post_init__(self) -> None:
        raise_problems(field_problems(self, "augment"))
