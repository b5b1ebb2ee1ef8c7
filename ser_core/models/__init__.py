"""Architectures, one module each, found by looking into this folder.

A module `ser_core/models/x.py` makes architecture `x`. It holds:

- `Config`: a frozen dataclass of `ser_core.config.setting` fields, validated in `__post_init__` with prefix "model";
- `DEFAULTS`: dotted name -> value, what this architecture changes of the general defaults (features, optimiser …);
- `build(config, *, frames, bins, classes) -> nn.Module`, where `config` is the module's own `Config`. The module's
  `forward(features, lengths)` takes features (batch, frames, bins) float and lengths (batch,) int64, the number of
  frames before padding, and returns logits (batch, classes). The module may have an attribute `explained_by`, the
  method of `ser_core.modules.explain` that shows where it looks; gradient times input stands in for one that has none;
- optionally `features_for(config, features) -> FeatureConfig`: where the model's settings decide about the features
  (an encoder whose lower layers are frozen stores their output);
- optionally `takes_raw_features(config) -> bool`: True where features must not be normalised per bin;
- optionally `without_pretrained(config)`: its `Config` for the same module with nothing fetched, for saved weights;
- `PRECISION`: "bf16" where training gains from bf16 autocast on hardware that computes in it (GPUs since Ampere, CPUs
  with AVX512-BF16 or AMX), else "fp32". It decides what `precision=auto` means there; on other CPUs, where bf16 is
  emulated at a tenth of the speed, auto is fp32 for every architecture;
- `CHANNELS_LAST`: True where the channels-last memory format makes convolutions faster;
- `CITATION`: the paper.

Modules whose names begin with an underscore hold what several architectures share.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from ser_core import config as _config
from ser_core.config import Config, ConfigError
from ser_core.suggestions import did_you_mean

if TYPE_CHECKING:
    from torch import nn  # loads for seconds, and names of architectures are wanted at once


def architectures() -> tuple[str, ...]:
    """Names of all architectures, alphabetically."""
    return tuple(sorted(info.name for info in pkgutil.iter_modules(__path__) if not info.name.startswith("_")))


def architecture(name: str) -> ModuleType:
    """The module of an architecture.

    Raises:
        ConfigError: no such architecture; the known ones are listed.
    """
    if name not in architectures():
        raise ConfigError(
            f"unknown model {name!r}; known: {', '.join(architectures())}{did_you_mean(name, architectures())}"
        )
    return import_module(f"{__name__}.{name}")


def default_config(name: str, params: Mapping[str, _config.Value] | None = None) -> Config:
    """The architecture's defaults with `params` changed, and the features that its settings ask for.

    Raises:
        ConfigError: unknown architecture or settings, values out of bounds.
    """
    module = architecture(name)
    config = Config(architecture=name, model=module.Config()).with_params({**module.DEFAULTS, **(params or {})})
    if hasattr(module, "features_for"):
        features = module.features_for(config.model, config.features)
        config = config.with_params({f"features.{k}": v for k, v in vars(features).items()})
    return config


def takes_raw_features(config: Config) -> bool:
    """True when the model's features must reach it as they are stored, not normalised per bin."""
    module = architecture(config.architecture)
    return hasattr(module, "takes_raw_features") and module.takes_raw_features(config.model)


def without_pretrained(config: Config) -> Config:
    """The configuration of the same module with nothing fetched, for callers who load saved weights into it."""
    module = architecture(config.architecture)
    if not hasattr(module, "without_pretrained"):
        return config
    return replace(config, model=module.without_pretrained(config.model))


def build_model(config: Config, *, frames: int, bins: int, classes: int) -> nn.Module:
    """The architecture's module for clips of (frames, bins) and that many classes, on the CPU.

    Raises:
        ConfigError: an input that the architecture cannot take.
        PretrainedError: weights that cannot be loaded.
    """
    return architecture(config.architecture).build(config.model, frames=frames, bins=bins, classes=classes)
