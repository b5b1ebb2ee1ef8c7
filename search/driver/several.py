"""`--model auto`: which architectures a search chooses among, and the space of them all."""

from __future__ import annotations

from collections.abc import Container, Sequence

from search.driver.space import resolve_space
from search.driver.starts import refuse_start
from ser_core.architectures import architectures, default_config, fits_itself, settings_read
from ser_core.config import ENCODER_KINDS, ConfigError, raise_problems
from spaces.knobs import Space, Value
from spaces.several import SEVERAL, joined, merged, named_architectures


def chosen_among(model: str) -> tuple[str, ...]:
    """The architectures that "auto" or "auto:mlp,shallow_cnn" chooses among; none for the name of one.

    Alone it takes the networks that are trained from scratch, so that nothing has to be downloaded. Baselines that are
    no networks have to be named: they are there to be compared with.
    """
    if model != SEVERAL:
        return named_architectures(model)
    return tuple(name for name in architectures() if _is_network_from_scratch(name))


def _is_network_from_scratch(name: str) -> bool:
    if fits_itself(name):
        return False
    config = default_config(name)
    return config.features.kind not in ENCODER_KINDS and config.params().get("model.pretrained", "none") == "none"


def known_settings(model: str) -> set[str]:
    """Names that `--set` and `--space` take: those of the architecture, or of any of several, qualified or not."""
    if not (names := chosen_among(model)):
        return {*settings_read(model)}
    own = {name: dict.fromkeys(settings_read(name)) for name in names}
    return {*merged(own), *(setting for each in own.values() for setting in each)}


def resolve_several(
    names: Sequence[str],
    *,
    sets: Sequence[str],
    spaces: Sequence[str],
    max_epochs: int | None,
    pretrained: str | None,
) -> tuple[Space, dict[str, Value]]:
    """The joined space of several architectures after `--set` and `--space`, and every setting that is fixed.

    `optim.batch_size=32` concerns all that have the setting, `mlp/optim.batch_size=32` one of them. The other
    arguments are those of `search.driver.space.resolve_space`.

    Raises:
        ConfigError: all that is wrong with names and values, at once.
    """
    refuse_start(pretrained, names)
    known = {name: settings_read(name) for name in names}
    problems = [
        f"none of {', '.join(names)} has the setting in {text}"
        for text in (*sets, *spaces)
        if not any(_own_text(name, text, settings) for name, settings in known.items())
    ]
    if pretrained is not None and not any("model.pretrained" in settings for settings in known.values()):
        problems.append(f"--pretrained {pretrained}: none of {', '.join(names)} has pretrained weights; leave it out")
    parts: dict[str, tuple[Space, dict[str, Value]]] = {}
    for name, settings in known.items():
        try:
            parts[name] = resolve_space(
                name,
                sets=[own for text in sets if (own := _own_text(name, text, settings))],
                spaces=[own for text in spaces if (own := _own_text(name, text, settings))],
                max_epochs=max_epochs if "optim.epochs" in settings else None,
                pretrained=pretrained if "model.pretrained" in settings else None,
            )
        except ConfigError as error:
            problems.append(f"{name}: {error}")
    raise_problems(problems)
    return joined({name: space for name, (space, _) in parts.items()}), merged(
        {name: fixed for name, (_, fixed) in parts.items()}
    )


def _own_text(name: str, text: str, settings: Container[str]) -> str:
    """NAME=VALUE as far as it concerns an architecture, under its own names; "" where it does not."""
    setting, equals, value = text.partition("=")
    setting = setting.removeprefix(f"{name}/")
    return f"{setting}{equals}{value}" if setting in settings else ""
