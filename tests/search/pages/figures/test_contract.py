from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from search.comparison.leaderboard import with_comparisons
from search.pages.figures import (
    SECTIONS,
    differences,
    failures,
    fall,
    figure_modules,
    finalists,
    history,
    leads,
    learning_curves,
    slices,
    survival,
    timeline,
)
from search.pages.figures import confusion as confusion_figure
from search.pages.figures import importance as importance_figure
from search.pages.figures._style import plain, thinned
from search.pages.knob_importance import knob_importance
from search.run_folder.records import TrialState
from search.run_folder.run_view import RunFolderError, RunView, read_run
from search.run_folder.standing import best_trial, tally
from search.study.asha import Asha
from tests.search.several_runs import made_of_several

MODULES = {module.__name__.rpartition(".")[2]: module for module in figure_modules() if hasattr(module, "info")}
"""All that a page of one run shows."""


def view(maker: Any) -> RunView:
    run = read_run(maker.folder)
    return replace(run, importance=knob_importance(run))


@pytest.fixture
def finished(run_maker: Callable[..., Any]) -> RunView:
    return view(run_maker("finished").search().finish())


DIMENSIONS = ["arousal", "valence"]


@pytest.fixture
def rated(run_maker: Callable[..., Any]) -> RunView:
    """A run that predicts two dimensions."""
    corpus = {"name": "talks", "clips": 48, "speakers": 6, "classes": DIMENSIONS}
    maker = run_maker("rated", corpus=corpus, target="arousal,valence", objective="ccc")
    return view(maker.search().finish())


@pytest.fixture
def unpruned(run_maker: Callable[..., Any]) -> RunView:
    """Every trial trained to its end, for the figure that compares early epochs with the last one."""
    maker = run_maker("unpruned", trials=15)
    maker.asha = Asha(maker.max_epochs, maker.max_epochs, 3)
    return view(maker.search().finish())


@pytest.fixture
def several(run_maker: Callable[..., Any]) -> RunView:
    """A search that chose between two architectures, for the figure that compares them."""
    return view(made_of_several(run_maker))


@pytest.fixture
def folded(run_maker: Callable[..., Any]) -> RunView:
    """A recipe and five trials over up to three folds of four epochs; trial 2 leads by about six points on each."""
    maker = run_maker("folded", max_epochs=4, trials=6, folds="auto", inner_folds=[["a"], ["b"], ["c"]])
    for number, folds in enumerate([(0.5, 0.6, 0.4), (0.5, 0.61, 0.4), (0.56, 0.65, 0.47), (0.4,), (0.49, 0.59), ()]):
        maker.start(number)
        maker.epochs(number, [uar for uar in folds for _ in range(4)] or [0.3])
        maker.end(number, "COMPLETE" if len(folds) == 3 else "PRUNED", "" if len(folds) == 3 else "rung")
    return view(maker)


@pytest.fixture
def small(run_maker: Callable[..., Any]) -> Any:
    """Five trials of up to 9 epochs, rungs at 2 and 6: known by hand."""
    maker = run_maker("small", max_epochs=9, trials=5)
    maker.asha.grace_epochs = 2
    plan = {**maker.plan, "grace_epochs": 2}
    (maker.folder / "plan.json").write_text(json.dumps(plan))
    ends = ["COMPLETE", "PRUNED", "PRUNED", "FAIL", None]
    curves = [
        [0.3, 0.5, 0.55, 0.6, 0.6, 0.6, 0.6, 0.62, 0.61],
        [0.2, 0.3],
        [0.4, 0.5, 0.6, 0.6, 0.6, 0.7],
        [0.9],
        [0.1],
    ]
    for number, (uars, end) in enumerate(zip(curves, ends, strict=True)):
        maker.start(number)
        maker.now += 3 * len(uars)
        maker.epochs(number, uars, worker=f"node/{number % 2}")
        if end:
            maker.end(number, end, "out of memory: 3 GiB" if end == "FAIL" else "")
    return maker


# -- every figure, at every moment of a run ---------------------------------------------------------------------------


@pytest.mark.parametrize("module", MODULES.values(), ids=MODULES)
def test_contract(
    module: ModuleType, finished: RunView, unpruned: RunView, several: RunView, folded: RunView, rated: RunView
) -> None:
    other = {
        "rank_agreement": unpruned, "architectures": several, "leads": folded, "dimensions": rated,
        "range_error": rated,
    }  # fmt: skip
    check_contract(module, module.info(other.get(module.__name__.rpartition(".")[2], finished)))


def test_contract_of_the_figure_that_needs_several_runs(run_maker: Callable[..., Any]) -> None:
    folders = [
        run_maker(name, trials=6, max_epochs=6, model=name).search(fail_every=0).finish().predict(skill).folder
        for name, skill in (("ast", 0.7), ("mlp", 0.5))
    ]
    check_contract(differences, differences.info_of(with_comparisons([read_run(f) for f in folders], folders)))


def check_contract(module: ModuleType, info: Any) -> None:
    """What `search.pages.figures` asks of every figure."""
    assert module.SECTION in SECTIONS
    assert info is not None
    assert module.TITLE.strip() == module.TITLE != ""
    text = module.reading(info)
    assert text.endswith(".")
    assert "\n" not in text
    assert "nan" not in text
    wide, narrow = (json.loads(module.figure(info, narrow=n).to_json()) for n in (False, True))
    assert wide["data"] == narrow["data"]
    assert wide["data"]
    assert any("title" in axis for name, axis in wide["layout"].items() if "axis" in name)
    rows = module.table(info)
    assert rows
    assert all(list(row) == list(rows[0]) for row in rows)
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows
    with pytest.raises(AttributeError):
        info.anything = 1  # frozen


def moments(maker: Any) -> dict[str, Callable[[], object]]:
    return {
        "no trial": lambda: None,
        "a trial without an epoch": lambda: maker.start(0),
        "one running trial": lambda: (maker.start(0), maker.epochs(0, [0.3])),
        "only NaN": lambda: (maker.start(0), maker.epochs(0, [math.nan, math.nan])),
        "one complete trial": lambda: (maker.start(0), maker.epochs(0, [0.3] * 30), maker.end(0, "COMPLETE")),
        "all failed": lambda: [
            (maker.start(n), maker.epochs(n, [0.1] * n), maker.end(n, "FAIL", "diverged: loss is nan"))
            for n in range(12)
        ],
        "equal scores": lambda: [
            (maker.start(n), maker.epochs(n, [0.5] * 6), maker.end(n, "PRUNED", "rung 6")) for n in range(12)
        ],
        "search done": lambda: maker.search(),
        "finals under way": lambda: (maker.search(), maker.finals()),
    }


@pytest.mark.parametrize("moment", moments(None))
def test_every_figure_copes_with_every_moment(moment: str, run_maker: Callable[..., Any]) -> None:
    maker = run_maker("run")
    moments(maker)[moment]()
    run = view(maker)
    for module in MODULES.values():
        info = module.info(run)
        if info is None:
            assert module.EMPTY.endswith(".")
        else:
            assert module.figure(info).data
            assert module.reading(info).endswith(".")
            json.dumps(module.table(info), allow_nan=False)


def test_result_figures_wait_for_the_result(run_maker: Callable[..., Any]) -> None:
    run = view(run_maker("run").search())
    assert [
        name for name, module in MODULES.items() if module.SECTION == "Result" and module.info(run) is not None
    ] == []


def test_leads_are_against_the_recipe_on_its_folds(folded: RunView, finished: RunView) -> None:
    """Leads: 0, 0.01, 0; 0.06, 0.05, 0.07; -0.1; -0.01, -0.01. Their squares within trials sum to 2.667e-4, over 5."""
    assert leads.concerns(folded)
    assert not leads.concerns(finished)
    info = leads.info(folded)
    assert info is not None
    rows = leads.table(info)
    assert [(row["trial"], row["folds"], row["lead_points"]) for row in rows] == [
        (2, 3, 6.0), (1, 3, 0.33), (4, 2, -1.0), (3, 1, -10.0),
    ]  # fmt: skip
    assert [row["beyond_luck"] for row in rows] == [True, False, False, False]
    spread = math.sqrt(2.6667e-4 / 5)
    assert [row["luck_points"] for row in rows] == pytest.approx(
        [196 * spread / math.sqrt(folds) for folds in (3, 3, 2, 1)], abs=0.01
    )
    assert leads.reading(info).startswith(
        "Of 4 trials that trained a whole fold, 1 leads the recipe by more than luck explains; clearest is trial 2, "
        "+6.0 points UAR over 3 folds"
    )


# -- what each one extracts -------------------------------------------------------------------------------------------


def test_history_counts_no_failed_trial_as_best(small: Any) -> None:
    info = history.info(view(small))
    assert info is not None
    assert [point.value for point in info.points] == [0.62, 0.3, 0.7, 0.9, 0.1]
    assert info.best_so_far == (0.62, 0.62, 0.7, 0.7, 0.7)
    assert info.best is not None
    assert info.best.number == 2
    assert info.recipe is not None
    assert info.recipe.number == 0
    assert "8.0 points above the recipe" in history.reading(info)


def test_survival_areas_are_epochs_trained_and_saved(small: Any) -> None:
    run = view(small)
    info = survival.info(run)
    assert info is not None
    assert info.trained == (3, 3, 2, 2, 2, 2, 1, 1, 1)
    assert info.saved == (0, 0, 1, 1, 1, 1, 2, 2, 2)
    assert info.epochs_saved == tally(run.records, run.plan.max_epochs).epochs_saved == 10
    assert [(rung.epoch, rung.reached, rung.went_on) for rung in info.rungs] == [(2, 3, 2), (6, 2, 1)]
    assert "saved 10 of 27 epochs (37 %)" in survival.reading(info)


def test_learning_curves_keep_every_epoch_of_few_trials(small: Any) -> None:
    info = learning_curves.info(view(small))
    assert info is not None
    assert [len(curve.values) for curve in info.curves] == [9, 2, 6, 1, 1]
    assert (info.best, info.best_epoch, info.best_value) == (2, 6, 0.7)
    assert info.rungs == (2, 6)


def test_a_thousand_trials_are_thinned_and_the_best_stay(run_maker: Callable[..., Any]) -> None:
    run = read_run(run_maker("many", trials=1000, max_epochs=50).search().folder)
    info = learning_curves.info(run)
    assert info is not None
    assert len(info.curves) == learning_curves.MOST_CURVES
    assert f"Drawn are {learning_curves.MOST_CURVES} of" in learning_curves.reading(info)
    best = best_trial(run.records)
    assert best is not None
    assert best.number in [curve.number for curve in info.curves]
    kept = slices.info(run)
    assert kept is not None
    assert max(len(panel.samples) for panel in kept.panels) <= slices.MOST_TRIALS


def test_thinning_keeps_the_top_third_and_the_order(small: Any) -> None:
    trials = list(view(small).records.trials.values())
    assert thinned(trials, 5) == trials
    assert [trial.number for trial in thinned(trials, 3)] == [0, 2, 3]  # 3 has the highest score; 0 and 2 of 0, 1, 2, 4


def test_slices_have_a_panel_per_knob_and_leave_out_inactive_values(finished: RunView) -> None:
    info = slices.info(finished)
    assert info is not None
    assert {panel.knob for panel in info.panels} == set(finished.plan.space)
    masks = next(panel for panel in info.panels if panel.knob == "augment.time_masks")
    active = [t for t in finished.records.trials.values() if "augment.time_masks" in t.params]
    assert {sample.number for sample in masks.samples} <= {trial.number for trial in active}
    assert info.panels[0].knob == next(iter(finished.importance or {}))


def test_importance_finds_the_knob_that_decides(finished: RunView) -> None:
    shares = knob_importance(finished)
    assert shares is not None
    assert sum(share.value for share in shares.values()) == pytest.approx(1)
    assert next(iter(shares)) == "optim.learning_rate"
    info = importance_figure.info(finished)
    assert info is not None
    assert info.shares[0] == ("optim.learning_rate", shares["optim.learning_rate"])


def test_importance_needs_ten_trials_that_differ(run_maker: Callable[..., Any]) -> None:
    assert knob_importance(read_run(run_maker("few").search(9, fail_every=0).folder)) is None
    assert knob_importance(read_run(run_maker("ten").search(10, fail_every=0).folder)) is not None


def test_finalists_have_their_seeds_and_the_winner(finished: RunView) -> None:
    info = finalists.info(finished)
    assert info is not None
    assert finished.result is not None
    assert info.winner == info.finalists[0].trial == finished.result["winner"]["trial"]
    expected = {f["trial"]: f["val_uar"]["mean"] for f in finished.result["finalists"]}
    assert {f.trial: f.mean for f in info.finalists} == pytest.approx(expected)
    assert all(len(f.seeds) == 3 for f in info.finalists)


def test_fall_of_one_seed_and_one_test_speaker_has_no_spread(finished: RunView) -> None:
    result = json.loads(json.dumps(finished.result))
    for finalist in result["finalists"]:
        finalist["val_uar"]["std"] = None
    result["test"]["uar"].update(std=None, interval=[None, None])
    fall_info = fall.info(replace(finished, result=result))
    assert fall_info is not None
    assert [(step.low, step.high) for step in fall_info.steps] == [(None, None)] * 3
    fall.figure(fall_info)


def test_fall_is_search_then_seeds_then_test(finished: RunView) -> None:
    info = fall.info(finished)
    assert info is not None
    assert finished.result is not None
    best, winner, test = info.steps
    assert best.value == finished.result["search"]["best"]["val_uar"]
    assert (test.low, test.high) == tuple(finished.result["test"]["uar"]["interval"])
    assert best.value > winner.value
    assert "points below the promise" in fall.reading(info)


def test_confusion_shares_are_rows(finished: RunView) -> None:
    info = confusion_figure.info(finished)
    assert info is not None
    assert finished.result is not None
    assert [list(row) for row in info.counts] == finished.result["test"]["confusion"]
    assert all(sum(row) == pytest.approx(1) for row in info.shares)


def test_timeline_measures_how_busy_the_workers_were(small: Any) -> None:
    info = timeline.info(view(small))
    assert info is not None
    assert info.workers == ("node/0", "node/1")
    assert [span.worker for span in info.spans] == [0, 1, 0, 1, 0]
    assert info.spans[1].start == 27.0
    assert sum(info.busy_seconds) == 2 * 19
    assert info.utilisation == pytest.approx(38 / (info.seconds * 2))


def test_failures_are_grouped_by_kind(finished: RunView, small: Any) -> None:
    info = failures.info(finished)
    assert info is not None
    failed = [t for t in finished.records.trials.values() if t.state is TrialState.FAIL]
    assert info.failed == len(failed)
    assert {kind.name for kind in info.kinds} == {"diverged", "out of memory"}
    one = failures.info(view(small))
    assert one is not None
    assert failures.reading(one) == "1 of 5 trials failed, for the reason “out of memory”."


# -- names and folders ------------------------------------------------------------------------------------------------


def test_names_are_plain_text_for_plotly() -> None:
    assert plain('<a href="javascript:x">joy</a>') == "&lt;a href=&quot;javascript:x&quot;&gt;joy&lt;/a&gt;"
    assert plain("two\nlines") == "two lines"
    assert len(plain("x" * 500, 40)) == 40


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"a run folder holds plan.json"):
        read_run(tmp_path)
    (tmp_path / "plan.json").write_text('{"model": "mlp"}')
    with pytest.raises(RunFolderError, match=r"it lacks corpus, split"):
        read_run(tmp_path)
    (tmp_path / "plan.json").write_text('{"model": ')
    with pytest.raises(RunFolderError, match=r"is not JSON"):
        read_run(tmp_path)
