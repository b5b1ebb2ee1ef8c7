"""Every fold of a protocol together: scores of each, their mean and spread, and the interval over all test speakers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from search.finals.spreads import leading_scores, target_facts
from search.finals.test_scores import score_test
from search.run_folder.caveat_facts import facts_of_result
from search.run_folder.documents import read_result_file
from search.run_folder.paths import PREDICTIONS_FILE, RESULT_FILE
from search.run_folder.predictions import Predictions, pooled, read_predictions
from search.run_folder.run_score import headline_of, run_score, scores_of_result
from ser_core.config import ConfigError
from ser_core.json_document import DocumentError
from ser_core.protocol_names import trained_group


def read_result(folder: Path) -> dict[str, Any]:
    """`result.json` of a run.

    Raises:
        ConfigError: the run has not ended, or the file cannot be read.
    """
    try:
        return read_result_file(folder)
    except FileNotFoundError as error:
        raise ConfigError(f"{folder} holds no {RESULT_FILE}: the run has not ended; --resume it first") from error
    except DocumentError as error:
        raise ConfigError(f"{error}; --resume {folder} writes it again") from error


def protocol_numbers(folders: Sequence[Path]) -> dict[str, Any]:
    """The combined numbers of the runs in `folders`, one per fold of a protocol; scores are shares in [0, 1].

    `folds` holds every fold's `score`, that of its default model, and its single models' mean over seeds; of `pairs`,
    `tested` has the scores of each group that was tested. `score_over_folds` and `over_folds` have the mean and
    standard deviation of each over folds, as tables of published protocols have them; `pooled` the scores of all test
    clips together with intervals over all speakers, and `clips` how many different ones they are.

    Raises:
        ConfigError: a fold that has not ended, or folds that do not belong together.
    """
    results = [read_result(folder) for folder in folders]
    corpora = {result["corpus"]["fingerprint"] for result in results}
    if len(corpora) > 1:
        raise ConfigError("the folds are of different corpora; run them on the same --data")
    objective = headline_of(results[0]).name
    tests = [read_predictions(folder / PREDICTIONS_FILE, objective) for folder in folders]
    facts = [facts_of_result(result) for result in results]
    names = [score.name for score in scores_of_result(results[0])]
    return {
        "model": results[0]["model"],
        "corpus": results[0]["corpus"],
        "target": target_facts(tests[0].target),
        "folds": [
            {**_fold_numbers(folder.name, result), **_tested_groups(result, test)}
            for folder, result, test in zip(folders, results, tests, strict=True)
        ],
        "score_over_folds": {
            name: _over_folds([_defined(run_score(result["test"], name).value) for result in results]) for name in names
        },
        "over_folds": {name: _over_folds([result["test"][name]["mean"] for result in results]) for name in names},
        "clips": len({clip for test in tests for clip in test.clip_ids}),
        "pooled": score_test(pooled(tests, [result["split"]["kind"] for result in results])),
        "test_reads": max(result["test_reads"] for result in results),
        "transductive": any(own.transductive for own in facts),
        "tuned_on_test_speakers": any(own.tuned_on for own in facts),
    }


def predictions_of(folder: Path) -> Predictions:
    """What the refitted models of a run predicted for its test clips."""
    return read_predictions(folder / PREDICTIONS_FILE, headline_of(read_result(folder)).name)


def _fold_numbers(name: str, result: Mapping[str, Any]) -> dict[str, Any]:
    names, validation = [score.name for score in scores_of_result(result)], f"val_{headline_of(result).name}"
    return {
        "run": name,
        "split": result["split"]["kind"],
        "test_speakers": result["split"]["test_speakers"],
        f"best_search_{validation}": (result["search"]["best"] or {}).get(validation),
        "params": result["winner"]["params"],
        "wall_seconds": result["search"]["wall_seconds"],
        "score": {name: run_score(result["test"], name).numbers() for name in names},
        **{name: {key: result["test"][name][key] for key in ("mean", "std", "interval")} for name in names},
    }


def _tested_groups(result: Mapping[str, Any], test: Predictions) -> dict[str, Any]:
    """The scores of each group that a fold of `pairs` tests; nothing for other folds."""
    pair = trained_group(result["split"]["kind"])
    if pair is None:
        return {}
    column, _ = pair
    if column in result["test"].get("per_group", {}):
        return {"tested": result["test"]["per_group"][column]["groups"]}
    (only,) = set(test.genders if column == "gender" else test.groups[column])  # of two groups the other one
    numbers = {name: run_score(result["test"], name).numbers() for name in leading_scores(test)}
    speakers = len(set(test.speakers.tolist()))
    return {"tested": {str(only): {"clips": len(test.clip_ids), "speakers": speakers, **numbers}}}


def matrix_of(folds: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Mapping[str, Any]]]:
    """Group that was trained on -> group that was tested -> its scores; nothing where the folds are not of `pairs`.

    Args:
        folds: as `protocol_numbers` has them.
    """
    pairs = [(trained_group(fold["split"]), fold) for fold in folds]
    return {pair[1]: dict(fold["tested"]) for pair, fold in pairs if pair is not None}


def _defined(score: float | None) -> float:
    return math.nan if score is None else score


def _over_folds(means: Sequence[float]) -> dict[str, float | None]:
    return {"mean": fmean(means), "std": stdev(means) if len(means) > 1 else None}
