"""All that defines a run, saved in its folder before the first trial; what `--resume` and every page read.

Loads neither torch nor Ray nor Optuna.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from search.run_folder.earlier_runs import Start, WarmStart
from search.run_folder.limits import Limits
from search.run_folder.paths import PLAN_FILE, runs_below
from search.run_folder.rungs import AUTO, GRACE_TRIALS
from search.run_folder.scoring import EARLIER_SCORE, STATISTICS, Scoring
from ser_core.config import BY_SPEAKER, ConfigError, raise_problems
from ser_core.earlier_settings import earlier_defaults, present_settings, present_space
from ser_core.json_document import DocumentError, read_object, typed
from ser_core.named_scores import EARLIER_OBJECTIVE, OBJECTIVES, SCORES, Score
from ser_core.whole_file import write_whole
from spaces.knobs import Choice, Float, Int, KnobError, Space, Value, knob_from_json

SAMPLER_NAMES = ("tpe", "curve-gp", "gp", "random", "cmaes")
"""What may propose configurations; the samplers themselves, and Optuna with them, are in `search.study.samplers`."""

EARLIER_TARGET = "emotion"
"""Of runs whose plan names none: early versions knew no other."""

FINALS_RULES = (1, 2, 3)
"""How a run's finals may be held, see `SearchPlan`; new runs take the last."""

NORMALISATION = "features.normalisation"
"""The setting that may make a result transductive."""


@dataclass(frozen=True, kw_only=True)
class SkippedFile:
    """A file of the corpus that is left out, and why."""

    path: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class CorpusFacts:
    """What every output says about the corpus; `fingerprint` is "" where an early version kept none.

    `mapped` says what became of the ratings of corpora with other scales, "" where nothing did; `scales` has the lowest
    and the highest rating of a dimension that a listener could give, as far as that is known.
    """

    name: str
    clips: int
    speakers: int
    classes: Sequence[str]
    skipped: Sequence[SkippedFile] = ()
    synthetic: bool = False
    licence: str = ""
    citation: str = ""
    fingerprint: str = ""
    mapped: str = ""
    scales: Mapping[str, Sequence[float]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PartSpeakers:
    """Whose clips each part of the corpus holds."""

    fit: Sequence[str] = ()
    validation: Sequence[str] = ()
    test: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class SearchPlan:
    """What a run searches, on what, and how.

    `model` is an architecture, or "auto" where each trial chooses one: then `space` has the choice, all settings are
    qualified by their architecture (`spaces.several`), and `max_epochs` is the longest schedule.

    `space` holds the knobs, `fixed` all other settings that were changed, `defaults` every setting as it is when
    nothing is said of it, so that a run stays what it is when a later version finds better ones. `grace_epochs` is a
    number or "auto". With several `folds`, a trial is scored over `inner_folds`, the validation speakers of each: all
    side by side, or with "auto" one after another for as long as it survives. `score` is a name in
    `search.run_folder.scoring.STATISTICS`. `test_data` is the corpus that is tested, the last of those in `corpus`,
    or ""; `balance` a column whose groups count alike in training, or ""; `groups` columns to score by; `scale` those
    of ratings whose corpora do not say them (`ser_core.rating_scales`), or "". `target` is "emotion", "votes", or
    dimensions with commas between, and `objective` the score that the search maximises and the finals decide by, a
    name in `ser_core.named_scores`.

    A run keeps the `finals_rule` that it was begun under. 1, of versions that kept none: the best trials on the folds
    of the search, and a refit for the median of their best epochs. 2: the recipe is a finalist too, each seed trains on
    the next of `final_folds` (validation speakers of each; none: the search's), and refits end with the schedule;
    the best mean over seeds wins. 3: a finalist takes the recipe's place only when its lead over it on the validation
    clips has a 95 % interval above 0.
    """

    model: str
    data: str
    classes: str | None
    skip_bad: bool
    corpus: CorpusFacts
    split: str
    speakers: PartSpeakers
    speaker_independent: bool
    synthetic: bool
    max_epochs: int
    grace_epochs: int | str
    reduction: float
    finalists: int
    seeds: int
    sampler: str
    seed: int
    fixed: Mapping[str, Value]
    space: Mapping[str, Mapping[str, Any]]
    first: Sequence[Mapping[str, Value]]
    limits: Limits
    defaults: Mapping[str, Value] = field(default_factory=dict)
    folds: int | str = 1
    inner_folds: Sequence[Sequence[str]] = ()
    finals_rule: int = 1
    final_folds: Sequence[Sequence[str]] = ()
    score: str = EARLIER_SCORE
    warm_start: WarmStart | None = None
    start: Start | None = None
    test_data: str = ""
    balance: str = ""
    groups: str = ""
    scale: str = ""
    target: str = EARLIER_TARGET
    objective: str = EARLIER_OBJECTIVE
    storage: str = ""
    command: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rules = [
            (self.max_epochs >= 1, f"--max-epochs must be at least 1; got {self.max_epochs}"),
            (
                self.grace_epochs == AUTO or (isinstance(self.grace_epochs, int) and self.grace_epochs >= 1),
                f"--grace-epochs must be a whole number of at least 1, or auto; got {self.grace_epochs}",
            ),
            (
                self.grace_epochs != AUTO or self.limits.trials > GRACE_TRIALS,
                f"--grace-epochs auto learns from the first {GRACE_TRIALS} complete trials, so --trials must be above "
                f"{GRACE_TRIALS}; got {self.limits.trials}",
            ),
            (self.reduction > 1, f"--reduction must be above 1; got {self.reduction}"),
            (
                self.folds == AUTO or (isinstance(self.folds, int) and self.folds >= 1),
                f"--folds must be a whole number of at least 1, or {AUTO}; got {self.folds}",
            ),
            (self.score in STATISTICS, f"--score must be one of {', '.join(STATISTICS)}; got {self.score!r}"),
            (self.finalists >= 1, f"--finalists must be at least 1; got {self.finalists}"),
            (self.seeds >= 1, f"--seeds must be at least 1; got {self.seeds}"),
            (
                self.finals_rule in FINALS_RULES,
                f"finals_rule must be one of {', '.join(map(str, FINALS_RULES))}; got {self.finals_rule}",
            ),
            (
                self.objective in OBJECTIVES,
                f"--objective must be one of {', '.join(OBJECTIVES)}; got {self.objective!r}",
            ),
            (self.seed >= 0, f"--seed must be at least 0; got {self.seed}"),
            (
                self.sampler in SAMPLER_NAMES,
                f"--sampler must be one of {', '.join(SAMPLER_NAMES)}; got {self.sampler!r}",
            ),
        ]
        raise_problems([message for holds, message in rules if not holds] + self.limits.problems())

    @property
    def first_rung(self) -> int | None:
        """Epochs of ASHA's first rung; None when the search is to find it."""
        return self.grace_epochs if isinstance(self.grace_epochs, int) else None

    @property
    def folds_in_turn(self) -> int:
        """Inner folds that a trial trains one after another; 1 where it trains all that it has side by side."""
        return len(self.inner_folds) if self.folds == AUTO else 1

    @property
    def trial_epochs(self) -> int:
        """Epochs of a trial that completes, over all folds that it trains one after another."""
        return self.max_epochs * self.folds_in_turn

    @property
    def scoring(self) -> Scoring:
        """How a trial's epochs become its score."""
        return Scoring(self.score, self.max_epochs if self.folds == AUTO else 0, self.objective)

    @property
    def headline(self) -> Score:
        """What the run is judged by, with its words."""
        return SCORES[self.objective]

    @property
    def settings(self) -> Mapping[str, Value]:
        """What every trial has, as far as its knobs do not say otherwise."""
        return {**(self.defaults or earlier_defaults(self.model)), **self.fixed}

    @property
    def knobs(self) -> Space:
        """The space as knobs."""
        return Space(knobs={name: knob_from_json(knob) for name, knob in self.space.items()}, first=tuple(self.first))

    @property
    def transductive(self) -> bool:
        """True when a configuration may normalise by speaker, for which the test speakers' clips are needed."""
        knobs = (knob.get("values", ()) for name, knob in self.space.items() if name.endswith(NORMALISATION))
        settings = (value for name, value in self.settings.items() if name.endswith(NORMALISATION))
        return BY_SPEAKER in (*settings, *(value for values in knobs for value in values))

    def save(self, folder: Path) -> None:
        """Write `plan.json`, whole or not at all; a plan of an earlier version as that version has it."""
        values = {
            name: value
            for name, value in asdict(self).items()
            if name not in _UNSAID_EARLY or (value and value != _UNSAID_EARLY[name])
        }
        if not self.limits.all_trials:
            del values["limits"]["all_trials"]
        for name in ("mapped", "scales"):
            if not values["corpus"][name]:
                del values["corpus"][name]
        write_whole(folder / PLAN_FILE, json.dumps(values, indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> SearchPlan:
        """The plan of a run folder, to go on with it.

        Raises:
            ConfigError: no plan there, or one that cannot be read; one with keys that this version does not know, since
                they may change what the results mean.
        """
        path = folder / PLAN_FILE
        try:
            values = read_object(path)
            if unknown := values.keys() - {each.name for each in fields(cls)}:
                raise DocumentError(f"it holds {', '.join(sorted(unknown))}, which a newer version wrote")
            return cls._of(values)
        except (FileNotFoundError, NotADirectoryError) as error:
            inside = [run.name for run in runs_below(folder)]
            several = f", but several runs: {', '.join(inside)}; name one of them" if inside else ""
            raise ConfigError(f"{folder} is no run folder: it holds no {PLAN_FILE}{several}") from error
        except (DocumentError, KnobError, ConfigError) as error:
            raise ConfigError(f"{path} is not a plan that this version can read: {error}") from error

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> SearchPlan:
        """The plan that `plan.json` holds, for readers: keys of newer versions are ignored, missing ones of early
        versions taken as `_NOT_KEPT_EARLY` says.

        Raises:
            DocumentError: what every page shows is missing, or has another type.
            KnobError: a space that is none.
            ConfigError: values out of bounds.
        """
        return cls._of({**_NOT_KEPT_EARLY, **values})

    @classmethod
    def _of(cls, values: Mapping[str, Any]) -> SearchPlan:
        plan: SearchPlan = typed(cls, values)
        for name, knob in plan.space.items():
            _check_knob(f"space.{name}", knob)
        return plan._in_present_words()

    def _in_present_words(self) -> SearchPlan:
        """The same with the settings that an earlier version named otherwise under the names of this one."""
        warm = self.warm_start
        if warm is not None:
            warm = replace(warm, configurations=tuple(map(present_settings, warm.configurations)))
        return replace(
            self,
            fixed=present_settings(self.fixed),
            defaults=present_settings(self.defaults),
            space=present_space(self.space),
            first=tuple(map(present_settings, self.first)),
            warm_start=warm,
        )

    def differences(self, other: SearchPlan) -> list[str]:
        """Where another plan asks for another search, one line each; limits, storage and wording apart."""
        mine, its = asdict(self), asdict(other)
        for values in (mine, its):
            del values["corpus"]["scales"]  # earlier versions kept none; `scale` and the fingerprint say what differs
        ignored = {"limits", "command", "versions", "data", "test_data", "storage"}
        lines = []
        for name in mine:
            if name not in ignored and json.dumps(mine[name]) != json.dumps(its[name]):
                before, now = _different_parts(mine[name], its[name])
                lines.append(f"{name}: {before} in the run, {now} now")
        return lines


def _different_parts(one: Any, other: Any) -> tuple[str, str]:
    """Two values as they are shown side by side: of mappings, what differs alone."""
    if not (isinstance(one, Mapping) and isinstance(other, Mapping)):
        return repr(one), repr(other)
    keys = [key for key in {**one, **other} if json.dumps(one.get(key)) != json.dumps(other.get(key))]
    before, now = (", ".join(f"{key} {each[key]}" for key in keys if key in each) for each in (one, other))
    return before or "nothing", now or "nothing"


def _check_knob(place: str, values: Mapping[str, Any]) -> None:
    """Raise `DocumentError` or `KnobError` for what is no knob."""
    kinds = {"float": Float, "int": Int, "choice": Choice}
    if (kind := kinds.get(str(values.get("type")))) is None:
        raise DocumentError(f"{place}.type must be one of {', '.join(kinds)}; got {values.get('type')!r}")
    typed(kind, values, place)


_UNSAID_EARLY: Mapping[str, Any] = {
    "finals_rule": 1, "final_folds": (), "score": EARLIER_SCORE, "defaults": {},
    "test_data": "", "balance": "", "groups": "", "scale": "", "start": None,
    "target": EARLIER_TARGET, "objective": EARLIER_OBJECTIVE,
}  # fmt: skip
"""Keys that plans of early versions lack, and what the plan of such a run has of them."""

_NOT_KEPT_EARLY: Mapping[str, Any] = {
    "data": "", "classes": None, "skip_bad": False, "speakers": {}, "sampler": "tpe", "seed": 0,
    "fixed": {}, "first": [],
}  # fmt: skip
"""Keys that no page needs, and what their readers take where they are missing; such a run cannot be resumed."""
