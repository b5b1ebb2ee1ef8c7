"""The figure of differences between runs: its pairs, their intervals, and when there are none."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from search.comparison.comparable import named_apart
from search.comparison.leaderboard import make_leaderboard, with_comparisons
from search.pages.figures import differences
from search.run_folder.paths import PREDICTIONS_FILE
from search.run_folder.run_view import RunView, read_run

SKILLS = {"mlp": 0.3, "ast": 0.72, "<b>cnn</b>": 0.7}


@pytest.fixture
def folders(run_maker: Callable[..., Any]) -> list[Path]:
    """Three runs on the same test clips, the best in their middle."""
    found = []
    for seed, (model, skill) in enumerate(SKILLS.items()):
        maker = run_maker(f"run-{seed}", trials=6, max_epochs=6, model=model).search(fail_every=0).finish()
        found.append(maker.predict(skill, seed=seed).folder)
    return found


def compared(folders: Sequence[Path]) -> list[RunView]:
    return with_comparisons(named_apart([read_run(folder) for folder in folders]), folders)


def traces(info: differences.DifferencesInfo) -> dict[str, Any]:
    return {each["name"]: each for each in json.loads(differences.figure(info).to_json())["data"]}


def test_pairs_are_those_of_the_leaderboard_with_the_best_run_first(folders: list[Path]) -> None:
    info = differences.info_of(compared(folders))
    assert info is not None
    names = {f"{model} (run-{seed})": [folders[seed]] for seed, model in enumerate(SKILLS)}
    assert info.pairs == make_leaderboard(names).comparisons
    ast, cnn, mlp = "ast (run-1)", "<b>cnn</b> (run-2)", "mlp (run-0)"
    assert [(pair.first, pair.second) for pair in info.pairs] == [(ast, cnn), (ast, mlp), (cnn, mlp)]
    drawn = traces(info)
    assert drawn["not shown"]["y"] == [0]
    assert drawn["shown"]["y"] == [1, 2]
    assert drawn["shown"]["x"] == [round(100 * pair.difference.value, 2) for pair in info.pairs[1:]]
    bars = drawn["not shown"]["error_x"]
    (middle,), interval = drawn["not shown"]["x"], info.pairs[0].difference.interval
    assert middle - bars["arrayminus"][0] == pytest.approx(100 * interval.low, abs=0.01)
    assert middle + bars["array"][0] == pytest.approx(100 * interval.high, abs=0.01)
    assert differences.reading(info).startswith("2 of 3 differences in UAR are shown")
    assert "<b>" not in json.dumps(json.loads(differences.figure(info).to_json()))


def test_the_table_has_both_tests_of_every_pair(folders: list[Path]) -> None:
    info = differences.info_of(compared(folders))
    assert info is not None
    for row, pair in zip(differences.table(info), info.pairs, strict=True):
        assert row["uar_points"] == round(100 * pair.difference.value, 2)
        assert (row["p_holm"], row["shown"]) == (pair.p_holm, pair.p_holm < 0.05)
        assert (row["only_first_right_clips"], row["only_second_right_clips"]) == (
            pair.mcnemar.only_first,
            pair.mcnemar.only_second,
        )


def test_a_model_beside_itself_has_no_interval(folders: list[Path]) -> None:
    (folders[0] / PREDICTIONS_FILE).write_text((folders[1] / PREDICTIONS_FILE).read_text())
    info = differences.info_of(compared(folders[:2]))
    assert info is not None
    assert math.isnan(info.pairs[0].difference.interval.low)
    assert differences.reading(info) == (
        "None of 1 difference in UAR is shown (p < 0.05 over speakers, by Holm's correction): mlp (run-0) and "
        "ast (run-1) score alike (no interval; p = 1): no difference shown."
    )
    json.dumps(differences.table(info), allow_nan=False)


def test_one_test_speaker_is_said_instead_of_a_test(run_maker: Callable[..., Any]) -> None:
    runs = []
    for seed, skill in enumerate((0.3, 0.7)):
        maker = run_maker(f"run-{seed}", trials=6, max_epochs=6).search(fail_every=0).finish()
        runs.append(maker.predict(skill, seed=seed, speakers=1).folder)
    info = differences.info_of(compared(runs))
    assert info is not None
    assert differences.reading(info).startswith("One test speaker tells nothing about others: ")
    assert differences.reading(info).endswith("(one test speaker): cannot be tested.")
    (row,) = differences.table(info)
    assert (row["p"], row["p_holm"], row["shown"]) == (None, None, False)
    assert list(traces(info)["not shown"]["y"]) == [0]
    json.dumps(differences.table(info), allow_nan=False)


def test_many_pairs_are_drawn_in_part_and_listed_in_full(folders: list[Path]) -> None:
    first, second = compared(folders[:2])
    info = differences.info_of([first, replace(second, beats=second.beats * 50)])
    assert info is not None
    assert sum(len(trace["y"]) for trace in traces(info).values()) == differences.MOST_PAIRS
    assert len(differences.table(info)) == 50
    assert differences.reading(info).endswith(f"; drawn are the first {differences.MOST_PAIRS}.")


def test_runs_without_the_same_test_clips_have_no_differences(
    folders: list[Path], run_maker: Callable[..., Any]
) -> None:
    def pairs(*runs: Path) -> int:
        info = differences.info_of(compared(runs))
        return 0 if info is None else len(info.pairs)

    unfinished = run_maker("unfinished", trials=6, max_epochs=6).search().folder
    assert pairs(*folders, unfinished) == 3
    assert pairs(folders[0], unfinished) == 0
    elsewhere = run_maker("elsewhere", trials=6, max_epochs=6, split="random").search(fail_every=0).finish()
    assert pairs(*folders, elsewhere.predict(0.5).folder) == 0
    (folders[2] / PREDICTIONS_FILE).unlink()  # as of a version that kept none
    assert pairs(*folders) == 1
    fewer = run_maker("fewer", trials=6, max_epochs=6).search(fail_every=0).finish().predict(0.5, speakers=4)
    assert pairs(*folders, fewer.folder) == 0
