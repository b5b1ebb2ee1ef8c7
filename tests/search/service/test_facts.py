"""What a reader is told of a model: from its run, and from the model alone where it was taken away."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from search.service.asked import Engine
from search.service.facts import NOT_HERE, Origin, origin_of
from search.service.loading import load_service_model
from ser_core.artifact import ArtifactError
from ser_core.config import BY_SPEAKER
from ser_core.targets import Dimensions, Emotions
from tests.search.service.running import FINISHED

MODEL = "final/trial-00001-seed-1"
TARGET = Emotions(("happy", "sad"))


def origin(folder: Path, scratch: Path) -> Origin:
    _, facts = load_service_model(folder, Engine.TORCH, "cpu", scratch)
    return facts.origin


@pytest.mark.parametrize("part", ["", "final", MODEL])
def test_a_model_in_its_run_has_the_score_of_the_run(part: str, tmp_path: Path) -> None:
    found = origin(FINISHED / part, tmp_path)
    result = json.loads((FINISHED / "result.json").read_text())
    assert found.name == "mlp on demo"
    assert found.score == f"{100 * result['test']['uar']['mean']:.1f} %"
    assert found.interval == "95 % interval over speakers: 0.0 to 100.0 %"
    assert found.tested == "On 30 clips of 2 speakers whom it never heard; the test set was read once."
    assert found.tuned.startswith("6 trials on other speakers.")
    assert [caveat.title for caveat in found.caveats] == ["Synthetic corpus."]


def test_a_model_that_was_taken_away_has_the_score_of_its_card(tmp_path: Path) -> None:
    shutil.copytree(FINISHED / MODEL, tmp_path / "away")
    found = origin(tmp_path / "away", tmp_path)
    in_place = origin(FINISHED / MODEL, tmp_path)
    assert (found.name, found.score, found.interval) == (in_place.name, in_place.score, in_place.interval)
    assert (found.corpus, found.licence, found.caveats) == (in_place.corpus, in_place.licence, in_place.caveats)
    (tmp_path / "away" / "README.md").unlink()
    bare = origin(tmp_path / "away", tmp_path)
    assert (bare.score, bare.interval, bare.tested) == ("–", "–", NOT_HERE)


def test_seeds_have_scores_of_their_own(tested: Callable[..., Path]) -> None:
    run = tested("mlp", 0.7)
    result = json.loads((run / "result.json").read_text())
    ensemble = origin_of(run / "final", "mlp", {}, TARGET)
    assert ensemble.score == f"{100 * result['test']['ensemble']['uar']['value']:.1f} %"
    for seed, name in enumerate(result["winner"]["models"]):
        assert origin_of(run / name, "mlp", {}, TARGET).score == f"{100 * result['test']['uar']['seeds'][seed]:.1f} %"


def test_a_folder_of_any_program_says_what_is_not_known(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text("[]")
    found = origin_of(tmp_path, "mlp", {"corpus": "no object"}, TARGET)
    assert found.name == "mlp on a corpus that it does not name"
    assert found.licence == "Not known to this program."
    assert found.score == "–"
    assert found.measure.name == "uar"
    assert origin_of(tmp_path, "mlp", {}, Dimensions(("arousal",))).measure.name == "ccc"


def test_a_model_for_several_clips_of_a_speaker_is_not_served(tmp_path: Path) -> None:
    folder = shutil.copytree(FINISHED / MODEL, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    config["settings"]["features.normalisation"] = BY_SPEAKER
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ArtifactError, match=r"normalises by all clips of a speaker, and who sends a clip is not known"):
        load_service_model(folder, Engine.TORCH, "cpu", tmp_path)


def test_devices_are_checked_before_anything_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"--device must be cpu, cuda or cuda:N; .* got gpu"):
        load_service_model(FINISHED, Engine.TORCH, "gpu", tmp_path)
    with pytest.raises(ArtifactError, match=r"--engine onnx computes on the CPU; got --device cuda"):
        load_service_model(FINISHED, Engine.ONNX, "cuda", tmp_path)


def test_onnx_runtime_hears_the_same_model(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="the onnx extra is not installed")
    model, facts = load_service_model(FINISHED, Engine.ONNX, "cpu", tmp_path)
    assert facts.engine == "ONNX Runtime, cpu"
    assert model.classes == facts.target.names == ("neutral", "angry", "sad")
