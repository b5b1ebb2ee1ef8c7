"""Baselines from the command line: runs like all others, ranked beside a network by the same tests."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import ser_core
from search.run import app
from search.run_folder.predictions import read_predictions
from search.run_folder.records_reader import read_records
from ser_core.artifact import load_model

MODELS = ("mlp", "svm", "boosting")


@pytest.mark.slow
def test_baselines_are_searched_tested_ranked_and_used_like_a_network(cache: Path, tmp_path: Path) -> None:
    folder = tmp_path / "all"
    asked = ["--model", ",".join(MODELS), "--data", "demo", "--trials", "3", "--max-epochs", "4", "--finalists", "2"]
    asked += ["--seeds", "2", "--concurrency", "1", "--set", "model.rounds=2", "--set", "augment.noise_std=0.1"]
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*asked, "--cache-dir", str(cache), "--run-dir", str(folder)])
    assert done.exit_code == 0, done.output
    board = json.loads((folder / "leaderboard.json").read_text(encoding="utf-8"))
    assert {row["model"] for row in board["runs"]} == {*MODELS}
    assert len(board["differences"]) == 3  # each pair once, by the tests that networks are compared with
    members = json.loads((folder / "ensemble.json").read_text(encoding="utf-8"))["weights"]
    assert {*members} <= {*MODELS}
    for name, epochs in (("svm", 1), ("boosting", 4)):
        check_run(folder / name, epochs=epochs)


def check_run(folder: Path, *, epochs: int) -> None:
    """Epochs of every fold, a figure of every kind, an ensemble that the test predictions are those of, and its use."""
    assert max(len(trial.epochs) for trial in read_records(folder / "records.jsonl").trials.values()) > epochs
    insight = json.loads((folder / "insight.json").read_text(encoding="utf-8"))
    assert insight["pictures"]["method"]["name"] in ("Gradient × input", "Occlusion")
    assert insight["pictures"]["altered"] is False
    test = read_predictions(folder / "final" / "test_predictions.csv")
    assert test.told.shape[0] == 2
    assert np.allclose(test.told.sum(axis=2), 1, atol=1e-4)
    models = [path.parent for path in (folder / "final").glob("*/model.safetensors")]
    assert len(models) == 2
    noise = np.random.default_rng(0).normal(size=20_000).astype(np.float32)
    each = [load_model(model).probabilities(noise) for model in models]
    np.testing.assert_allclose(ser_core.load(folder / "final").probabilities(noise), np.mean(each, axis=0), atol=1e-6)
