"""Speech encoders as their configuration describes them, read without a weight: family, depth, width, frame rate.

A checkpoint is a folder in the layout of `transformers`, or a name on its hub: `config.json` says what the encoder is,
`preprocessor_config.json` what it is fed with.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ser_core.modules.pretrained import PretrainedError, local_first, may_fetch, reason

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, SequenceFeatureExtractor

NO_WEIGHTS = "none"
"""The name of an encoder of wav2vec 2.0's base shape with random weights, the same in every process."""

CONFIG_FILE, INPUT_FILE = "config.json", "preprocessor_config.json"

_SAMPLES = {
    "wav2vec2": "wav2vec 2.0 and XLS-R",
    "hubert": "HuBERT",
    "wavlm": "WavLM",
    "data2vec-audio": "data2vec-audio",
    "unispeech": "UniSpeech",
    "unispeech-sat": "UniSpeech-SAT",
    "wav2vec2-conformer": "wav2vec 2.0 Conformer",
}
"""`model_type` of the families that take samples -> what it is called."""
WAV2VEC2_BERT, WHISPER, AST = "wav2vec2-bert", "whisper", "audio-spectrogram-transformer"
_LOG_MEL = {WAV2VEC2_BERT: "wav2vec2-BERT", WHISPER: "Whisper", AST: "Audio Spectrogram Transformer"}
"""The same of those that take a log-mel spectrogram."""
FAMILIES: Mapping[str, str] = {**_SAMPLES, **_LOG_MEL}
"""All families that can be used."""

KALDI_WINDOW, KALDI_HOP = 400, 160
"""Window and step of the mel filter banks of wav2vec2-BERT and AST in samples, which their settings do not name."""


@dataclass(frozen=True, kw_only=True)
class EncoderFacts:
    """What the configuration of an encoder says.

    Attributes:
        name: as it was asked for.
        family: one of `FAMILIES`.
        layers: transformer layers. Hidden states are one more: the first is what enters the lowest layer.
        hidden: units of a hidden state.
        sample_rate_hz: of the samples that it was trained on.
        step_samples: samples from one step of its input to the next; 1 where the input is samples.
        values: values per step of its input.
        window_steps, stride_steps: steps that one frame covers, and from one frame to the next.
        most_steps: steps that it takes at once, to which it pads; 0 for any number.
        least_samples: the shortest clip that gives a frame.
        padding_counts: how much padding follows a clip changes its hidden states.
        normalises: its input is brought to mean 0 and deviation 1 first.
    """

    name: str
    family: str
    layers: int
    hidden: int
    sample_rate_hz: int
    step_samples: int
    values: int
    window_steps: int
    stride_steps: int
    most_steps: int
    least_samples: int
    padding_counts: bool
    normalises: bool

    @property
    def states(self) -> int:
        """Hidden states: one for each layer, and what enters the lowest."""
        return self.layers + 1

    @property
    def frame_seconds(self) -> float:
        """Time from one frame to the next, s."""
        return self.step_samples * self.stride_steps / self.sample_rate_hz

    @property
    def takes_samples(self) -> bool:
        """True where the input is samples, False where it is a log-mel spectrogram."""
        return self.family in _SAMPLES


def encoder_facts(name: str) -> EncoderFacts:
    """The facts of encoder `name`: a hub name, a folder, or "none".

    Raises:
        PretrainedError: a configuration that cannot be had, or of a family that cannot be used.
    """
    return _facts(name, _stamp(name))


def read_config(name: str) -> tuple[PreTrainedConfig, SequenceFeatureExtractor]:
    """The configuration of an encoder of a family that can be used, and its feature extractor.

    Raises:
        PretrainedError: see `encoder_facts`.
    """
    from transformers import AutoConfig, PreTrainedConfig, Wav2Vec2Config, Wav2Vec2FeatureExtractor  # takes a second

    if name == NO_WEIGHTS:
        return Wav2Vec2Config(), Wav2Vec2FeatureExtractor()
    place = location(name)

    def read(local: bool) -> tuple[Any, PreTrainedConfig | None]:
        family = PreTrainedConfig.get_config_dict(place, local_files_only=local)[0].get("model_type")
        return family, AutoConfig.from_pretrained(place, local_files_only=local) if family in FAMILIES else None

    try:
        family, config = local_first(read)
    except Exception as error:  # transformers, huggingface_hub and json each raise their own
        raise PretrainedError(unavailable(name, error)) from error
    if config is None and _is_emotion2vec(name):
        raise PretrainedError(_emotion2vec(name))
    if config is None:
        raise PretrainedError(
            f"encoder {name!r} is no speech encoder that can be used: its model_type is {family!r}; use a checkpoint "
            f"of {families_text()}"
        )
    return config, _feature_extractor(name, place, family)


def location(name: str) -> str:
    """Where `transformers` finds the encoder: the folder, or the name on its hub."""
    path = Path(name).expanduser()
    return str(path) if path.is_dir() else name


def families_text() -> str:
    """The families that can be used, for messages."""
    return ", ".join(FAMILIES.values())


def unavailable(name: str, error: Exception) -> str:
    """What to say of an encoder that cannot be loaded."""
    folder = Path(name).expanduser()
    if _is_emotion2vec(name):
        return _emotion2vec(name)
    if not folder.exists() and (name.count("/") > 1 or name.startswith(("/", ".", "~"))):
        return f"there is no folder {folder} to take an encoder from: check --pretrained, or features.encoder"
    tried = f"the folder {folder.resolve()}" if folder.exists() else f"no such folder, so the hub model {name!r}"
    if not may_fetch() and not folder.exists():
        return (
            f"encoder {name!r} is not on this machine ({tried} was looked for), and using a model downloads nothing by "
            f"itself: fetch it with `hf download {name}`"
        )
    return (
        f"encoder {name!r} cannot be loaded ({tried} was tried): {reason(error)}\n"
        f"It must be a whole checkpoint of {families_text()}. Without internet: download it elsewhere ({CONFIG_FILE}, "
        f"{INPUT_FILE} and model.safetensors) and give that folder (--pretrained FOLDER), or ask for random weights "
        f"with {NO_WEIGHTS!r}."
    )


def _emotion2vec(name: str) -> str:
    return (
        f"encoder {name!r} is emotion2vec, whose weights are published for FunASR and cannot be read without its code; "
        f"use a checkpoint of {families_text()}"
    )


def _is_emotion2vec(name: str) -> bool:
    """True where a name, or FunASR's description of a folder, says so."""
    description = Path(name).expanduser() / "config.yaml"
    text = description.read_text(encoding="utf-8", errors="replace") if description.is_file() else ""
    return "emotion2vec" in f"{name} {text}".lower()


def _stamp(name: str) -> tuple[tuple[int, int], ...]:
    """What changes when a folder's configuration does."""
    folder = Path(name).expanduser()
    found = [(folder / file).stat() for file in (CONFIG_FILE, INPUT_FILE) if (folder / file).is_file()]
    return tuple((status.st_mtime_ns, status.st_size) for status in found)


@lru_cache(maxsize=16)  # asked for at every step of a run, and a hub name asks the network
def _facts(name: str, stamp: tuple[tuple[int, int], ...]) -> EncoderFacts:
    config, inputs = read_config(name)
    try:
        return EncoderFacts(
            name=name,
            family=config.model_type,
            layers=config.num_hidden_layers,
            hidden=config.hidden_size,
            sample_rate_hz=inputs.sampling_rate,
            padding_counts=_padding_counts(config, inputs),
            normalises=bool(getattr(inputs, "do_normalize", False)),
            **_rates(name, config, inputs),
        )
    except AttributeError as error:
        raise PretrainedError(f"encoder {name!r} has an incomplete configuration: {error}") from error


def _padding_counts(config: Any, inputs: Any) -> bool:
    """True where a norm runs over time, padding is not masked, or convolutions between the layers look into it."""
    if config.model_type in _LOG_MEL:  # padded to one length, or masked wherever time is mixed
        return False
    masked = inputs.return_attention_mask and config.model_type not in ("data2vec-audio", "wav2vec2-conformer")
    return not masked or getattr(config, "feat_extract_norm", "layer") == "group"


def _rates(name: str, config: Any, inputs: Any) -> dict[str, int]:
    """The fields of `EncoderFacts` that follow from the family's front end."""
    if getattr(config, "add_adapter", False) or getattr(config, "use_intermediate_ffn_before_adapter", False):
        raise PretrainedError(
            f"encoder {name!r} ends in an adapter for a decoder (add_adapter), whose frames are not those of its "
            f"layers; use a checkpoint without one"
        )
    if config.model_type in _SAMPLES:
        window = stride = 1
        for kernel, step in zip(reversed(config.conv_kernel), reversed(config.conv_stride), strict=True):
            window, stride = kernel + step * (window - 1), stride * step
        return _steps(1, 1, window, stride, most=0, least=window)
    if config.model_type == WHISPER:
        # Two convolutions, the second in steps of 2; the window is what the second sees beyond its centre.
        return _steps(inputs.hop_length, config.num_mel_bins, 1, 2, most=2 * config.max_source_positions,
                      least=inputs.n_fft)  # fmt: skip
    if config.model_type == AST:
        if (inputs.max_length, inputs.num_mel_bins) != (config.max_length, config.num_mel_bins):
            raise PretrainedError(
                f"encoder {name!r} takes {config.max_length} frames of {config.num_mel_bins} mel bins, but its "
                f"{INPUT_FILE} makes {inputs.max_length} of {inputs.num_mel_bins}: fetch both files from one place"
            )
        return _steps(KALDI_HOP, config.num_mel_bins, config.patch_size, config.time_stride, most=config.max_length,
                      least=KALDI_WINDOW)  # fmt: skip
    # wav2vec2-BERT stacks `stride` frames; its normalisation over the clip needs two of them.
    return _steps(KALDI_HOP * inputs.stride, inputs.feature_size * inputs.stride, 1, 1, most=0,
                  least=KALDI_WINDOW + inputs.stride * KALDI_HOP)  # fmt: skip


def _steps(samples: int, values: int, window: int, stride: int, *, most: int, least: int) -> dict[str, int]:
    return {
        "step_samples": samples,
        "values": values,
        "window_steps": window,
        "stride_steps": stride,
        "most_steps": most,
        "least_samples": least,
    }


def _feature_extractor(name: str, place: str, family: str) -> SequenceFeatureExtractor:
    from transformers import AutoFeatureExtractor, Wav2Vec2FeatureExtractor

    if family == "wav2vec2" and Path(place).is_dir() and not (Path(place) / INPUT_FILE).exists():
        # Every published wav2vec 2.0 takes samples at zero mean and unit variance, which is this class's default.
        return Wav2Vec2FeatureExtractor()
    try:
        return local_first(lambda local: AutoFeatureExtractor.from_pretrained(place, local_files_only=local))
    except Exception as error:  # transformers, huggingface_hub and json each raise their own
        raise PretrainedError(
            f"encoder {name!r} lacks a {INPUT_FILE} that can be read ({reason(error)}): it says how samples are "
            f"normalised or turned into mel bins, which differs between checkpoints; fetch it too"
        ) from error


def seconds_at_once(facts: EncoderFacts) -> float:
    """The longest clip that the encoder takes at once, s; infinite where it takes any."""
    return facts.most_steps * facts.step_samples / facts.sample_rate_hz if facts.most_steps else math.inf
