"""A run in Python: its result, its tables, its study and its model; see `search.tune` and `search.load`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import plotly.graph_objects as go
from rich.console import Console

import ser_core
from search.driver.options import Options
from search.driver.tune import is_batch, tune_one
from search.pages.sections import run_figures
from search.run_folder.architectures import model_text, result_model
from search.run_folder.paths import FINAL_FOLDER, JOURNAL_FILE, PREDICTIONS_FILE
from search.run_folder.plan import SearchPlan
from search.run_folder.predictions import read_predictions, read_table
from search.run_folder.records import FinalRun, RunRecords, TrialRecord
from search.run_folder.run_score import run_score
from search.run_folder.run_view import read_run
from search.study.storage import connect_existing
from search.wording import count
from ser_core.artifact import Predictor
from ser_core.config import ConfigError
from ser_core.ensemble import EnsemblePredictor
from ser_core.targets import KINDS, kind_of
from ser_core.training.report import VALIDATION


class Run:
    """A run in its folder. Everything is read when it is asked for, so that a run may still be under way.

    Attributes:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        """
        Raises:
            RunFolderError, ConfigError: no run there, or one that cannot be read.
        """
        self.folder = folder
        read_run(folder)

    def __repr__(self) -> str:
        run = read_run(self.folder)
        if run.result is None:
            started = f"{len(run.records.trials)} of {count(run.plan.limits.trials, 'trial')} started"
            return f"<Run {self.folder}: {model_text(run.plan, None)}, {started}>"
        score = run.plan.headline
        value = run_score(run.result["test"], score.name).value
        return f"<Run {self.folder}: {result_model(run.result)}, test {score.label} {value:.3f}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: the numbers, what nobody may overlook, and the trials as a picture."""
        from search.pages.notebook import run_summary  # of no use outside of notebooks

        return run_summary(read_run(self.folder))

    @property
    def result(self) -> Mapping[str, Any] | None:
        """What `result.json` holds; None before the run has ended."""
        return read_run(self.folder).result

    @property
    def trials(self) -> pd.DataFrame:
        """A row for each trial of the search.

        Columns: number; state (RUNNING, COMPLETE, PRUNED, FAIL); reason of a failure; value, the score in [0, 1] that
        `--score` makes of its validation scores; best_epoch, with the highest of them; seconds of training; and every
        knob by its dotted name.
        """
        rows = [_trial_row(trial) for trial in self._records.trials.values()]
        return pd.DataFrame(rows, columns=None if rows else [*_TRIAL_COLUMNS])

    @property
    def epochs(self) -> pd.DataFrame:
        """A row for each epoch of each training run, in the order of the trials and then of the finals.

        Columns: phase ("search", "finalist", "refit"), trial, seed (of the finals, from 1; 0 in the search), epoch,
        train_loss, val_loss, a score by name (val_uar, val_war, val_macro_f1; of dimensions val_ccc, val_pearson,
        val_rmse), learning_rate, seconds. A refit has no validation: NaN.
        """
        view = read_run(self.folder)
        records, scores = view.records, KINDS[kind_of(view.plan.target)].scores
        rows = [
            row for trial in records.trials.values() for row in _epoch_rows(trial, "search", trial.number, 0, scores)
        ]
        rows += [
            row for run in records.finals for row in _epoch_rows(run, run.phase.value, run.trial, run.seed, scores)
        ]
        return pd.DataFrame(rows, columns=None if rows else _epoch_columns(scores))

    @property
    def predictions(self) -> pd.DataFrame:
        """A row for each test clip and each refitted model; no rows before the test set was read.

        Columns: clip_id, speaker, gender ("" where the corpus does not say), seed, emotion (the true one), predicted,
        right, and p_WORD, the probability of each emotion; columns of the data as group:NAME. Of ratings, each
        DIMENSION and predicted_DIMENSION take the place of emotion to p_WORD.

        Raises:
            ConfigError: a file that is no table of predictions.
        """
        path = self.folder / PREDICTIONS_FILE
        if not path.exists():
            return pd.DataFrame(columns=[*_PREDICTION_COLUMNS])
        read_predictions(path)  # raises for what is none
        table = read_table(path)
        if "predicted" in table:  # of ratings none is right or wrong
            table.insert(list(table).index("predicted") + 1, "right", table["emotion"] == table["predicted"])
        return table

    @property
    def figures(self) -> Mapping[str, go.Figure]:
        """Every figure of the page that has something to draw, by name, in the order of the page: "history" …

        Each is a plotly figure, which a notebook shows, and which can be changed or written to a file.
        """
        return run_figures(read_run(self.folder))

    @property
    def study(self) -> optuna.Study:
        """Optuna's study, to read from.

        Raises:
            ConfigError: a storage that cannot be opened, or that does not hold the study.
        """
        storage = SearchPlan.load(self.folder).storage
        backend = connect_existing(storage or str(self.folder / JOURNAL_FILE), "storage")
        names, own = optuna.get_all_study_names(backend), self.folder.resolve().name
        if not storage and len(names) == 1:  # the folder may have been renamed since
            (own,) = names
        if own not in names:
            raise ConfigError(f"the storage of {self.folder} holds no study {own!r}; it holds {', '.join(names)}")
        return optuna.load_study(study_name=own, storage=backend)

    @property
    def best_model(self) -> Predictor | EnsemblePredictor:
        """The winner, refitted: the mean of its seeds.

        Raises:
            ArtifactError, PretrainedError: no model yet, or one that cannot be loaded.
        """
        return ser_core.load(self.folder / FINAL_FOLDER)

    @property
    def _records(self) -> RunRecords:
        return read_run(self.folder).records


_TRIAL_COLUMNS = ("number", "state", "reason", "value", "best_epoch", "seconds")
_PREDICTION_COLUMNS = ("clip_id", "speaker", "gender", "seed", "emotion", "predicted", "right")


def _trial_row(trial: TrialRecord) -> dict[str, Any]:
    own = (trial.number, trial.state.value, trial.reason, trial.value, trial.best_epoch, trial.train_seconds)
    return {**dict(zip(_TRIAL_COLUMNS, own, strict=True)), **trial.params}


def _epoch_columns(scores: Sequence[str]) -> list[str]:
    measured = ("train_loss", "val_loss", *(f"{VALIDATION}{name}" for name in scores), "learning_rate", "seconds")
    return ["phase", "trial", "seed", "epoch", *measured]


def _epoch_rows(
    run: TrialRecord | FinalRun, phase: str, trial: int, seed: int, scores: Sequence[str]
) -> list[dict[str, Any]]:
    rows = []
    for report in run.epochs:
        own = {f"{VALIDATION}{name}": report.score(name) for name in scores}
        facts = {"phase": phase, "trial": trial, "seed": seed, **vars(report), **own}
        rows.append({name: facts[name] for name in _epoch_columns(scores)})
    return rows


def tune_from_python(options: Mapping[str, Any], *, quiet: bool) -> Run:
    """See `search.tune`."""
    asked = Options.of(options)
    asked.check_complete()
    if asked.dry_run:
        raise ConfigError("a dry run is no run; ser search --dry-run prints what would be done")
    if is_batch(asked):
        raise ConfigError(
            "search.tune does one run: name one model, and one fold of a protocol (split='emobox:1'), and call it for "
            "each; or use ser search, which does them all"
        )
    return Run(tune_one(asked, Console(quiet=quiet)))
