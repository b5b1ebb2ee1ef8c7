"""What a pretrained speech encoder gives or takes, as features of a clip."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ser_core.config import ConfigError, FeatureConfig
from ser_core.features.normalisation import FULL_SCALE
from ser_core.modules.encoder_families import EncoderFacts, encoder_facts
from ser_core.modules.encoder_input import EncoderInput, encoder_input
from ser_core.modules.encoders import load_encoder, truncate_encoder
from ser_core.modules.pretrained import PretrainedError

STATISTICS = 2
"""Per unit of a hidden state over time: mean and deviation."""


def encoder_features(settings: FeatureConfig, device: torch.device | str) -> Callable[[Tensor], Tensor]:
    """The function that computes features of an encoder, (samples,) -> (frames, bins).

    Kind encoder: the frames of one hidden state, (frames, hidden). Kind encoder_layers: of all hidden states, from the
    lowest, side by side, (frames, states * hidden) float16. Kind encoder_stats: of each hidden state, from the
    lowest, the mean and then the deviation of its units over time, (1, states * 2 * hidden) float16. Kind
    encoder_input: samples (samples, 1) int16, or log-mel frames (steps, values).

    Raises:
        ConfigError: another sample rate than the encoder's.
        PretrainedError: an encoder that cannot be loaded, or has fewer layers.
    """
    facts = encoder_facts(settings.encoder)
    _check_rate(settings, facts)
    if settings.kind == "encoder_input":
        fed = encoder_input(settings.encoder)
        return lambda samples: _input(samples, fed)
    encoder = load_encoder(settings.encoder)
    if settings.kind in ("encoder_layers", "encoder_stats"):
        encoder, of_all = encoder.to(device), _statistics if settings.kind == "encoder_stats" else _side_by_side
        return lambda samples: _halved(of_all(encoder.clip_states(samples)), settings)
    encoder = truncate_encoder(encoder, settings.encoder_layer).to(device)
    return lambda samples: encoder.clip_states(samples)[-1]


def encoder_frame_seconds(settings: FeatureConfig) -> float:
    """Time from one frame to the next of kind encoder, or from one step to the next of kind encoder_input, s.

    Raises:
        PretrainedError: an encoder whose configuration cannot be had.
    """
    facts = encoder_facts(settings.encoder)
    return facts.step_samples / facts.sample_rate_hz if settings.kind == "encoder_input" else facts.frame_seconds


def encoder_bins(settings: FeatureConfig) -> int:
    """Values per frame of a kind that an encoder gives or takes.

    Raises:
        PretrainedError: an encoder whose configuration cannot be had.
    """
    facts = encoder_facts(settings.encoder)
    if settings.kind == "encoder_stats":
        return facts.states * STATISTICS * facts.hidden
    if settings.kind == "encoder_layers":
        return facts.states * facts.hidden
    return facts.values if settings.kind == "encoder_input" else facts.hidden


def _input(samples: Tensor, fed: EncoderInput) -> Tensor:
    inputs = fed.of(samples)
    if not fed.facts.takes_samples:
        return inputs
    return (inputs * FULL_SCALE).round().clamp(-FULL_SCALE, FULL_SCALE - 1).to(torch.int16)


def _side_by_side(states: Sequence[Tensor]) -> Tensor:
    """(frames, hidden) each -> (frames, states * hidden)."""
    return torch.cat([*states], dim=1)


def _statistics(states: Sequence[Tensor]) -> Tensor:
    """(frames, hidden) each -> (1, states * 2 * hidden)."""
    parts = [part for state in states for part in (state.mean(dim=0), state.std(dim=0, correction=0))]
    return torch.cat(parts)[None]


def _halved(values: Tensor, settings: FeatureConfig) -> Tensor:
    values = values.half()
    if not torch.isfinite(values).all():
        raise PretrainedError(
            f"hidden states of encoder {settings.encoder!r} are not finite, or larger than half precision holds: "
            f"features.kind = {settings.kind} cannot keep them; use --model finetune, or attn_crnn over one layer"
        )
    return values


def _check_rate(settings: FeatureConfig, facts: EncoderFacts) -> None:
    if settings.sample_rate_hz != facts.sample_rate_hz:
        raise ConfigError(
            f"features.sample_rate_hz must be {facts.sample_rate_hz}, on which encoder {facts.name!r} was trained; got "
            f"{settings.sample_rate_hz}"
        )
