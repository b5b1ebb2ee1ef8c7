"""`search.tune` and `search.load`: a run from Python, as the command line does it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

import search
from search.driver.opened_run import Run
from search.run_folder.run_view import RunFolderError
from search.run_folder.scoring import best_third
from ser_core.config import ConfigError
from ser_core.ensemble import models_of


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Run:
    """A small run on the demo corpus, made once; not to be changed."""
    return search.tune(
        model="mlp", data="demo", classes="neutral,angry,sad", trials=4, max_epochs=3, grace_epochs=1, finalists=1,
        seeds=2, folds=1, concurrency=1, set_=["features.clip_seconds=1.4"], cache_dir=str(cache),
        run_dir=tmp_path_factory.mktemp("runs") / "small", quiet=True,
    )  # fmt: skip


def test_a_run_from_python_is_the_run_of_the_command_line(run: Run) -> None:
    assert run.result is not None
    assert run.result["search"]["trials"]["complete"] + run.result["search"]["trials"]["pruned"] == 4
    assert run.result["command"].startswith("ser search --model mlp --data demo --classes neutral,angry,sad --trials 4")
    assert repr(run) == f"<Run {run.folder}: mlp, test UAR {run.result['test']['ensemble']['uar']['value']:.3f}>"
    assert search.load(str(run.folder)).result == run.result


def test_trials_are_a_table_that_agrees_with_optuna(run: Run) -> None:
    trials = run.trials
    assert list(trials.columns[:6]) == ["number", "state", "reason", "value", "best_epoch", "seconds"]
    assert list(trials["number"]) == [0, 1, 2, 3]
    assert "optim.learning_rate" in trials.columns
    study = run.study
    assert [trial.state.name for trial in study.trials] == list(trials["state"])
    told = [[*study.trials[number].intermediate_values.values()] for number in trials["number"]]
    np.testing.assert_allclose(trials["value"], [best_third(values) for values in told])


def test_epochs_are_a_tidy_table_of_search_and_finals(run: Run) -> None:
    epochs = run.epochs
    assert set(epochs["phase"]) == {"search", "finalist", "refit"}
    scores = epochs[epochs["phase"] == "search"].groupby("trial")["val_uar"].agg(lambda own: best_third(own.tolist()))
    np.testing.assert_allclose(scores.to_numpy(), run.trials["value"].to_numpy())
    assert epochs[epochs["phase"] == "refit"]["val_uar"].isna().all()
    assert sorted(set(epochs[epochs["phase"] == "refit"]["seed"])) == [1, 2]


def test_predictions_are_a_tidy_table_that_agrees_with_the_result(run: Run) -> None:
    clips, result = run.predictions, run.result
    assert result is not None
    assert list(clips.columns[:7]) == ["clip_id", "speaker", "gender", "seed", "emotion", "predicted", "right"]
    assert len(clips) == 2 * result["test"]["clips"]
    shares = clips.groupby("seed")["right"].mean()
    np.testing.assert_allclose(shares, result["test"]["war"]["seeds"])
    words = result["corpus"]["classes"]
    np.testing.assert_allclose(clips[[f"p_{word}" for word in words]].sum(axis=1), 1, atol=1e-4)


def test_every_figure_of_the_page_is_a_plotly_figure(run: Run) -> None:
    figures = run.figures
    page = (run.folder / "dashboard.html").read_text(encoding="utf-8")
    drawn = re.findall(r'"name": ?"(\w+)", ?"title"', page)
    assert sorted(figures) == sorted(drawn)
    assert all(isinstance(figure, go.Figure) and figure.data for figure in figures.values())


def test_a_run_shows_itself_in_a_notebook(run: Run) -> None:
    html = run._repr_html_()
    assert run.result is not None
    assert f"{100 * run.result['test']['ensemble']['uar']['value']:.1f} %" in html
    assert "Synthetic corpus." in html
    assert html.count("<svg") == 1
    assert "<script" not in html
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"|<rdf:RDF.*?</rdf:RDF>', "", html, flags=re.DOTALL)


def test_a_run_that_has_not_ended_shows_how_far_it_is(run_maker: Callable[..., Any]) -> None:
    unfinished = search.load(run_maker(trials=5, max_epochs=4).search(3, fail_every=0).folder)
    html = unfinished._repr_html_()
    assert "not finished" in html
    assert "3 of 5" in html
    assert len(unfinished.predictions) == 0
    assert "right" in unfinished.predictions
    hostile = search.load(run_maker("hostile", model="<img src=x>", trials=2).folder)
    assert "<img" not in hostile._repr_html_()
    assert "<svg" not in hostile._repr_html_()  # no trial has a score


def test_the_best_model_predicts(run: Run) -> None:
    model = run.best_model
    noise = np.random.default_rng(0).normal(size=model.sample_rate_hz).astype(np.float32)
    assert model.probabilities(noise).shape == (3,)
    assert model.probabilities(noise).sum() == pytest.approx(1, abs=1e-5)


def test_predicting_with_a_run_folder_takes_its_models(run: Run) -> None:
    assert models_of(run.folder) == models_of(run.folder / "final") == run.folder / "final"
    (one, _) = sorted((run.folder / "final").glob("trial-*"))
    assert models_of(one) == one


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "mlp"}, "--data must be given"),
        ({"model": "mlp", "data": "demo", "trails": 3}, "Did you mean trials?"),
        ({"model": "mlp,ast", "data": "demo"}, "search.tune does one run"),
        ({"model": "mlp", "data": "demo", "split": "luna"}, "search.tune does one run"),
        ({"model": "mlp", "data": "demo", "dry_run": True}, "a dry run is no run"),
    ],
)
def test_what_python_cannot_ask_for_is_an_ordinary_exception(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        search.tune(**options)


def test_a_folder_without_a_run_cannot_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"a run folder holds plan\.json"):
        search.load(tmp_path)


def test_importing_the_package_loads_nothing() -> None:
    program = "import sys, search; print(*[name for name in sys.modules if name.split('.')[0] in ('search', 'torch')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["search"]
