"""Training on one corpus and testing on another: what is planned, refused, resumed, and done."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from rich.console import Console
from typer.testing import CliRunner

from search.compare import app as compare
from search.driver.options import Options
from search.driver.planning import prepare
from search.run import app
from search.run_folder.paths import PLAN_FILE
from search.run_folder.plan import WarmStart
from ser_core.clips import CorpusError
from ser_core.config import ConfigError

Corpus = Callable[..., Path]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Makes a manifest of speakers who are happy at 400 Hz and sad at 150 Hz, as a model can tell."""
    folder, rng = tmp_path_factory.mktemp("corpora"), np.random.default_rng(0)

    def make(
        name: str, speakers: int, words: tuple[str, ...] = ("happy", "sad"), *, happy_hz: int = 400, sad_hz: int = 150
    ) -> Path:
        rows = []
        for speaker in range(speakers):
            for word in words:
                for take in range(2):
                    pitch_hz = {"happy": happy_hz, "sad": sad_hz}.get(word, 250) * (1 + 0.05 * rng.normal())
                    tone = np.sin(2 * np.pi * pitch_hz * np.arange(8_000) / 16_000) + 0.1 * rng.normal(size=8_000)
                    path = folder / f"{name}-{speaker}-{word}-{take}.wav"
                    soundfile.write(path, 0.3 * tone, 16_000)
                    rows.append([path.name, str(speaker), word, name])
        with (folder / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([["path", "speaker", "emotion", "language"], *rows])
        return folder / f"{name}.csv"

    return make


def planned(cache: Path, **options: Any) -> Any:
    asked = Options(model="mlp", **{name: str(value) for name, value in options.items()})
    return prepare(asked, None, cache, Console(quiet=True))


def test_the_test_corpus_is_tested_and_nothing_else(made: Corpus, cache: Path, tmp_path: Path) -> None:
    here, there = made("here", 6, ("happy", "sad", "calm")), made("there", 3)
    plan, manifest, split = planned(cache, data=here, test_data=there)
    assert plan.split == "logo:corpus:there"
    assert plan.corpus.name == "here+there"
    assert manifest.classes == ("happy", "sad")
    assert plan.speakers.test == ["there/0", "there/1", "there/2"]
    assert {name[:5] for name in (*plan.speakers.fit, *plan.speakers.validation)} == {"here/"}
    assert plan.test_data == str(there)
    plan.save(tmp_path)
    again, _, same = prepare(Options(resume=tmp_path), type(plan).load(tmp_path), cache, Console(quiet=True))
    assert again.differences(plan) == []
    np.testing.assert_array_equal(same.test, split.test)


def test_several_corpora_are_one_and_may_be_left_out_in_turn(made: Corpus, cache: Path) -> None:
    data = f"{made('one', 4)},{made('two', 3)}"
    plan, manifest, _ = planned(cache, data=data, split="logo:language:two", balance="speaker")
    assert plan.data == data
    assert {name.partition("/")[0] for name in plan.speakers.test} == {"two"}
    assert len(manifest.clips) == 28
    result = CliRunner(env={"COLUMNS": "200"}).invoke(
        app, ["--model", "mlp", "--data", data, "--cache-dir", str(cache), "--split", "logo:corpus", "--dry-run"]
    )
    assert result.exit_code == 0, result.output
    assert [f"logo:corpus:{name}" in result.output for name in ("one", "two")] == [True, True]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"split": "speaker"}, ConfigError, "--test-data is all that is tested; leave --split speaker out"),
        ({"balance": "corpus"}, ConfigError, "--balance corpus: all clips to train on have the same corpus"),
        ({"balance": "age"}, CorpusError, r"has no column 'age'; it has speaker, emotion, gender, corpus, language"),
    ],
)
def test_what_cannot_be_is_refused(
    made: Corpus, cache: Path, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        planned(cache, data=made("this", 5), test_data=made("that", 3), **options)


def test_speakers_are_recognised_in_joined_corpora() -> None:
    warm = WarmStart(source="runs/x", configurations=[{}], corpus="ravdess", speakers=["01", "02"])
    assert warm.tested_on("ravdess", ["02", "03"]).test_speakers == ["02"]
    assert warm.tested_on("ravdess+urdu", ["ravdess/02", "urdu/01"]).test_speakers == ["ravdess/02"]
    assert warm.tested_on("urdu", ["01"]).test_speakers == []
    joined = replace(warm, corpus="ravdess+urdu", speakers=["ravdess/01", "urdu/M1"])
    assert joined.tested_on("urdu", ["M1", "M2"]).test_speakers == ["M1"]


@pytest.fixture(scope="module")
def rated(made: Corpus) -> Corpus:
    """Makes a manifest whose clips are rated on a scale: happy ones high, sad ones low."""

    def make(name: str, speakers: int, low: float, high: float) -> Path:
        path = made(name, speakers)
        header, *lines = path.read_text().splitlines()
        step = (high - low) / 8
        told = [
            f"{line},{high - step * (row % 2) if 'happy' in line else low + step * (row % 2)}"
            for row, line in enumerate(lines)
        ]
        path.write_text("\n".join([f"{header},arousal", *told]) + "\n")
        return path

    return make


def test_ratings_on_other_scales_are_tested_on_the_first_one(rated: Corpus, cache: Path, tmp_path: Path) -> None:
    here, there = rated("rated_here", 5, 1, 5), rated("rated_there", 3, 0, 100)
    asked = {"data": here, "test_data": there, "target": "arousal"}
    with pytest.raises(
        CorpusError, match=r"rating of rated_here, rated_there \(arousal\), as in --scale rated_here=1:7,"
    ):
        planned(cache, **asked)
    scale = "rated_here=1:5,rated_there=0:100"
    plan, manifest, split = planned(cache, **asked, scale=scale)
    assert (plan.corpus.mapped, plan.scale) == ("rated_there: arousal, 0 to 100, as 1 to 5", scale)
    assert sorted(set(manifest.truth[split.test, 0].tolist())) == [1, 1.5, 4.5, 5]
    assert plan.speakers.test == ["rated_there/0", "rated_there/1", "rated_there/2"]
    plan.save(tmp_path)
    old = type(plan).load(tmp_path)
    again, _, _ = prepare(Options(resume=tmp_path), old, cache, Console(quiet=True))
    assert again.differences(plan) == []
    with pytest.raises(ConfigError, match=r"--scale: .* in the run, rated_here=1:7,rated_there=0:100 now"):
        prepare(Options(resume=tmp_path, scale="rated_here=1:7,rated_there=0:100"), old, cache, Console(quiet=True))
    with pytest.raises(CorpusError, match=r"--scale names a; the corpus is rated_here, with arousal"):
        planned(cache, data=here, target="arousal", scale="a=1:5")
    with pytest.raises(CorpusError, match=r"--scale rated_here=1:5 is for ratings"):
        planned(cache, data=here, scale="rated_here=1:5")


def test_the_scale_of_one_corpus_is_kept_and_runs_of_versions_that_kept_none_go_on(
    rated: Corpus, cache: Path, tmp_path: Path
) -> None:
    plan, _, _ = planned(cache, data=rated("alone", 5, 1, 5), target="arousal", scale="alone=1:7")
    assert plan.corpus.scales == {"arousal": (1, 7)}
    plan.save(tmp_path)
    document = json.loads((tmp_path / PLAN_FILE).read_text())
    assert document["corpus"].pop("scales") == {"arousal": [1, 7]}
    (tmp_path / PLAN_FILE).write_text(json.dumps(document))
    old = type(plan).load(tmp_path)
    assert old.corpus.scales == {}
    again, _, _ = prepare(Options(resume=tmp_path), old, cache, Console(quiet=True))
    assert again.corpus.scales == plan.corpus.scales


@pytest.mark.slow  # a whole run
def test_a_model_of_ratings_is_searched_on_one_corpus_and_tested_on_another(
    rated: Corpus, cache: Path, tmp_path: Path
) -> None:
    here, there = rated("searched", 5, 1, 5), rated("tested", 3, 0, 100)
    call = ["--model", "mlp", "--data", here, "--test-data", there, "--target", "arousal", "--cache-dir", cache]
    call += ["--scale", "searched=1:5,tested=0:100", "--trials", "1", "--max-epochs", "8", "--finalists", "1"]
    call += ["--seeds", "1", "--folds", "1", "--concurrency", "1", "--run-dir", tmp_path / "run"]
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*map(str, call)])
    assert done.exit_code == 0, done.output
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["corpus"]["mapped"] == "tested: arousal, 0 to 100, as 1 to 5"
    assert result["test"]["clips"] == 12
    scatter = result["test"]["per_dimension"]["arousal"]["scatter"]
    assert {rating for rating, _ in scatter} == {1, 1.5, 4.5, 5}  # on the scale of the first
    assert result["test"]["rmse"]["mean"] < 2.5


@pytest.mark.slow  # two runs, each with a Ray of its own
def test_each_corpus_is_tested_by_models_of_the_other(made: Corpus, cache: Path, tmp_path: Path) -> None:
    data = f"{made('left', 5)},{made('right', 4)},{made('more', 3)}"
    quick = ["--trials", "2", "--max-epochs", "2", "--finalists", "1", "--seeds", "1", "--concurrency", "1"]
    call = ["--model", "mlp", "--data", data, "--cache-dir", cache, "--split", "logo:corpus", "--balance", "corpus"]
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*map(str, call), *quick, "--run-dir", str(tmp_path / "logo")])
    assert done.exit_code == 0, done.output
    document = json.loads((tmp_path / "logo" / "protocol.json").read_text())
    numbers = document["models"]["mlp"]
    assert [fold["split"] for fold in numbers["folds"]] == [f"logo:corpus:{name}" for name in ("left", "more", "right")]
    assert numbers["pooled"]["speakers"] == 12
    assert numbers["pooled"]["uar"]["mean"] > 0.8  # tones of the same moods


@pytest.mark.slow  # six runs, which share a Ray
def test_each_corpus_is_tested_by_models_of_each_other(made: Corpus, cache: Path, tmp_path: Path) -> None:
    """The matrix is that of the predictions, by hand, and the same in protocol.json, on the page and in ser compare."""
    names, models = ("first", "other", "third"), ("mlp", "svm")
    others = made("third", 2, happy_hz=150, sad_hz=400)  # whose moods sound like those of the others turned round
    data = f"{made('first', 3)},{made('other', 4)},{others}"
    call = ["--model", ",".join(models), "--data", data, "--cache-dir", cache, "--split", "pairs:corpus"]
    call += ["--trials", "1", "--finalists", "1", "--seeds", "1", "--folds", "1", "--concurrency", "1"]
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*map(str, call), "--run-dir", str(tmp_path / "pairs")])
    assert done.exit_code == 0, done.output
    document = json.loads((tmp_path / "pairs" / "protocol.json").read_text())
    numbers = document["models"]["mlp"]
    assert [fold["split"] for fold in numbers["folds"]] == [f"pairs:corpus:{name}" for name in names]
    assert (numbers["clips"], numbers["pooled"]["clips"], numbers["pooled"]["speakers"]) == (36, 72, 9)
    for name, fold in zip(names, numbers["folds"], strict=True):
        assert set(fold["tested"]) == set(names) - {name}
        assert not [speaker for speaker in fold["test_speakers"] if speaker.startswith(f"{name}/")]
        with (tmp_path / "pairs" / fold["run"] / "final" / "test_predictions.csv").open() as file:
            rows = list(csv.DictReader(file))
        for tested, own in fold["tested"].items():
            told = [(row["emotion"], row["predicted"]) for row in rows if row["clip_id"].startswith(f"{tested}/")]
            recalls = [np.mean([said == word for truth, said in told if truth == word]) for word in ("happy", "sad")]
            assert own["uar"]["value"] == pytest.approx(np.mean(recalls))
    matrix = {fold["run"]: [own["uar"]["value"] for own in fold["tested"].values()] for fold in numbers["folds"]}
    assert [round(value) for row in matrix.values() for value in row] == [1, 0, 1, 0, 0, 0]
    assert "mlp: UAR, trained on a row, tested on a column" in done.output
    page = (tmp_path / "pairs" / "protocol.html").read_text()
    assert "Every speaker is tested by models of each other corpus, and counts once for each of them: 36 clips" in page
    assert "Across groups: trained on some, tested on others" in page
    board = CliRunner(env={"COLUMNS": "200"}).invoke(
        compare, [str(tmp_path / "pairs"), "--json", str(tmp_path / "board.json")]
    )
    assert board.exit_code == 0, board.output
    assert "svm: UAR, trained on a row, tested on a column" in board.output
    kept = json.loads((tmp_path / "board.json").read_text())
    assert kept["test"] == {"clips": 36, "speakers": 9}
    own = next(run["matrix"] for run in kept["runs"] if run["model"] == "mlp")
    assert own == {name: fold["tested"] for name, fold in zip(names, numbers["folds"], strict=True)}
