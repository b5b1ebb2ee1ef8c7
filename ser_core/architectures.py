"""Architectures by name: what there are, their configurations, their modules. What one consists of: `ser_core.models`.

Names come from the files of that folder; only what needs an architecture itself imports it, and torch with it.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from ser_core import models
from ser_core.config import Config, ConfigError, FeatureConfig, Value, raise_problems
from ser_core.suggestions import did_you_mean

if TYPE_CHECKING:
    from torch import nn  # loads for seconds, and names of architectures are wanted at once


def architectures() -> tuple[str, ...]:
    """Names of all architectures, alphabetically."""
    return tuple(sorted(info.name for info in pkgutil.iter_modules(models.__path__) if not info.name.startswith("_")))


def architecture(name: str) -> ModuleType:
    """The module of an architecture.

    Raises:
        ConfigError: no such architecture; the known ones are listed.
    """
    if name not in architectures():
        raise ConfigError(
            f"unknown model {name!r}; known: {', '.join(architectures())}{did_you_mean(name, architectures())}"
        )
    return import_module(f"{models.__name__}.{name}")


def default_settings(name: str) -> dict[str, Value]:
    """Every setting of an architecture by dotted name, as it is when nothing is said of it.

    Raises:
        ConfigError: unknown architecture.
    """
    return _configured(name, {}).params()


def default_config(name: str, params: Mapping[str, Value] | None = None) -> Config:
    """The architecture's defaults with `params` changed, and the features that its settings ask for.

    Raises:
        ConfigError: unknown architecture or settings, values out of bounds, or that do not fit the architecture.
    """
    module, config = architecture(name), _configured(name, params or {})
    if hasattr(module, "features_for"):
        features = module.features_for(config.model, config.features)
        config = config.with_params({f"features.{k}": v for k, v in vars(features).items()})
    if config.optim.cuts_padding and least_frames(config) is None:
        able = ", ".join(each for each in architectures() if hasattr(architecture(each), "least_frames"))
        raise ConfigError(
            f"optim.bucketing and optim.batch_seconds cut padding, and what {name} says of a clip depends on padding: "
            f"leave them out. They go with {able}, finetune over an encoder that ignores padding"
        )
    return config


def _configured(name: str, params: Mapping[str, Value]) -> Config:
    module = architecture(name)
    defaults = Config(architecture=name, model=module.Config()).with_params(module.DEFAULTS)
    config, default, read = defaults.with_params(params), defaults.params(), settings_read(name)
    raise_problems(
        [
            f"{setting} says nothing to {name}, which no gradient trains; leave it at {default[setting]}, got {value}"
            for setting, value in config.params().items()
            if setting not in read and value != default[setting]
        ]
    )
    return config


def fits_itself(name: str) -> bool:
    """True of an architecture that a solver fits, without gradients: a baseline, not a network."""
    return hasattr(architecture(name), "READS")


def settings_read(name: str) -> tuple[str, ...]:
    """Names of the settings that mean something to an architecture, which are all but for one that fits itself.

    Raises:
        ConfigError: unknown architecture.
    """
    module = architecture(name)
    known = tuple(Config(architecture=name, model=module.Config()).params())
    if not hasattr(module, "READS"):
        return known
    return tuple(each for each in known if each in module.READS or not each.startswith(OF_GRADIENTS))


OF_GRADIENTS = ("optim.", "augment.", "precision", "start")
"""How names of the settings begin that say how gradient steps are taken."""


def takes_raw_features(config: Config) -> bool:
    """True when the model's features must reach it as they are stored, not normalised per bin."""
    module = architecture(config.architecture)
    return hasattr(module, "takes_raw_features") and module.takes_raw_features(config.model)


def least_frames(config: Config) -> int | None:
    """Frames to which a batch may be cut where its clips are shorter than what the model sees; None where padding
    changes what it says.

    Raises:
        PretrainedError: of an encoder whose configuration cannot be had.
    """
    module = architecture(config.architecture)
    least: int | None = module.least_frames(config.model) if hasattr(module, "least_frames") else None
    return least


def kind_of_weights(config: Config) -> str:
    """Which of several kinds of initial weights the settings name, by which a space may differ; "" for the usual one.

    Raises:
        PretrainedError: an encoder whose configuration cannot be had.
    """
    module = architecture(config.architecture)
    return str(module.kind_of_weights(config.model)) if hasattr(module, "kind_of_weights") else ""


def trained_from_start(config: Config) -> Config:
    """The configuration whose first epoch trains all that any epoch of `config` does, and so needs as much memory."""
    return config.with_params(getattr(architecture(config.architecture), "FROM_START", {}))


def without_pretrained(config: Config) -> Config:
    """The configuration of the same module with nothing fetched, for callers who load saved weights into it."""
    module = architecture(config.architecture)
    if not hasattr(module, "without_pretrained"):
        return config
    return replace(config, model=module.without_pretrained(config.model))


def feature_maps(features: FeatureConfig) -> int:
    """Maps of equal size that lie side by side along the bins: a spectrogram and its derivatives, or layers.

    Raises:
        PretrainedError: layers of an encoder whose configuration cannot be had.
    """
    if features.kind not in ("encoder_layers", "encoder_stats"):
        return 1 + features.deltas
    from ser_core.modules.encoder_families import encoder_facts  # loads torch

    return encoder_facts(features.encoder).states


def build_model(config: Config, *, frames: int, bins: int, classes: int) -> nn.Module:
    """The architecture's module for clips of (frames, bins) and that many classes, on the CPU.

    Raises:
        ConfigError: an input that the architecture cannot take.
        PretrainedError: weights that cannot be loaded, or an encoder whose configuration cannot be had.
    """
    module, sizes = architecture(config.architecture), {"frames": frames, "bins": bins, "classes": classes}
    if getattr(module, "TAKES_MAPS", False):
        sizes["maps"] = feature_maps(config.features)
    return module.build(config.model, **sizes)
