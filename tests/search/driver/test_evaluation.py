"""A finished model on other speech: scores against those computed by hand, and clips that it was trained on."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sklearn.metrics import balanced_accuracy_score
from typer.testing import CliRunner, Result

import ser_core
from search.driver.evaluation import in_words_of, shared_speakers
from search.evaluate import app
from ser_core.artifact import save_model
from ser_core.clips import Clip, CorpusError, Manifest
from ser_core.corpora import load_corpus
from ser_core.ensemble import ENSEMBLE_FILE, ensemble_document
from ser_core.features.audio import read_audio
from ser_core.trained_clips import TRAINED_FILE, trained_clips, write_trained_clips
from tests.search.service.running import save_rating_model
from tests.ser_core.test_artifact import ABOUT, CLASSES, RATE_HZ, clip, trained


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ensemble of two seeds."""
    folder = tmp_path_factory.mktemp("models")
    for seed in (1, 2):
        save_model(folder / f"seed-{seed}", trained("shallow_cnn", model__width=2, seed=seed), about=ABOUT)
    (folder / ENSEMBLE_FILE).write_text(json.dumps(ensemble_document({"seed-1": 0.5, "seed-2": 0.5})))
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four speakers of two ages, with words of which one has a common one."""
    folder = tmp_path_factory.mktemp("data")
    rows = [["path", "speaker", "emotion", "gender", "age"]]
    for number in range(24):
        soundfile.write(folder / f"{number}.wav", clip(number + 100), RATE_HZ)
        word = ("calm", "happy", "sad")[(number + 100) % 3]
        rows.append(
            [f"{number}.wav", f"s{number % 4}", word, "female" if number % 2 else "male", str(20 + number % 4 // 2)]
        )
    with (folder / "other.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder / "other.csv"


def evaluate(*arguments: object) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, list(map(str, arguments)))


def manifest_of(data: Path, cache: Path) -> Manifest:
    return load_corpus(str(data), skip_bad=False, classes=None, cache_dir=cache)


def test_scores_are_those_of_the_model_on_every_clip(models: Path, data: Path, cache: Path, tmp_path: Path) -> None:
    done = evaluate(models, "--data", data, "--cache-dir", cache, "--out", tmp_path / "out", "--groups", "age")
    assert done.exit_code == 0, done.output
    document = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    manifest, predictor = manifest_of(data, cache), ser_core.load(models)
    told = [predictor.probabilities(read_audio(each.path, RATE_HZ)).argmax() for each in manifest.clips]
    truth = [CLASSES.index({"calm": "neutral"}.get(each.emotion, each.emotion)) for each in manifest.clips]
    expected = balanced_accuracy_score(truth, told)
    assert document["test"]["ensemble"]["uar"]["value"] == pytest.approx(expected)
    assert (document["test"]["clips"], document["test"]["speakers"]) == (24, 4)
    assert set(document["test"]["per_group"]) == {"gender", "age"}
    assert set(document["test"]["per_speaker"]) == {"s0", "s1", "s2", "s3"}
    assert document["test"]["calibration"]["ece"]["mean"] >= 0
    assert f"{100 * expected:.1f} %" in done.output
    page = (tmp_path / "out" / "evaluation.html").read_text()
    assert "<h1>A model of toy on other</h1>" in page
    assert "Training clips unknown." in page  # as an earlier version left it
    assert "Training clips unknown." in done.output
    again = evaluate(models, "--data", data, "--cache-dir", cache, "--out", tmp_path / "again")
    assert "Evaluated on these clips 2 times; scores are too high" in again.output
    assert len((models / "evaluations.jsonl").read_text().splitlines()) == 2
    refused = evaluate(models, "--data", data, "--cache-dir", cache, "--out", tmp_path / "out")
    assert refused.exit_code == 2
    assert "holds an evaluation already" in refused.output


def test_clips_that_the_model_was_trained_on_are_recognised_under_any_name(
    data: Path, cache: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "models"
    save_model(folder, trained("shallow_cnn", model__width=2), about=ABOUT)
    (tmp_path / "old").mkdir()
    soundfile.write(tmp_path / "old" / "renamed.flac", soundfile.read(data.parent / "5.wav")[0], RATE_HZ)
    (tmp_path / "old" / "old.csv").write_text("path,speaker,emotion\nrenamed.flac,x,happy\n")
    write_trained_clips(folder, manifest_of(tmp_path / "old" / "old.csv", cache), np.array([0]))
    refused = evaluate(folder, "--data", data, "--cache-dir", cache, "--out", tmp_path / "a")
    assert refused.exit_code == 2
    text = re.sub(r"\s+", " ", refused.output)
    assert "was trained on 1 clip of these 24, whose samples are the same: 5.wav" in text
    done = evaluate(folder, "--data", data, "--cache-dir", cache, "--out", tmp_path / "b", "--skip-trained")
    assert done.exit_code == 0, done.output
    document = json.loads((tmp_path / "b" / "evaluation.json").read_text())
    assert (document["test"]["clips"], document["data"]["trained_on_left_out"]) == (23, 1)
    assert "1 clip that the model was trained on" in (tmp_path / "b" / "evaluation.html").read_text()


def test_an_ensemble_was_trained_on_what_any_member_was(models: Path, tmp_path: Path) -> None:
    assert trained_clips(models) is None
    for seed, digests in ((1, "aa\nbb\n"), (2, "bb\ncc\n")):
        (models / f"seed-{seed}" / TRAINED_FILE).write_text(digests)
    assert trained_clips(models) == {"aa", "bb", "cc"}
    for seed in (1, 2):
        (models / f"seed-{seed}" / TRAINED_FILE).unlink()


def made(*words: str) -> Manifest:
    clips = tuple(Clip(clip_id=word, path=Path(word), speaker=f"of {word}", emotion=word) for word in words)
    return Manifest(corpus="made", clips=clips, classes=words)


def test_emotions_that_the_model_does_not_know_are_refused() -> None:
    assert in_words_of(made("calm", "happy"), ("neutral", "happy")).classes == ("neutral", "happy")
    assert in_words_of(made("calm", "happy"), ("neutral", "calm", "happy")).classes == ("calm", "happy")
    with pytest.raises(CorpusError, match=r"made also has disgust: leave these out with --classes calm,happy"):
        in_words_of(made("calm", "happy", "disgust"), ("neutral", "happy"))


def test_speakers_whom_the_model_has_heard_are_named() -> None:
    about = {"corpus": {"name": "made"}, "trained_speakers": ["of happy", "of fear"]}
    assert shared_speakers(made("sad", "happy"), about) == ["of happy"]
    assert shared_speakers(made("sad", "happy"), {**about, "corpus": {"name": "other"}}) == []
    assert shared_speakers(made("sad", "happy"), {}) == []


def test_ratings_are_evaluated_on_the_scale_of_the_model(data: Path, cache: Path, tmp_path: Path) -> None:
    """0 to 4 onto 1 to 5 is one more; valence, of which the model does not say its scale, stays."""
    toy = {"corpus": {"name": "toy", "scales": {"arousal": [1, 5]}}}
    model = save_rating_model(tmp_path / "model", toy)
    lines = [f"{data.parent}/{row}.wav,s{row % 4},{row % 5},{45 + row}" for row in range(24)]
    (tmp_path / "rated.csv").write_text("\n".join(["path,speaker,arousal,valence", *lines]))
    call = [model, "--data", tmp_path / "rated.csv", "--cache-dir", cache]
    done = evaluate(*call, "--scale", "rated/arousal=0:4,rated/valence=0:100", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    document = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert document["data"]["mapped"] == "rated: arousal, 0 to 4, as 1 to 5"
    told = [ser_core.load(model).probabilities(clip(row + 100)) for row in range(24)]
    error = np.array(told) - [[1 + row % 5, 45 + row] for row in range(24)]
    for place, name in enumerate(("arousal", "valence")):
        found = document["test"]["per_dimension"][name]["rmse"]["mean"]
        assert found == pytest.approx(np.sqrt(np.mean(error[:, place] ** 2)), rel=1e-3)
    page = " ".join((tmp_path / "out" / "evaluation.html").read_text().split())
    for text in (page, re.sub(r"\s+", " ", done.output)):
        assert "Ratings were mapped: " in re.sub(r"<[^>]+>", "", text)
        assert "The model does not say on which scale its valence is: taken for that of rated, 0 to 100." in text
    refused = evaluate(*call, "--out", tmp_path / "refused")
    assert refused.exit_code == 2
    assert "rated: arousal should be 1 to 5; 0.wav has 0." in re.sub(r"\S*/", "", refused.output)
