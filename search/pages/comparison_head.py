"""Runs beside one another: a table of them, and every difference in protocol that makes their scores incomparable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search.comparison.comparable import Banner, banners
from search.run_folder.architectures import model_text
from search.run_folder.run_score import run_score, scores_of_result, validation_score
from search.run_folder.run_view import RunView
from search.run_folder.standing import best_trial
from search.wording import NONE, count, interval


@dataclass(frozen=True, kw_only=True)
class ComparisonHead:
    """All text of a page of several runs but that of the figures; nothing in it is escaped yet."""

    run: str
    title: str
    lead: str
    banners: tuple[Banner, ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    footer: str
    table: str = "The runs"


def comparison_head(runs: Sequence[RunView]) -> ComparisonHead:
    """The head of a page of `runs`, in the order given."""
    models = list(dict.fromkeys(model_text(run.plan, run.result) for run in runs))
    return ComparisonHead(
        run=", ".join(run.name for run in runs),
        title=f"{count(len(runs), 'run')} compared: {', '.join(models)}",
        lead="Test scores are those of each run's default model, the ensemble of the winner's refits, with a 95 % "
        "interval over test speakers; those of its single models are means and deviations over the seeds. "
        "Whether one run is better than another is shown by the differences on the same clips: the intervals of two "
        "runs can overlap although one is better for nearly every speaker.",
        banners=tuple(banners(runs)),
        columns=("run", "model", "corpus", "classes", "split", "trials", *_columns(runs)),
        rows=tuple(_row(run) for run in runs),
        footer="Differences between numbers may be those of seeds and speakers; read the intervals first.",
    )


def _columns(runs: Sequence[RunView]) -> tuple[str, ...]:
    """Scores by name where all runs are judged by one, which a comparison asks for anyway."""
    labels = {run.plan.headline.label for run in runs}
    label = labels.pop() if len(labels) == 1 else "score"
    return (
        f"best search {label}",
        "winner, mean of seeds",
        f"test {label}",
        "95 % interval",
        "beside it",
        "single model",
    )


def _row(run: RunView) -> tuple[str, ...]:
    best = best_trial(run.records)
    facts = (run.name, model_text(run.plan, run.result), run.plan.corpus.name, str(len(run.plan.corpus.classes)))
    scores = _result_scores(run.result) if run.result else (NONE,) * 5
    trials = f"{len(run.records.trials):,}"
    return (*facts, run.plan.split, trials, run.plan.headline.text(best.value) if best else NONE, *scores)


def _result_scores(result: Mapping[str, Any]) -> tuple[str, ...]:
    (score, second), test = scores_of_result(result)[:2], result["test"]
    finalist = next(f for f in result["finalists"] if f["trial"] == result["winner"]["trial"])
    winner, own = validation_score(finalist, score)["mean"], run_score(test, score.name)
    bounds = interval(own.interval, speakers=test["speakers"], score=score)
    beside = f"{second.label} {second.text(run_score(test, second.name).value)}"
    return score.text(winner), score.text(own.value), bounds, beside, own.single or NONE
