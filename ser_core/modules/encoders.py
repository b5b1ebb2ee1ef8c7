"""Pretrained speech encoders of `transformers`: loaded whole or refused, never silently random.

An encoder turns a clip into hidden states: what enters its lowest layer, and what each layer makes of it. It is fed as
its checkpoint's feature extractor says: normalised samples or not, mel bins, Whisper's 30 s, AST's 10.24 s.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ser_core.modules.encoder_families import (
    AST,
    NO_WEIGHTS,
    WAV2VEC2_BERT,
    WHISPER,
    EncoderFacts,
    encoder_facts,
    location,
    read_config,
    unavailable,
)
from ser_core.modules.encoder_input import EncoderInput
from ser_core.modules.pretrained import PretrainedError, local_first

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transformers import PreTrainedModel

RANDOM_SEED = 0
"""Seed of the weights of encoder "none", so that every process that asks for them gets the same."""

CONTINUED = ("wav2vec2", "hubert", "wavlm", "data2vec-audio", "unispeech", "unispeech-sat")
"""Families whose top layers can go on from stored frames. Others attend to more than the frames of the clip, or need
positions that only the whole encoder makes."""

WHISPER_RANGE = 2.0
"""Whisper's log-mel values lie at most so far below the clip's largest: silence, and what follows the clip."""


class Encoder(nn.Module):
    """A speech encoder of any family, and what it is fed with.

    Attributes:
        facts: what its configuration says.
        input: what it is fed with.
        net: the module of `transformers`.
        feature_extractor: of the checkpoint, also of `transformers`.
    """

    def __init__(self, net: PreTrainedModel, extractor: Any, facts: EncoderFacts) -> None:
        super().__init__()
        self.net, self.facts, self.feature_extractor = net, facts, extractor
        self.input = EncoderInput(facts, extractor)

    @property
    def stack(self) -> Any:
        """The module that holds `layers`."""
        return self.net if self.facts.family in (WHISPER, AST) else self.net.encoder

    @property
    def final_norm(self) -> nn.Module:
        """What stands after the last layer; without weights where nothing does."""
        name = _final_norm(self)
        return getattr(self.stack, name) if name else nn.Identity()

    def inputs(self, samples: Tensor) -> Tensor:
        """What the encoder takes of a clip, see `EncoderInput.of`."""
        return self.input.of(samples)

    def clip_states(self, samples: Tensor) -> list[Tensor]:
        """(samples,) of a clip of any length, on the CPU -> its hidden states, (frames, hidden) each, on the CPU.

        One clip at a time: where a group norm runs over time, padding would change every frame. A clip that is longer
        than the encoder takes at once is cut, and the frames of the pieces are joined.
        """
        device = next(self.parameters()).device
        pieces = []
        for piece in self.input.pieces(samples):
            if self.facts.takes_samples:
                inputs, real = self.inputs(piece), None
            else:
                inputs, real = self.input.log_mel(piece)
            lengths = None if real is None else torch.tensor([real], device=device)
            states = self(inputs[None].to(device), lengths)
            frames = frames_of(self.facts, len(inputs) if real is None else real)
            pieces.append([state[0, :frames].cpu() for state in states])
        return [torch.cat(parts) for parts in zip(*pieces, strict=True)]

    def forward(self, inputs: Tensor, lengths: Tensor | None = None) -> list[Tensor]:
        """Inputs (batch, steps, values) and the steps before padding (batch,), all where None -> hidden states.

        The first is what enters the lowest layer, the last is the encoder's output: (batch, frames, hidden) each.
        """
        steps = inputs.shape[1]
        if lengths is None:
            lengths = torch.full((len(inputs),), steps, device=inputs.device)
            masked = False
        else:
            masked = bool(self.feature_extractor.return_attention_mask) or self.facts.family == WAV2VEC2_BERT
        real = torch.arange(steps, device=inputs.device) < lengths[:, None]  # (batch, steps)
        arguments = {"attention_mask": real} if masked and self.facts.family not in (WHISPER, AST) else {}
        outputs = self.net(self._fed(inputs, real, lengths), output_hidden_states=True, **arguments)
        states = [*outputs.hidden_states[:-1], outputs.last_hidden_state]
        frames = int(frames_of(self.facts, steps))
        return [self._in_time(state)[:, :frames] for state in states]

    def _fed(self, inputs: Tensor, real: Tensor, lengths: Tensor) -> Tensor:
        """(batch, steps, values) -> what the module of `transformers` takes, padded as its feature extractor pads."""
        family, extractor = self.facts.family, self.feature_extractor
        if self.facts.takes_samples:
            samples = inputs[..., 0] * real  # (batch, samples)
            if not extractor.do_normalize:
                return samples
            mean = samples.sum(dim=1, keepdim=True) / lengths[:, None]
            centred = (samples - mean) * real
            variance = centred.square().sum(dim=1, keepdim=True) / lengths[:, None]
            return centred / (variance + 1e-7).sqrt()
        if family == WAV2VEC2_BERT:
            return torch.where(real[..., None], inputs, 0.0)
        inputs = nn.functional.pad(inputs, (0, 0, 0, self.facts.most_steps - inputs.shape[1]))
        if real.shape[1] < self.facts.most_steps:  # else the feature extractor has padded it
            real = nn.functional.pad(real, (0, self.facts.most_steps - real.shape[1]))
            inputs = torch.where(real[..., None], inputs, self._padding(inputs, real))
        return inputs.transpose(1, 2) if family == WHISPER else inputs

    def _padding(self, inputs: Tensor, real: Tensor) -> Tensor:
        """What follows a clip in a log-mel spectrogram of fixed length: (batch, 1, 1)."""
        if self.facts.family == WHISPER:
            loudest = inputs.masked_fill(~real[..., None], -torch.inf).amax(dim=(1, 2), keepdim=True)
            return loudest - WHISPER_RANGE
        extractor = self.feature_extractor
        silence = -extractor.mean / (2 * extractor.std) if extractor.do_normalize else 0.0
        return inputs.new_full((len(inputs), 1, 1), silence)

    def _in_time(self, state: Tensor) -> Tensor:
        """(batch, tokens, hidden) -> (batch, frames, hidden): AST's patches of one time are averaged."""
        if self.facts.family != AST:
            return state
        config = self.net.config
        rows = (config.num_mel_bins - config.patch_size) // config.frequency_stride + 1
        return state[:, 2:].unflatten(1, (rows, -1)).mean(dim=1)  # two tokens come before the patches


def frames_of(facts: EncoderFacts, steps: Any) -> Any:
    """Frames that an encoder gives for so many steps of input, a number or a tensor of them; at least 1."""
    frames = (steps - facts.window_steps) // facts.stride_steps + 1
    return frames.clamp(min=1) if isinstance(frames, Tensor) else max(1, frames)


def load_encoder(name: str) -> Encoder:
    """The encoder in evaluation mode, float32, on the CPU.

    Args:
        name: hub name, folder that holds a checkpoint in the layout of transformers, or "none" for random weights of
            wav2vec 2.0's base shape (the same in every process).

    Raises:
        PretrainedError: weights that cannot be had, are not of a speech encoder that can be used, or are incomplete.
    """
    facts = encoder_facts(name)
    config, extractor = read_config(name)
    return Encoder(_net(name, config).eval(), extractor, facts)


def truncate_encoder(encoder: Encoder, layer: int) -> Encoder:
    """Cut `encoder` in place so that its output is what enters transformer layer `layer`.

    Layers from `layer` on are dropped; 0 leaves the front end and position embeddings. -1, or the number of layers,
    keeps the whole encoder with its final norm.

    Raises:
        PretrainedError: the encoder has fewer layers.
    """
    count = encoder.facts.layers
    if layer > count:
        raise PretrainedError(
            f"features.encoder_layer may be at most {count}, the encoder's layers, or -1; got {layer}"
        )
    if layer not in (-1, count):
        encoder.stack.layers = encoder.stack.layers[:layer]
        if norm := _final_norm(encoder):
            setattr(encoder.stack, norm, nn.Identity())
    return encoder


class TopLayers(nn.Module):
    """The top transformer layers of an encoder: (batch, frames, hidden) -> the same shape."""

    def __init__(self, encoder: Encoder, count: int) -> None:
        """
        Raises:
            PretrainedError: a family whose layers cannot go on from stored frames.
        """
        super().__init__()
        if encoder.facts.family not in CONTINUED:
            raise PretrainedError(
                f"model.tuned_layers must be 0 for encoder {encoder.facts.name!r}: layers of {encoder.facts.family} "
                f"cannot go on from stored frames; --model finetune trains any family"
            )
        stack = encoder.stack
        self.config, self._gated = encoder.net.config, encoder.facts.family == "wavlm"
        self.layers = stack.layers[-count:]
        if self._gated:  # the lowest layer of the encoder holds what all layers know of positions
            self.layers[0].attention.rel_attn_embed = stack.layers[0].attention.rel_attn_embed
        self.norm = encoder.final_norm

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """(batch, frames, hidden), True for real frames (batch, frames) -> (batch, frames, hidden)."""
        from transformers.masking_utils import create_bidirectional_mask  # takes a second

        if self._gated:
            bias = None
            for layer in self.layers:
                x, bias = layer(x, attention_mask=real, position_bias=bias)
            return self.norm(x)
        attention = create_bidirectional_mask(config=self.config, inputs_embeds=x, attention_mask=real)
        for layer in self.layers:
            x = layer(x, attention_mask=attention)
        return self.norm(x)


def _net(name: str, config: Any) -> PreTrainedModel:
    """The module of `transformers`, of an encoder and decoder the encoder alone."""
    from transformers import AutoModel

    if name == NO_WEIGHTS:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(RANDOM_SEED)
            return AutoModel.from_config(config)
    try:
        with _quietly():
            net, loaded = local_first(
                lambda local: AutoModel.from_pretrained(
                    location(name), config=config, output_loading_info=True, dtype=torch.float32, local_files_only=local
                )
            )
    except Exception as error:  # transformers, huggingface_hub, safetensors and torch each raise their own
        raise PretrainedError(unavailable(name, error)) from error
    part = "encoder." if config.model_type == WHISPER else ""
    # Fine-tuned checkpoints may lack the vector that masks frames in pretraining; it is never used here.
    missing = sorted(key for key in set(loaded["missing_keys"]) - {"masked_spec_embed"} if key.startswith(part))
    if missing:
        raise PretrainedError(
            f"encoder {name!r} lacks {len(missing)} weights, such as {missing[0]}: use a whole checkpoint"
        )
    return net.encoder if part else net


@contextmanager
def _quietly() -> Iterator[None]:
    """Without a progress bar, and without the table of weights that are left out on purpose, those of a classifier."""
    from transformers.utils import logging

    verbosity, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()


def _final_norm(encoder: Encoder) -> str:
    """The name of the norm that stands after the last layer; "" where it stands before the first, or nowhere."""
    family, config = encoder.facts.family, encoder.net.config
    if family == AST:
        return "layernorm"
    if family == "data2vec-audio":  # its configuration has the setting, which its module does not read
        return ""
    stable = family in (WHISPER, "wav2vec2-conformer") or getattr(config, "do_stable_layer_norm", False)
    return "layer_norm" if stable else ""
