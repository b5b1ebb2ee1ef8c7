"""Several runs below one folder: every fold of a protocol, several architectures, and going on where it stopped."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import soundfile
from sklearn.metrics import balanced_accuracy_score
from typer.testing import CliRunner, Result

import ser_core
from search.driver.batch import Batch, batch_of, due_runs
from search.driver.options import Options
from search.run import app
from search.run_folder.predictions import read_predictions
from search.run_folder.run_view import read_run
from ser_core.config import ConfigError
from ser_core.corpora.ravdess import FOLDS

QUICK = [
    "--trials", "2", "--max-epochs", "2", "--folds", "1", "--finalists", "1", "--seeds", "1", "--concurrency", "1",
]  # fmt: skip


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of 24 speakers named as RAVDESS names them: two tones each in two moods, which a model can tell."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    rows = []
    for actor in range(1, 25):
        for emotion, pitch_hz in (("happy", 400), ("sad", 150)):
            for take in range(2):
                times = np.arange(8_000) / 16_000
                tone = np.sin(2 * np.pi * pitch_hz * (1 + 0.02 * rng.normal()) * times) + 0.1 * rng.normal(size=8_000)
                path = folder / f"{actor:02d}-{emotion}-{take}.wav"
                soundfile.write(path, 0.3 * tone, 16_000)
                rows.append([path.name, f"{actor:02d}", emotion, "male" if actor % 2 else "female"])
    with (folder / "corpus.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "speaker", "emotion", "gender"], *rows])
    return folder / "corpus.csv"


def numbered(protocol: str, _options: Options) -> list[str]:
    """Folds of a protocol, without a corpus."""
    return [f"{protocol}:{fold}" for fold in range(1, {"emobox": 6, "luna": 5}.get(protocol, 12) + 1)]


def invoke(*arguments: object) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, list(map(str, arguments)))


def plain(result: Result) -> str:
    return re.sub(r"\s+", " ", result.output)


@pytest.mark.slow
def test_every_fold_of_a_protocol_with_one_search(corpus: Path, cache: Path, tmp_path: Path) -> None:
    folder = tmp_path / "luna"
    options = ["--data", corpus, "--cache-dir", cache, "--split", "luna", "--search-once", *QUICK]
    done = invoke("--model", "mlp", *options, "--run-dir", folder)
    assert done.exit_code == 0, done.output
    document = json.loads((folder / "protocol.json").read_text())
    assert (document["protocol"], document["folds"], document["search"]) == ("luna", 5, "once, on the first fold")
    numbers = document["models"]["mlp"]
    plans = [json.loads((folder / f"fold-{fold}" / "plan.json").read_text()) for fold in range(1, 6)]
    check_folds(folder, plans, numbers)
    # The first fold's winner is trained on all, and whoever reads the scores is told what that means.
    assert [len(plan["space"]) > 0 and plan["limits"]["trials"] for plan in plans] == [2, 1, 1, 1, 1]
    assert len({json.dumps(fold["params"]) for fold in numbers["folds"]}) == 1
    assert numbers["tuned_on_test_speakers"] is True
    assert "searched on one fold, whose training speakers test in others" in plain(done)
    together = (folder / "protocol.html").read_text()
    assert "<h1>luna, 5 folds: mlp</h1>" in together
    assert "Tuned on test speakers." in together
    page = (folder / "fold-2" / "dashboard.html").read_text()
    assert "Tuned on test speakers." in page
    check_going_on(folder, cache, options)


def check_folds(folder: Path, plans: list[dict[str, Any]], numbers: dict[str, Any]) -> None:
    """Every speaker is tested once, in the published fold, and the pooled scores are those of all predictions."""
    tested = [sorted(plan["speakers"]["test"]) for plan in plans]
    assert tested == [sorted(fold) for fold in FOLDS["luna"]]
    parts = [read_predictions(folder / f"fold-{fold}" / "final/test_predictions.csv") for fold in range(1, 6)]
    labels = np.concatenate([part.truth for part in parts])
    told = np.concatenate([part.told[0].argmax(axis=1) for part in parts])
    assert numbers["pooled"]["uar"]["mean"] == pytest.approx(balanced_accuracy_score(labels, told))
    assert numbers["pooled"]["speakers"] == 24
    assert numbers["pooled"]["clips"] == 96
    each = [balanced_accuracy_score(part.truth, part.told[0].argmax(axis=1)) for part in parts]
    assert numbers["over_folds"]["uar"]["mean"] == pytest.approx(np.mean(each))
    assert numbers["over_folds"]["uar"]["std"] == pytest.approx(np.std(each, ddof=1))


def check_going_on(folder: Path, cache: Path, options: list[object]) -> None:
    """A fold that is gone is done again, the others are not, and the folder takes no second batch."""
    (folder / "fold-5" / "result.json").rename(folder / "fold-5" / "gone.json")
    before = {fold: (folder / f"fold-{fold}" / "records.jsonl").stat().st_mtime_ns for fold in range(1, 6)}
    again = invoke("--resume", folder)
    assert again.exit_code == 0, again.output
    after = {fold: (folder / f"fold-{fold}" / "records.jsonl").stat().st_mtime_ns for fold in range(1, 6)}
    assert [fold for fold in before if before[fold] != after[fold]] == [5]
    assert json.loads((folder / "fold-5" / "result.json").read_text())["test_reads"] == 1
    refused = invoke("--model", "mlp", *options, "--run-dir", folder)
    assert refused.exit_code == 2
    assert "holds runs already; --resume" in plain(refused)


@pytest.mark.slow  # three runs
def test_groups_of_speakers_as_folds_end_with_one_interval(corpus: Path, cache: Path, tmp_path: Path) -> None:
    folder = tmp_path / "kfold"
    options = ["--data", corpus, "--cache-dir", cache, "--split", "kfold:3", *QUICK]
    done = invoke("--model", "mlp", *options, "--run-dir", folder)
    assert done.exit_code == 0, done.output
    document = json.loads((folder / "protocol.json").read_text())
    assert (document["protocol"], document["folds"], document["search"]) == ("kfold:3", 3, "per fold")
    numbers = document["models"]["mlp"]
    assert [fold["split"] for fold in numbers["folds"]] == ["kfold:3:1", "kfold:3:2", "kfold:3:3"]
    assert sorted(name for fold in numbers["folds"] for name in fold["test_speakers"]) == [
        f"{actor:02d}" for actor in range(1, 25)
    ]
    assert numbers["pooled"]["speakers"] == 24
    assert numbers["tuned_on_test_speakers"] is False
    assert "<h1>kfold:3, 3 folds: mlp</h1>" in (folder / "protocol.html").read_text()
    for fold in numbers["folds"]:
        (trained,) = (folder / fold["run"] / "final").glob("trial-*/trained_on.txt")
        assert len(trained.read_text().split()) == 96 - 4 * len(fold["test_speakers"])


def trials_of(folder: Path) -> list[tuple[object, ...]]:
    trials = read_run(folder).records.trials.values()
    return [(t.params, t.state, t.value, [epoch.score("uar") for epoch in t.epochs]) for t in trials]


@pytest.mark.slow  # four runs
def test_runs_side_by_side_are_those_that_they_would_be_alone_on_one_start_of_ray(
    corpus: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts: list[object] = []
    begin = ray.init
    monkeypatch.setattr(ray, "init", lambda **options: starts.append(options) or begin(**options))
    options = ["--model", "mlp", "--data", corpus, "--cache-dir", cache, *QUICK, "--trials", "5", "--max-epochs", "9"]
    both = invoke(*options, "--split", "kfold:2", "--run-dir", tmp_path / "both")
    assert both.exit_code == 0, both.output
    assert len(starts) == 1
    assert re.search(r"fold-1 is done \| 1 of 2 runs ended.*fold-2 is done \| 2 of 2 runs ended", plain(both))
    for fold in (1, 2):
        alone = invoke(*options, "--split", f"kfold:2:{fold}", "--run-dir", tmp_path / str(fold))
        assert alone.exit_code == 0, alone.output
        assert trials_of(tmp_path / "both" / f"fold-{fold}") == trials_of(tmp_path / str(fold))
        results = [read_run(folder).result for folder in (tmp_path / "both" / f"fold-{fold}", tmp_path / str(fold))]
        assert results[0] is not None
        assert results[1] is not None
        assert results[0]["test"] == results[1]["test"]


def test_folds_that_cannot_be_made_are_refused_before_the_first_is_begun(corpus: Path, cache: Path) -> None:
    options = ["--model", "mlp", "--data", corpus, "--cache-dir", cache, "--dry-run"]
    assert "kfold:25 needs as many speakers as folds; corpus has 24" in plain(invoke(*options, "--split", "kfold:25"))
    assert "takes a whole number of at least 2, as kfold:5" in plain(invoke(*options, "--split", "kfold"))
    done = invoke(*options, "--split", "kfold:2")
    assert done.exit_code == 0, done.output
    assert [f"kfold:2:{fold}" in done.output for fold in (1, 2)] == [True, True]


@pytest.mark.slow  # three runs
def test_several_architectures_end_with_their_ensemble_and_leaderboard(
    corpus: Path, cache: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "two"
    data = ["--data", corpus, "--cache-dir", cache, "--set", "features.clip_seconds=0.5", "--set", "model.lstm_units=8"]
    # The CNN needs more frames than half a second has, so it fails in every trial, and the others go on without it.
    done = invoke("--model", "mlp,cnn_lstm,shallow_cnn", *data, *QUICK, "--run-dir", folder)
    assert done.exit_code == 1, done.output
    assert "not run: shallow_cnn" in plain(done)
    document = json.loads((folder / "ensemble.json").read_text())
    assert list(document["weights"]) == ["mlp", "cnn_lstm"]
    assert sum(document["weights"].values()) == pytest.approx(1)
    assert 0 <= document["test"]["uar"]["value"] <= 1
    assert "weights from validation clips" in plain(done)
    noise = np.random.default_rng(0).normal(size=8_000).astype(np.float32)
    each = [ser_core.load(next((folder / model / "final").glob("trial-*"))) for model in document["weights"]]
    expected = sum(w * own.probabilities(noise) for w, own in zip(document["weights"].values(), each, strict=True))
    np.testing.assert_allclose(ser_core.load(folder).probabilities(noise), expected, atol=1e-6)
    board = json.loads((folder / "leaderboard.json").read_text())
    assert {run["model"] for run in board["runs"]} == {"mlp", "cnn_lstm"}
    assert list(board["not_run"]) == ["shallow_cnn"]


def test_what_makes_a_batch() -> None:
    assert batch_of(Options(data="x", model="mlp", split="emobox:3"), numbered) is None
    assert batch_of(Options(data="x", model="mlp", split="kfold:5:2"), numbered) is None
    single = batch_of(Options(data="x", model="mlp", split="emobox"), numbered)
    assert single is not None
    assert [member.split for member in single.members] == [f"emobox:{fold}" for fold in range(1, 7)]
    assert [member.taken_from for member in single.members] == [""] * 6
    both = batch_of(Options(data="x", model="mlp, cnn_lstm", split="luna", search_per_fold=False), numbered)
    assert both is not None
    assert [member.folder for member in both.members][4:7] == ["mlp-fold-5", "cnn_lstm-fold-1", "cnn_lstm-fold-2"]
    assert both.members[6].taken_from == "cnn_lstm-fold-1"
    many = batch_of(Options(data="x", model="mlp", split="loso"), numbered)
    assert many is not None
    folders = [member.folder for member in many.members]
    assert folders == sorted(folders)  # as every reader of the folder finds them
    assert folders[::11] == ["fold-01", "fold-12"]


def batch_at(**options: Any) -> Batch:
    batch = batch_of(Options(**{"data": "x", "model": "mlp", "split": "luna", **options}), numbered)
    assert batch is not None
    return batch


def test_a_batch_is_kept_without_the_password(tmp_path: Path) -> None:
    secret = "postgresql://me:secret@host/db"
    batch = batch_at(storage=secret, warm_start=f"{secret}#study", cache_dir=tmp_path)
    assert [options.storage for _, options in due_runs(batch, tmp_path, Options())] == [secret] * 5
    assert "secret" not in (tmp_path / "batch.json").read_text()
    kept = Batch.load(tmp_path)
    assert kept.options.warm_start == "postgresql://me@host/db#study"
    assert kept.options.cache_dir == tmp_path
    assert kept.folds == tuple(f"luna:{fold}" for fold in range(1, 6))
    (tmp_path / "batch.json").write_text("{}")
    with pytest.raises(ConfigError, match="is not a batch that this version can read"):
        Batch.load(tmp_path)


def test_a_batch_of_an_early_version_has_the_published_folds(tmp_path: Path) -> None:
    batch_at().save(tmp_path)
    early = json.loads((tmp_path / "batch.json").read_text())
    assert early.pop("folds")
    (tmp_path / "batch.json").write_text(json.dumps(early))
    assert Batch.load(tmp_path).members == batch_at().members
    (tmp_path / "batch.json").write_text(json.dumps({**early, "protocol": "loso"}))
    with pytest.raises(ConfigError, match="it names no folds of loso"):
        Batch.load(tmp_path)


def test_a_resumed_batch_takes_limits_and_nothing_else(tmp_path: Path) -> None:
    call = Options(skip_bad=True, resume=tmp_path)
    due = due_runs(batch_at(trials=5), tmp_path, replace(call, trials=9))
    assert [(options.trials, options.skip_bad) for _, options in due] == [(9, True)] * 5  # not begun yet
    with pytest.raises(ConfigError, match="leave out --set, --seed"):
        due_runs(batch_at(), tmp_path, replace(call, seed=1, set_=["a=b"]))
    for member in batch_at().members:
        (tmp_path / member.folder).mkdir()
        (tmp_path / member.folder / "result.json").write_text("{}")
    # More machines change nothing of a run that has ended, more trials do.
    assert due_runs(batch_at(), tmp_path, replace(call, concurrency=1)) == []
    assert len(due_runs(batch_at(), tmp_path, replace(call, trials=9))) == 5
    (tmp_path / "fold-2" / "plan.json").write_text("{}")
    with pytest.raises(ConfigError, match="fold-2 took the winner of the first fold, which --trials could change"):
        due_runs(batch_at(search_per_fold=False), tmp_path, replace(call, trials=9))


def limits(batch: Batch, folder: Path, call: Options | None = None) -> list[tuple[float | None, int | None]]:
    return [(own.hours, own.epochs_total) for _, own in due_runs(batch, folder, call or Options())]


def test_limits_of_a_batch_are_for_all_runs_together(tmp_path: Path) -> None:
    assert limits(batch_at(), tmp_path) == [(None, None)] * 5
    assert limits(batch_at(hours=10, epochs_total=103), tmp_path) == [(2, 20)] * 5
    assert limits(batch_at(hours_per_run=3), tmp_path) == [(3, None)] * 5
    assert limits(batch_at(hours=10, hours_per_run=1.5), tmp_path) == [(1.5, None)] * 5
    once = batch_at(hours=10, epochs_total=100, search_per_fold=False)
    assert limits(once, tmp_path) == [(2, 100)] + [(2, None)] * 4  # what searches nothing needs no epochs for it
    with pytest.raises(ConfigError, match="must be at least 1 for each of 5 searches; got 4"):
        due_runs(batch_at(epochs_total=4), tmp_path, Options())
    with pytest.raises(ConfigError, match="--hours-per-run is for several runs"):
        batch_of(Options(data="x", model="mlp", hours_per_run=1), numbered)


def test_a_resumed_batch_shares_out_the_limits_that_are_given_anew(tmp_path: Path) -> None:
    batch = batch_at(hours=10, epochs_total=100)
    (tmp_path / "fold-1").mkdir()
    (tmp_path / "fold-1" / "plan.json").write_text("{}")
    call = Options(resume=tmp_path)
    assert limits(batch, tmp_path, call) == [(None, None)] + [(2, 20)] * 4  # the first has its share in its plan
    assert limits(batch, tmp_path, replace(call, hours=20)) == [(4, None)] + [(4, 20)] * 4
    assert limits(batch, tmp_path, replace(call, epochs_total=200)) == [(None, 40)] + [(2, 40)] * 4


def test_a_batch_of_an_early_version_goes_on_with_limits_for_each_run(tmp_path: Path) -> None:
    batch_at(hours=3, epochs_total=50).save(tmp_path)
    early = json.loads((tmp_path / "batch.json").read_text())
    assert early.pop("limits_shared")
    (tmp_path / "batch.json").write_text(json.dumps(early))
    batch = Batch.load(tmp_path)
    assert limits(batch, tmp_path) == [(3, 50)] * 5
    batch.save(tmp_path)
    assert Batch.load(tmp_path) == batch


def test_paths_of_a_batch_hold_wherever_it_is_resumed_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "corpus").mkdir()
    monkeypatch.chdir(tmp_path)
    assert batch_at(data="corpus").options.data == str(tmp_path / "corpus")
    assert batch_at(cache_dir=Path("cache")).options.cache_dir == tmp_path / "cache"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "mlp,nope", "--data", "demo"], "unknown architectures nope; known: ast"),
        (["--model", "mlp", "--data", "demo", "--search-once"], "are for every fold of a protocol"),
        (["--data", "demo", "--split", "luna"], "--model must be given"),
        (["--model", "mlp", "--data", "demo", "--split", "loso", "--search-once"], "is for emobox and luna"),
        (
            ["--model", "mlp,ast", "--data", "demo", "--set", "model.lstm_units=8"],
            "none of mlp, ast has the settings in",
        ),
    ],
)
def test_what_cannot_be_a_batch_says_why(options: list[str], message: str) -> None:
    result = invoke(*options)
    assert result.exit_code == 2
    assert message in plain(result)
