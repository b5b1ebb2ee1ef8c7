"""The page of a whole protocol: every fold in a table, and the figures of all test clips together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from search.comparison.comparable import caveat_banners
from search.pages.comparison_head import ComparisonHead
from search.pages.html import build_protocol
from search.run_folder.run_score import run_score, scores_of_result, validation_score
from search.run_folder.run_view import RunView, read_run
from search.wording import count, interval, spread
from ser_core.metrics.paired import Comparison
from ser_core.named_scores import Score
from ser_core.protocol_names import trained_group
from ser_core.whole_file import write_whole


def write_protocol_page(
    path: Path,
    runs: Mapping[str, Sequence[Path]],
    document: Mapping[str, Any],
    comparisons: Sequence[Comparison] = (),
) -> Path:
    """Write the page of every fold of a protocol, by one or more architectures.

    Args:
        runs: model -> run folders, a fold each.
        document: as `protocol.json` has it; while folds are missing, `of` is how many there will be.
        comparisons: of the models on all test clips.

    Raises:
        RunFolderError: a folder that is not a readable run.
        OSError: a disk that is full or cannot be written.
    """
    folds = {model: [read_run(folder) for folder in folders] for model, folders in runs.items()}
    folds_text = count(document["folds"], "fold")
    title = f"{document['protocol']}, {folds_text}" + (f" of {document['of']} so far" if "of" in document else "")
    pooled = []
    for model, own in folds.items():
        result = {**(own[0].result or {}), "test": document["models"][model]["pooled"]}
        beats = tuple(each for each in comparisons if each.first == model)
        pooled.append(replace(own[0], name=title, result=result, beats=beats))
    return write_whole(path, build_protocol(_head(title, folds, document), pooled, document["models"]))


def _head(title: str, folds: Mapping[str, Sequence[RunView]], document: Mapping[str, Any]) -> ComparisonHead:
    first = next(iter(document["models"].values()))
    test = first["pooled"]
    named = [replace(run, name=model) for model, own in folds.items() for run in own]
    return ComparisonHead(
        run=f"Corpus {named[0].plan.corpus.name}, searched {document['search']}",
        title=f"{title}: {', '.join(folds)}",
        lead=f"{_who_tests(first['folds'])}: "
        f"{count(first['clips'], 'clip')} of {count(test['speakers'], 'speaker')}. The table holds the scores of the "
        f"default models, the ensembles of the refitted seeds. The figures are of all test clips together; those of "
        f"emotions and speakers are means over the single models. Intervals are over speakers.",
        banners=tuple(caveat_banners(named)),
        columns=_columns(scores_of_result(first)),
        rows=tuple(row for model, numbers in document["models"].items() for row in _rows(model, numbers)),
        footer="Published tables give mean and deviation over folds; a deviation over folds is no interval.",
    )


def _who_tests(folds: Sequence[Mapping[str, Any]]) -> str:
    pair = trained_group(folds[0]["split"])
    if pair is None:
        return "Every speaker is tested once, by models that were not trained on them"
    return f"Every speaker is tested by models of each other {pair[0]}, and counts once for each of them"


def _columns(scores: Sequence[Score]) -> tuple[str, ...]:
    first, *others = scores
    beside = ("test accuracy" if score.name == "war" else score.label for score in others)
    start = ("model", "fold", "test speakers", f"best search {first.label}", f"test {first.label}", "95 % interval")
    return *start, *beside


def _rows(model: str, numbers: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """All folds together, their mean and deviation, then each."""
    pooled, over, scores = numbers["pooled"], numbers["score_over_folds"], scores_of_result(numbers)
    whole = {score.name: run_score(pooled, score.name).numbers() for score in scores}
    first, *others = (spread(over[score.name]["mean"], over[score.name]["std"], score=score) for score in scores)
    rows = [
        (model, "all clips", str(pooled["speakers"]), "", *_scores(whole, scores, pooled["speakers"])),
        (model, "mean ± deviation", "", "", first, "", *others),
    ]
    for fold in numbers["folds"]:
        found, speakers = scores[0].text(validation_score(fold, scores[0], "best_search_")), fold["test_speakers"]
        rows.append((model, fold["split"], ", ".join(speakers), found, *_scores(fold["score"], scores, len(speakers))))
    return rows


def _scores(numbers: Mapping[str, Any], scores: Sequence[Score], speakers: int) -> tuple[str, ...]:
    first, *others = (score.text(numbers[score.name]["value"]) for score in scores)
    bounds = interval(numbers[scores[0].name]["interval"], speakers=speakers, score=scores[0])
    return first, bounds, *others
