from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import pytest

from ser_core.config import (
    AugmentConfig,
    Config,
    ConfigError,
    FeatureConfig,
    OptimConfig,
    field_problems,
    raise_problems,
    setting,
    setting_help,
)


@dataclass(frozen=True, kw_only=True)
class ToyModelConfig:
    width: int = setting(8, "units", low=1, high=64)
    pooling: str = setting("mean", "over time", choices=("mean", "max"))

    def __post_init__(self) -> None:
        raise_problems(field_problems(self, "model"))


@pytest.fixture(scope="module")
def config() -> Config:
    return Config(architecture="toy", model=ToyModelConfig())


def test_params_names_every_setting_once_and_not_the_architecture(config: Config) -> None:
    params = config.params()
    parts = {"model": ToyModelConfig, "features": FeatureConfig, "optim": OptimConfig, "augment": AugmentConfig}
    expected = {f"{group}.{item.name}" for group, part in parts.items() for item in fields(part)}
    assert set(params) == expected | {"start", "seed", "precision"}
    assert params["optim.learning_rate"] == config.optim.learning_rate
    assert params["model.width"] == 8
    assert set(setting_help(config)) == set(params)
    assert all(setting_help(config).values())


def test_with_params_changes_what_it_names_and_nothing_else(config: Config) -> None:
    changed = config.with_params({"optim.learning_rate": 1e-2, "model.pooling": "max", "seed": 3})
    assert (changed.optim.learning_rate, changed.model.pooling, changed.seed) == (1e-2, "max", 3)
    before, after = config.params(), changed.params()
    differing = {name for name in before if before[name] != after[name]}
    assert differing == {"optim.learning_rate", "model.pooling", "seed"}
    assert config.with_params(changed.params()) == changed
    assert config.model.pooling == "mean"


def test_settings_that_depend_on_one_another_change_together(config: Config) -> None:
    changed = config.with_params({"features.sample_rate_hz": 8_000, "features.high_hz": 4_000})
    assert (changed.features.sample_rate_hz, changed.features.high_hz) == (8_000, 4_000.0)


def test_whole_numbers_are_widened_where_a_real_number_is_meant(config: Config) -> None:
    changed = config.with_params({"optim.weight_decay": 0, "features.hop_ms": 20})
    assert type(changed.optim.weight_decay) is float
    assert changed == config.with_params({"optim.weight_decay": 0.0, "features.hop_ms": 20.0})


def test_all_problems_are_reported_at_once(config: Config) -> None:
    with pytest.raises(ConfigError) as raised:
        config.with_params(
            {
                "optim.lr": 1e-3,
                "model.widht": 4,
                "model.width": 0,
                "model.pooling": "median",
                "optim.batch_size": 32.0,
                "augment.noise_std": float("nan"),
                "seed": -1,
            }
        )
    lines = str(raised.value).splitlines()
    assert lines[0].startswith(
        "unknown settings 'optim.lr', 'model.widht'; known: model.width, model.pooling, features.kind"
    )
    assert sorted(lines[1:]) == [
        "augment.noise_std must be finite; got nan",
        "model.pooling must be one of mean, max; got 'median'",
        "model.width must lie in [1, 64]; got 0",
        "optim.batch_size must be of type int; got 32.0",
        "seed must lie in [0, 2147483647]; got -1",
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"sample_rate_hz": 8_000},
            r"features\.high_hz may be at most half of features\.sample_rate_hz = 8000; got 8000\.0",
        ),
        (
            {"low_hz": 1_500.0, "high_hz": 1_200.0},
            r"features\.low_hz must be below features\.high_hz = 1200\.0; got 1500\.0",
        ),
        ({"kind": "mfcc", "n_mels": 32}, r"features\.n_mfcc may be at most features\.n_mels = 32; got 40"),
        ({"hop_ms": 30.0}, r"features\.hop_ms may be at most features\.window_ms = 25\.0; got 30\.0"),
        ({"kind": "mel"}, r"features\.kind must be one of log_mel, mfcc, .*; got 'mel'"),
    ],
)
def test_features_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}$"):
        FeatureConfig(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": True}, r"optim\.batch_size must be of type int; got True"),
        ({"learning_rate": "1e-3"}, r"optim\.learning_rate must be of type float; got '1e-3'"),
        ({"learning_rate": float("inf")}, r"optim\.learning_rate must be finite; got inf"),
        ({"bucketing": 1}, r"optim\.bucketing must be of type bool; got 1"),
    ],
)
def test_types_are_not_mixed(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}$"):
        OptimConfig(**changes)


@pytest.mark.parametrize("part", [FeatureConfig, OptimConfig, AugmentConfig])
def test_bounds_are_inclusive_and_kept(part: type) -> None:
    for item in fields(part):
        low, high, type_name = item.metadata["low"], item.metadata["high"], item.type
        if low is None:
            continue
        convert = float if type_name == "float" else int
        for outside in (low - 1, high + 1):
            with pytest.raises(ConfigError, match=rf"{item.name} must lie in \[{low}, {high}\]; got"):
                part(**{item.name: convert(outside)})
        template = part()
        for bound in (low, high):
            object.__setattr__(template, item.name, convert(bound))
        assert field_problems(template, "") == []


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("optim.batch_size", " 64 ", 64),
        ("optim.learning_rate", "1e-4", 1e-4),
        ("optim.bucketing", "True", True),
        ("optim.bucketing", "false", False),
        ("model.pooling", "max", "max"),
        ("seed", "7", 7),
    ],
)
def test_text_is_parsed_as_the_type_of_the_setting(config: Config, name: str, text: str, value: object) -> None:
    parsed = config.parsed(name, text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("optim.batch_size", "1e2", "optim.batch_size must be of type int; got '1e2'"),
        ("optim.learning_rate", "fast", "optim.learning_rate must be of type float; got 'fast'"),
        ("optim.bucketing", "yes", "optim.bucketing must be of type bool; got 'yes'; say true or false"),
        ("optim.rate", "1", "unknown setting 'optim.rate'; known: model.width"),
    ],
)
def test_text_of_another_type_is_refused(config: Config, name: str, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}"):
        config.parsed(name, text)


def test_what_str_prints_parses_back(config: Config) -> None:
    params = config.params()
    assert {name: config.parsed(name, str(value)) for name, value in params.items()} == params
