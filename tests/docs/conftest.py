"""A run that fills every key of its result."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import create_trial
from platformdirs import user_cache_path

from ser_core.artifact import save_model
from ser_core.corpora import corpus_module
from ser_core.trained_clips import TRAINED_FILE
from tests.ser_core.test_artifact import ABOUT, trained

REPOSITORY = Path(__file__).parents[2]
QUICK = ["--model", "mlp", "--max-epochs", "2", "--finalists", "1", "--seeds", "2", "--concurrency", "1"]


def search_on(data: object, folder: Path, *options: object) -> None:
    """The real command."""
    command = [sys.executable, REPOSITORY / "search" / "run.py", "--data", data, "--run-dir", folder, *QUICK, *options]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def full_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with a warm start, a trained model to begin with, a first rung that it found by itself, and a file
    that was left out."""
    place = tmp_path_factory.mktemp("full")
    earlier = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(place / "earlier.journal"))), direction="maximize"
    )
    knob = {"optim.learning_rate": FloatDistribution(1e-3, 5e-2, log=True)}
    earlier.add_trial(create_trial(params={"optim.learning_rate": 0.02}, distributions=knob, value=0.5))
    save_model(place / "start", trained("mlp"), about={**ABOUT, "trained_speakers": ["bert"]})
    (place / "start" / TRAINED_FILE).write_text(f"{'0' * 64}\n")
    recordings = sorted(corpus_module("demo").obtain(user_cache_path("ser-search"), lambda *_: None).rglob("*.flac"))
    with (place / "list.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "speaker", "emotion", "gender"])
        rows.writerow([place / "missing.wav", "anna", "angry", "female"])
        for recording in recordings:
            speaker, emotion, _ = recording.stem.split("-")
            rows.writerow([recording, speaker, emotion, speaker.rstrip("0123456789")])
    search_on(
        place / "list.csv", place / "full", "--trials", 11, "--grace-epochs", "auto", "--skip-bad",
        "--warm-start", place / "earlier.journal", "--set", "optim.batch_size=32", "--pretrained", place / "start",
    )  # fmt: skip
    return place / "full"
