"""The space that the options ask for, less the knobs that say nothing of what is predicted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from search.driver.option import Kind
from search.driver.options import OPTIONS, Options
from search.driver.several import chosen_among, resolve_several
from search.driver.space import resolve_space
from search.run_folder.plan import WarmStart
from search.study.warm_start import winner_of
from ser_core.config import ConfigError, raise_problems
from ser_core.targets import DIMENSIONS, kind_of
from ser_core.training.losses import CLASS_SETTINGS
from spaces.knobs import KnobError, Space, Value
from spaces.several import is_choice


def asked_space(model: str, target: str, options: Options) -> tuple[Space, dict[str, Value]]:
    """The space after `--set` and `--space`, and every setting that is fixed.

    Raises:
        ConfigError: all that is wrong with names and values; settings of classes where ratings are predicted.
    """
    _check_concern(target, options)
    resolve = partial(resolve_several, chosen_among(model)) if is_choice(model) else partial(resolve_space, model)
    try:
        space, fixed = resolve(
            sets=options.set_ or (),
            spaces=options.space or (),
            max_epochs=options.max_epochs,
            pretrained=options.pretrained,
        )
    except KnobError as error:
        raise ConfigError(str(error)) from error
    return _concerning(target, space), fixed


def space_of_winner(
    folder: Path, model: str, target: str, options: Options
) -> tuple[WarmStart, Space, dict[str, Value]]:
    """The winner of the run that `--configuration` names, with its space and fixed settings: see `winner_of`.

    Raises:
        ConfigError: options that would change it; see also `winner_of`.
    """
    if others := [OPTIONS[name].flag for name in options.given() if OPTIONS[name].searches]:
        raise ConfigError(f"--configuration searches nothing, so it excludes {', '.join(others)}; leave them out")
    winner, space, fixed = winner_of(folder, model)
    own = [_said(target, params) for params in winner.configurations]
    return replace(winner, configurations=own), _concerning(target, space), _said(target, fixed)


def _check_concern(target: str, options: Options) -> None:
    """Refuse settings that a target does not read: a search over them would be one over nothing."""
    given = options.given(Kind.SPACE)
    texts = [(OPTIONS[option].flag, text) for option in ("set_", "space") for text in given.get(option, ())]
    names = {text: text.partition("=")[0] for _, text in texts}
    raise_problems(
        [
            f"{flag} {text}: {names[text]} concerns classes, and --target {target} predicts ratings; leave it out"
            for flag, text in texts
            if not _concerns(target, names[text])
        ]
    )


def _concerning(target: str, space: Space) -> Space:
    return space.fixed({name: 0 for name in space.knobs if not _concerns(target, name)})


def _said(target: str, values: Mapping[str, Value]) -> dict[str, Value]:
    return {name: value for name, value in values.items() if _concerns(target, name)}


def _concerns(target: str, name: str) -> bool:
    """Whether a setting, of one architecture among several perhaps, says something of what is predicted."""
    return kind_of(target) != DIMENSIONS or name.rpartition("/")[2] not in CLASS_SETTINGS
