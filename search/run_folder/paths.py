"""The names of everything in a run folder, and in a folder of several runs, said once.

    runs/NAME/
        plan.json               what defines the run, written before the first trial
        study.journal           the Optuna study, where no --storage is given
        records.jsonl           what happened, an event a line: the truth for every page and for --resume
        checkpoints/JOB/        of jobs under way; gone when they end
        features/               where they are too large for Ray's object store; gone with the last job
        errors/JOB.txt          tracebacks of failed jobs
        final/                  model folders, predictions of the finalists and of the test clips
        test_ledger.jsonl       every reading of the test set
        insight.json            what the pages show of data and model
        result.json             the run in numbers; a run that holds it has finished
        dashboard.html
        tracking/               what experiment trackers were sent; tensorboard/, wandb/: what theirs keep here
        stop.request            while somebody asks the driver to stop
        .lock                   held by the driver

    runs/BATCH/
        batch.json              what was asked for
        RUN/                    run folders
        features/               as in a run, of all of them; gone with the last job
        protocol.json, protocol.html, ensemble.json, leaderboard.json, comparison.html

The format of a model folder, and `ensemble.json` of several of them, belong to `ser_core.artifact` and
`ser_core.ensemble`.
"""

from __future__ import annotations

from pathlib import Path

PLAN_FILE = "plan.json"
JOURNAL_FILE = "study.journal"
RECORDS_FILE = "records.jsonl"
LEDGER_FILE = "test_ledger.jsonl"
INSIGHT_FILE = "insight.json"
RESULT_FILE = "result.json"
DASHBOARD_FILE = "dashboard.html"
STOP_FILE = "stop.request"
LOCK_FILE = ".lock"

CHECKPOINTS_FOLDER = "checkpoints"
FEATURES_FOLDER = "features"
ERRORS_FOLDER = "errors"
TRACKING_FOLDER = "tracking"
FINAL_FOLDER = "final"
PREDICTIONS_FILE = f"{FINAL_FOLDER}/test_predictions.csv"
"""What a run's refitted models predict for the test clips."""
VALIDATION_FOLDER = f"{FINAL_FOLDER}/validation"

BATCH_FILE = "batch.json"
PROTOCOL_FILE = "protocol.json"
PROTOCOL_PAGE_FILE = "protocol.html"
LEADERBOARD_FILE = "leaderboard.json"
COMPARISON_FILE = "comparison.html"

EVALUATION_FILE = "evaluation.json"
EVALUATION_PAGE_FILE = "evaluation.html"
EVALUATIONS_FILE = "evaluations.jsonl"
"""In a folder of models: every evaluation of them."""


def checkpoint_file(run_folder: Path, job: str) -> Path:
    """Where the job of that name is saved while it is under way."""
    return run_folder / CHECKPOINTS_FOLDER / job / "last.safetensors"


def error_file(run_folder: Path, job: str) -> Path:
    """The traceback of the job of that name, if it failed."""
    return run_folder / ERRORS_FOLDER / f"{job}.txt"


def model_folder(trial: int, seed: int) -> str:
    """Where the refit of `trial` with `seed` lies, relative to the run folder."""
    return f"{FINAL_FOLDER}/{_final_run(trial, seed)}"


def validation_file(trial: int, seed: int) -> str:
    """What the finalist `trial` with `seed` predicts for the validation clips, relative to the run folder."""
    return f"{VALIDATION_FOLDER}/{_final_run(trial, seed)}.csv"


def validation_files(run_folder: Path, trial: int) -> list[Path]:
    """What that finalist predicts for the validation clips, a file per seed that ended."""
    return sorted((run_folder / VALIDATION_FOLDER).glob(f"{_final_run(trial, '*')}.csv"))


def runs_below(folder: Path) -> list[Path]:
    """The run folders that lie directly in a folder, in the order of their names."""
    return sorted(path.parent for path in folder.glob(f"*/{PLAN_FILE}"))


def _final_run(trial: int, seed: int | str) -> str:
    return f"trial-{trial:05d}-seed-{seed}"
