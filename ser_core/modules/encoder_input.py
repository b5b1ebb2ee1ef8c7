"""What speech encoders are fed with, made without their weights: samples, or log-mel frames as checkpoints say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ser_core.modules.encoder_families import (
    AST,
    KALDI_HOP,
    KALDI_WINDOW,
    WHISPER,
    EncoderFacts,
    encoder_facts,
    read_config,
)


@dataclass(frozen=True)
class EncoderInput:
    """Turns clips into what an encoder takes.

    Attributes:
        facts: of the encoder.
        extractor: its checkpoint's own feature extractor.
    """

    facts: EncoderFacts
    extractor: Any

    def of(self, samples: Tensor) -> Tensor:
        """(samples,) of a clip of any length, on the CPU -> (steps, values), what the encoder takes of it.

        Samples as they are, which are normalised with the rest of the input; or log-mel frames of the checkpoint's own
        feature extractor.
        """
        if self.facts.takes_samples:
            return _at_least(samples, self.facts.least_samples)[:, None]
        return torch.cat([whole[:real] for whole, real in map(self.log_mel, self.pieces(samples))])

    def pieces(self, samples: Tensor) -> Sequence[Tensor]:
        """A clip in pieces that the encoder takes at once."""
        most = self.facts.most_steps * self.facts.step_samples
        pieces = [*samples.split(most)] if most else [samples]
        if len(pieces) > 1 and len(pieces[-1]) < self.facts.least_samples * 2:
            del pieces[-1]  # a rest without a frame of its own
        return pieces

    def log_mel(self, samples: Tensor) -> tuple[Tensor, int]:
        """(samples,) of one piece -> (steps, values) with the padding that the encoder wants; steps of the clip."""
        facts = self.facts
        samples = _at_least(samples, facts.least_samples)
        fed = self.extractor(samples.numpy(), sampling_rate=facts.sample_rate_hz, return_tensors="pt")
        (inputs,) = next(iter(fed.values()))
        if facts.family == WHISPER:
            return inputs.T, min(-(-len(samples) // facts.step_samples), facts.most_steps)
        if facts.family == AST:
            return inputs, min(_kaldi_frames(len(samples)), facts.most_steps)
        return inputs, int(fed["attention_mask"].sum())


def encoder_input(name: str) -> EncoderInput:
    """What encoder `name` is fed with: a hub name, a folder, or "none".

    Raises:
        PretrainedError: see `ser_core.modules.encoder_families.encoder_facts`.
    """
    return EncoderInput(encoder_facts(name), read_config(name)[1])


def _at_least(samples: Tensor, length: int) -> Tensor:
    """(samples,) filled up with zeros to `length`, or as it is when that is longer."""
    return nn.functional.pad(samples, (0, max(0, length - len(samples))))


def _kaldi_frames(samples: int) -> int:
    return 1 + (samples - KALDI_WINDOW) // KALDI_HOP
