"""The page of an evaluation: a finished model on other speech."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search.comparison.comparable import evaluation_banners
from search.pages.comparison_head import ComparisonHead
from search.pages.html import build_tested
from search.run_folder.run_score import headline_of, run_score, scores_of_result
from search.run_folder.verdict import group_sentences
from search.wording import count, interval
from ser_core.whole_file import defined, write_whole


def write_evaluation_page(path: Path, document: Mapping[str, Any]) -> Path:
    """Write the page of `evaluation.json`.

    Raises:
        OSError: a disk that is full or cannot be written.
    """
    document = defined(document)
    return write_whole(path, build_tested(_head(document), document))


def score_rows(document: Mapping[str, Any]) -> tuple[tuple[str, ...], ...]:
    """Score, value, interval over speakers, single models."""
    test = document["test"]
    found = [(score, run_score(test, score.name)) for score in scores_of_result(document)]
    return tuple(
        (
            score.both_names,
            score.text(own.value),
            interval(own.interval, speakers=test["speakers"], score=score),
            own.single or "–",
        )
        for score, own in found
    )


def _head(document: Mapping[str, Any]) -> ComparisonHead:
    test, data = document["test"], document["data"]
    trained = (document["trained_on"] or {}).get("name", "unknown data")
    recalls, score = test.get("per_class_recall", {}), headline_of(document)
    missing = [word for word, own in recalls.items() if own["mean"] is None]
    lacks = f" The data have no {', '.join(missing)}, which the model may predict all the same." if missing else ""
    groups = " ".join(group_sentences(test, score))
    return ComparisonHead(
        run=document["models"],
        title=f"A model of {trained} on {data['corpus']}",
        lead=f"{count(test['clips'], 'clip')} of {count(test['speakers'], 'speaker')}, scored as the "
        f"{run_score(test, score.name).of} predicts them; intervals are over speakers.{lacks} {groups}".strip(),
        banners=evaluation_banners(document),
        columns=("score", "value", "95 % interval", "single model"),
        rows=score_rows(document),
        table="The scores",
        footer="UAR is over the emotions that the data have." if recalls else "Scores are means over the dimensions.",
    )
