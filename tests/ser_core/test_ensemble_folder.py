"""A folder that names several models: it predicts their weighted mean, and a damaged one is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

import ser_core
from ser_core import export, predict
from ser_core.artifact import ArtifactError, Predictor, save_model
from ser_core.ensemble import ENSEMBLE_FILE, EnsemblePredictor, ensemble_document
from ser_core.predict import speech_probabilities
from tests.ser_core.test_artifact import ABOUT, RATE_HZ, clip, trained

WEIGHTS = {"cnn": 0.25, "lstm": 0.75}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two architectures that hear 0.6 and 0.4 s."""
    made = tmp_path_factory.mktemp("ensemble")
    save_model(made / "cnn", trained("shallow_cnn", model__width=2), about=ABOUT)
    save_model(made / "lstm", trained("cnn_lstm", model__lstm_units=4, features__clip_seconds=0.4), about=ABOUT)
    (made / ENSEMBLE_FILE).write_text(json.dumps(ensemble_document(WEIGHTS)))
    return made


@pytest.fixture(scope="module")
def ensemble(folder: Path) -> EnsemblePredictor:
    loaded = ser_core.load(folder)
    assert isinstance(loaded, EnsemblePredictor)
    return loaded


def mean(folder: Path, of: Callable[[Any], np.ndarray]) -> np.ndarray:
    return sum(weight * of(ser_core.load(folder / name)) for name, weight in WEIGHTS.items())  # type: ignore[return-value]


def test_it_is_the_weighted_mean_of_its_members(folder: Path, ensemble: EnsemblePredictor) -> None:
    samples = clip(1)
    expected = mean(folder, lambda member: member.probabilities(samples))
    np.testing.assert_allclose(ensemble.probabilities(samples), expected, atol=1e-6)
    assert ensemble.probabilities(samples).sum() == pytest.approx(1)
    clips = [clip(index) for index in range(3)]
    expected = mean(folder, lambda member: member.speaker_probabilities(clips))
    np.testing.assert_allclose(ensemble.speaker_probabilities(clips), expected, atol=1e-6)
    assert (ensemble.classes, ensemble.sample_rate_hz, ensemble.clip_seconds) == (
        ("neutral", "happy", "sad"),
        RATE_HZ,
        0.6,
    )
    assert not ensemble.transductive


def test_every_member_has_windows_of_its_own_in_long_speech(folder: Path, ensemble: EnsemblePredictor) -> None:
    speech = np.concatenate([clip(index) for index in range(9)])
    expected = mean(folder, lambda member: speech_probabilities(member, speech))
    np.testing.assert_allclose(speech_probabilities(ensemble, speech), expected, atol=1e-6)


def test_the_command_takes_it_as_a_model(folder: Path, ensemble: EnsemblePredictor, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", clip(2), RATE_HZ, subtype="FLOAT")
    done = CliRunner().invoke(predict.app, [str(folder), str(tmp_path / "a.wav"), "--json"])
    assert done.exit_code == 0, done.output
    shown = json.loads(done.stdout.splitlines()[-1])
    np.testing.assert_allclose(list(shown["probabilities"].values()), ensemble.probabilities(clip(2)), atol=1e-5)


def test_one_graph_cannot_hold_it(folder: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(export.app, [str(folder), "--onnx", str(tmp_path / "a.onnx")])
    assert done.exit_code == 2
    assert "export each of its models" in done.output
    assert not (tmp_path / "a.onnx").exists()


def changed(path: Path, folder: Path, document: Any) -> Path:
    """The folder with another `ensemble.json`."""
    for name in WEIGHTS:
        (path / name).symlink_to(folder / name)
    (path / ENSEMBLE_FILE).write_text(document if isinstance(document, str) else json.dumps(document))
    return path


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", "is damaged"),
        ([], "is damaged"),
        ({**ensemble_document(WEIGHTS), "format": "ser-ensemble-9"}, "must have the format 'ser-ensemble-1'"),
        (ensemble_document({}), "names no members: each fold of a protocol has models of its own"),
        (ensemble_document({"cnn": 0.5, "lstm": 0.6}), "must add up to 1; got \\[0.5, 0.6\\]"),
        (ensemble_document({"cnn": -0.5, "lstm": 1.5}), "must not be below 0"),
        (ensemble_document({"cnn": float("nan"), "lstm": 1.0}), "is damaged .*NaN is not finite"),
        (ensemble_document({"../cnn": 1.0}), "must be a folder below it; got '../cnn'"),
        (ensemble_document({"cnn": 0.5, "gone": 0.5}), "gone is no model folder"),
    ],
)
def test_a_damaged_one_is_refused(folder: Path, tmp_path: Path, document: Any, message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        ser_core.load(changed(tmp_path, folder, document))


def test_members_of_other_classes_are_refused(folder: Path, tmp_path: Path) -> None:
    path = changed(tmp_path, folder, ensemble_document(WEIGHTS))
    other = json.loads((path / "cnn" / "config.json").read_text())
    (path / "cnn").unlink()
    (path / "cnn").mkdir()
    (path / "cnn" / "model.safetensors").symlink_to(folder / "cnn" / "model.safetensors")
    (path / "cnn" / "config.json").write_text(json.dumps({**other, "classes": ["neutral", "sad", "happy"]}))
    with pytest.raises(ArtifactError, match="must have the same classes"):
        ser_core.load(path)


def test_ratings_on_several_scales_have_no_mean(folder: Path, tmp_path: Path) -> None:
    """Their members' names are classes, which stand for dimensions here: a scale is a scale."""
    scales: dict[str, dict[str, list[float]]] = {"cnn": {"happy": [1, 5]}, "lstm": {"happy": [1, 7]}}
    path = changed(tmp_path, folder, ensemble_document(WEIGHTS))
    for name, own in scales.items():
        document = json.loads((folder / name / "config.json").read_text())
        (path / name).unlink()
        (path / name).mkdir()
        (path / name / "model.safetensors").symlink_to(folder / name / "model.safetensors")
        about = {"corpus": {**ABOUT["corpus"], "scales": own}}
        (path / name / "config.json").write_text(json.dumps({**document, "about": about}))
    with pytest.raises(ArtifactError, match=r"must rate happy on one scale; got cnn: 1 to 5; lstm: 1 to 7"):
        ser_core.load(path)
    (path / "lstm" / "config.json").write_text((folder / "lstm" / "config.json").read_text())
    assert ser_core.load(path).scales == {"happy": (1, 5)}


def test_a_model_folder_is_loaded_as_before(folder: Path) -> None:
    assert isinstance(ser_core.load(folder / "cnn"), Predictor)
