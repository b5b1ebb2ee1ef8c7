"""The search cannot see the test set: whatever the test clips hold, it does the same."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from typer.testing import CliRunner

from search.run import app
from search.run_folder.records_reader import read_records

PARTS = {"train": 6, "validation": 2, "test": 2}


def write_corpus(folder: Path, test_seed: int) -> Path:
    """Ten speakers, happy and sad in two tones each; what the test speakers' files hold follows from `test_seed`."""
    folder.mkdir()
    rows = []
    for index, (part, speakers) in enumerate(PARTS.items()):
        for number in range(speakers):
            for take in range(6):
                emotion = ("happy", "sad")[take % 2]
                rng = np.random.default_rng([test_seed if part == "test" else 0, index, number, take])
                seconds = np.arange(8_000) / 16_000
                pitch_hz = rng.uniform(80, 900) if part == "test" else (300, 200)[take % 2] * rng.uniform(0.8, 1.25)
                samples = 0.3 * np.sin(2 * np.pi * pitch_hz * seconds) + 0.1 * rng.normal(size=8_000)
                name = f"{part}-{number}-{take}.wav"
                soundfile.write(folder / name, samples, 16_000)
                rows.append([name, f"{part}{number}", emotion, part])
    with (folder / "corpus.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "speaker", "emotion", "split"], *rows])
    return folder / "corpus.csv"


def job(corpus: Path, folder: Path, cache: Path) -> tuple[list[Any], dict[str, Any]]:
    """Everything that search, finals and refit did, and the result of a whole job."""
    options = ["--trials", 4, "--max-epochs", 4, "--finalists", 2, "--seeds", 2, "--concurrency", 1, "--folds", 1]
    arguments = ["--model", "mlp", "--data", corpus, "--cache-dir", cache, "--run-dir", folder, *options]
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    records = read_records(folder / "records.jsonl")
    trained = [*records.trials.values(), *records.finals]
    did = [
        [[(e.epoch, e.train_loss, e.val_loss, e.score("uar")) for e in run.epochs], getattr(run, "params", None)]
        for run in trained
    ]
    return did, json.loads((folder / "result.json").read_text())


def test_other_test_clips_change_nothing_but_the_test(tmp_path: Path) -> None:
    runs = [
        job(write_corpus(tmp_path / f"corpus-{seed}", seed), tmp_path / f"run-{seed}", tmp_path / f"cache-{seed}")
        for seed in (1, 2)
    ]
    (first, first_result), (second, second_result) = runs
    assert repr(first) == repr(second)  # a NaN of a refit is not equal to itself
    assert len(first) == 4 + len(first_result["finalists"]) * 2 + 2
    assert len(first_result["finalists"]) in (2, 3)  # the recipe, if it is not one of the best two
    assert first_result["tuning"] == second_result["tuning"]
    assert first_result["winner"] == second_result["winner"]
    weights = [tmp_path / f"run-{seed}" / first_result["winner"]["models"][0] / "model.safetensors" for seed in (1, 2)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    # ... and they are other clips, as the only reading of them shows.
    predictions = [(tmp_path / f"run-{seed}" / "final/test_predictions.csv").read_text() for seed in (1, 2)]
    assert predictions[0] != predictions[1]
    assert [result["test_reads"] for result in (first_result, second_result)] == [1, 1]
