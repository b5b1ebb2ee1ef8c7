"""Several runs below one folder: more than one architecture, every fold of a protocol, or both.

`batch.json` keeps what was asked for, so that `--resume` goes on with the runs that are missing or unfinished. What the
runs say together is in `search.driver.batch_summary`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from search.driver.options import LIMIT_OPTIONS, SEARCH_OPTIONS, absolute_data, own_options, shown_location
from search.run_folder.paths import BATCH_FILE, PLAN_FILE, RESULT_FILE
from ser_core.architectures import architectures
from ser_core.config import ConfigError
from ser_core.splits import PUBLISHED_FOLDS
from ser_core.whole_file import write_whole

ALL = "all"
_PATHS = ("cache_dir", "configuration")
"""Options that are paths, which JSON keeps as text."""
_LOCATIONS = ("storage", "warm_start")
"""Options that may be URLs with a password."""
_OWN = ("model", "split", "run_dir", "resume", "dry_run", "search_per_fold", "allow_second_test_read")
"""Options that every run of a batch has its own of, or that hold for one call only."""
_AGAIN = (*LIMIT_OPTIONS, "cache_dir", "storage")
"""Options that may be given again when a batch is resumed."""
_MORE_SEARCH = ("trials", "hours", "epochs_total")

RunOne = Callable[[dict[str, Any]], object]
"""Does one run by its options; raises what that raises."""


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
class Batch:
    """What was asked for.

    Attributes:
        models: architectures, in order.
        protocol: one of `PUBLISHED_FOLDS`, every fold of which is run; "" for the single split that the options name.
        search_per_fold: every fold searches; else the first one does, and its winner is trained on the others.
        options: of all runs, by the names of the command line's parameters.
    """

    models: tuple[str, ...]
    protocol: str
    search_per_fold: bool
    options: Mapping[str, Any]

    @property
    def members(self) -> list[Member]:
        """The runs, in the order in which they are done."""
        if not self.protocol:
            return [Member(folder=model, model=model) for model in self.models]
        folds = range(1, len(PUBLISHED_FOLDS[self.protocol]) + 1)
        return [
            Member(
                folder=self.fold_folder(model, fold),
                model=model,
                split=f"{self.protocol}:{fold}",
                taken_from="" if self.search_per_fold or fold == 1 else self.fold_folder(model, 1),
            )
            for model in self.models
            for fold in folds
        ]

    def fold_folder(self, model: str, fold: int) -> str:
        return f"fold-{fold}" if len(self.models) == 1 else f"{model}-fold-{fold}"

    def save(self, folder: Path) -> None:
        """Write `batch.json`, whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / BATCH_FILE, json.dumps(asdict(self), indent=2, default=str) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Batch:
        """The batch in `folder`.

        Raises:
            ConfigError: a file that this version cannot read.
        """
        path = folder / BATCH_FILE
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            options = {name: Path(value) if name in _PATHS else value for name, value in values["options"].items()}
            return cls(**{**values, "models": tuple(values["models"]), "options": options})
        except (ValueError, TypeError, KeyError) as error:
            raise ConfigError(f"{path} is not a batch that this version can read: {error!r}") from error


def batch_of(given: Mapping[str, Any]) -> Batch | None:
    """The batch that the options of a command line ask for, None when they ask for a single run.

    Raises:
        ConfigError: unknown architectures, settings that none of them has, or options that belong to a protocol alone.
    """
    models, protocol = _models(given.get("model", "")), given.get("split", "")
    if protocol not in PUBLISHED_FOLDS:
        if "search_per_fold" in given:
            raise ConfigError(
                f"--search-per-fold and --search-once are for every fold of a protocol, --split "
                f"{' or '.join(PUBLISHED_FOLDS)}; got --split {protocol or 'nothing'}"
            )
        protocol = ""
    if len(models) < 2 and not protocol:
        return None
    options = {name: value for name, value in given.items() if name not in _OWN}
    if "split" in given and not protocol:
        options["split"] = given["split"]
    if "data" in given:  # paths hold wherever the batch is resumed from
        options["data"] = absolute_data(given["data"])
    options |= {name: options[name].expanduser().resolve() for name in _PATHS if name in options}
    if not models:
        raise ConfigError("--model must be given, unless --resume names a run; see --help")
    _refuse_orphans(options, models)
    return Batch(models=models, protocol=protocol, search_per_fold=given.get("search_per_fold", True), options=options)


def _models(text: str) -> tuple[str, ...]:
    """The architectures that `--model` names: one, several with commas between, or all."""
    if text == ALL:
        return tuple(architectures())
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if len(names) > 1 and (unknown := [name for name in names if name not in architectures()]):
        raise ConfigError(
            f"--model {text}: unknown architectures {', '.join(unknown)}; known: {', '.join(architectures())}, or all"
        )
    return tuple(dict.fromkeys(names))


def _refuse_orphans(options: Mapping[str, Any], models: Sequence[str]) -> None:
    """A setting that no architecture has is a mistake; one that some have concerns those alone."""
    own = [own_options(dict(options), model) for model in models]
    for option in ("set_", "space"):
        orphans = [text for text in options.get(option, ()) if not any(text in its.get(option, ()) for its in own)]
        if orphans:
            raise ConfigError(
                f"none of {', '.join(models)} has the settings in {', '.join(orphans)}; see --dry-run of one model"
            )


def default_batch_folder(batch: Batch) -> Path:
    """Where a batch lies when --run-dir does not say."""
    models = "all" if set(batch.models) == set(architectures()) else "-".join(batch.models)
    return Path("runs") / "-".join(filter(None, (models, batch.protocol, f"{datetime.now():%Y%m%d-%H%M%S}")))


def run_batch(
    batch: Batch, folder: Path, given: Mapping[str, Any], run_one: RunOne, errors: tuple[type[Exception], ...]
) -> dict[str, Exception]:
    """Do every run of the batch that is not done, and tell which could not be.

    Args:
        given: options of this call; limits among them go before those that the batch was started with.
        errors: that end one run alone.

    Returns:
        Member folder -> what ended it.

    Raises:
        ConfigError: a resumed batch with options that it has fixed.
    """
    problems: dict[str, Exception] = {}
    if "resume" in given:
        _check_again(batch, folder, given)
    if not given["dry_run"]:
        shown = {name: shown_location(value) for name, value in batch.options.items() if name in _LOCATIONS}
        Batch(**{**vars(batch), "options": {**batch.options, **shown}}).save(folder)
    changed = "resume" in given and any(name in given for name in _MORE_SEARCH)
    for member in batch.members:
        if (folder / member.folder / RESULT_FILE).exists() and not changed:
            continue
        try:
            run_one(_options(batch, member, folder, given))
        except errors as error:
            problems[member.folder] = error
    return problems


def _check_again(batch: Batch, folder: Path, given: Mapping[str, Any]) -> None:
    """Raise `ConfigError` for options that a batch under way cannot take."""
    free = {*_AGAIN, "resume", "dry_run", "allow_second_test_read", "skip_bad"}
    if fixed := [_option(name) for name in given if name not in free]:
        raise ConfigError(f"--resume {folder} goes on as its runs were started; leave out {', '.join(fixed)}")
    begun = [each.folder for each in batch.members if each.taken_from and (folder / each.folder / PLAN_FILE).exists()]
    if begun and (more := [_option(name) for name in _MORE_SEARCH if name in given]):
        raise ConfigError(
            f"--resume {folder}: {', '.join(begun)} took the winner of the first fold, which {', '.join(more)} could "
            f"change; start anew for a longer search"
        )


def _option(name: str) -> str:
    return f"--{name.strip('_').replace('_', '-')}"


def _options(batch: Batch, member: Member, folder: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of one run, as the command line would have them."""
    call = {name: given[name] for name in ("dry_run", "allow_second_test_read")}
    own, again = folder / member.folder, {name: given[name] for name in _AGAIN if name in given}
    again["skip_bad"] = given["skip_bad"] or batch.options["skip_bad"]
    if (own / PLAN_FILE).exists():
        kept = {name: batch.options[name] for name in ("cache_dir",) if name in batch.options}
        return {**kept, **again, **call, "resume": own}
    options = own_options({**batch.options, **again}, member.model)
    if member.taken_from and not given["dry_run"]:
        options = {name: value for name, value in options.items() if name not in SEARCH_OPTIONS}
        options["configuration"] = folder / member.taken_from
    if member.split:
        options["split"] = member.split
    return {**options, **call, "model": member.model, "run_dir": own}
