"""Ratings, and votes of two listeners, searched from end to end; scores are those computed by hand."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.spatial.distance import jensenshannon
from sklearn.metrics import balanced_accuracy_score, f1_score

import ser_core
from ser_core.corpora.demo import SAMPLE_RATE_HZ, VOICES, synthesise
from ser_core.export import export_onnx
from ser_core.features.audio import read_audio
from ser_core.onnx_model import OnnxModel
from tests.search.test_run import QUICK, REPOSITORY

RATINGS = {"angry": (4.5, 1.5), "happy": (4.0, 4.5), "sad": (1.5, 2.0)}
TAKES = 2


def spoken(folder: Path) -> list[tuple[str, str, str]]:
    """Path, voice and emotion of clips of the demo corpus' voices."""
    found = []
    for voice in VOICES:
        for emotion in RATINGS:
            for take in range(1, TAKES + 1):
                path = f"{voice}-{emotion}-{take}.wav"
                soundfile.write(folder / path, synthesise(voice, emotion, take), SAMPLE_RATE_HZ, subtype="PCM_16")
                found.append((path, voice, emotion))
    return found


def command(program: str, *arguments: object) -> str:
    words = [sys.executable, REPOSITORY / "search" / program, *arguments]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def concordance(truth: np.ndarray, told: np.ndarray) -> float:
    shift = (truth.mean() - told.mean()) ** 2
    return float(2 * np.mean((truth - truth.mean()) * (told - told.mean())) / (truth.var() + told.var() + shift))


def predictions(folder: Path) -> list[dict[str, str]]:
    with (folder / "final" / "test_predictions.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def rated(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """A finished search for two dimensions."""
    folder, rng = tmp_path_factory.mktemp("rated"), np.random.default_rng(0)
    lines = ["path,speaker,gender,arousal,valence"]
    for path, voice, emotion in spoken(folder):
        arousal, valence = (value + rng.normal(0, 0.4) for value in RATINGS[emotion])
        lines.append(f"{path},{voice},{voice[:-1]},{arousal:.3f},{valence:.3f}")
    (folder / "list.csv").write_text("\n".join(lines) + "\n")
    command(
        "run.py", "--model", "mlp", "--data", folder / "list.csv", "--target", "arousal,valence", *QUICK, "--folds", 1,
        "--scale", "list/arousal=0:7", "--cache-dir", cache, "--run-dir", folder / "run",
    )  # fmt: skip
    return folder / "run"


@pytest.mark.slow  # a whole search
def test_ratings_are_scored_as_by_hand(rated: Path) -> None:
    result, rows = json.loads((rated / "result.json").read_text()), predictions(rated)
    assert result["target"] == {"kind": "dimensions", "names": ["arousal", "valence"], "objective": "ccc"}
    each = {}
    for name in ("arousal", "valence"):
        truth, told = (np.array([float(row[column]) for row in rows]) for column in (name, f"predicted_{name}"))
        each[name] = concordance(truth, told)
        own = result["test"]["per_dimension"][name]
        assert own["ccc"]["ensemble"]["value"] == pytest.approx(each[name], abs=1e-4)
        assert own["rmse"]["mean"] == pytest.approx(np.sqrt(np.mean((truth - told) ** 2)), abs=1e-4)
        assert own["pearson"]["mean"] == pytest.approx(np.corrcoef(truth, told)[0, 1], abs=1e-4)
        assert sum(part["clips"] for part in own["error_by_rating"]) == len(rows)
    assert result["test"]["ensemble"]["ccc"]["value"] == pytest.approx(np.mean(list(each.values())), abs=1e-4)
    assert {"per_class_recall", "confusion", "calibration", "uar"}.isdisjoint(result["test"])
    assert result["search"]["best"]["val_ccc"] is not None


@pytest.mark.slow  # a whole search
def test_no_page_of_ratings_speaks_of_classes(rated: Path) -> None:
    page = (rated / "dashboard.html").read_text()
    text = re.sub(r"<(script|style)\b.*?</\1>", " ", page, flags=re.DOTALL)
    assert "Test CCC" in text
    assert "Predicted over rated" in text
    assert "Error over the range" in text
    for word in ("UAR", "Confusion", "Recall", "Reliability", "accuracy"):
        assert word not in text
    card = (next((rated / "final").glob("trial-*")) / "README.md").read_text()
    assert "scatter.png" in card
    assert "Rated are arousal from 0 to 7, valence on a scale that the data do not say." in card
    assert "UAR" not in card


@pytest.mark.slow  # a whole search
def test_a_model_of_ratings_predicts_is_evaluated_and_exported(rated: Path, cache: Path, tmp_path: Path) -> None:
    predictor, row = ser_core.load(rated / "final"), predictions(rated)[0]
    assert predictor.scales == {"arousal": (0, 7)}
    samples = read_audio(rated.parent / row["clip_id"], predictor.sample_rate_hz)
    told = predictor.probabilities(samples)
    np.testing.assert_allclose(told, [float(row[f"predicted_{name}"]) for name in predictor.classes], atol=1e-3)
    (model,) = (rated / "final").glob("trial-*")
    export_onnx(ser_core.load(model), tmp_path / "model.onnx")
    np.testing.assert_allclose(OnnxModel(tmp_path / "model.onnx").probabilities(samples), told, atol=1e-3)
    out = command(
        "evaluate.py", rated, "--data", rated.parent / "list.csv", "--skip-trained", "--out", tmp_path / "out",
        "--cache-dir", cache,
    )  # fmt: skip
    document = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    tested = json.loads((rated / "result.json").read_text())["test"]["ensemble"]["ccc"]["value"]
    assert document["test"]["ensemble"]["ccc"]["value"] == pytest.approx(tested, abs=1e-3)
    assert "UAR" not in out
    assert "list does not say on which scale its arousal is: taken for the model's, 0 to 7." in " ".join(out.split())
    words = [sys.executable, "-m", "ser_core.predict", str(rated), str(rated.parent / row["clip_id"])]
    printed = subprocess.run(words, capture_output=True, text=True, timeout=300, check=True).stdout
    assert f"\tarousal {told[0]:.2f}\tvalence {told[1]:.2f}" in printed


@pytest.mark.slow  # a whole search
def test_votes_are_searched_by_macro_f1_and_scored_as_by_hand(tmp_path: Path, cache: Path) -> None:
    rng, lines = np.random.default_rng(1), ["path,speaker,gender,annotator,emotion"]
    for path, voice, emotion in spoken(tmp_path):
        for listener in ("ann", "ben", "cat"):
            heard = emotion if rng.random() < 0.7 else rng.choice(list(RATINGS))
            lines.append(f"{path},{voice},{voice[:-1]},{listener},{heard}")
    (tmp_path / "list.csv").write_text("\n".join(lines) + "\n")
    out = command(
        "run.py", "--model", "mlp", "--data", tmp_path / "list.csv", "--target", "votes", "--objective", "macro_f1",
        "--set", "optim.loss=focal", *QUICK, "--folds", 1, "--cache-dir", cache, "--run-dir", tmp_path / "run",
    )  # fmt: skip
    assert "macro F1" in out
    result, rows = json.loads((tmp_path / "run" / "result.json").read_text()), predictions(tmp_path / "run")
    assert (result["target"]["kind"], result["target"]["objective"]) == ("votes", "macro_f1")
    names = result["target"]["names"]
    shares, told = (np.array([[float(row[f"{p}_{w}"]) for w in names] for row in rows]) for p in ("votes", "p"))
    counted = {row["clip_id"]: [] for row in rows}
    for line in lines[1:]:
        path, _, _, _, heard = line.split(",")
        if path in counted:
            counted[path].append(heard)
    expected = [[counted[row["clip_id"]].count(word) / 3 for word in names] for row in rows]
    np.testing.assert_allclose(shares, expected, atol=1e-5)
    assert [row["emotion"] for row in rows] == [names[most] for most in shares.argmax(axis=1)]
    score = result["test"]["ensemble"]
    most, predicted = shares.argmax(axis=1), told.argmax(axis=1)
    assert score["uar"]["value"] == pytest.approx(balanced_accuracy_score(most, predicted))
    assert score["macro_f1"]["value"] == pytest.approx(f1_score(most, predicted, average="macro"))
    divergence = np.mean(jensenshannon(shares, told, base=2, axis=1) ** 2)
    assert score["js_divergence"]["value"] == pytest.approx(divergence, abs=1e-4)
    assert result["search"]["best"]["val_macro_f1"] is not None
