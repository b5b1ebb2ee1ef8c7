"""`ser push` and `hf:USER/NAME`, by the real client of the hub, against a hub on loopback."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from huggingface_hub import ModelCard
from typer.testing import CliRunner

from search.__main__ import app
from search.finals.model_card import write_model_cards, write_picture
from ser_core.artifact import save_model
from ser_core.ensemble import ENSEMBLE_FILE, ensemble_document, load_predictor
from tests.search.hub.stand_in import OBJECTS, REPOSITORIES, TOKEN, served
from tests.search.run_maker import RunMaker
from tests.search.service.running import FINISHED, save_rating_model
from tests.search.tracking.readers import free_port
from tests.ser_core.test_artifact import CLASSES, trained
from tests.ser_core.test_transformers_export import LINEAR, RATE_HZ, SECONDS, saved
from tests.tiny_encoders import save_tiny_encoder

LICENCE = "CC BY-NC-SA 4.0"
ABOUT = {"corpus": {"name": "ravdess", "licence": LICENCE, "synthetic": False}}


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with three small models and their cards."""
    maker = RunMaker(tmp_path_factory.mktemp("runs") / "run", trials=6, max_epochs=6).search(fail_every=0).finish()
    result = json.loads((maker.folder / "result.json").read_text())
    for seed, name in enumerate(result["winner"]["models"]):
        save_model(maker.folder / name, trained("shallow_cnn", model__width=2, seed=seed), about=ABOUT)
    weights = {Path(name).name: 1 / 3 for name in result["winner"]["models"]}
    (maker.folder / "final" / ENSEMBLE_FILE).write_text(json.dumps(ensemble_document(weights)))
    write_model_cards(maker.folder, result)
    return maker.folder


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    with served() as address:
        yield address


def ser(*words: object, endpoint: str, home: Path, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
    """The real command."""
    return python("-m", "search", *words, endpoint=endpoint, home=home, token=token)


def python(*words: object, endpoint: str, home: Path, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
    """A program on a machine that knows this hub alone."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    hub = {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        **({"HF_TOKEN": token} if token else {}),
    }
    return subprocess.run(
        [sys.executable, *map(str, words)], capture_output=True, text=True, timeout=600,
        stdin=subprocess.DEVNULL, env={**kept, **hub},
    )  # fmt: skip


@pytest.fixture(scope="module")
def pushed(run_folder: Path, hub: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of the repository after the run was pushed."""
    home = tmp_path_factory.mktemp("home")
    done = ser("push", run_folder, "user/emotions", "--private", "--accept-licence", LICENCE, endpoint=hub, home=home)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == f"{hub}/user/emotions\nser predict hf:user/emotions clip.wav\n"
    repository = REPOSITORIES["user/emotions"]
    assert repository.private
    assert repository.commits == ["Model, card and metadata"]
    return repository.files


def test_what_is_pushed_is_models_cards_and_graphs(pushed: dict[str, bytes], run_folder: Path) -> None:
    models = sorted(path.name for path in (run_folder / "final").glob("trial-*"))
    each = ("README.md", "config.json", "confusion.png", "model.onnx", "model.safetensors")
    expected = {
        "README.md",
        "confusion.png",
        "ensemble.json",
        *(f"{model}/{file}" for model in models for file in each),
    }
    assert set(pushed) == expected
    weights = (run_folder / "final" / models[0] / "model.safetensors").read_bytes()
    assert weights in OBJECTS.values()  # large files by LFS


@pytest.mark.parametrize("kind", ["of version 0.1, whose ensembles had no card", "of ratings"])
def test_every_card_has_the_picture_that_it_shows(kind: str, hub: str, tmp_path: Path) -> None:
    folder = rated_run(tmp_path) if kind == "of ratings" else earlier_run(tmp_path)
    name = f"user/{kind.split()[-1]}"
    words = ("push", folder, name, "--no-onnx", *(("--accept-licence", LICENCE) if kind == "of ratings" else ()))
    done = ser(*words, endpoint=hub, home=tmp_path / "home")
    assert done.returncode == 0, done.stdout + done.stderr
    files = REPOSITORIES[name].files
    cards = [path for path in files if path.endswith("README.md")]
    assert "README.md" in cards
    shown = {str(Path(path).parent / link) for path in cards for link in SHOWN.findall(files[path].decode())}
    assert shown <= set(files)
    assert ("scatter.png" if kind == "of ratings" else "confusion.png") in shown


SHOWN = re.compile(r"!\[[^]]*\]\((.+?)\)")
"""Pictures in Markdown."""


def earlier_run(folder: Path) -> Path:
    """As its version wrote it: the repository holds it without its picture."""
    run = shutil.copytree(FINISHED, folder / "run")
    result = json.loads((run / "result.json").read_text())
    for model in result["winner"]["models"]:
        write_picture(run / model, result)
    return run


def rated_run(folder: Path) -> Path:
    corpus = {
        "name": "ravdess", "clips": 1440, "speakers": 24, "classes": ["arousal", "valence"], "skipped": [],
        "synthetic": False, "licence": LICENCE, "citation": "Livingstone & Russo 2018",
    }  # fmt: skip
    maker = RunMaker(folder / "run", trials=6, max_epochs=6, corpus=corpus, target="arousal,valence", objective="ccc")
    result = json.loads((maker.search(fail_every=0).finish().folder / "result.json").read_text())
    models = [maker.folder / name for name in result["winner"]["models"]]
    for model in models:
        save_rating_model(model, about=ABOUT)
    weights = {model.name: 1 / len(models) for model in models}
    (maker.folder / "final" / ENSEMBLE_FILE).write_text(json.dumps(ensemble_document(weights)))
    write_model_cards(maker.folder, result)
    return maker.folder


def test_the_card_holds_scores_intervals_corpus_and_licence(pushed: dict[str, bytes], run_folder: Path) -> None:
    card = ModelCard(pushed["README.md"].decode())
    assert (card.data.license, card.data.pipeline_tag) == ("cc-by-nc-sa-4.0", "audio-classification")
    ensemble = json.loads((run_folder / "result.json").read_text())["test"]["ensemble"]
    found: dict[str, Any] = {each.metric_type: each for each in card.data.eval_results}
    for name, score in ensemble.items():
        assert found[name].metric_value == pytest.approx(score["value"], abs=1e-4)
        assert found[name].metric_args["interval"] == pytest.approx(score["interval"], abs=1e-4)
        assert found[name].dataset_name == "ravdess"
    assert "forbids commercial use. Whoever published the model confirmed that they may share it." in card.text


def test_a_model_on_the_hub_predicts_and_goes_on_predicting_without_the_hub(
    pushed: dict[str, bytes], run_folder: Path, hub: str, tmp_path: Path
) -> None:
    samples = (0.1 * np.random.default_rng(0).normal(size=12_000)).astype(np.float32)
    soundfile.write(tmp_path / "clip.wav", samples, 16_000, subtype="FLOAT")
    expected = load_predictor(run_folder / "final").probabilities(samples)
    words = ("predict", "hf:user/emotions", tmp_path / "clip.wav", "--json")
    nowhere = f"http://127.0.0.1:{free_port()}"
    for endpoint in (hub, nowhere):
        done = ser(*words, endpoint=endpoint, home=tmp_path / "home")
        assert done.returncode == 0, done.stdout + done.stderr
        assert [*json.loads(done.stdout)["probabilities"].values()] == pytest.approx(expected.tolist(), abs=1e-5)
    kept = {path.name for path in (tmp_path / "home").rglob("snapshots/**/*")}
    assert {"ensemble.json", "model.safetensors"} <= kept
    assert "model.onnx" not in kept  # for other programs
    lost = ser(*words, endpoint=nowhere, home=tmp_path / "other")
    assert lost.returncode == 2
    assert f"{nowhere} cannot be reached; there is no copy on this machine: fetch the model" in lost.stderr


LOADED = """
import json, sys
import numpy as np, torch
from transformers import AutoFeatureExtractor, AutoModelForAudioClassification
place = {"pretrained_model_name_or_path": "user/encoder", "subfolder": "transformers"}
model, extract = (kind.from_pretrained(**place) for kind in (AutoModelForAudioClassification, AutoFeatureExtractor))
fed = extract(np.load(sys.argv[1]), sampling_rate=16_000, return_tensors="pt")
shares = model.eval()(**fed).logits.softmax(dim=1)[0].tolist()
print(json.dumps({model.config.id2label[index]: share for index, share in enumerate(shares)}))
"""


def test_what_transformers_loads_of_a_pushed_model_says_what_the_model_says(hub: str, tmp_path: Path) -> None:
    encoder = tmp_path / "encoder"
    save_tiny_encoder(encoder)
    folder = saved(tmp_path / "model", "finetune", encoder, **LINEAR, **{"model.tuning": "layers"})
    words = ("push", folder, "user/encoder", "--transformers", "--no-onnx", "--accept-licence", "unknown")
    done = ser(*words, endpoint=hub, home=tmp_path / "home")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "model/transformers: AutoModelForAudioClassification loads the whole model" in done.stdout
    files = REPOSITORIES["user/encoder"].files
    own = {"config.json", "preprocessor_config.json", "model.safetensors", "README.md"}
    assert set(files) == {"config.json", "model.safetensors", *(f"transformers/{name}" for name in own)}
    samples = (0.1 * np.random.default_rng(0).normal(size=round(SECONDS * RATE_HZ))).astype(np.float32)
    np.save(tmp_path / "samples.npy", samples)
    soundfile.write(tmp_path / "clip.wav", samples, RATE_HZ, subtype="FLOAT")
    theirs = python("-c", LOADED, tmp_path / "samples.npy", endpoint=hub, home=tmp_path / "theirs")
    assert theirs.returncode == 0, theirs.stderr
    expected = load_predictor(folder).probabilities(samples).tolist()
    found = json.loads(theirs.stdout)
    assert list(found) == list(CLASSES)
    assert [*found.values()] == pytest.approx(expected, abs=2e-3)
    ours = ser("predict", "hf:user/encoder", tmp_path / "clip.wav", "--json", endpoint=hub, home=tmp_path / "ours")
    assert ours.returncode == 0, ours.stderr
    assert [*json.loads(ours.stdout)["probabilities"].values()] == pytest.approx(expected, abs=1e-5)
    assert not list((tmp_path / "ours").rglob("transformers"))  # the encoder's weights are fetched once


def test_a_private_model_and_a_stranger_are_told_apart_from_a_network_that_is_down(
    pushed: dict[str, bytes], run_folder: Path, hub: str, tmp_path: Path
) -> None:
    done = ser("export", "hf:user/emotions", "--onnx", "x", endpoint=hub, home=tmp_path, token="")
    assert done.returncode == 2
    assert "for one that is private or gated, `hf auth login` or set HF_TOKEN" in done.stderr
    words = ("push", run_folder, "user/other", "--accept-licence", LICENCE, "--no-onnx")
    done = ser(*words, endpoint=hub, home=tmp_path, token="")
    assert (done.returncode, "the hub does not know who you are: `hf auth login`, or set HF_TOKEN" in done.stderr) == (
        2,
        True,
    )
    assert "user/other" not in REPOSITORIES


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "--accept-licence 'CC BY-NC-SA 4.0'"),
        (("--accept-licence", "MIT"), "--accept-licence must be 'CC BY-NC-SA 4.0', the licence of ravdess; got 'MIT'"),
    ],
)
def test_a_licence_that_restricts_sharing_is_accepted_by_name_or_nothing_is_sent(
    words: tuple[str, ...], message: str, run_folder: Path
) -> None:
    result = CliRunner(env={"COLUMNS": "300"}).invoke(app, ["push", str(run_folder), "user/none", *words])
    assert result.exit_code == 2
    assert message in result.output
    assert "forbids commercial use" in result.output


def test_names_and_folders_that_cannot_be_pushed_are_refused(run_folder: Path, tmp_path: Path) -> None:
    def refusal(*words: object) -> str:
        result = CliRunner(env={"COLUMNS": "300"}).invoke(app, ["push", *map(str, words)])
        assert result.exit_code == 2
        return result.output

    assert "a model on the hub is named USER/NAME; got 'emotions'" in refusal(run_folder, "emotions")
    assert "is on the hub already; name a folder" in refusal("hf:user/emotions", "user/again")
    assert "is no model folder" in refusal(tmp_path, "user/again")
