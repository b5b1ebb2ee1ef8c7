"""Finished runs ranked by their test scores, and every pair of them tested on the same clips.

Needs neither ray nor torch: everything is computed from the predictions of the test clips that each run folder keeps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from search.comparison.comparable import PROTOCOL, budget_banners, caveat_banners, differences, sentence
from search.comparison.folds import matrix_of, protocol_numbers
from search.finals.spreads import Spread, bounds_of, leading_scores
from search.finals.test_scores import ensemble_numbers, single_scores
from search.run_folder.architectures import model_text
from search.run_folder.paths import PREDICTIONS_FILE
from search.run_folder.predictions import Predictions, of_default_model, pooled, read_predictions
from search.run_folder.run_view import RunView, read_run
from search.wording import clip_text, count
from ser_core.errors import UserError
from ser_core.metrics.paired import Comparison, compare_all
from ser_core.named_scores import SCORES, Score
from ser_core.protocol_names import trained_group
from ser_core.whole_file import defined

NOTES = {
    "score": "of the default model, the ensemble of the winner's refitted seeds, over the test clips of all folds "
    "together where there are several; runs are ranked by the objective. Intervals are 95 % Student's t intervals with "
    "the standard error of a bootstrap over test speakers",
    "uar": "of the single models: mean and deviation over the seeds; the other scores likewise",
    "p": "t test of the difference in the objective with the standard error of a bootstrap over test speakers, the "
    "same for both; p_holm is corrected for the number of pairs, and a difference is shown where it lies below 0.05. "
    "One test speaker gives nothing to test with, and null. p concerns these trained ensembles; the deviation over "
    "seeds shows how far single models lie from one another",
    "mcnemar": "exact test on the clips that only one of the two has right; it treats the clips of a speaker as "
    "independent, so its p-values are too small and it decides nothing here",
}


class ComparisonError(UserError, ValueError):
    """Runs whose test scores cannot be compared; the message shows in what they differ."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One run on the leaderboard, or the runs of all folds of a protocol; scores have intervals over test speakers.

    Attributes:
        score: of the default model, by whose objective runs are ranked: all scores by name, see `ensemble_numbers`.
        single: of its single models, the leading scores by name.
        matrix: of a protocol that trains on one group at a time, see `search.comparison.folds.matrix_of`; else empty.
    """

    name: str
    folders: tuple[Path, ...]
    model: str
    score: Mapping[str, Any]
    single: Mapping[str, Spread]
    test_reads: int
    matrix: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Leaderboard:
    """Runs on the same test clips, the best first.

    Attributes:
        protocol: what all runs share. headline: what all are judged by.
        splits: one, or those of the folds.
        clips, speakers: of the test set.
        warnings: what readers must not overlook.
        comparisons: every pair, see `compare_all`.
        not_run: what should have had a row -> why it has none.
    """

    protocol: Mapping[str, str]
    headline: Score
    splits: tuple[str, ...]
    clips: int
    speakers: int
    warnings: tuple[str, ...]
    entries: tuple[Entry, ...]
    comparisons: tuple[Comparison, ...]
    not_run: Mapping[str, str] = field(default_factory=dict)

    @property
    def second(self) -> Score:
        """The score that stands beside the headline."""
        return SCORES[list(self.entries[0].single)[1]]

    def numbers(self) -> dict[str, Any]:
        """All of `leaderboard.json`: scores are shares in [0, 1], null where they are not defined."""
        document = {
            "protocol": dict(self.protocol),
            "test": {"clips": self.clips, "speakers": self.speakers},
            "warnings": list(self.warnings),
            "runs": [
                {
                    "rank": rank,
                    "name": entry.name,
                    "model": entry.model,
                    "folders": [str(folder) for folder in entry.folders],
                    "score": dict(entry.score),
                    **{name: spread.numbers() for name, spread in entry.single.items()},
                    "test_reads": entry.test_reads,
                    **({"matrix": entry.matrix} if entry.matrix else {}),
                }
                for rank, entry in enumerate(self.entries, start=1)
            ],
            "differences": [comparison_numbers(each) for each in self.comparisons],
            "not_run": dict(self.not_run),
            "notes": NOTES,
        }
        return dict(defined(document))


def make_leaderboard(groups: Mapping[str, Sequence[Path]], not_run: Mapping[str, str] | None = None) -> Leaderboard:
    """The leaderboard of the runs in `groups`; one alone has a row and no difference.

    Args:
        groups: name -> a run folder, or those of the folds of a protocol, in the same order in every group; their test
            clips are pooled.
        not_run: what should have had a row -> why it has none.

    Raises:
        RunFolderError, ConfigError: a folder that is not a readable run, see `read_run` and `read_predictions`.
        ComparisonError: runs that have not finished, or that differ in corpus, classes, split or test clips.
    """
    runs = {name: [read_run(folder) for folder in folders] for name, folders in groups.items()}
    _check_finished(runs)
    _check_protocol(runs)
    objective = next(iter(runs.values()))[0].plan.objective
    splits = [run.plan.split for run in next(iter(runs.values()))]
    parts = {name: [read_test(folder, objective) for folder in folders] for name, folders in groups.items()}
    tests = {name: pooled(own, splits) for name, own in parts.items()}
    if problems := clip_differences(tests):
        raise _refusal(problems)
    first, test = next(iter(runs.values())), next(iter(tests.values()))
    entries = [
        replace(_entry(name, runs[name], groups[name], own), matrix=_matrix(groups[name], splits))
        for name, own in tests.items()
    ]
    named = {name: [replace(run, name=name) for run in own] for name, own in runs.items()}
    searched = [own[0] for own in named.values()]  # of folds with one configuration, the first has the search
    warnings = [*budget_banners(searched), *caveat_banners([run for own in named.values() for run in own])]
    return Leaderboard(
        protocol={name: "; ".join(dict.fromkeys(map(fact, first))) for name, fact in PROTOCOL.items()},
        headline=SCORES[objective],
        clips=len({clip for part in next(iter(parts.values())) for clip in part.clip_ids}),
        speakers=len(set(test.speakers.tolist())),
        splits=tuple(splits),
        warnings=tuple(f"{banner.word} {banner.text}" for banner in warnings),
        entries=tuple(sorted(entries, key=lambda entry: -entry.score[objective]["value"])),
        comparisons=compare_tests(tests),
        not_run=not_run or {},
    )


def _check_finished(runs: Mapping[str, Sequence[RunView]]) -> None:
    open_runs = [
        name if len(own) == 1 else f"{run.name} of {name}"
        for name, own in runs.items()
        for run in own
        if run.result is None
    ]
    if open_runs:
        raise ComparisonError(
            f"only finished runs can be compared; {', '.join(open_runs)} must end first: go on with --resume, or leave "
            f"them out"
        )


def _check_protocol(runs: Mapping[str, Sequence[RunView]]) -> None:
    """Every fold must have been run under one protocol by all."""
    if len({len(own) for own in runs.values()}) > 1:
        counts = "; ".join(f"{count(len(own), 'run')} in {name}" for name, own in runs.items())
        raise _refusal([f"Folds: {counts}."])
    for fold in zip(*runs.values(), strict=True):
        named = [replace(run, name=name) for name, run in zip(runs, fold, strict=True)]
        if found := differences(named, PROTOCOL):
            raise _refusal([sentence(name, values) for name, values in found.items()])


def with_comparisons(runs: Sequence[RunView], folders: Sequence[Path]) -> list[RunView]:
    """The runs, each with its differences from those that it beats on the same test clips.

    Runs stay as they are where fewer than two are finished and keep predictions of the same test clips under the same
    protocol. Names must differ, see `named_apart`.

    Raises:
        ConfigError: see `read_predictions`.
    """
    found = {
        label(run): read_test(folder, run.plan.objective)
        for run, folder in zip(runs, folders, strict=True)
        if run.result is not None and (folder / PREDICTIONS_FILE).exists()
    }
    kept = [run for run in runs if label(run) in found]
    if len(kept) < 2 or differences(kept, PROTOCOL) or clip_differences(found):
        return list(runs)
    comparisons = compare_tests(found)
    return [replace(run, beats=tuple(each for each in comparisons if each.first == label(run))) for run in runs]


def label(run: RunView) -> str:
    """The model, and the folder where it is not named after the model."""
    model = model_text(run.plan, run.result)
    return model if run.name == run.plan.model else f"{model} ({run.name})"


def read_test(folder: Path, objective: str) -> Predictions:
    """What a run's refitted models predicted for the test clips, in order of the clips' names.

    Raises:
        ConfigError: see `read_predictions`.
    """
    read = read_predictions(folder / PREDICTIONS_FILE, objective)
    order = np.argsort(np.array(read.clip_ids))
    return replace(
        read,
        clip_ids=tuple(np.array(read.clip_ids)[order].tolist()),
        truth=read.truth[order],
        told=read.told[:, order],
        speakers=read.speakers[order],
        genders=read.genders[order],
        groups={name: values[order] for name, values in read.groups.items()},
    )


def clip_differences(tests: Mapping[str, Predictions]) -> list[str]:
    """How the test clips of each run differ from those of the first; nothing when they are the same clips."""
    (first, expected), *others = tests.items()
    problems = []
    for name, own in others:
        if own.target != expected.target:
            here, there = (", ".join(each.target.names) for each in (expected, own))
            problems.append(f"Classes: {here} in {first}; {there} in {name}.")
        elif own.clip_ids != expected.clip_ids:
            its, others_own = set(expected.clip_ids), set(own.clip_ids)
            parts = [f"{_some(its - others_own)} only in {first}", f"{_some(others_own - its)} only in {name}"]
            problems.append(f"Test clips: {'; '.join(part for part in parts if not part.startswith('none'))}.")
        elif not (np.array_equal(own.truth, expected.truth) and np.array_equal(own.speakers, expected.speakers)):
            other = (own.truth != expected.truth).reshape(len(own.truth), -1).any(axis=1)
            changed = other | (own.speakers != expected.speakers)
            clips = {own.clip_ids[row] for row in np.flatnonzero(changed)}
            problems.append(f"Emotion or speaker of {_some(clips)}: other in {first} than in {name}.")
    return problems


def compare_tests(tests: Mapping[str, Predictions]) -> tuple[Comparison, ...]:
    """Every pair of runs on the same clips, each as its default model predicts them, see `compare_all`."""
    first = next(iter(tests.values()))
    said = {name: of_default_model(own)[None] for name, own in tests.items()}
    return compare_all(first.target, said, first.truth, first.speakers)


def comparison_numbers(each: Comparison) -> dict[str, Any]:
    """One pair in `leaderboard.json`."""
    return {
        "first": each.first,
        "second": each.second,
        each.score.name: each.difference.value,
        "interval": bounds_of(each.difference.interval),
        "p": each.difference.p_value,
        "p_holm": each.p_holm,
        "shown": each.shown,
        **_mcnemar_numbers(each),
    }


def _mcnemar_numbers(each: Comparison) -> dict[str, Any]:
    """Nothing where no clip is right or wrong."""
    if each.mcnemar is None:
        return {}
    numbers = {
        "only_first_right": each.mcnemar.only_first,
        "only_second_right": each.mcnemar.only_second,
        "p": each.mcnemar.p_value,
        "p_holm": each.mcnemar_p_holm,
    }
    return {"mcnemar": numbers}


def _entry(name: str, runs: Sequence[RunView], folders: Sequence[Path], test: Predictions) -> Entry:
    single = single_scores(test)
    return Entry(
        name=name,
        folders=tuple(folders),
        model=", ".join(dict.fromkeys(model_text(run.plan, run.result) for run in runs)),
        score=ensemble_numbers(test, of_default_model(test)),
        single={name: single[name] for name in leading_scores(test)},
        test_reads=max(int(run.result["test_reads"]) for run in runs if run.result is not None),
    )


def _matrix(folders: Sequence[Path], splits: Sequence[str]) -> dict[str, dict[str, Mapping[str, Any]]]:
    return matrix_of(protocol_numbers(folders)["folds"]) if any(map(trained_group, splits)) else {}


def _refusal(problems: Sequence[str]) -> ComparisonError:
    lines = ["test scores can be compared on the same clips alone, and these runs differ:", *problems]
    return ComparisonError("\n  ".join(lines))


def _some(clips: set[str]) -> str:
    """How many, and the first few by name."""
    if not clips:
        return "none"
    shown = ", ".join(map(clip_text, sorted(clips)[:3]))
    return f"{count(len(clips), 'clip')} ({shown}{', …' if len(clips) > 3 else ''})"
