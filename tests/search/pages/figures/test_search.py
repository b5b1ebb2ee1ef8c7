"""The figures of the search: what they extract, against Optuna's own where it has the figure, and what they draw."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import create_trial
from optuna.visualization._contour import _get_contour_info
from optuna.visualization._edf import _get_edf_info
from optuna.visualization._parallel_coordinate import _get_parallel_coordinate_info
from scipy.stats import spearmanr

from search.pages.figures import (
    contour,
    edf,
    failures,
    history,
    importance,
    parallel,
    rank_agreement,
    survival,
    timeline,
)
from search.pages.figures._knobs import Scale, scale_of
from search.pages.knob_importance import knob_importance
from search.run_folder.records import TrialRecord, TrialState
from search.run_folder.run_view import RunView, Share, read_run
from search.run_folder.rungs import GRACE_SPEARMAN, agreement_with_end, find_grace_epochs, padded
from ser_core.named_scores import UAR

ENDED = (TrialState.COMPLETE, TrialState.PRUNED)


def view(maker: Any) -> RunView:
    run = read_run(maker.folder)
    return replace(run, importance=knob_importance(run))


@pytest.fixture
def searched(run_maker: Callable[..., Any]) -> RunView:
    return view(run_maker("searched").search())


@pytest.fixture(scope="module")
def thousand(thousand_trials: Path) -> RunView:
    return read_run(thousand_trials)


def distribution(knob: dict[str, Any]) -> optuna.distributions.BaseDistribution:
    if knob["type"] == "float":
        return optuna.distributions.FloatDistribution(knob["low"], knob["high"], log=knob["log"])
    if knob["type"] == "int":
        return optuna.distributions.IntDistribution(knob["low"], knob["high"], log=knob["log"], step=knob["step"])
    return optuna.distributions.CategoricalDistribution(knob["values"])


def as_study(run: RunView) -> optuna.Study:
    """The ended trials with a score as complete ones of an Optuna study, which keeps their order."""
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(), study_name=run.name)
    distributions = {name: distribution(knob) for name, knob in run.plan.space.items()}
    for trial in ended(run):
        own = {name: distributions[name] for name in trial.params}
        study.add_trial(create_trial(params=dict(trial.params), distributions=own, value=trial.value))
    return study


def ended(run: RunView) -> list[TrialRecord]:
    return [t for t in run.records.trials.values() if t.state in ENDED and math.isfinite(t.value)]


# -- importance --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trials", [12, 40, 150])
def test_importance_is_that_of_optunas_evaluator(trials: int, run_maker: Callable[..., Any]) -> None:
    space = {
        **run_maker("other").plan["space"],
        "model.layers": {"type": "int", "low": 1, "high": 64, "step": 1, "log": True, "when": None},
    }
    maker = run_maker("run", trials=trials, space=space)
    params = maker.params
    maker.params = lambda number: {**params(number), "model.layers": 2 ** maker.rng.randrange(7)}
    run = read_run(maker.search().folder)
    found = knob_importance(run)
    assert found is not None
    study = as_study(run)
    evaluator = PedAnovaImportanceEvaluator(target_quantile=max(0.1, 5 / len(study.trials)))
    expected = get_param_importances(study, evaluator=evaluator)
    assert {name: share.value for name, share in found.items()} == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert list(found) == sorted(found, key=lambda name: -found[name].value)


def test_intervals_hold_their_share_and_narrow_with_trials(run_maker: Callable[..., Any], thousand: RunView) -> None:
    few, many = knob_importance(read_run(run_maker("few").search().folder)), knob_importance(thousand)
    assert few is not None
    assert many is not None
    for share in (*few.values(), *many.values()):
        assert 0 <= share.low <= share.value <= share.high <= 1
    leading = "optim.learning_rate"
    assert many[leading].high - many[leading].low < 0.5 * (few[leading].high - few[leading].low)
    assert many[leading].low > many["optim.batch_size"].high
    assert knob_importance(thousand) == many  # the same trials, the same intervals


def test_importance_of_a_thousand_trials_takes_under_a_second_of_a_core(thousand: RunView) -> None:
    start = time.process_time()
    knob_importance(thousand)
    assert time.process_time() - start < 2  # 0.5 s on an idle machine


def test_importance_draws_its_intervals(searched: RunView) -> None:
    shares = {"a": Share(0.7, 0.5, 0.9), "b": Share(0.3, 0.1, 0.6)}
    info = importance.info(replace(searched, importance=shares))
    assert info is not None
    bars = importance.figure(info).data[0]
    assert list(bars.x) == [70, 30]
    assert list(bars.error_x.array) == [20, 30]
    assert list(bars.error_x.arrayminus) == [20, 20]
    assert "a carries 70 % (95 % interval 50 to 90 %) of the importance" in importance.reading(info)
    assert "the order is not certain" in importance.reading(info)
    assert "not certain" not in importance.reading(replace(info, shares=(("a", Share(0.7, 0.65, 0.9)), info.shares[1])))


# -- rank agreement ----------------------------------------------------------------------------------------------------


def test_agreement_is_spearmans_coefficient_of_the_best_so_far(thousand: RunView) -> None:
    curves = [[e.score("uar") for e in t.epochs] for t in thousand.records.trials.values() if t.state == "COMPLETE"]
    best = np.maximum.accumulate(np.array(curves), axis=1)
    expected = [spearmanr(best[:, epoch], best[:, -1]).statistic for epoch in range(50)]
    assert agreement_with_end(padded(best.tolist(), 50)) == pytest.approx(np.array(expected))
    info = rank_agreement.info(thousand)
    assert info is not None
    assert info.trials == len(curves) <= rank_agreement.MOST_TRIALS
    found = {agreement.epoch: agreement.spearman for agreement in info.epochs}
    assert found == pytest.approx({epoch: expected[epoch - 1] for epoch in found})
    assert set(thousand.rungs) <= found.keys()
    assert info.trusted == find_grace_epochs(curves, 50)[0]
    assert all(agreement.low <= agreement.high for agreement in info.epochs)


def test_agreement_names_the_first_epoch_to_trust(run_maker: Callable[..., Any]) -> None:
    maker = run_maker("run", max_epochs=4, grace_epochs=2)
    for number in range(12):  # epoch 1 says the opposite of the end, epochs 2 and 3 say the end
        maker.start(number)
        end = 0.3 + 0.02 * number
        maker.epochs(number, [0.29 - 0.01 * number, end - 0.01, end - 0.01, end])
        maker.end(number, "COMPLETE")
    info = rank_agreement.info(view(maker))
    assert info is not None
    assert [agreement.spearman for agreement in info.epochs] == pytest.approx([-1, 1, 1])
    assert info.trusted == 2
    assert "From epoch 2 on" in rank_agreement.reading(info)
    assert "at the first rung, epoch 2, it is 1.00" in rank_agreement.reading(info)
    drawn = rank_agreement.figure(info)
    line = next(trace for trace in drawn.data if trace.name == "agreement")
    assert list(line.y) == [-1, 1, 1]
    assert drawn.layout.shapes[-1].y0 == GRACE_SPEARMAN
    never = replace(info, trusted=None)
    assert rank_agreement.reading(never).startswith("No epoch before the last one agrees")


@pytest.mark.parametrize("uars", [[0.5] * 4, [math.nan] * 4])
def test_agreement_of_trials_that_are_alike_is_not_drawn(uars: list[float], run_maker: Callable[..., Any]) -> None:
    maker = run_maker("run", max_epochs=4)
    for number in range(12):
        maker.start(number)
        maker.epochs(number, uars)
        maker.end(number, "COMPLETE")
    assert rank_agreement.info(view(maker)) is None


# -- axes --------------------------------------------------------------------------------------------------------------


def test_scales_place_values_as_their_knob_is_searched() -> None:
    rate = scale_of("rate", {"type": "float", "low": 1e-5, "high": 1e-1, "log": True})
    assert rate.place(1e-3) == pytest.approx(0.5)
    assert rate.value(0.5) == "0.001"
    assert [text for _, text in rate.ticks()] == ["1e-05", "0.0001", "0.001", "0.01", "0.1"]
    width = scale_of("width", {"type": "int", "low": 16, "high": 64, "log": False, "step": 16})
    assert [width.place(value) for value in (16, 40, 64, 100)] == [0, 0.5, 1, 1]
    assert width.ticks() == [(0.0, "16"), (0.5, "40"), (1.0, "64")]
    flag = scale_of("flag", {"type": "choice", "values": [True, False]})
    assert [flag.place(value) for value in (True, False)] == [0.25, 0.75]
    assert flag.value(0.75) == "False"
    assert all(abs(flag.spread(number)) <= 0.15 for number in range(100))  # stays within its half
    assert Scale(knob="one", low=3, high=3).place(3) == 0.5


# -- parallel coordinates ----------------------------------------------------------------------------------------------


def test_parallel_lines_are_optunas(searched: RunView) -> None:
    info = parallel.info(searched)
    assert info is not None
    assert {line.number for line in info.lines} == {t.number for t in ended(searched)}
    knobs = [name for name in searched.plan.space if name != "augment.time_masks"]  # Optuna wants every knob
    theirs = _get_parallel_coordinate_info(as_study(searched), params=knobs)
    for dimension in theirs.dims_params:
        column = [scale.knob for scale in info.scales].index(dimension.label)
        ours = [line.values[column] for line in info.lines]
        if dimension.is_cat:
            label = dict(zip(dimension.tickvals, dimension.ticktext, strict=True))
            their_values, our_values = [label[code] for code in dimension.values], list(map(str, ours))
        else:
            their_values, our_values = list(dimension.values), [math.log10(v) if dimension.is_log else v for v in ours]
        scores = [line.reached for line in info.lines]
        expected = sorted(zip(theirs.dims_objectives[0].values, their_values, strict=True))  # Optuna has its own order
        assert sorted(zip(scores, our_values, strict=True)) == expected


def test_parallel_lines_go_through_their_places(searched: RunView) -> None:
    info = parallel.info(searched)
    assert info is not None
    assert info.scales[0].knob == next(iter(searched.importance or {}))
    masks = [scale.knob for scale in info.scales].index("augment.time_masks")
    for line in info.lines:
        assert (line.values[masks] is None) == (line.places[masks + 1] == parallel.INACTIVE)
    drawn = parallel.figure(info)
    best = next(trace for trace in drawn.data if trace.name == "best trial")
    line = next(line for line in info.lines if line.number == info.best)
    assert list(best.x[:-1]) == pytest.approx(list(line.places), abs=1e-4)
    assert list(best.y[:-1]) == list(range(len(info.scales) + 1))
    assert best.x[0] == 1.0  # the score's own axis ends with the best
    quarters = [sum(line.quarter == quarter for line in info.lines) for quarter in range(4)]
    assert max(quarters) - min(quarters) <= 1
    assert parallel.table(info)[0].keys() == {"trial", "val_uar_percent", *searched.plan.space}


def test_parallel_keeps_the_best_of_a_thousand(thousand: RunView) -> None:
    info = parallel.info(thousand)
    assert info is not None
    assert parallel.MOST_LINES <= len(info.lines) <= parallel.MOST_LINES + 1
    quarters = [sum(line.quarter == quarter for line in info.lines) for quarter in range(4)]
    assert min(quarters) > 0.75 * parallel.MOST_LINES / 4  # the sample is fair
    assert info.best in {line.number for line in info.lines}
    assert f"Drawn are {len(info.lines)}: an even sample" in parallel.reading(info)
    assert len(parallel.figure(info).to_json()) < 500_000


# -- contours ----------------------------------------------------------------------------------------------------------


def grid_run(maker: Any, score: Callable[[dict[str, Any]], float], trials: int = 60) -> RunView:
    """Complete trials whose score is a known function of their knobs."""
    for number in range(trials):
        params = maker.start(number)
        maker.epochs(number, [score(params)])
        maker.end(number, "COMPLETE")
    return read_run(maker.folder)


def with_leading(run: RunView, *names: str) -> RunView:
    return replace(run, importance={name: Share(0.5, 0.4, 0.6) for name in names})


def test_contours_find_the_slope_of_two_numbers(run_maker: Callable[..., Any]) -> None:
    run = grid_run(run_maker("run"), lambda p: 0.5 + 0.08 * math.log10(p["optim.learning_rate"] / 1e-3))
    info = contour.info(with_leading(run, "optim.learning_rate", "model.dropout"))
    assert info is not None
    assert (info.x.knob, info.y.knob) == ("optim.learning_rate", "model.dropout")
    assert info.explained > 0.9
    middle = [uar for uar in info.values[len(info.rows) // 2] if uar is not None]
    assert middle[0] < middle[len(middle) // 2] < middle[-1]
    assert middle[-1] - middle[0] == pytest.approx(0.24, abs=0.06)
    theirs = _get_contour_info(as_study(run), params=["optim.learning_rate", "model.dropout"]).sub_plot_infos[0][0]
    assert [spot.y for spot in info.spots] == theirs.xaxis.values  # which has its axes in order of their names
    assert [spot.x for spot in info.spots] == theirs.yaxis.values
    drawn = contour.figure(info)
    assert drawn.data[0].type == "contour"
    spots = [(x, y) for trace in drawn.data[1:] for x, y in zip(trace.x, trace.y, strict=True)]
    assert len(spots) == len(info.spots) == 60


def test_contours_are_blank_where_no_trial_has_been(run_maker: Callable[..., Any]) -> None:
    maker = run_maker("run")
    params = maker.params
    maker.params = lambda number: {**params(number), "model.dropout": 0.02 * maker.rng.random()}
    run = grid_run(maker, lambda p: 0.5 + 5 * p["model.dropout"])
    info = contour.info(with_leading(run, "model.dropout", "optim.learning_rate"))
    assert info is not None
    assert all(row[-1] is None for row in info.values)  # dropout 0.6
    assert any(row[0] is not None for row in info.values)  # dropout 0
    for row in info.values:
        for uar in row:
            assert uar is None or min(s.reached for s in info.spots) <= uar <= max(s.reached for s in info.spots)


def test_contours_with_a_choice_are_a_row_each(run_maker: Callable[..., Any]) -> None:
    run = grid_run(run_maker("run"), lambda p: {"none": 0.3, "specaugment": 0.6}[p["augment.kind"]])
    info = contour.info(with_leading(run, "augment.kind", "model.dropout"))
    assert info is not None
    assert (info.x.knob, info.y.choices) == ("model.dropout", ("none", "specaugment"))
    for row, uar in zip(info.values, (0.3, 0.6), strict=True):  # nothing leaks from one choice to another
        assert {round(value, 6) for value in row if value is not None} == {uar}
    assert contour.figure(info).data[0].type == "heatmap"
    assert "augment.kind = specaugment" in contour.reading(info)
    both = contour.info(with_leading(run, "augment.kind", "optim.batch_size"))
    assert both is not None
    assert (len(both.rows), len(both.columns)) == (3, 2)


def test_contours_say_when_knobs_explain_nothing_and_when_trials_are_too_few(run_maker: Callable[..., Any]) -> None:
    maker = run_maker("noise")
    run = grid_run(maker, lambda _: maker.rng.random(), trials=40)
    info = contour.info(with_leading(run, "optim.learning_rate", "model.dropout"))
    assert info is not None
    assert info.explained < 0.2
    assert "no unseen score better" in contour.reading(replace(info, explained=-0.1))
    few = grid_run(run_maker("few"), lambda p: p["model.dropout"], trials=contour.FEWEST_TRIALS - 1)
    assert contour.info(with_leading(few, "optim.learning_rate", "model.dropout")) is None
    assert contour.info(replace(run, importance=None)) is None


# -- distribution of scores --------------------------------------------------------------------------------------------


def test_distributions_are_optunas(run_maker: Callable[..., Any]) -> None:
    runs = [read_run(run_maker(name, trials=trials).search().folder) for name, trials in (("one", 40), ("two", 25))]
    info = edf.info_of(runs)
    assert info is not None
    theirs = _get_edf_info([as_study(run) for run in runs])
    for ours, expected, run in zip(info.runs, theirs.lines, runs, strict=True):
        at = np.searchsorted(ours.values, theirs.x_values, side="right") / len(ours.values)
        assert at == pytest.approx(np.array(expected.y_values))
        assert len(ours.values) == len(ended(run))
    drawn = edf.figure(info)
    assert [trace.name.split(":")[0] for trace in drawn.data] == ["one", "two"]
    assert len({(trace.line.color, trace.line.dash) for trace in drawn.data}) == 2
    assert [trace.y[-1] for trace in drawn.data] == [100, 100]
    assert edf.info(runs[0]) == edf.EdfInfo(runs=info.runs[:1])


def test_distribution_reads_median_and_best_tenth() -> None:
    run = edf.Distribution("one", tuple(index / 100 for index in range(1, 101)), UAR)
    better = edf.Distribution("two", tuple(score + 0.1 for score in run.values[:80]), UAR)
    assert edf.reading(edf.EdfInfo(runs=(run,))).startswith(
        "Half of 100 trials stayed at or below 50.0 % validation UAR, nine tenths at or below 90.0 %"
    )
    text = edf.reading(edf.EdfInfo(runs=(run, better)))
    assert "median is highest in one (50.0" in text or "median is highest in two (50.0" in text
    assert "begins highest in one (90.0" in text


def test_equal_scores_share_the_largest_part() -> None:
    info = edf.EdfInfo(runs=(edf.Distribution("run", (0.2, 0.5, 0.5, 0.8), UAR),))
    assert [row["share_of_trials_percent"] for row in edf.table(info)] == [25, 75, 75, 100]


# -- history, survival, timeline, failures -----------------------------------------------------------------------------


def test_history_shows_where_configurations_come_from(run_maker: Callable[..., Any]) -> None:
    maker = run_maker("run")
    for number, origin in enumerate(("first", "warm", "sampler")):
        maker.writer.trial_started(number, maker.params(number), origin)
        maker.epochs(number, [0.4 + 0.1 * number])
        maker.end(number, "COMPLETE")
    info = history.info(view(maker))
    assert info is not None
    assert [point.origin for point in info.points] == ["first", "warm", "sampler"]
    marks = {trace.name: (list(trace.x), trace.marker.symbol) for trace in history.figure(info).data if trace.marker}
    assert marks["recipe"] == ([0], "star")
    assert marks["warm start"] == ([1], "diamond")


def test_history_does_not_judge_a_score_over_folds_by_a_lucky_one_over_a_single_fold(
    run_maker: Callable[..., Any],
) -> None:
    maker = run_maker("run", max_epochs=2, folds="auto")
    for number, (scores, end) in enumerate(
        [([0.5, 0.5, 0.6, 0.6], "COMPLETE"), ([0.9, 0.9], "PRUNED"), ([0.7, 0.7, 0.65, 0.65], "COMPLETE")]
    ):
        maker.start(number)
        maker.epochs(number, scores)
        maker.end(number, end)
    info = history.info(view(maker))
    assert info is not None
    assert [round(point.value, 2) for point in info.points] == [0.6, 0.9, 0.65]
    assert [round(best, 2) for best in info.best_so_far] == [0.6, 0.6, 0.65]
    assert info.best is not None
    assert info.best.number == 2


def test_survival_estimates_the_hours_saved_from_each_trials_own_epochs(run_maker: Callable[..., Any]) -> None:
    maker = run_maker("run", max_epochs=10)
    for number, (epochs, seconds, end) in enumerate([(10, 600, "COMPLETE"), (2, 1800, "PRUNED"), (4, 60, "PRUNED")]):
        maker.start(number)
        maker.epochs(number, [0.3] * epochs, seconds=float(seconds))
        maker.end(number, end)
    info = survival.info(view(maker))
    assert info is not None
    assert info.seconds_trained == 10 * 600 + 2 * 1800 + 4 * 60
    assert info.seconds_saved == 8 * 1800 + 6 * 60
    assert "saved 14 of 30 epochs (47 %), or some 4 h 06 min of 6 h 50 min" in survival.reading(info)
    names = [trace.name for trace in survival.figure(info).data]
    assert names == ["epochs trained: 16 (2 h 44 min)", "epochs saved: 14 (4 h 06 min)"]


def test_timeline_takes_no_pause_of_the_search_for_idle_time(run_maker: Callable[..., Any]) -> None:
    maker = run_maker("run")
    begin = maker.now
    for number in range(2):  # two workers, each busy for 8 of 10 s
        maker.start(number)
    maker.now += 10
    for number in range(2):
        maker.epochs(number, [0.3] * 4, worker=f"node/{number}", seconds=2.0)
        maker.end(number, "COMPLETE")
    maker.now += 3600
    maker.writer.session()
    maker.start(2)
    maker.now += 10
    maker.epochs(2, [0.3] * 5, worker="node/9", seconds=2.0)
    maker.end(2, "COMPLETE")
    info = timeline.info(view(maker))
    assert info is not None
    assert info.worker_seconds == 2 * 10 + 10
    assert info.utilisation == pytest.approx(26 / 30)
    assert info.pauses == ((10.0, 3610.0),)
    assert maker.now - begin == 3620
    assert "87 % of 30 s of their time" in timeline.reading(info)
    assert "stood still for 60 min" in timeline.reading(info)
    assert [shape.x0 for shape in timeline.figure(info).layout.shapes] == [0.1667]


def test_timeline_counts_a_replaced_worker_once(run_maker: Callable[..., Any]) -> None:
    maker = run_maker("run")  # two trials at once
    for number, worker in enumerate(("node/1", "node/2", "node/3")):  # 1 died, 3 came for it
        maker.start(number)
        maker.now += 10
        maker.epochs(number, [0.3] * 5, worker=worker, seconds=2.0)
        maker.end(number, "COMPLETE")
    info = timeline.info(view(maker))
    assert info is not None
    assert len(info.workers) == 3
    assert info.worker_seconds == 2 * 30
    assert info.utilisation == pytest.approx(0.5)


def test_failures_say_when_there_are_more_reasons_than_bars(run_maker: Callable[..., Any]) -> None:
    maker = run_maker("run")
    for number in range(15):
        maker.start(number)
        maker.end(number, "FAIL", f"reason {number}: of its own")
    info = failures.info(view(maker))
    assert info is not None
    assert len(failures.table(info)) == 15
    assert len(failures.figure(info).data[0].x) == failures.MOST_KINDS
    assert failures.reading(info).endswith("Drawn are the 12 most frequent reasons.")


# -- all of them -------------------------------------------------------------------------------------------------------


def test_hostile_names_stay_text(run_maker: Callable[..., Any]) -> None:
    hostile = "<b>x</b>"
    space = {hostile: {"type": "choice", "values": [hostile, "b"], "when": None}}
    space["y"] = {"type": "float", "low": 0.0, "high": 1.0, "log": False, "when": None}
    maker = run_maker(hostile.replace("/", ""), space=space)
    maker.params = lambda number: {hostile: (hostile, "b")[number % 2], "y": maker.rng.random()}
    run = with_leading(grid_run(maker, lambda p: p["y"] / 2), hostile, "y")
    for module in (contour, edf, importance, parallel):
        info = module.info(run)
        assert info is not None
        drawn = json.loads(module.figure(info).to_json())
        assert "<b>x" not in json.dumps(drawn)
        assert "&amp;lt;" not in json.dumps(drawn)  # escaped once
