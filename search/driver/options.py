"""The options of a run, said once: the command line, the plan, `--resume`, batches and messages follow from here.

A new option is one more field of `Options`. Loads in a blink, so that `--help` and mistakes are answered at once.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args, get_type_hints

from search.driver.option import Kind, Option, fits, option, type_words
from search.run_folder.limits import Limits
from search.run_folder.plan import EARLIER_TARGET, SAMPLER_NAMES
from search.run_folder.prospect import ENOUGH_TRIALS
from search.run_folder.rungs import AUTO, GRACE_SPEARMAN, GRACE_TRIALS
from search.run_folder.scoring import DEFAULT_SCORE, LAST_EPOCHS, STATISTICS
from search.tracking.destination import NO_TRACKER
from search.tracking.tracker import EXPERIMENT
from search.tracking.trackers import tracker_names
from ser_core.architectures import architectures
from ser_core.config import ConfigError, raise_problems
from ser_core.earlier_settings import present_option
from ser_core.named_scores import OBJECTIVES
from ser_core.suggestions import did_you_mean
from spaces.several import SEVERAL, named_architectures

ALL = "all"
"""In `--model`: every architecture."""

DATA, SEARCH, FINALS, MACHINES, RUN = "Data", "Search", "Finals", "Machines", "Run folder"
"""Panels of `--help`."""

_LIMITS = Limits()


@dataclass(frozen=True, kw_only=True)
class Options:
    """What was asked for. None, or False for a switch, is what was left out.

    Raises:
        ConfigError: unknown architectures, and numbers out of bounds; all at once.
    """

    model: str | None = option(
        Kind.PLAN,
        SEARCH,
        f"{', '.join(architectures())}; several with commas between, or {ALL}: side by side. {SEVERAL}: one "
        f"search that chooses among those trained from scratch, {SEVERAL}:mlp,cnn_lstm among these.",
        known=(*architectures(), SEVERAL),
        own=True,
    )
    data: str | None = option(
        Kind.PLAN,
        DATA,
        "A RAVDESS folder or zip; a CSV, TSV or JSONL manifest (path, speaker, emotion[, split]); ravdess (downloads "
        "it); demo (a synthetic corpus). Several with commas between are joined.",
    )
    test_data: str | None = option(
        Kind.PLAN, DATA, "A corpus to test on, of which nothing is trained on.", default="", means="speakers of --data"
    )
    classes: str | None = option(
        Kind.PLAN, DATA, "4, 6 or 8, or words, merged with +: happy,sad,tense=angry+fearful.", means="all"
    )
    target: str | None = option(
        Kind.PLAN,
        DATA,
        "What is predicted: emotion; votes (shares of several listeners' votes); or columns of ratings with commas "
        "between: arousal,valence,dominance.",
        default=EARLIER_TARGET,
    )
    scale: str | None = option(
        Kind.PLAN,
        DATA,
        "Lowest and highest rating of corpora that do not say so themselves: mine=1:7,other=0:100. Joining ratings of "
        "several needs it; a model keeps it.",
        default="",
        means="as the corpora say",
    )
    split: str | None = option(
        Kind.PLAN,
        DATA,
        "speaker, manifest (its own parts) or random (not speaker-independent). Every fold of a protocol: kfold:K "
        "(groups of speakers), loso (each speaker), logo:COLUMN (each session, language, corpus …), pairs:COLUMN "
        "(train on each, test on all others), emobox, luna. One fold: kfold:5:2, loso:NAME, logo:COLUMN:VALUE, "
        "emobox:2.",
        means="manifest where the data brings parts, else speaker",
        own=True,
    )
    search_per_fold: bool | None = option(
        Kind.BATCH,
        DATA,
        "Of every fold: each has a search of its own, or (emobox, luna) the first one's winner is trained on all.",
        off="--search-once",
        means="per fold",
    )
    balance: str | None = option(
        Kind.PLAN, DATA, "Column, such as corpus, whose groups count alike in training.", default="", means="none"
    )
    groups: str | None = option(
        Kind.PLAN, DATA, "Columns by which test clips are scored beside language, corpus …: age,accent.", default=""
    )
    skip_bad: bool = option(
        Kind.PLAN, DATA, "Leave unusable files out; result.json lists them.", empty=False, default=False, again=True
    )
    trials: int | None = option(
        Kind.LIMIT, SEARCH, "Trials to start.", default=_LIMITS.trials, least=1, searches=True, extends=True
    )
    hours: float | None = option(
        Kind.LIMIT,
        SEARCH,
        "Wall time for everything, all runs of a batch together; the finals' share is kept aside.",
        means="no limit",
        above=0,
        extends=True,
    )
    hours_per_run: float | None = option(
        Kind.EACH,
        SEARCH,
        "Of a batch: time for each run, as if it had the workers to itself.",
        means="an equal share of --hours",
        above=0,
        extends=True,
    )
    epochs_total: int | None = option(
        Kind.LIMIT,
        SEARCH,
        "Epochs over all trials of the search, those of all runs of a batch together.",
        means="no limit",
        least=1,
        searches=True,
        extends=True,
    )
    all_trials: bool = option(
        Kind.LIMIT,
        SEARCH,
        f"Go on when {ENOUGH_TRIALS} trials are no better than the recipe but for luck, which else ends a search with "
        f"--folds {AUTO}.",
        empty=False,
        searches=True,
        extends=True,
    )
    max_epochs: int | None = option(
        Kind.SPACE,
        SEARCH,
        "Full budget of a trial, to which the schedule is pinned.",
        means="the model's",
        least=1,
        searches=True,
    )
    grace_epochs: int | str | None = option(
        Kind.PLAN,
        SEARCH,
        f"First rung of ASHA; {AUTO} finds it from the first {GRACE_TRIALS} complete trials: the epoch from which on "
        f"the ranking agrees with the final one (Spearman {GRACE_SPEARMAN}).",
        means="a fifth of --max-epochs",
        least=1,
        searches=True,
    )
    reduction: float | None = option(
        Kind.PLAN, SEARCH, "One in this many goes on at a rung.", default=3.0, above=1, searches=True
    )
    sampler: str | None = option(
        Kind.PLAN,
        SEARCH,
        f"{', '.join(SAMPLER_NAMES)}. One proposal in three of tpe is a random one, one in two of curve-gp.",
        default="tpe",
        known=SAMPLER_NAMES,
        searches=True,
    )
    set_: list[str] | None = option(
        Kind.SPACE,
        SEARCH,
        "Fix a setting: optim.batch_size=32. Repeatable.",
        means="nothing",
        searches=True,
        spelled="NAME=VALUE",
    )
    space: list[str] | None = option(
        Kind.SPACE,
        SEARCH,
        "Narrow, replace or add a knob: optim.learning_rate=1e-5:1e-3, optim.batch_size=16,32. A range keeps the "
        "knob's scale unless :log or :linear follows. Repeatable.",
        means="the model's space",
        searches=True,
        spelled="NAME=KNOB",
    )
    warm_start: str | None = option(
        Kind.EARLIER,
        SEARCH,
        "Try the best configurations of an earlier study early: a run folder, or a storage as for --storage, followed "
        "by #NAME where it holds several studies.",
        means="none",
        searches=True,
        secret=True,
    )
    configuration: Path | None = option(
        Kind.EARLIER,
        SEARCH,
        "Search nothing: train the winner's configuration of the run in this folder, on other data or another split.",
    )
    pretrained: str | None = option(
        Kind.SPACE,
        SEARCH,
        "A hub name, a local file or folder, or none; or a run, or one of its models, whose weights to begin with.",
        means="the model's",
        searches=True,
    )
    allow_heard_test: bool = option(
        Kind.EARLIER,
        SEARCH,
        "Begin with a model that has seen test clips or test speakers, or may have; every output says so.",
        empty=False,
    )
    folds: int | str | None = option(
        Kind.PLAN,
        SEARCH,
        f"Score trials over so many folds of the speakers that do not test, trained side by side; {AUTO}: over up to "
        "five, one after another for as long as ASHA lets a trial go on.",
        means=f"{AUTO}; 1, the split's own validation part, where that came with the data, where speakers are mixed, "
        "and for one trial",
        least=1,
    )
    score: str | None = option(
        Kind.PLAN,
        SEARCH,
        "What makes a learning curve a score: its best epoch, the mean of its best third (best-third) or of its last "
        f"{LAST_EPOCHS} epochs (last).",
        default=DEFAULT_SCORE,
        known=tuple(STATISTICS),
    )
    objective: str | None = option(
        Kind.PLAN,
        SEARCH,
        "What the search maximises, and finals and pages judge by: uar, war or macro_f1 of classes, ccc of ratings.",
        means="uar; ccc where ratings are predicted",
        known=OBJECTIVES,
    )
    finalists: int | None = option(
        Kind.PLAN,
        FINALS,
        "Best trials, repeated over seeds; the recipe is repeated beside them.",
        default=3,
        least=1,
        searches=True,
    )
    seeds: int | None = option(
        Kind.PLAN, FINALS, "Seeds of every finalist, each on another inner fold, and of the refit.", default=3, least=1
    )
    allow_second_test_read: bool = option(
        Kind.CALL,
        FINALS,
        "Read the test set again after a further search; every output counts the readings.",
        empty=False,
    )
    address: str | None = option(Kind.LIMIT, MACHINES, "A Ray cluster, such as auto.", means="this machine")
    concurrency: int | None = option(Kind.LIMIT, MACHINES, "Trials at once.", means="as many as fit", least=1)
    drivers: int | None = option(
        Kind.CALL,
        MACHINES,
        "Of a batch: processes that its runs are divided over, where one cannot feed the workers: beyond some 250 "
        "epochs a second. All on one Ray, with equal parts of --concurrency.",
        default=1,
        least=1,
    )
    cpus_per_trial: float | None = option(
        Kind.LIMIT, MACHINES, "CPU cores, and threads, of a trial.", default=_LIMITS.cpus_per_trial, above=0
    )
    gpus_per_trial: float | str | None = option(
        Kind.LIMIT,
        MACHINES,
        f"GPUs, or a share of one; {AUTO} measures the memory that trials need on every kind of GPU, and shares it.",
        means="1 where there are any and the model is a network, else 0",
        least=0,
        spelled=f"NUMBER|{AUTO}",
    )
    run_dir: Path | None = option(
        Kind.CALL, RUN, "Folder of a new run.", means="runs/MODEL-CORPUS-SPLIT-TIME", again=False
    )
    resume: Path | None = option(
        Kind.CALL, RUN, "Go on with the run in this folder; --trials and other limits may be raised."
    )
    storage: str | None = option(
        Kind.PLACE,
        RUN,
        "Where the Optuna study goes: a journal file (PATH.journal), sqlite:///FILE or "
        "postgresql://USER@HOST/DATABASE.",
        means="a journal file in the run folder",
        secret=True,
    )
    cache_dir: Path | None = option(Kind.PLACE, RUN, "Corpora and features.", means="the user's cache folder")
    cache_gib: float | None = option(
        Kind.PLACE,
        RUN,
        "Most that the features in the cache take, GiB; what was not used for longest goes.",
        means="half of what the disk has for them",
        above=0,
    )
    sample_store_gib: float | None = option(
        Kind.PLACE,
        RUN,
        "Largest store of samples that is made for finetune, GiB; beyond it, trials read the audio files each time.",
        means="as much as the cache",
        least=0,
    )
    track: list[str] | None = option(
        Kind.PLACE,
        RUN,
        f"Send the run to an experiment tracker as it goes: {', '.join(tracker_names())}. PLACE is MLflow's tracking "
        f"URI, or a folder for the files of TensorBoard or Weights & Biases. Repeatable; {NO_TRACKER}: to none.",
        means="where the run was sent before",
        spelled="NAME[=PLACE]",
        known=(*tracker_names(), NO_TRACKER),
    )
    experiment: str | None = option(
        Kind.PLACE, RUN, "MLflow's experiment, or [ENTITY/]PROJECT of Weights & Biases.", means=EXPERIMENT
    )
    seed: int | None = option(Kind.PLAN, RUN, "Of the split, the sampler and all training.", default=0, least=0)
    dry_run: bool = option(Kind.CALL, RUN, "Print plan and space; train nothing, write no run folder.", empty=False)

    def __post_init__(self) -> None:
        for name in ("set_", "space"):
            if (texts := getattr(self, name)) is not None:
                object.__setattr__(self, name, [present_option(text) for text in texts])
        problems = [problem for name, value in self.given().items() if (problem := OPTIONS[name].problem(value))]
        if self.test_data and self.split:
            problems.append(f"--test-data is all that is tested; leave --split {self.split} out")
        known = architectures()
        named = [name for model in self.models for name in (named_architectures(model) or (model,))]
        if unknown := [name for name in named if name not in (*known, SEVERAL)]:
            several = len(named) > 1
            what = "unknown architectures " + ", ".join(unknown) if several else f"unknown model {unknown[0]!r}"
            problems.append(f"{what}; known: {', '.join(known)}, {SEVERAL}, or {ALL}{did_you_mean(unknown[0], known)}")
        if (self.model or "").startswith(f"{SEVERAL}:") and len(named) < 2:
            problems.append(f"--model {SEVERAL} chooses among two architectures or more; got {self.model}")
        raise_problems(problems)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Options:
        """Options from values by name, as a Python caller or a file has them: a path may be text.

        Raises:
            ConfigError: names that are no options, values of a wrong type; see also `Options`.
        """
        problems: list[str] = []
        options: dict[str, Any] = {}
        for name, value in values.items():
            if name not in OPTIONS:
                problems.append(f"unknown option {name!r}; known: {', '.join(OPTIONS)}{did_you_mean(name, OPTIONS)}")
            elif not fits(TYPES[name], value):
                problems.append(f"{name} must be of type {type_words(TYPES[name])}; got {value!r}")
            else:
                options[name] = Path(value) if isinstance(value, str) and name in PATHS else value
        raise_problems(problems)
        return cls(**options)

    @property
    def models(self) -> tuple[str, ...]:
        """What `model` names, each once: one architecture, several with commas between, or all; or a choice of them."""
        if self.model == ALL:
            return architectures()
        if named_architectures(self.model or ""):
            return (self.model or "",)
        return tuple(dict.fromkeys(name.strip() for name in (self.model or "").split(",") if name.strip()))

    def given(self, *kinds: Kind) -> dict[str, Any]:
        """What was not left out, of these kinds or of all, by name."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {
            name: value
            for name, value in values.items()
            if value is not None and value is not _EMPTY[name] and (not kinds or OPTIONS[name].kind in kinds)
        }

    def check_complete(self) -> None:
        """Raise `ConfigError` unless a new run says what to tune on what."""
        missing = [OPTIONS[name].flag for name in ("model", "data") if not getattr(self, name)]
        if missing and self.resume is None:
            raise ConfigError(f"{' and '.join(missing)} must be given, unless --resume names a run; see --help")

    def command(self, shown: Callable[[str], str]) -> str:
        """The command line that asks for this, with what may hold a password as `shown` shows it."""
        words = ["ser", "search"]
        for name, value in self.given().items():
            words += OPTIONS[name].words(shown(value) if OPTIONS[name].secret else value)
        return shlex.join(words)


OPTIONS: Mapping[str, Option] = MappingProxyType(
    {
        item.name: replace(item.metadata["option"], flag="--" + item.name.strip("_").replace("_", "-"))
        for item in fields(Options)
    }
)
"""All options by the names of their fields, with their flags."""
TYPES: Mapping[str, Any] = MappingProxyType(get_type_hints(Options))
_EMPTY = {item.name: item.default for item in fields(Options)}
PATHS = frozenset(name for name, wanted in TYPES.items() if Path in get_args(wanted))
"""Options that are paths."""
