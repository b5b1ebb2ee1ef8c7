"""The command line: the whole job on the demo corpus, and errors that say what to do."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
from filelock import FileLock
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from typer.testing import CliRunner, Result

from search.interruption import request_stop
from search.run import app
from search.run_folder.records import TrialState
from search.run_folder.records_reader import read_records
from search.run_folder.records_writer import RecordWriter
from ser_core.architectures import architectures, default_config
from ser_core.artifact import load_model
from ser_core.config import ENCODER_KINDS
from ser_core.ensemble import load_predictor
from ser_core.features.store import CorpusFeatures, FeatureStore
from tests.tiny_encoders import save_tiny_encoder

REPOSITORY = Path(__file__).parents[2]
QUICK = ["--trials", "3", "--max-epochs", "3", "--finalists", "1", "--seeds", "1"]
QUICK_MODELS = ("mlp",)
"""The others take half a minute each; the contract tests hold every architecture to what a search needs of it."""
SMALL = {
    "ast": ["--folds", "2", "--pretrained", "none", "--set", "model.size=tiny", "--set", "model.stride=16"],
    "mlp": [],
}
"""Options with which an architecture is quick enough for a test."""


def command(*arguments: object) -> list[str]:
    return [sys.executable, str(REPOSITORY / "search" / "run.py"), *map(str, arguments)]


def run(*arguments: object, code: int = 0) -> str:
    """The real command, in a folder of its own, without PYTHONPATH."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command(*arguments), capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def invoke(*arguments: object) -> Result:
    """In this process, for what ends before Ray starts."""
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, list(map(str, arguments)))


def read_study(folder: Path) -> optuna.Study:
    storage = JournalStorage(JournalFileBackend(str(folder / "study.journal")))
    return optuna.load_study(study_name=folder.name, storage=storage)


def check_whole(
    folder: Path, model: str, trials: int, architecture: str = "", *, clips: str = "resident"
) -> dict[str, Any]:
    """The study, the records, the result and the model folder of a finished run agree."""
    result = json.loads((folder / "result.json").read_text())
    records = read_records(folder / "records.jsonl")
    study = read_study(folder)
    states = [records.trials[number].state for number in range(trials)]
    assert [trial.state.name for trial in study.trials] == [state.name for state in states]
    assert TrialState.RUNNING not in states
    counts = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
    assert result["search"]["trials"] == {name: states.count(state) for name, state in counts.items()}
    assert result["model"] == model
    assert result["corpus"]["synthetic"] is True
    assert result["test_reads"] == len((folder / "test_ledger.jsonl").read_text().splitlines()) == 1
    parts = [set(result["split"][f"{part}_speakers"]) for part in ("fit", "validation", "test")]
    assert not (parts[0] & parts[1] | parts[1] & parts[2] | parts[0] & parts[2])
    winner = result["winner"]
    assert winner["precision_note"] in ("", *records.precision_notes())
    assert winner["clips"]["where"] == clips
    assert result["search"]["clips"] == {clips: sum(bool(trial.epochs) for trial in records.trials.values())}
    assert load_model(folder / winner["models"][0]).config.architecture == (architecture or model)
    seeds = json.loads((folder / "final" / "ensemble.json").read_text())["members"]
    assert [f"final/{member['folder']}" for member in seeds] == winner["models"]
    assert load_predictor(folder / "final").classes == tuple(result["corpus"]["classes"])
    with (folder / "final" / "test_predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    right = sum(row["emotion"] == row["predicted"] for row in rows) / len(rows)
    assert result["test"]["war"]["mean"] == pytest.approx(right)
    assert {row["speaker"] for row in rows} == parts[2]
    page = (folder / "dashboard.html").read_text()
    assert "synthetic" in page.lower()
    assert "Test UAR" in page
    pictures = json.loads((folder / "insight.json").read_text())["pictures"]
    assert len(pictures["clips"]) == len(result["corpus"]["classes"])
    assert {clip["speaker"] for clip in pictures["clips"]} <= parts[1]
    assert not list((folder / "checkpoints").glob("*"))
    return result


@pytest.mark.parametrize(
    "model",
    [pytest.param(name, marks=() if name in QUICK_MODELS else pytest.mark.slow) for name in architectures()],
)
def test_every_architecture_runs_the_whole_job(model: str, tmp_path: Path, cache: Path) -> None:
    options = SMALL.get(model, ["--folds", "1"])
    if default_config(model).features.kind in ENCODER_KINDS:
        save_tiny_encoder(tmp_path / "encoder")
        options = ["--folds", "1", "--pretrained", tmp_path / "encoder"]
    if model != "mlp":
        options = [*options, "--set", "features.clip_seconds=1.4"]
    if model == "finetune":
        options = [*options, "--sample-store-gib", "0"]
    folder = tmp_path / "run"
    data = ["--data", "demo", "--classes", "neutral,angry,sad", "--cache-dir", cache]
    out = run("--model", model, *data, *QUICK, *options, "--run-dir", folder)
    result = check_whole(folder, model, trials=3, clips="files" if model == "finetune" else "resident")
    folds = 5 if model == "mlp" else 1  # one after another
    assert result["search"]["epochs_without_pruning"] == 9 * folds
    if model == "mlp":
        check_resumption_of_a_finished_run(folder, cache, result)
    assert "synthetic corpus" in " ".join(out.split())
    assert "test set read once" in " ".join(out.split())
    assert ("Clips are read from the audio files" if model == "finetune" else "Clips are resident: ") in out


@pytest.mark.slow
def test_one_search_chooses_between_two_architectures(tmp_path: Path, cache: Path) -> None:
    folder = tmp_path / "run"
    options = ["--folds", "1", "--set", "shallow_cnn/features.clip_seconds=1.4", "--set", "shallow_cnn/model.width=12"]
    data = ["--data", "demo", "--classes", "neutral,angry,sad", "--cache-dir", cache]
    out = run("--model", "auto:mlp,shallow_cnn", *data, *QUICK, *options, "--run-dir", folder)
    winner = json.loads((folder / "result.json").read_text())["winner"]
    result = check_whole(folder, "auto", trials=3, architecture=winner["architecture"])
    assert f"auto ({winner['architecture']}) on demo" in " ".join(out.split())
    study = read_study(folder)
    assert [trial.params["architecture"] for trial in study.trials[:2]] == ["mlp", "shallow_cnn"]
    for trial in study.trials:
        own = f"{trial.params['architecture']}/"
        assert all(name == "architecture" or name.startswith(own) for name in trial.params)
    assert result["search"]["epochs_without_pruning"] == 9
    assert winner["params"]["architecture"] == winner["architecture"]
    card = (folder / winner["models"][0] / "README.md").read_text()
    assert f"# auto ({winner['architecture']}) for speech emotion recognition" in card
    assert "| `optim.learning_rate` |" in card
    assert "Architectures: where the time went" in (folder / "dashboard.html").read_text()


def check_resumption_of_a_finished_run(folder: Path, cache: Path, result: dict[str, Any]) -> None:
    """It ends with the same numbers, without a second look at the test set; another plan is refused."""
    out = run("--resume", folder, "--cache-dir", cache)
    assert "test set read once" in " ".join(out.split())
    assert json.loads((folder / "result.json").read_text())["test"] == result["test"]
    refused = invoke("--resume", folder, "--cache-dir", cache, "--seed", 1)
    assert refused.exit_code == 2
    assert "seed: 0 in the run, 1 now" in refused.output


def test_a_dry_run_shows_plan_and_space_and_writes_nothing(tmp_path: Path, cache: Path) -> None:
    result = invoke(
        "--model", "ast", "--data", "demo", "--cache-dir", cache, "--dry-run", "--run-dir", tmp_path / "run",
        "--set", "model.size=tiny", "--space", "optim.learning_rate=1e-5:1e-4:log", "--pretrained", "none",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    shown = ("Dry run", "240 clips, 8 speakers", "1e-05 to 0.0001, log scale", "model.size=tiny", "Synthetic corpus.")
    for text in shown:
        assert text in result.output
    assert not (tmp_path / "run").exists()
    late = invoke(
        "--model", "mlp", "--data", "demo", "--cache-dir", cache, "--dry-run", "--grace-epochs", 100, "--folds", 1
    )
    assert "no rung below 16 epochs: no trial is ended early" in late.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "demo"], "--model must be given"),
        (["--model", "lstm", "--data", "demo"], "unknown model 'lstm'; known: ast, attn_crnn"),
        (["--model", "svm", "--data", "demo", "--max-epochs", "5"], "optim.epochs says nothing to svm"),
        (["--model", "mlp", "--data", "nowhere"], "--data nowhere: no such file or folder"),
        (["--model", "mlp", "--data", "demo", "--set", "optim.lr=1"], "unknown setting 'optim.lr'; known: "),
        (["--model", "mlp", "--data", "demo", "--set", "optim.batch_size=many"], "must be of type int; got 'many'"),
        (["--model", "mlp", "--data", "demo", "--set", "optim.batch_size"], "takes NAME=VALUE; got 'optim.batch_size'"),
        (["--model", "mlp", "--data", "demo", "--set", "optim.epochs=3"], "has an option of its own, --max-epochs"),
        (["--model", "mlp", "--data", "demo", "--space", "model.width=5:1"], "low <= high; got 5:1"),
        (["--model", "mlp", "--data", "demo", "--space", "optim.optimizer=1:2"], "takes str values"),
        (["--model", "mlp", "--data", "demo", "--pretrained", "x"], "mlp has no pretrained weights"),
        (["--model", "mlp", "--data", "demo", "--split", "emobox:1"], "split emobox is defined for cafe, casia, "),
        (["--model", "mlp", "--data", "demo", "--split", "half"], "unknown split 'half'; known: "),
        (["--model", "mlp", "--data", "demo", "--classes", "bored,sad"], "no clip of demo is bored"),
        (["--model", "mlp", "--data", "demo", "--trials", "0"], "--trials must be at least 1; got 0"),
        (["--model", "mlp", "--data", "demo", "--sampler", "grid"], "--sampler must be one of tpe, curve-gp, gp"),
        (
            ["--model", "mlp", "--data", "demo", "--storage", "nosql://x"],
            "--storage nosql://x: nosql is not supported; it takes",
        ),
        (
            ["--model", "mlp", "--data", "demo", "--warm-start", "runs/none"],
            "--warm-start runs/none: it takes a journal",
        ),
        (["--resume", "nowhere"], "nowhere is no run folder: it holds no plan.json"),
    ],
)
def test_bad_options_say_what_to_do(
    arguments: list[str], message: str, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke(*arguments, "--cache-dir", cache, "--run-dir", tmp_path / "run")
    assert result.exit_code == 2, result.output
    assert message in " ".join(result.output.split())
    assert "Traceback" not in result.output


def test_all_architectures_take_what_concerns_them(tmp_path: Path, cache: Path) -> None:
    result = invoke(
        "--model", "all", "--data", "demo", "--cache-dir", cache, "--dry-run", "--run-dir", tmp_path,
        "--set", "model.size=tiny", "--pretrained", "none",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    plans = result.output.split("Dry run: nothing is trained")[1:]
    assert len(plans) == len(architectures())
    assert [("model.size=tiny" in plan, "model.pretrained=none" in plan) for plan in plans] == [
        (model == "ast", model in ("ast", "attn_crnn", "finetune", "probe", "resnet18")) for model in architectures()
    ]
    result = invoke("--model", "all", "--data", "demo", "--cache-dir", cache, "--dry-run", "--set", "model.nothing=1")
    assert result.exit_code == 2
    assert "has the settings in model.nothing=1" in result.output


def test_all_mistakes_in_names_and_values_are_told_at_once(cache: Path) -> None:
    result = invoke(
        "--model", "mlp", "--data", "demo", "--cache-dir", cache,
        "--set", "optim.lr=1", "--set", "optim.batch_size=x", "--space", "model.deep=1:2",
    )  # fmt: skip
    assert result.exit_code == 2
    for name in ("'optim.lr'", "optim.batch_size", "'model.deep'"):
        assert name in result.output


def test_a_folder_with_a_run_is_not_overwritten(tmp_path: Path, cache: Path) -> None:
    writer = RecordWriter(tmp_path / "records.jsonl")
    writer.trial_started(0, {}, "sampler")
    writer.close()
    result = invoke("--model", "mlp", "--data", "demo", "--cache-dir", cache, "--run-dir", tmp_path)
    assert result.exit_code == 2
    assert "holds a run already" in result.output


def test_a_folder_has_one_driver(tmp_path: Path, cache: Path) -> None:
    with FileLock(tmp_path / ".lock"):
        result = invoke("--model", "mlp", "--data", "demo", "--cache-dir", cache, "--run-dir", tmp_path)
    assert result.exit_code == 2
    assert f"another process works in {tmp_path}; a run has one driver" in " ".join(result.output.split())
    assert not (tmp_path / "records.jsonl").exists()


@pytest.mark.slow
def test_a_stop_while_features_are_computed_is_heeded_and_resumed(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, store = tmp_path / "run", CorpusFeatures.store

    def stopped_early(*arguments: Any, progress: Any, **named: Any) -> FeatureStore:
        def ask_to_stop(done: int, clips: int) -> None:
            assert done < clips
            request_stop(folder)
            progress(done, clips)

        return store(*arguments, progress=ask_to_stop, **named)

    monkeypatch.setattr(CorpusFeatures, "store", stopped_early)
    monkeypatch.setattr("search.interruption.LOOK_SECONDS", 0.0)
    # Features that no other test has left in the cache.
    options = ["--model", "mlp", "--data", "demo", "--set", "features.hop_ms=13", "--cache-dir", cache]
    stopped = invoke(*options, *QUICK, "--folds", 1, "--run-dir", folder)
    assert stopped.exit_code == 130
    assert f"Go on with:\n  ser search --resume {folder}" in stopped.output
    assert not read_records(folder / "records.jsonl").trials
    run("--resume", folder, "--cache-dir", cache)
    check_whole(folder, "mlp", trials=3)
