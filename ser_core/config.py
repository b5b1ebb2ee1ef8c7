"""The configuration of one training run: frozen dataclasses, every field with default, bounds and unit.

A field's dotted name (`optim.learning_rate`) is its only name: it is the knob in `spaces/`, the parameter in the Optuna
study and in the records, and the attribute that the training step reads.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

from ser_core.augment_settings import SAMPLE_CHANGES, AugmentConfig
from ser_core.settings import ConfigError, Value, field_problems, raise_problems, setting
from ser_core.suggestions import did_you_mean

BY_SPEAKER = "speaker"
"""The normalisation that makes a result transductive."""
SPECTROGRAMS = ("log_mel", "kaldi_fbank")
"""Kinds of features whose bins lie along the frequency axis."""
CLIP_VECTORS = ("mfcc_stats", "functionals", "egemaps", "compare", "encoder_stats")
"""Kinds of features that are one vector per clip, without time."""
ENCODER_KINDS = ("encoder", "encoder_layers", "encoder_stats", "encoder_input")
"""Kinds of features that a pretrained speech encoder gives or takes."""
HALF_KINDS = ("log_mel", "mfcc", "kaldi_fbank", "encoder", "encoder_layers", "encoder_stats", "encoder_input")
"""Kinds of features that are stored in half precision: the others take little, or have values that it cannot hold."""
NORMALISATIONS = ("corpus", "clip", BY_SPEAKER)
"""Whose frames a clip's features are normalised by."""


@dataclass(frozen=True, kw_only=True)
class FeatureConfig:
    """What a model sees of a clip. All but `clip_seconds` and `crop` decide the content of the feature store."""

    kind: str = setting(
        "log_mel",
        "log_mel: log mel spectrogram; mfcc: cepstra over time; mfcc_stats: one vector of MFCC statistics per clip; "
        "functionals: one vector of statistics over mel bins, cepstra, spectral shape, loudness, voicing and pitch; "
        "egemaps, compare: openSMILE's eGeMAPS and ComParE 2016 (not for commercial use); "
        "kaldi_fbank: Kaldi's log mel filter bank as AST uses it; encoder: frames of one layer of a pretrained speech "
        "encoder; encoder_layers: those of all its layers side by side; encoder_stats: their mean and deviation over "
        "time; encoder_input: what it takes, samples or its own log mel spectrogram",
        choices=("log_mel", "mfcc", *CLIP_VECTORS, "kaldi_fbank", "encoder", "encoder_layers", "encoder_input"),
    )
    sample_rate_hz: int = setting(16_000, "rate to which audio is resampled, Hz", low=4_000, high=48_000)
    window_ms: float = setting(25.0, "length of the analysis window, ms", low=5, high=200)
    hop_ms: float = setting(10.0, "step between frames, ms", low=2, high=100)
    n_mels: int = setting(64, "mel bins", low=8, high=256)
    low_hz: float = setting(50.0, "lower edge of the mel filters, Hz", low=0, high=2_000)
    high_hz: float = setting(
        8_000.0, "upper edge of the mel filters, Hz, at most half the sample rate", low=1_000, high=24_000
    )
    n_mfcc: int = setting(40, "cepstral coefficients (mfcc, mfcc_stats, functionals), at most n_mels", low=4, high=128)
    deltas: int = setting(0, "how many orders of time derivatives are stacked onto log_mel or mfcc bins", low=0, high=2)
    trim_db: float = setting(
        0.0,
        "cut leading and trailing parts that lie this many dB below the clip's peak frame energy; 0 keeps all",
        low=0,
        high=100,
    )
    normalisation: str = setting(
        "corpus",
        "whose frames bring each bin to mean 0 and deviation 1; corpus: those of the training clips; clip: first those "
        "of the clip itself; speaker: first those of all clips of the speaker, which is transductive: it needs several "
        "clips of every speaker, the test speakers' unlabelled ones too",
        choices=NORMALISATIONS,
    )
    encoder: str = setting(
        "facebook/wav2vec2-base",
        "speech encoder of the kinds that have one: hub name, local folder, or none for random weights",
    )
    encoder_layer: int = setting(
        -1, "hidden state of the encoder that is stored (kind encoder); -1 is the last", low=-1, high=48
    )
    clip_seconds: float = setting(
        3.0, "part of a clip that the model sees, s; shorter clips are padded", low=0.2, high=60
    )
    crop: str = setting(
        "center",
        "where a longer clip is cut for evaluation; training cuts at random within time_shift_seconds around it",
        choices=("center", "start"),
    )

    def __post_init__(self) -> None:
        raise_problems([*field_problems(self, "features"), *self._joint_problems()])

    def _joint_problems(self) -> list[str]:
        problems = []
        if self.high_hz > self.sample_rate_hz / 2:
            problems.append(
                f"features.high_hz may be at most half of features.sample_rate_hz = {self.sample_rate_hz}; "
                f"got {self.high_hz}"
            )
        if self.low_hz >= self.high_hz:
            problems.append(f"features.low_hz must be below features.high_hz = {self.high_hz}; got {self.low_hz}")
        if self.kind in ("mfcc", "mfcc_stats", "functionals") and self.n_mfcc > self.n_mels:
            problems.append(f"features.n_mfcc may be at most features.n_mels = {self.n_mels}; got {self.n_mfcc}")
        if self.deltas and self.kind not in ("log_mel", "mfcc"):
            problems.append(f"features.deltas must be 0 for features.kind = {self.kind}; got {self.deltas}")
        if self.normalisation == "clip" and self.kind in CLIP_VECTORS:
            problems.append(
                f"features.normalisation = clip needs several frames of a clip, and features.kind = {self.kind} is one "
                f"vector per clip; say corpus or speaker"
            )
        if self.normalisation != "corpus" and self.kind == "encoder_input":
            problems.append(
                f"features.normalisation must be corpus for features.kind = encoder_input, which the encoder itself "
                f"normalises; got {self.normalisation}"
            )
        if self.hop_ms > self.window_ms:
            problems.append(f"features.hop_ms may be at most features.window_ms = {self.window_ms}; got {self.hop_ms}")
        return problems


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """How weights are fitted."""

    optimizer: str = setting(
        "adamw", "adamw: decoupled weight decay (Loshchilov & Hutter 2019); adam", choices=("adamw", "adam")
    )
    learning_rate: float = setting(1e-3, "peak learning rate", low=1e-7, high=1.0)
    weight_decay: float = setting(0.01, "weight decay, not applied to biases and norms", low=0, high=1)
    batch_size: int = setting(32, "clips per step, at least 2; 0: optim.batch_seconds says how many", low=0, high=4096)
    batch_seconds: float = setting(
        0.0,
        "seconds of speech per step, padding included; implies optim.bucketing; 0: optim.batch_size clips",
        low=0,
        high=100_000,
    )
    bucketing: bool = setting(
        False, "make batches of clips of similar lengths, and pad them to the longest of the batch alone"
    )
    accumulation: int = setting(
        1,
        "parts, at most, in which the clips of a step go through the model, whose gradients are added: less memory; "
        "batch norm, the concordance of ratings and weights of classes are of a part alone",
        low=1,
        high=4096,
    )
    epochs: int = setting(40, "full budget, to which the schedule is pinned", low=1, high=10_000)
    schedule: str = setting(
        "onecycle",
        "onecycle: linear warm-up, then cosine to zero; cosine: the same without warm-up; constant",
        choices=("onecycle", "cosine", "constant"),
    )
    warmup_fraction: float = setting(0.3, "share of all steps spent warming up (onecycle)", low=0, high=0.9)
    label_smoothing: float = setting(0.1, "probability mass spread over all classes", low=0, high=0.9)
    loss: str = setting(
        "auto",
        "cross_entropy, or focal (Lin et al. 2017), of classes and votes; ccc: 1 less the concordance correlation, or "
        "mse, of dimensions; auto: the first of each",
        choices=("auto", "cross_entropy", "focal", "ccc", "mse"),
    )
    focal_gamma: float = setting(
        2.0, "how little recognised clips count (loss focal); 0 is cross entropy", low=0, high=10
    )
    class_weights: str = setting(
        "none",
        "weight the loss of a class by the inverse of its number of clips (inverse), or of their effective number "
        "(effective; Cui et al. 2019)",
        choices=("none", "inverse", "effective"),
    )
    class_balance_beta: float = setting(
        0.999, "beta of the effective number of clips (class_weights effective)", low=0, high=0.999999
    )
    sampling: str = setting(
        "all",
        "all: every clip once an epoch; balanced: as many draws, of every class equally often",
        choices=("all", "balanced"),
    )
    average_decay: float = setting(
        0.0,
        "validate and keep an exponential moving average of the weights, of which a step keeps this share (Polyak & "
        "Juditsky 1992); 0 keeps the weights themselves",
        low=0,
        high=0.9999,
    )
    clip_norm: float = setting(5.0, "largest gradient norm; 0 does not clip", low=0, high=1_000)
    early_stop_epochs: int = setting(
        0, "end after this many epochs without a better validation score; 0 never", low=0, high=10_000
    )

    @property
    def cuts_padding(self) -> bool:
        """True where batches are padded to their longest clip alone."""
        return self.bucketing or self.batch_seconds > 0

    def __post_init__(self) -> None:
        problems = field_problems(self, "optim")
        if not problems and self.batch_size and self.batch_seconds:
            problems.append(
                f"optim.batch_seconds and optim.batch_size exclude one another; got {self.batch_seconds:g} and "
                f"{self.batch_size}: with the former, set optim.batch_size=0"
            )
        elif not problems and self.batch_size < 2 and not self.batch_seconds:
            problems.append(
                f"optim.batch_size must be at least 2, or 0 beside optim.batch_seconds; got {self.batch_size}"
            )
        elif not problems and 0 < self.batch_size < 2 * self.accumulation > 2:
            problems.append(
                f"optim.accumulation may be at most half of optim.batch_size = {self.batch_size}, two clips a part; "
                f"got {self.accumulation}"
            )
        raise_problems(problems)


@dataclass(frozen=True, kw_only=True)
class Config:
    """All that decides a training run but the data and the device.

    `model` is the `Config` of `ser_core.models.<architecture>`; `ser_core.architectures.default_config` builds it all.
    """

    architecture: str
    model: Any
    features: FeatureConfig = field(default_factory=FeatureConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    start: str = setting(
        "", "folder of a trained model whose weights training begins with; empty for the architecture's own"
    )
    seed: int = setting(0, "seed of weights, order of clips and augmentation", low=0, high=2**31 - 1)
    precision: str = setting(
        "auto",
        "fp32; bf16: autocast; auto: bf16 where the architecture gains from it on the device in use",
        choices=("auto", "fp32", "bf16"),
    )

    def __post_init__(self) -> None:
        raise_problems([*field_problems(self, ""), *self._joint_problems()])

    def _joint_problems(self) -> list[str]:
        kind, augment, optim = self.features.kind, self.augment, self.optim
        problems = []
        if kind not in SPECTROGRAMS and (augment.freq_warp or augment.tempo_change):
            problems.append(
                f"augment.freq_warp and augment.tempo_change warp a spectrogram, so they must be 0 for features.kind = "
                f"{kind}; got {augment.freq_warp} and {augment.tempo_change}"
            )
        least = 2 * optim.accumulation * self.features.clip_seconds
        if 0 < optim.batch_seconds < least:
            problems.append(
                f"optim.batch_seconds must hold two clips of features.clip_seconds = {self.features.clip_seconds:g} in "
                f"each of optim.accumulation = {optim.accumulation} parts, {least:g} s; got {optim.batch_seconds:g}"
            )
        changed = [f"augment.{name}" for name in SAMPLE_CHANGES if getattr(augment, name)]
        if kind != "encoder_input" and changed:
            problems.append(f"{', '.join(changed)} must be 0 for features.kind = {kind}: it changes samples")
        return problems

    def params(self) -> dict[str, Value]:
        """Every setting by dotted name, the architecture apart."""
        return {name: _lookup(self, name) for name in _settings(self)}

    def with_params(self, params: Mapping[str, Value]) -> Config:
        """The configuration with the named settings changed.

        Raises:
            ConfigError: unknown names (the known ones are listed), wrong types and values out of bounds, all at once.
        """
        known = _settings(self)
        problems = []
        unknown = [name for name in params if name not in known]
        if unknown:
            problems.append(f"unknown settings {', '.join(map(repr, unknown))}; known: {', '.join(known)}")
        groups: dict[str, dict[str, Value]] = {}
        for name, value in params.items():
            if name in known:
                group, _, leaf = name.rpartition(".")
                groups.setdefault(group, {})[leaf] = _widened(value, known[name].type_)
        top: dict[str, Any] = dict(groups.pop("", {}))
        for group, changes in groups.items():
            try:
                top[group] = replace(getattr(self, group), **changes)
            except ConfigError as error:
                problems.append(str(error))
        try:
            changed = replace(self, **top)
        except ConfigError as error:
            problems.append(str(error))
        raise_problems(problems)
        return changed

    def parsed(self, name: str, text: str) -> Value:
        """`text` as the type that setting `name` has, for values that come from a command line.

        Raises:
            ConfigError: an unknown name, or text that is not of the type.
        """
        known = _settings(self)
        if name not in known:
            raise ConfigError(f"unknown setting {name!r}; known: {', '.join(known)}{did_you_mean(name, known)}")
        wanted = known[name].type_
        try:
            if wanted is bool:
                return {"true": True, "false": False}[text.strip().lower()]
            return wanted(text.strip())
        except KeyError as error:
            raise ConfigError(f"{name} must be of type bool; got {text!r}; say true or false") from error
        except ValueError as error:
            raise ConfigError(f"{name} must be of type {wanted.__name__}; got {text!r}") from error


@dataclass(frozen=True)
class _Setting:
    type_: type
    help: str


def _widened(value: Any, wanted: type) -> Any:
    return float(value) if wanted is float and type(value) is int else value


def _settings(config: Config) -> dict[str, _Setting]:
    """Dotted name -> type and help of every setting, in the order of the fields."""
    known: dict[str, _Setting] = {}
    for item in fields(config):
        part = getattr(config, item.name)
        if is_dataclass(part):
            hints = typing.get_type_hints(type(part))
            for leaf in fields(part):
                known[f"{item.name}.{leaf.name}"] = _Setting(hints[leaf.name], leaf.metadata["help"])
        elif "help" in item.metadata:
            known[item.name] = _Setting(typing.get_type_hints(Config)[item.name], item.metadata["help"])
    return known


def _lookup(config: Config, name: str) -> Value:
    group, _, leaf = name.rpartition(".")
    return getattr(getattr(config, group) if group else config, leaf)


def setting_help(config: Config) -> Mapping[str, str]:
    """Dotted name -> what the setting means, for `--help`, `--dry-run` and hover texts."""
    return types.MappingProxyType({name: item.help for name, item in _settings(config).items()})
