"""Who is served worse: scores of each group of test clips, and how far each lies from all others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from search.finals.spreads import bounds_of, leading_scores
from search.run_folder.predictions import Predictions, of_default_model
from ser_core.clips import CorpusError, Manifest
from ser_core.metrics.groups import group_difference
from ser_core.metrics.paired import SIGNIFICANCE, holm
from ser_core.metrics.resampled import score_intervals, scores_of
from ser_core.protocol_names import trained_group
from ser_core.targets import Emotions

USUAL_COLUMNS = ("language", "corpus", "session")
"""Columns by which test clips are grouped wherever the data have them, beside gender."""
MOST_GROUPS = 30
"""Of a column that the user names."""


def named_columns(groups: str, manifest: Manifest, split: str = "") -> tuple[str, ...]:
    """The columns by which test clips are grouped: the usual ones that there are, and those named with commas between.

    A fold of `pairs` has its own column beside them, whose groups are what it is about.

    Raises:
        CorpusError: a column that the corpus does not have, or one of too many values.
    """
    asked = [name.strip() for name in groups.split(",") if name.strip()]
    if (pair := trained_group(split)) is not None:
        asked.append(pair[0])
    for name in asked:
        values = set(manifest.column(name).tolist()) - {""}
        if len(values) > MOST_GROUPS:
            raise CorpusError(
                f"--groups {name}: at most {MOST_GROUPS} groups can be compared; there are {len(values)}: write ranges "
                f"such as 20-29 into the data"
            )
    usual = [name for name in USUAL_COLUMNS if name in manifest.columns]
    return tuple(dict.fromkeys(name for name in (*usual, *asked) if name != "gender"))


def groups_of(manifest: Manifest, rows: np.ndarray, columns: Sequence[str]) -> dict[str, np.ndarray]:
    """Column -> value of each of the rows (rows,) str, "" where unknown."""
    return {name: manifest.column(name)[rows].astype(str) for name in columns}


def group_numbers(test: Predictions) -> dict[str, Any]:
    """Column -> scores of its groups, and the differences, as `result.json` holds them; columns of one group left out.

    All are scores of the default model. UAR is over the classes that a group has. A difference, under the name of the
    objective, is that of a group from all clips of other groups, over the classes of both; p-values are corrected for
    the groups of a column (Holm). Of two groups the worse one alone has a difference. The worst comes first.
    """
    told = of_default_model(test)
    columns = {"gender": test.genders, **test.groups}
    return {
        name: _column_numbers(test, told, values)
        for name, values in columns.items()
        if len(set(values.tolist()) - {""}) > 1
    }


def _column_numbers(test: Predictions, told: np.ndarray, values: np.ndarray) -> dict[str, Any]:
    names = sorted(set(values.tolist()) - {""})
    groups = {name: _group_numbers(test, told, values == name) for name in names}
    known = values != ""
    found = {
        name: group_difference(test.target, test.truth[known], told[known], test.speakers[known], values[known] == name)
        for name in names
    }
    worst_first = sorted(names, key=lambda name: (np.isnan(found[name].value), found[name].value))
    compared = worst_first[:1] if len(names) == 2 else worst_first
    tested = [name for name in compared if not np.isnan(found[name].p_value)]
    corrected = dict(zip(tested, holm([found[name].p_value for name in tested]), strict=True))
    differences = [
        {
            "group": name,
            test.target.objective: found[name].value,
            "interval": bounds_of(found[name].interval),
            "p": found[name].p_value,
            "p_holm": corrected.get(name, np.nan),
            "shown": corrected.get(name, 1.0) < SIGNIFICANCE,
        }
        for name in compared
    ]
    return {"groups": groups, "differences": differences}


def _group_numbers(test: Predictions, told: np.ndarray, rows: np.ndarray) -> Mapping[str, Any]:
    own = scores_of(test.target, test.truth[rows], told[rows])
    intervals = score_intervals(test.target, test.truth[rows], told[rows], test.speakers[rows])
    return {
        "clips": int(rows.sum()),
        "speakers": len(set(test.speakers[rows].tolist())),
        **_classes(test, rows),
        **{name: {"value": own[name], "interval": bounds_of(intervals[name])} for name in leading_scores(test)},
    }


def _classes(test: Predictions, rows: np.ndarray) -> dict[str, int]:
    """How many classes a group has, over which its UAR is; dimensions have none."""
    if not isinstance(test.target, Emotions):
        return {}
    return {"classes": len(set(test.target.labels(test.truth[rows]).tolist()))}
