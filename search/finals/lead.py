"""By how much a challenger leads the recipe on the validation clips of the finals, pair by pair."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from search.run_folder.paths import validation_file
from search.run_folder.predictions import Predictions, read_predictions
from ser_core.config import ConfigError
from ser_core.metrics.paired import Difference, paired_difference


@dataclass(frozen=True, kw_only=True)
class Lead:
    """Score of a challenger less the recipe's, by the objective of the run.

    It is over the pairs of runs with one seed on one fold.

    Attributes:
        difference: with its 95 % interval over speakers, for these trained models.
        clips, speakers: that were predicted, each counted once. seeds: pairs.
    """

    difference: Difference
    clips: int
    speakers: int
    seeds: int

    @property
    def is_luck(self) -> bool:
        """True when the interval holds no difference, too; without one (a single speaker), when there is no lead."""
        low = self.difference.interval.low
        return not (self.difference.value if math.isnan(low) else low) > 0


def validation_lead(
    folder: Path, seeds: int, challenger: int, recipe: int, speaker_of: Mapping[str, str], objective: str
) -> Lead | None:
    """The lead over the seeds that both finished, from what they predict; None without any.

    Args:
        folder: of the run. seeds: of its finals. speaker_of: by the ID of a clip. objective: of the run.

    Raises:
        ConfigError: predictions that cannot be read, or that are of different clips.
    """
    pairs = [
        (read_predictions(first, objective), read_predictions(second, objective))
        for seed in range(1, seeds + 1)
        if (first := folder / validation_file(challenger, seed)).exists()
        and (second := folder / validation_file(recipe, seed)).exists()
    ]
    if not pairs:
        return None
    clips = {clip for first, _ in pairs for clip in first.clip_ids}
    return Lead(
        difference=difference_of(pairs, speaker_of),
        clips=len(clips),
        speakers=len({speaker_of[clip] for clip in clips}),
        seeds=len(pairs),
    )


def difference_of(pairs: Sequence[tuple[Predictions, Predictions]], speaker_of: Mapping[str, str]) -> Difference:
    """How far the first of each pair lies above the second, a pair per seed; a clip of several seeds counts once.

    Raises:
        ConfigError: a pair that did not predict the same clips.
    """
    if any(first.clip_ids != second.clip_ids for first, second in pairs):
        raise ConfigError("the finalists predict different validation clips; delete final/validation and run again")
    clips = [clip for first, _ in pairs for clip in first.clip_ids]
    runs = Counter(clips)
    first, second = (np.concatenate([pair[side].told[0] for pair in pairs]) for side in (0, 1))
    return paired_difference(
        pairs[0][0].target,
        np.concatenate([own.truth for own, _ in pairs]),
        first,
        second,
        np.array([speaker_of[clip] for clip in clips]),
        np.array([1 / runs[clip] for clip in clips]),
    )
