"""Several runs below one folder: more than one architecture, every fold of a protocol, or both.

`batch.json` keeps what was asked for, so that `--resume` goes on with the runs that are missing or unfinished. What the
runs say together is in `search.driver.batch_summary`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from search.driver.locations import absolute_data, shown_location
from search.driver.option import Kind
from search.driver.options import OPTIONS, PATHS, Options
from search.driver.planning import own_options
from search.driver.space import found_from_anywhere
from search.driver.starts import refuse_start
from search.run_folder.paths import BATCH_FILE, PLAN_FILE, RESULT_FILE
from ser_core.architectures import architectures
from ser_core.config import ConfigError
from ser_core.corpora.ravdess import FOLDS
from ser_core.json_document import DocumentError, read_object, typed
from ser_core.protocol_names import PROTOCOL_NAMES, PUBLISHED, is_protocol
from ser_core.whole_file import write_whole
from spaces.several import SEVERAL, is_choice

FindFolds = Callable[[str, Options], Sequence[str]]
"""Protocol and options -> its folds on the corpus that they name, as `--split` takes them."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """One run of a batch.

    Attributes:
        folder: its name below the batch's folder.
        model, split: of the run; "" for the split that the options name, or the default.
        taken_from: folder of the member whose winner it trains instead of searching; "" when it searches.
    """

    folder: str
    model: str
    split: str = ""
    taken_from: str = ""


@dataclass(frozen=True, kw_only=True)
class _Kept:
    """What `batch.json` holds.

    Early versions, whose protocols were the published ones, kept no folds, and limited each run by itself.
    """

    models: tuple[str, ...]
    protocol: str
    search_per_fold: bool
    options: Mapping[str, Any]
    folds: tuple[str, ...] = ()
    limits_shared: bool = False


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What was asked for.

    Attributes:
        models: architectures, in order.
        protocol: every fold of which is run, see `ser_core.protocols`; "" for the single split that the options name.
        folds: its folds, as `--split` takes them.
        search_per_fold: every fold searches; else the first one does, and its winner is trained on the others.
        options: of all runs.
        limits_shared: hours and epochs among them are for all runs together, not, as in early versions, for each.
    """

    models: tuple[str, ...]
    protocol: str
    folds: tuple[str, ...]
    search_per_fold: bool
    options: Options
    limits_shared: bool = True

    @property
    def members(self) -> list[Member]:
        """The runs, in the order in which they are done."""
        if not self.protocol:
            return [Member(folder=model, model=model) for model in self.models]
        return [
            Member(
                folder=self.fold_folder(model, number),
                model=model,
                split=fold,
                taken_from="" if self.search_per_fold or number == 1 else self.fold_folder(model, 1),
            )
            for model in self.models
            for number, fold in enumerate(self.folds, 1)
        ]

    def _sharing(self) -> Batch:
        """The same batch with limits for all runs together, where it has one for each."""
        given, searches = self.options.given(), sum(not member.taken_from for member in self.members)
        limits: dict[str, Any] = {"hours": None, "hours_per_run": given.get("hours")}
        if "epochs_total" in given:
            limits["epochs_total"] = given["epochs_total"] * searches
        return replace(self, options=replace(self.options, **limits), limits_shared=True)

    def shares(self, again: Mapping[str, Any]) -> dict[str, Any]:
        """What each run gets of the limits that hold for all of them together, by name of its own option.

        Args:
            again: options of a later call, which go before those that the batch was started with.

        Raises:
            ConfigError: not an epoch for every search.
        """
        limits = {**self.options.given(), **again}
        runs, searches = len(self.members), sum(not member.taken_from for member in self.members)
        epochs = limits.get("epochs_total")
        if epochs is not None and epochs < searches:
            raise ConfigError(
                f"--epochs-total is for all runs together and must be at least 1 for each of {searches} searches; got "
                f"{epochs}"
            )
        hours = [limits["hours"] / runs] if "hours" in limits else []
        hours += [limits["hours_per_run"]] if "hours_per_run" in limits else []
        return {
            "hours": min(hours, default=None),
            "hours_per_run": None,
            "epochs_total": None if epochs is None else epochs // searches,
        }

    def fold_folder(self, model: str, number: int) -> str:
        name = f"fold-{number:0{len(str(len(self.folds)))}d}"  # so that the order of names is that of folds
        return name if len(self.models) == 1 else f"{model}-{name}"

    def save(self, folder: Path) -> None:
        """Write `batch.json`, whole or not at all, and without a password."""
        given = self.options.given()
        folder.mkdir(parents=True, exist_ok=True)
        shown = {name: shown_location(value) if OPTIONS[name].secret else value for name, value in given.items()}
        values = {**vars(self), "options": shown}
        write_whole(folder / BATCH_FILE, json.dumps(values, indent=2, default=str) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Batch:
        """The batch in `folder`.

        Raises:
            ConfigError: a file that this version cannot read.
        """
        path = folder / BATCH_FILE
        try:
            kept: _Kept = typed(_Kept, read_object(path))
            if kept.protocol and not is_protocol(kept.protocol):
                raise DocumentError(f"protocol must be one of {', '.join(PROTOCOL_NAMES)}; got {kept.protocol!r}")
            published = len(FOLDS.get(kept.protocol, ()))  # a batch of an earlier version does not list its folds
            folds = kept.folds or tuple(f"{kept.protocol}:{number}" for number in range(1, published + 1))
            if kept.protocol and not folds:
                raise DocumentError(f"it names no folds of {kept.protocol}")
            options = Options.of({name: value for name, value in kept.options.items() if value is not None})
        except (DocumentError, ConfigError) as error:
            raise ConfigError(f"{path} is not a batch that this version can read: {error}") from error
        batch = cls(**{**vars(kept), "folds": folds, "options": options})
        return batch if batch.limits_shared else batch._sharing()


_SHARED = {
    "hours": {"hours", "hours_per_run"},
    "hours_per_run": {"hours_per_run"},
    "epochs_total": {"epochs_total"},
}
"""Limit of one run -> the options of a batch that it comes from."""


def asks_for_batch(options: Options) -> bool:
    """True for several architectures, or every fold of a protocol."""
    return len(options.models) > 1 or is_protocol(options.split or "")


def batch_of(options: Options, find_folds: FindFolds) -> Batch | None:
    """The batch that the options ask for, None when they ask for a single run.

    Raises:
        ConfigError: settings that no architecture has, or options that belong to a protocol alone.
        CorpusError, SplitError: see `find_folds`.
    """
    protocol = options.split if options.split is not None and is_protocol(options.split) else ""
    _check_search(options, protocol)
    if not asks_for_batch(options):
        if options.hours_per_run is not None:
            raise ConfigError("--hours-per-run is for several runs, of models or folds; --hours limits a single one")
        return None
    if not options.models:
        raise ConfigError("--model must be given, unless --resume names a run; see --help")
    common = {name: value for name, value in options.given().items() if not _own(name)}
    if options.split and not protocol:
        common["split"] = options.split
    for name in ("data", "test_data"):  # paths hold wherever the batch is resumed from
        if name in common:
            common[name] = absolute_data(common[name])
    common |= {name: common[name].expanduser().resolve() for name in PATHS & set(common)}
    if "pretrained" in common:
        common["pretrained"] = found_from_anywhere(common["pretrained"])
    if len(options.models) > 1:
        refuse_start(options.pretrained, options.models)
    _refuse_orphans(Options(**common), options.models)
    return Batch(
        models=options.models,
        protocol=protocol,
        folds=tuple(find_folds(protocol, options)) if protocol else (),
        search_per_fold=options.search_per_fold is not False,
        options=Options(**common),
    )


def _check_search(options: Options, protocol: str) -> None:
    """Raise `ConfigError` for one search where there are no folds, or where all scores would be tuned on the tested."""
    if not protocol and options.search_per_fold is not None:
        raise ConfigError(
            f"--search-per-fold and --search-once are for every fold of a protocol, --split "
            f"{', '.join(PROTOCOL_NAMES)}; got --split {options.split or 'nothing'}"
        )
    if options.search_per_fold is False and protocol not in PUBLISHED:
        raise ConfigError(
            f"--search-once tunes on the speakers besides the first fold's, whom the other folds test; it is for "
            f"{' and '.join(PUBLISHED)}, of which such scores are published, and not for {protocol}. Search per "
            f"fold; or search nothing: --configuration RUN takes the winner of a search on other data, --trials 1 "
            f"--finalists 1 the model's recipe"
        )


def _own(name: str) -> bool:
    """True for options of which every run of a batch has one of its own, or that hold for one call only."""
    return OPTIONS[name].own or OPTIONS[name].kind in (Kind.BATCH, Kind.CALL)


def _refuse_orphans(options: Options, models: Sequence[str]) -> None:
    """A setting that no architecture has is a mistake; one that some have concerns those alone."""
    own = [own_options(options, model) for model in models]
    for name in ("set_", "space"):
        texts = getattr(options, name) or []
        if orphans := [text for text in texts if not any(text in (getattr(its, name) or ()) for its in own)]:
            raise ConfigError(
                f"none of {', '.join(models)} has the settings in {', '.join(orphans)}; see --dry-run of one model"
            )


def default_batch_folder(batch: Batch) -> Path:
    """Where a batch lies when --run-dir does not say."""
    names = [SEVERAL if is_choice(model) else model for model in batch.models]
    models = "all" if set(batch.models) == set(architectures()) else "-".join(names)
    protocol = batch.protocol.replace(":", "")
    return Path("runs") / "-".join(filter(None, (models, protocol, f"{datetime.now():%Y%m%d-%H%M%S}")))


def due_runs(batch: Batch, folder: Path, call: Options) -> list[tuple[Member, Options]]:
    """The runs of a batch that are not done, with their options; a batch that is not a dry run is kept in its folder.

    Args:
        call: options of this call; limits among them go before those that the batch was started with.

    Raises:
        ConfigError: a resumed batch with options that it has fixed, or too few epochs for so many searches.
    """
    if call.resume is not None:
        _check_again(batch, folder, call)
    due = [
        (member, _options(batch, member, folder, call))
        for member in batch.members
        if not (folder / member.folder / RESULT_FILE).exists() or _goes_on(call)
    ]
    if not call.dry_run:
        batch.save(folder)
    return due


def _goes_on(call: Options) -> bool:
    """True where runs that have ended get more to do."""
    return call.resume is not None and any(OPTIONS[name].extends for name in call.given())


def _check_again(batch: Batch, folder: Path, call: Options) -> None:
    """Raise `ConfigError` for options that a batch under way cannot take."""
    if fixed := [OPTIONS[name].flag for name in call.given() if not OPTIONS[name].again]:
        raise ConfigError(f"--resume {folder} goes on as its runs were started; leave out {', '.join(fixed)}")
    begun = [each.folder for each in batch.members if each.taken_from and (folder / each.folder / PLAN_FILE).exists()]
    if begun and (more := [OPTIONS[name].flag for name in call.given() if OPTIONS[name].extends]):
        raise ConfigError(
            f"--resume {folder}: {', '.join(begun)} took the winner of the first fold, which {', '.join(more)} could "
            f"change; start anew for a longer search"
        )


def _options(batch: Batch, member: Member, folder: Path, call: Options) -> Options:
    """The options of one run, as the command line would have them."""
    own_folder = folder / member.folder
    again = {name: value for name, value in call.given().items() if OPTIONS[name].again and not _own(name)}
    again |= {"dry_run": call.dry_run, "allow_second_test_read": call.allow_second_test_read}
    shares = batch.shares(again)
    if (own_folder / PLAN_FILE).exists():
        skip_bad = call.skip_bad or batch.options.skip_bad
        places = {name: getattr(batch.options, name) for name in ("cache_dir", "cache_gib", "sample_store_gib")}
        changed = {name: value for name, value in shares.items() if call.given().keys() & _SHARED[name]}
        return Options(**{**places, **again, **changed, "skip_bad": skip_bad, "resume": own_folder})
    options = own_options(replace(batch.options, **{**again, **shares}), member.model)
    if member.taken_from and not call.dry_run:
        left_out: dict[str, Any] = {name: None for name in options.given() if OPTIONS[name].searches}
        options = replace(options, **left_out, configuration=folder / member.taken_from)
    split = member.split or options.split
    return replace(options, model=member.model, split=split, run_dir=own_folder)
