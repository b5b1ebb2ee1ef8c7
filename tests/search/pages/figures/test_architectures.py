"""Where the time of a search over several architectures went, on its page and in the figures that all runs have."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from search.comparison.comparable import runs_in
from search.comparison.leaderboard import label
from search.pages.figures import architectures, finalists, learning_curves, survival
from search.pages.run_head import page_head
from search.pages.sections import run_sections
from search.run_folder.run_view import read_run
from search.run_folder.standing import tally
from tests.search.run_maker import RunMaker
from tests.search.several_runs import finished_with, made_of_several


def test_seconds_trials_and_scores_are_counted_by_architecture(run_maker: Callable[..., RunMaker]) -> None:
    run = read_run(made_of_several(run_maker).folder)
    info = architectures.info(run)
    assert info is not None
    assert [(each.name, [point.trial for point in each.points]) for each in info.spendings] == [
        ("mlp", [0, 2]), ("shallow_cnn", [1, 3, 4])
    ]  # fmt: skip
    assert [point.spent for point in info.spendings[0].points] == pytest.approx([3.1, 4.2])
    assert [point.spent for point in info.spendings[1].points] == pytest.approx([90.1, 100.2, 190.3])
    assert [each.best for each in info.spendings] == [0.45, 0.60]  # a failed trial's score is none
    assert [point.elapsed for point in info.spendings[1].points] == pytest.approx([93.0, 104.0, 194.0])
    assert architectures.reading(info) == (
        "Trials took 3 min of training: shallow_cnn had 97.8 % of it with 3 trials, best 60.0 %; mlp had 2.2 % of "
        "it with 2 trials, best 45.0 %."
    )


def test_time_between_sessions_is_no_time_of_the_search(run_maker: Callable[..., RunMaker]) -> None:
    maker = made_of_several(run_maker)
    before = architectures.info(read_run(maker.folder))
    maker.now += 1000.0
    maker.writer.session()
    maker.writer.trial_started(5, maker.writer.records.trials[0].params, "sampler")
    maker.now += 3.0
    maker.epochs(5, [0.5] * 6, seconds=0.5)
    maker.end(5, "COMPLETE")
    after = architectures.info(read_run(maker.folder))
    assert before is not None
    assert after is not None
    assert after.spendings[0].points[-1].elapsed == pytest.approx(before.spendings[1].points[-1].elapsed + 3.0)


def test_a_run_of_one_architecture_has_no_such_figure(run_maker: Callable[..., RunMaker]) -> None:
    names = [[each.name for part in run_sections(read_run(folder)) for each in part.figures] for folder in (
        run_maker("one", trials=5).search().folder, made_of_several(run_maker).folder
    )]  # fmt: skip
    assert ["architectures" in each for each in names] == [False, True]


def test_epochs_saved_are_those_of_each_architectures_own_schedule(run_maker: Callable[..., RunMaker]) -> None:
    run = read_run(made_of_several(run_maker).folder)
    info = survival.info(run)
    assert info is not None
    assert info.epochs_saved == 4  # of 6, not of 9
    assert info.saved == (0, 0, 1, 1, 1, 1, 0, 0, 0)
    assert tally(run.records, {"mlp": 6, "shallow_cnn": 9}).epochs_saved == 4
    curves = learning_curves.info(run)
    assert curves is not None
    assert curves.rungs == run.rungs == ()  # each has rungs of its own


def test_readers_are_told_which_architecture_won(run_maker: Callable[..., RunMaker]) -> None:
    maker = made_of_several(run_maker)
    assert page_head(read_run(maker.folder)).title == "auto (mlp, shallow_cnn) on ravdess"
    folder = finished_with(maker, "shallow_cnn")
    run = read_run(folder)
    head = page_head(run)
    assert head.title == "auto (shallow_cnn) on ravdess"
    rows = {row.name: row for row in head.settings}
    assert rows["shallow_cnn/model.width"].recipe == "16"
    assert rows["shallow_cnn/optim.epochs"].searched == "fixed"
    assert not any(name.startswith("mlp/") for name in rows)
    assert label(run) == "auto (shallow_cnn) (several)"
    assert list(runs_in([folder])) == ["auto (shallow_cnn)"]
    info = finalists.info(run)
    assert info is not None
    found = {each.trial: (each.architecture, each.recipe) for each in info.finalists}
    assert found == {0: ("mlp", True), 1: ("shallow_cnn", True), 4: ("shallow_cnn", False)}
    drawn = json.loads(finalists.figure(info).to_json())
    assert any("mlp recipe, trial 0" in text for trace in drawn["data"] for text in trace["y"])
