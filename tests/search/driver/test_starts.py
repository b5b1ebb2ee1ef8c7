"""A run that begins with a model of one's own: what it takes over, what it refuses, and what it says of the start."""

from __future__ import annotations

import json
import shutil
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from search.driver.batch import batch_of
from search.driver.options import Options
from search.driver.protocol_folds import checked_folds
from search.driver.space import resolve_space
from search.evaluate import app
from search.pages.run_head import page_head
from search.run_folder.plan import SearchPlan
from search.run_folder.run_view import read_run
from ser_core.artifact import ArtifactError
from ser_core.config import ConfigError
from ser_core.trained_clips import TRAINED_FILE, trained_clips
from tests.search.whole_run import tune_here

HEARD = "Begins with a model that has heard the test."
OTHER_SEED = {"seed": 3, "classes": "neutral,angry,sad"}
"""Other test speakers of the demo corpus, of whom the first run was trained on some."""


@pytest.fixture(scope="module")
def first(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a small CNN on the demo corpus."""
    folder = tmp_path_factory.mktemp("starts") / "first"
    return tune_here(cache, model="shallow_cnn", data="demo", run_dir=folder, set_=["model.width=4"])[0]


@pytest.fixture(scope="module")
def second(first: Path, cache: Path) -> tuple[Path, str]:
    """A run that begins with it on a split of which it has heard nothing, and what the terminal showed."""
    return begun(first, cache, "second")


def begun(start: Path, cache: Path, name: str, **options: Any) -> tuple[Path, str]:
    base: dict[str, Any] = {"model": "shallow_cnn", "data": "demo", "run_dir": start.parent / name}
    return tune_here(cache, **{**base, "pretrained": str(start), **options})


def model_of(run: Path) -> Path:
    result = json.loads((run / "result.json").read_text())
    return (run / result["winner"]["models"][0]).resolve()


def test_a_run_takes_architecture_and_features_from_its_start_and_searches_the_rest(
    first: Path, second: tuple[Path, str]
) -> None:
    plan = SearchPlan.load(second[0])
    assert (plan.fixed["start"], plan.fixed["model.width"]) == (str(model_of(first)), 4)
    assert not {"model.width", "features.deltas"} & set(plan.space)
    assert {"model.dropout", "optim.learning_rate"} <= set(plan.space)
    assert plan.start is not None
    assert plan.start.clips_known
    assert (plan.start.test_clips, list(plan.start.test_speakers)) == (0, [])
    result = json.loads((second[0] / "result.json").read_text())
    assert result["start"]["source"] == str(model_of(first))
    assert HEARD not in second[1]
    assert "The first weights are those of first/final/" in second[1]
    assert "classifier is new" not in second[1]


def test_a_run_with_a_start_is_resumed_as_it_was_begun(second: tuple[Path, str], cache: Path) -> None:
    again, _ = tune_here(cache, resume=second[0])
    assert SearchPlan.load(again).start == SearchPlan.load(second[0]).start
    assert len((again / "test_ledger.jsonl").read_text().splitlines()) == 1
    with pytest.raises(ConfigError, match=r"leave --allow-heard-test out"):
        tune_here(cache, resume=second[0], allow_heard_test=True)


def test_a_start_of_a_start_is_remembered_and_counts_as_trained_on(
    first: Path, second: tuple[Path, str], cache: Path
) -> None:
    third, text = begun(second[0], cache, "third", allow_heard_test=True, **OTHER_SEED)
    result = json.loads((third / "result.json").read_text())
    chain = [each["model"] for each in result["start"]["seen"]]
    assert chain == [str(model_of(second[0])), str(model_of(first))]
    own, before = trained_clips(model_of(third)), trained_clips(model_of(second[0]))
    assert own is not None
    assert before is not None
    assert before < own
    about = json.loads((model_of(third) / "config.json").read_text())["about"]
    assert [each["model"] for each in about["start"]["seen"]] == chain
    check_every_output(third, text, result)
    check_evaluation(third, cache)


def check_every_output(run: Path, text: str, result: dict[str, Any]) -> None:
    """Terminal, ledger, result, page, card and comparison say that the start has heard the test."""
    assert HEARD in text
    assert "begins with a model that has heard the test" in text
    assert result["start"]["test_clips"] > 0
    (reading,) = (json.loads(line) for line in (run / "test_ledger.jsonl").read_text().splitlines())
    assert reading["start"]["test_speakers"] == result["start"]["test_speakers"] == ["male3"]
    head = page_head(read_run(run))
    assert HEARD in [banner.word for banner in head.banners]
    assert "that model began with first/final/" in head.lead
    assert HEARD in (run / "dashboard.html").read_text()
    card = (model_of(run) / "README.md").read_text()
    assert HEARD in card
    assert "that model began with first/final/" in card
    assert "The classifier is new, since the classes differ." in card


def check_evaluation(run: Path, cache: Path) -> None:
    """`ser evaluate` knows the clips of every start, and says what began with what."""
    asked = [str(run), "--data", "demo", "--classes", "neutral,angry,sad", "--cache-dir", str(cache)]
    refused = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*asked, "--out", str(run.parent / "no")])
    assert refused.exit_code == 2
    assert "the model was trained on" in " ".join(refused.output.split())
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*asked, "--skip-trained", "--out", str(run.parent / "yes")])
    assert done.exit_code == 0, done.output
    document = json.loads((run.parent / "yes" / "evaluation.json").read_text())
    assert document["training_clips_known"]
    assert "that model began with first/final/" in " ".join(done.output.split())
    assert "it had seen 15 clips and speakers male3" in " ".join(done.output.split())
    assert "Begun with another model." in (run.parent / "yes" / "evaluation.html").read_text()


def test_a_start_that_has_heard_the_test_is_refused_before_any_work(first: Path, cache: Path) -> None:
    message = (
        r"(?s)was trained on \d+ test clips of this run, by their samples: male3-.*and was trained or tuned on clips "
        r"of test speakers of this run: male3\. .*--allow-heard-test, which every output will then state"
    )
    for dry_run in (True, False):
        with pytest.raises(ConfigError, match=message):
            begun(first, cache, "refused", dry_run=dry_run, **OTHER_SEED)
    assert not (first.parent / "refused").exists()
    begun(first, cache, "refused", dry_run=True, seed=3, split="random", allow_heard_test=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "mlp"}, "is a trained shallow_cnn, and --model is mlp: give --model shallow_cnn"),
        ({"model": "auto:mlp,shallow_cnn"}, "is a trained shallow_cnn, with which no other of mlp, shallow_cnn can"),
        ({"set_": ["model.width=8"]}, r"--set model\.width=8: the model to begin with has 4; leave it out"),
        ({"space": ["features.deltas=0,1"]}, r"--space features\.deltas: .* has 1, which cannot be searched"),
        ({"set_": ["start=x"]}, "start has an option of its own, --pretrained"),
    ],
)
def test_what_does_not_agree_with_the_start_is_named(
    options: dict[str, Any], message: str, first: Path, cache: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        begun(first, cache, "refused", dry_run=True, **options)


def test_a_start_that_does_not_say_what_it_was_trained_on_is_refused_unless_that_is_said(
    first: Path, cache: Path, tmp_path: Path
) -> None:
    mute = tmp_path / "mute"
    shutil.copytree(model_of(first), mute)
    (mute / TRAINED_FILE).unlink()
    with pytest.raises(ConfigError, match="does not say which clips it, or a model that it began with, was trained"):
        begun(mute, cache, "refused", dry_run=True)
    _, text = begun(mute, cache, "refused", dry_run=True, allow_heard_test=True)
    assert "Begins with a model of unknown training." in text


def test_a_start_that_is_damaged_or_no_model_yet_is_refused_before_any_work(
    first: Path, cache: Path, tmp_path: Path
) -> None:
    torn = tmp_path / "torn"
    shutil.copytree(model_of(first), torn)
    (torn / "model.safetensors").write_bytes((torn / "model.safetensors").read_bytes()[:-9])
    with pytest.raises(ArtifactError, match="it was truncated or changed"):
        begun(torn, cache, "refused", dry_run=True)
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(ConfigError, match="that run has no model yet; --resume it first"):
        begun(tmp_path, cache, "refused", dry_run=True)


def test_the_option_that_allows_a_heard_test_needs_a_start(cache: Path) -> None:
    with pytest.raises(ConfigError, match="--allow-heard-test is for a run that begins with a trained model"):
        tune_here(cache, model="mlp", data="demo", dry_run=True, allow_heard_test=True)


def test_several_architectures_are_refused_at_once(first: Path) -> None:
    several = Options(model="mlp,shallow_cnn", data="demo", pretrained=str(first))
    with pytest.raises(ConfigError, match="with which no other of mlp, shallow_cnn can begin"):
        batch_of(several, lambda *_: ())


def test_a_fold_whose_test_the_start_has_heard_is_found_before_the_first_is_begun(first: Path, cache: Path) -> None:
    options = Options(model="shallow_cnn", data="demo", split="kfold:4", pretrained=str(first), cache_dir=cache)
    with pytest.raises(ConfigError, match="was trained on 60 test clips of this run"):
        checked_folds("kfold:4", options, Console(file=StringIO()))


def test_what_a_start_needs_is_taken_for_any_architecture(first: Path) -> None:
    space, fixed = resolve_space(
        "shallow_cnn", sets=["features.clip_seconds=2"], spaces=(), max_epochs=None, pretrained=str(first)
    )
    assert fixed["features.clip_seconds"] == 2.0  # a convolution takes any length
    assert all("model.width" not in params for params in space.first)
