"""Configurations that an earlier study found good, mapped onto the space of a new run.

Only configurations are taken over. The scores of the earlier study, of another corpus perhaps, rank them and go no
further.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from search.run_folder.architectures import architectures_of
from search.run_folder.plan import SearchPlan, WarmStart
from search.run_folder.run_view import RunFolderError, read_run
from search.study.defaults import settings_of
from search.study.storage import absolute_storage, connect_existing, without_password
from ser_core.config import ConfigError
from ser_core.earlier_settings import present_settings
from spaces.knobs import Choice, Float, Int, Knob, Space, Value, knob_from_json
from spaces.several import ARCHITECTURE, architectures_in, choice_of, chosen_with, own_values, qualified

OPTION = "--warm-start"
MOST_CONFIGURATIONS = 5
"""Taken from an earlier study: enough to differ from one another, few beside the trials of a search."""
MOST_LISTED = 20
"""Studies or knobs that an error names."""


@dataclass(frozen=True, kw_only=True)
class _Earlier:
    """An earlier study as it is read: configurations that have a score, the best first."""

    source: str
    configurations: Sequence[Mapping[str, Any]]
    corpus: str = ""
    speakers: Sequence[str] = ()


def warm_start(text: str, space: Space, fixed: Mapping[str, Value], model: str) -> WarmStart:
    """The best configurations of the study that `text` names, each once, as far as they fit into `space`.

    Args:
        text: a run folder; or a storage, followed by #NAME where it holds several studies.
        space: of the new run; what its first configurations cover is left out.
        fixed: settings of the new run that are no knobs.
        model: of the new run: of an earlier one that chose among several, the trials of this one are taken.

    Raises:
        ConfigError: no such study, several of them, or nothing in it that can be used.
    """
    folder = Path(text).expanduser()
    earlier = _read_folder(folder, space, model) if folder.is_dir() else _read_study(text)
    if not earlier.configurations:
        raise ConfigError(
            f"{OPTION} {earlier.source}: no trial of it ended with a score; there is nothing to take over"
        )
    taken: list[Mapping[str, Value]] = []
    notes: list[str] = []
    for params in earlier.configurations:
        mapped, own_notes = fit(params, space, fixed)
        known = any(mapped.items() <= other.items() for other in (*space.first, *taken))
        if mapped and not known:
            taken.append(mapped)
            notes += own_notes
        if len(taken) == MOST_CONFIGURATIONS:
            break
    if not taken:
        _refuse(earlier, space, fixed)
    return WarmStart(
        source=earlier.source,
        configurations=taken,
        notes=[text if count == len(taken) else f"{text} in {count}" for text, count in Counter(notes).items()],
        corpus=earlier.corpus,
        speakers=earlier.speakers,
    )


def winner_of(folder: Path, model: str) -> tuple[WarmStart, Space, dict[str, Value]]:
    """The winner of a finished run as the only configuration of another, with that run's space and fixed settings.

    Raises:
        ConfigError: no run there, one that has not ended, or one of another architecture.
    """
    option = f"--configuration {folder}"
    try:
        run = read_run(folder)
    except RunFolderError as error:
        raise ConfigError(f"{option}: {error}") from error
    if run.result is None:
        raise ConfigError(f"{option}: that run has no winner yet; --resume it first")
    if run.plan.model != model:
        raise ConfigError(f"{option} is of {run.plan.model}, not of {model}; name a run of the same architecture")
    params = present_settings(run.result["winner"]["params"])
    space = Space(knobs={name: knob_from_json(knob) for name, knob in run.plan.space.items()})
    if choice := choice_of(params):  # nothing of the others is left
        space = space.replaced({ARCHITECTURE: Choice(values=(choice,))})
    earlier = _read_folder(folder, space, model, "--configuration")
    winner = WarmStart(
        source=earlier.source,
        configurations=[params],
        corpus=earlier.corpus,
        speakers=earlier.speakers,
        alone=True,
    )
    shared = _not_default(run.plan)
    return winner, space, qualified(choice, own_values(choice, shared)) if choice else shared


def _not_default(plan: SearchPlan) -> dict[str, Value]:
    """What a run's trials share and the architecture's present defaults would not give."""
    present = settings_of(plan.model, architectures_of(plan) if ARCHITECTURE in plan.space else ())
    return {
        name: value
        for name, value in plan.settings.items()
        if name in plan.fixed or (name not in plan.space and present.get(name) != value)
    }


def _refuse(earlier: _Earlier, space: Space, fixed: Mapping[str, Value]) -> None:
    """Nothing of the earlier study is left: say why."""
    if any(fit(params, space, fixed)[0] for params in earlier.configurations):
        raise ConfigError(
            f"{OPTION} {earlier.source}: all that fits of it are the configurations that are tried first anyway; leave "
            f"the option out"
        )
    theirs = sorted({name for params in earlier.configurations for name in params})
    raise ConfigError(
        f"{OPTION} {earlier.source}: none of its values fits a knob of this space. Its knobs: {_listed(theirs)}; those "
        f"of this space: {_listed(space.knobs)}"
    )


# -- mapping -----------------------------------------------------------------------------------------------------------


def fit(params: Mapping[str, Any], space: Space, fixed: Mapping[str, Value]) -> tuple[dict[str, Value], list[str]]:
    """A configuration of another study as far as it fits into `space`, and what did not, one line each.

    A number outside a range becomes the nearest that it holds; what has no nearest value, and a knob that the space
    does not have, is left out. So is a knob whose condition the others do not fulfil.
    """
    mapped: dict[str, Value] = {}
    notes = []
    for name, knob in space.knobs.items():
        parent = knob.when.name if knob.when is not None else None
        if name not in params or (parent in mapped and not space.active(name, mapped)):
            continue
        value, why = _nearest(knob, params[name])
        if value is not None:
            mapped[name] = value
        if why:
            notes.append(
                f"{name} {_shown(params[name])} {'dropped' if value is None else f'→ {_shown(value)}'} ({why})"
            )
    for name in (name for name in params if name not in space.knobs):
        why = f"fixed at {fixed[name]}" if name in fixed else "no knob of this space"
        notes.append(f"{name} dropped ({why})")
    return mapped, notes


def _nearest(knob: Knob, value: object) -> tuple[Value | None, str]:
    """The value of `knob` that is nearest to another study's, None without one, and what is wrong with the latter."""
    if isinstance(knob, Choice):
        same = [own for own in knob.values if _same(own, value)]
        return (same[0], "") if same else (None, f"not one of {', '.join(map(str, knob.values))}")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None, "not a number"
    if value < knob.low:
        return knob.low, "below the range"
    if value > knob.high:
        return knob.high, "above the range"
    if isinstance(knob, Float):
        return float(value), ""
    whole = knob.low + round((value - knob.low) / knob.step) * knob.step
    return whole, "" if whole == value else _grid(knob)


def _grid(knob: Int) -> str:
    return "not a whole number" if knob.step == 1 else f"not {knob.low} plus a multiple of {knob.step}"


def _same(own: Value, value: object) -> bool:
    """Equal, where 16 is 16.0 and True is not 1."""
    return own == value and isinstance(own, bool) == isinstance(value, bool)


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


# -- reading -----------------------------------------------------------------------------------------------------------


def _read_folder(folder: Path, space: Space, model: str, option: str = OPTION) -> _Earlier:
    """A run: what its trials varied, and what they all had otherwise than by default of the knobs of `space`.

    All of it under the names of `space`, which is of `model`.
    """
    try:
        run = read_run(folder)
    except RunFolderError as error:
        raise ConfigError(f"{option} {folder}: {error}") from error
    corpus, before = run.plan.corpus.name, run.plan.warm_start
    speakers = {*run.plan.speakers.fit, *run.plan.speakers.validation}
    if before is not None and before.corpus == corpus:
        speakers |= set(before.speakers)
    ranked = run.records.ranked()
    if not architectures_in(space):
        ranked = [trial for trial in ranked if choice_of(trial.params) in ("", model)]
    shared = _not_default(run.plan)
    return _Earlier(
        source=str(folder.resolve()),
        configurations=[_in_names_of(space, trial.params, shared, run.plan.model) for trial in ranked],
        corpus=corpus,
        speakers=sorted(speakers),
    )


def _in_names_of(
    space: Space, params: Mapping[str, Value], shared: Mapping[str, Value], model: str
) -> dict[str, Value]:
    """A configuration of a run of `model`, and what is `shared` by all there as far as `space` has knobs for it."""
    choice = choice_of(params)
    if choice:
        params, shared = own_values(choice, params), own_values(choice, shared)
    if architectures_in(space):
        params, shared = chosen_with(choice or model, params), qualified(choice or model, shared)
    return {**{name: value for name, value in shared.items() if name in space.knobs}, **params}


def _read_study(text: str) -> _Earlier:
    """A study of any program in an Optuna storage."""
    location, name = _split(text)
    location = absolute_storage(location, OPTION)
    shown = without_password(location)
    storage = connect_existing(location, OPTION)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    names = sorted(study.study_name for study in storage.get_all_studies())
    if not names:
        raise ConfigError(f"{OPTION} {shown} holds no study")
    if not name and len(names) > 1:
        raise ConfigError(
            f"{OPTION} {shown} holds {len(names)} studies: {_listed(names)}. Choose one: {OPTION} '{shown}#{names[0]}'"
        )
    if name and name not in names:
        raise ConfigError(f"{OPTION} {shown} holds no study {name!r}; it holds {_listed(names)}")
    study = optuna.load_study(study_name=name or names[0], storage=storage)
    if len(study.directions) > 1:
        raise ConfigError(
            f"{OPTION} {shown}#{study.study_name} has {len(study.directions)} objectives; it must have one"
        )
    sign = 1.0 if study.direction is StudyDirection.MAXIMIZE else -1.0
    ranked = [present_settings(trial.params) for trial in rank_trials(study.get_trials(deepcopy=False), sign)]
    return _Earlier(source=f"{shown}#{study.study_name}", configurations=ranked)


def rank_trials(trials: Iterable[FrozenTrial], sign: float) -> list[FrozenTrial]:
    """Trials with a score, the best first: complete ones, then pruned ones, the further ones first.

    Args:
        sign: 1 for a study that maximises, -1 for one that minimises.
    """
    keys: dict[int, tuple[float, ...]] = {}
    trials = list(trials)
    for trial in trials:
        steps = {step: value for step, value in trial.intermediate_values.items() if math.isfinite(value)}
        if trial.state is OptunaState.COMPLETE and trial.value is not None and math.isfinite(trial.value):
            keys[trial.number] = (0, 0, -sign * trial.value, trial.number)
        elif trial.state is OptunaState.PRUNED and steps:
            best = max(sign * value for value in steps.values())
            keys[trial.number] = (1, -max(steps), -best, trial.number)
    return sorted((trial for trial in trials if trial.number in keys), key=lambda trial: keys[trial.number])


def _split(text: str) -> tuple[str, str]:
    """A storage and the name of a study in it, "" for the only one."""
    location, _, name = text.partition("#")
    return location, name


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    return ", ".join(names[:MOST_LISTED]) + more
