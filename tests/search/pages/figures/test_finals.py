"""Figures of the finals: what they extract from a result, what they draw, and that an older result breaks none."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from search.pages.figures import confusion, fall, final_curves, finalists, forest, recall, reliability, speaker_scores
from search.pages.figures._intervals import Estimate
from search.run_folder.records import Phase
from search.run_folder.run_view import RunView, read_run

MODULES = {
    module.__name__.rpartition(".")[2]: module
    for module in (confusion, fall, final_curves, finalists, forest, recall, reliability, speaker_scores)
}


@pytest.fixture
def finished(run_maker: Callable[..., Any]) -> RunView:
    return read_run(run_maker("finished", trials=20, max_epochs=6).search().finish().folder)


def changed(run: RunView, change: Callable[[dict[str, Any]], object]) -> RunView:
    """The run with another result.json."""
    result = json.loads(json.dumps(run.result))
    change(result)
    return replace(run, result=result)


def as_of_the_first_version(result: dict[str, Any]) -> None:
    """Take out all that result.json did not hold then."""
    test = result["test"]
    for key in ("per_class_precision", "per_speaker", "per_gender", "calibration", "interval_note"):
        del test[key]
    for name in ("uar", "war", "macro_f1"):
        del test[name]["seed_intervals"]
    for scores in (*test["per_class_recall"].values(), *(f["val_uar"] for f in result["finalists"])):
        del scores["interval"]


def drawn(module: ModuleType, info: Any, *, narrow: bool = False) -> dict[str, Any]:
    figure: dict[str, Any] = json.loads(module.figure(info, narrow=narrow).to_json())
    return figure


def trace(module: ModuleType, info: Any, name: str) -> dict[str, Any]:
    return next(each for each in drawn(module, info)["data"] if each.get("name") == name)


def error_edges(trace: dict[str, Any], axis: str) -> list[list[float]]:
    """[[low, high], …] of a trace's error bars, in per cent."""
    bars = trace[f"error_{axis}"]
    return [
        [middle - low, middle + high]
        for middle, low, high in zip(trace[axis], bars["arrayminus"], bars["array"], strict=True)
    ]


def in_percent(bounds: list[list[float]]) -> list[Any]:
    return [pytest.approx([100 * low, 100 * high], abs=0.01) for low, high in bounds]


@pytest.mark.parametrize("module", MODULES.values(), ids=MODULES)
def test_a_result_of_the_first_version_is_drawn_or_told(module: ModuleType, finished: RunView) -> None:
    info = module.info(changed(finished, as_of_the_first_version))
    if module in (forest, reliability, speaker_scores):
        assert info is None
        assert "version" in module.EMPTY
    else:
        assert module.figure(info).data
        assert "nan" not in module.reading(info)
        assert module.table(info)


@pytest.mark.parametrize("module", MODULES.values(), ids=MODULES)
def test_one_test_speaker_and_one_seed_have_no_intervals(module: ModuleType, finished: RunView) -> None:
    def one(result: dict[str, Any]) -> None:
        test, none = result["test"], [None, None]
        for scores in (test["uar"], *test["per_class_recall"].values(), *test["per_class_precision"].values()):
            scores.update(std=None, seeds=scores["seeds"][:1], interval=none)
        test["uar"]["seed_intervals"], test["speakers"] = [none], 1
        test["per_speaker"] = {"19": {**test["per_speaker"]["19"], "uar": {"mean": 0.5, "std": None, "seeds": [0.5]}}}
        for own in test["calibration"]["bins"]:
            own["interval"] = none
        test["calibration"]["ece"]["std"] = None
        for finalist in result["finalists"]:
            finalist["val_uar"].update(std=None, interval=none)

    info = module.info(changed(finished, one))
    assert info is not None
    assert "nan" not in module.reading(info)
    assert all(set(row) == set(module.table(info)[0]) for row in module.table(info))
    text = json.dumps(drawn(module, info), allow_nan=False)
    assert "nan" not in text


def test_fall_says_what_each_bar_is(finished: RunView) -> None:
    info = fall.info(finished)
    assert info is not None
    assert [step.edges for step in info.steps] == ["", "± deviation over seeds", "95 % interval"]
    labels = drawn(fall, info)["layout"]["xaxis"]["ticktext"]
    assert "95 % interval" in labels[2]
    assert [row["edges"] for row in fall.table(info)] == [None, "± deviation over seeds", "95 % interval"]


def test_forest_holds_finalists_refits_their_mean_and_their_ensemble(finished: RunView) -> None:
    info = forest.info(finished)
    assert info is not None
    assert finished.result is not None
    result = finished.result
    ranked = sorted(result["finalists"], key=lambda finalist: -finalist["val_uar"]["mean"])
    finals, refits, mean, ensemble = (trace(forest, info, kind) for kind in ("finalist", "refit", "mean", "ensemble"))
    assert finals["customdata"] == [
        f"trial {f['trial']}" + (" ★" if f["trial"] == result["winner"]["trial"] else "") for f in ranked
    ]
    assert error_edges(finals, "x") == in_percent([f["val_uar"]["interval"] for f in ranked])
    assert refits["x"] == pytest.approx([100 * score for score in result["test"]["uar"]["seeds"]], abs=0.01)
    assert error_edges(refits, "x") == in_percent(result["test"]["uar"]["seed_intervals"])
    assert error_edges(mean, "x") == in_percent([result["test"]["uar"]["interval"]])
    assert error_edges(ensemble, "x") == in_percent([result["test"]["ensemble"]["uar"]["interval"]])
    assert ensemble["customdata"] == ["ensemble of 3 models"]
    places = [y for each in (finals, refits, mean, ensemble) for y in each["y"]]
    assert len(set(places)) == len(places) == 8
    assert f"Test UAR is {100 * result['test']['ensemble']['uar']['value']:.1f}" in forest.reading(info)
    assert "over 6 speakers" in forest.reading(info)


def test_forest_of_several_runs_compares_their_tests(finished: RunView, run_maker: Callable[..., Any]) -> None:
    def worse(result: dict[str, Any]) -> None:
        result["test"]["ensemble"]["uar"].update(value=0.2, interval=[0.1, 0.3])

    weak = replace(changed(finished, worse), name="<b>weak</b>")
    running = read_run(run_maker("running", trials=3, max_epochs=6).search().folder)
    info = forest.info_of([weak, finished, running])
    assert info is not None
    assert [row.name for row in info.rows] == ["ast (finished)", "ast (<b>weak</b>)"]
    assert trace(forest, info, "run")["customdata"][1] == "ast (&lt;b&gt;weak&lt;/b&gt;)"
    assert "overlaps 0 of 1 other run." in forest.reading(info)
    assert forest.info_of([running]) is None


def test_speakers_are_ranked_and_their_gender_is_a_marker(finished: RunView) -> None:
    info = speaker_scores.info(finished)
    assert info is not None
    assert finished.result is not None
    per_speaker = finished.result["test"]["per_speaker"]
    assert [s.name for s in info.drawn] == sorted(per_speaker, key=lambda name: -per_speaker[name]["uar"]["mean"])
    assert all(list(s.seeds) == per_speaker[s.name]["uar"]["seeds"] for s in info.drawn)
    female, male = (trace(speaker_scores, info, gender) for gender in ("female", "male"))
    assert female["marker"]["symbol"] != male["marker"]["symbol"]
    assert sorted(name for name, _ in female["customdata"]) == ["20", "22", "24"]
    layout = drawn(speaker_scores, info)["layout"]
    assert layout["yaxis"]["ticktext"] == [s.name for s in info.drawn]
    assert "male speakers reach" in speaker_scores.reading(info)


def test_many_speakers_are_an_even_sample_and_unknown_genders_have_a_marker(finished: RunView) -> None:
    def many(result: dict[str, Any]) -> None:
        result["test"]["per_gender"] = {}
        result["test"]["per_speaker"] = {
            f"s{n:03d}": {"gender": None, "clips": 5, "uar": {"mean": n / 100, "std": None, "seeds": [n / 100]}}
            for n in range(100)
        }

    info = speaker_scores.info(changed(finished, many))
    assert info is not None
    assert len(info.drawn) == speaker_scores.MOST_SPEAKERS
    assert (info.drawn[0].name, info.drawn[-1].name) == ("s099", "s000")
    assert "drawn are 30 of 100 speakers" in speaker_scores.reading(info)
    assert len(trace(speaker_scores, info, "gender unknown")["x"]) == 30


def test_reliability_draws_the_bins_that_hold_predictions(finished: RunView) -> None:
    info = reliability.info(finished)
    assert info is not None
    assert finished.result is not None
    calibration = finished.result["test"]["calibration"]
    held = [own for own in calibration["bins"] if own["predictions"]]
    curve = drawn(reliability, info)["data"][1]
    assert curve["x"] == pytest.approx([100 * own["confidence"] for own in held], abs=0.01)
    assert curve["y"] == pytest.approx([100 * own["accuracy"] for own in held], abs=0.01)
    assert info.predictions == 3 * finished.result["test"]["clips"]
    assert info.accuracy == pytest.approx(finished.result["test"]["war"]["mean"])
    assert f"{100 * calibration['ece']['mean']:.1f} ± " in reliability.reading(info)
    assert "overconfident" in reliability.reading(info)


def test_final_curves_have_validation_for_finalists_alone(finished: RunView) -> None:
    info = final_curves.info(finished)
    assert info is not None
    assert finished.result is not None
    assert info.trials[0] == finished.result["winner"]["trial"]
    assert len(info.of(Phase.REFIT)) == 3
    data = drawn(final_curves, info)["data"]
    refit = [each for each in data if each["name"].startswith("refit")]
    assert len(refit) == 1  # the train loss
    assert len([value for value in refit[0]["y"] if value is not None]) == 3 * 6
    winner = [each for each in data if each["name"] == f"trial {info.trials[0]}"]
    assert [each.get("yaxis") for each in winner] == ["y", "y2", "y3"]
    best = max(value for value in winner[2]["y"] if value is not None)
    seeds = next(f for f in finished.result["finalists"] if f["trial"] == info.trials[0])["val_uar"]["seeds"]
    assert best == pytest.approx(100 * max(seeds), abs=0.01)
    assert "end after 6 epochs of at most 6" in final_curves.reading(info)


def test_final_curves_of_many_epochs_and_finalists_are_thinned(run_maker: Callable[..., Any]) -> None:
    maker = run_maker("long", trials=8, max_epochs=300)
    for number in range(8):
        maker.start(number)
        maker.epochs(number, [0.1 * (number + 1)] * 300)
        maker.end(number, "COMPLETE")
        maker.writer.final_started(Phase.FINALIST, number, 1)
        maker._train_final(Phase.FINALIST, number, 1, 0.1 * (number + 1))
    info = final_curves.info(read_run(maker.folder))
    assert info is not None
    assert info.trials == (7, 6, 5, 4, 3)
    assert all(len(curve.epochs) == final_curves.MOST_POINTS for curve in info.curves)
    assert all((curve.epochs[0], curve.epochs[-1]) == (1, 300) for curve in info.curves)
    assert "drawn are 5 of 8 finalists" in final_curves.reading(info)


def test_recall_and_precision_have_their_intervals(finished: RunView) -> None:
    info = recall.info(finished)
    assert info is not None
    assert finished.result is not None
    for name in ("recall", "precision"):
        scores = list(finished.result["test"][f"per_class_{name}"].values())
        own = trace(recall, info, name)
        assert own["x"] == pytest.approx([100 * each["mean"] for each in scores], abs=0.01)
        assert error_edges(own, "x") == in_percent([each["interval"] for each in scores])


def test_recall_of_a_class_without_clips_is_not_drawn_as_zero(finished: RunView) -> None:
    def none_calm(result: dict[str, Any]) -> None:
        result["test"]["per_class_recall"]["calm"].update(mean=None, interval=[None, None])

    info = recall.info(changed(finished, none_calm))
    assert info is not None
    assert math.isnan(info.classes[1].recall.value)
    assert "calm" not in recall.reading(info)
    assert trace(recall, info, "recall")["x"][1] is None
    assert drawn(recall, info)["layout"]["annotations"][-7]["text"] == "no clips"
    assert recall.table(info)[1]["recall_percent"] is None


def test_confusion_can_be_switched_from_shares_to_clips(finished: RunView) -> None:
    info = confusion.info(finished)
    assert info is not None
    figure = drawn(confusion, info)
    shares, clips = figure["data"]
    assert (shares["visible"], clips["visible"]) == (True, False)
    assert clips["z"] == shares["customdata"] == [list(row) for row in info.counts]
    assert [sum(row) for row in shares["z"]] == pytest.approx([100] * 8, abs=0.5)
    first, second = figure["layout"]["updatemenus"][0]["buttons"]
    assert first["args"] == [{"visible": [True, False]}, {"annotations": figure["layout"]["annotations"]}]
    assert second["args"][0] == {"visible": [False, True]}
    assert second["args"][1]["annotations"][0]["text"].startswith(f"{info.counts[0][0]}<br>")


def test_estimates_overlap_only_when_both_have_an_interval() -> None:
    assert Estimate(0.5, 0.4, 0.6).overlaps(Estimate(0.7, 0.6, 0.8))
    assert not Estimate(0.5, 0.4, 0.6).overlaps(Estimate(0.7, 0.61, 0.8))
    assert not Estimate(0.5, 0.4, 0.6).overlaps(Estimate(0.5))
    assert Estimate(0.5, 0.4, 0.6).text(short=False) == "50.0 [40.0, 60.0]"
    assert Estimate(0.5).text(short=False) == Estimate(0.5, 0.4, 0.6).text(short=True) == "50.0"


def test_a_single_class_has_nothing_to_be_mistaken_for() -> None:
    info = confusion.ConfusionInfo(classes=("happy",), counts=((30,),))
    assert confusion.reading(info) == "happy is the only class, so no clip can be mistaken."
    assert confusion.figure(info).data[0].z == ([100.0],)
