"""What tuning was worth: the best challenger against the recipe on the validation clips of the finals, pair by pair."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from search.finals.finalists import FinalChoice
from search.finals.test_scores import bounds_of
from search.run_folder.finals_rule import recipe_trial
from search.run_folder.paths import validation_file
from search.run_folder.plan import SearchPlan
from search.run_folder.predictions import Predictions, read_predictions
from search.run_folder.records import Phase, RunRecords, TrialState
from ser_core.clips import Manifest
from ser_core.config import ConfigError
from ser_core.metrics.paired import Difference, paired_difference

NOTE = (
    "UAR of the challenger less the recipe's on the validation clips of the finals, on which neither was trained. "
    "Each seed of one is paired with the same seed of the other, on the same fold. The 95 % interval is over speakers, "
    "for these trained models. The challenger was chosen on these clips, which flatters the difference. No test clip "
    "was used"
)


def tuning_numbers(
    folder: Path, plan: SearchPlan, records: RunRecords, choice: FinalChoice, manifest: Manifest
) -> dict[str, Any] | None:
    """The part `tuning` of `result.json`; None for a run without a recipe, or one whose finals did not hold it.

    Args:
        folder: of the run, which holds what the finalists predict for their validation clips.

    Raises:
        ConfigError: predictions that cannot be read.
    """
    recipe = recipe_trial(records)
    if recipe is None or plan.finals_rule == 1:
        return None
    found = None
    if choice.challenger is not None and choice.recipe is not None:
        found = _compared(folder, plan, choice.challenger, choice.recipe, manifest)
    return {
        "recipe": recipe.number,
        "recipe_failed": _failure(records, recipe.number),
        "recipe_stands": choice.winner == recipe.number,
        "challenger": choice.challenger,
        **(found or dict.fromkeys(("uar_difference", "interval", "clips", "speakers", "seeds"))),
        "note": NOTE,
    }


def _failure(records: RunRecords, recipe: int) -> str:
    """Why the recipe is no finalist, or cannot be compared with one that finished all its seeds; "" if it can."""
    runs = [run for run in records.finals if run.phase is Phase.FINALIST and run.trial == recipe and run.reason]
    trial = records.trials[recipe]
    if runs:
        return f"seed {runs[0].seed}: {runs[0].reason}"
    return trial.reason if trial.state is TrialState.FAIL else ""


def _compared(
    folder: Path, plan: SearchPlan, challenger: int, recipe: int, manifest: Manifest
) -> dict[str, Any] | None:
    """The difference over the seeds that both finished; None without any."""
    pairs = [
        (read_predictions(first), read_predictions(second))
        for seed in range(1, plan.seeds + 1)
        if (first := folder / validation_file(challenger, seed)).exists()
        and (second := folder / validation_file(recipe, seed)).exists()
    ]
    if not pairs:
        return None
    speaker_of = {clip.clip_id: clip.speaker for clip in manifest.clips}
    difference = difference_of(pairs, speaker_of)
    clips = {clip for first, _ in pairs for clip in first.clip_ids}
    return {
        "uar_difference": difference.value,
        "interval": bounds_of(difference.interval),
        "clips": len(clips),
        "speakers": len({speaker_of[clip] for clip in clips}),
        "seeds": len(pairs),
    }


def difference_of(pairs: Sequence[tuple[Predictions, Predictions]], speaker_of: Mapping[str, str]) -> Difference:
    """How far the first of each pair lies above the second, a pair per seed; a clip of several seeds counts once.

    Raises:
        ConfigError: a pair that did not predict the same clips.
    """
    if any(first.clip_ids != second.clip_ids for first, second in pairs):
        raise ConfigError("the finalists predict different validation clips; delete final/validation and run again")
    clips = [clip for first, _ in pairs for clip in first.clip_ids]
    runs = Counter(clips)
    first, second = (np.concatenate([pair[side].probabilities[0].argmax(axis=1) for pair in pairs]) for side in (0, 1))
    return paired_difference(
        np.concatenate([own.labels for own, _ in pairs]),
        first,
        second,
        np.array([speaker_of[clip] for clip in clips]),
        np.array([1 / runs[clip] for clip in clips]),
        len(pairs[0][0].classes),
    )
