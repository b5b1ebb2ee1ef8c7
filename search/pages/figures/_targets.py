"""What figures ask of the target of a run: whether they can say anything of it."""

from __future__ import annotations

from search.run_folder.run_view import RunView
from ser_core.targets import DIMENSIONS, EMOTION, kind_of


def predicts_ratings(run: RunView) -> bool:
    """True where dimensions are predicted, which have neither classes nor confusion."""
    if run.result is not None:  # an evaluation has no plan
        return bool(run.result.get("target", {}).get("kind", EMOTION) == DIMENSIONS)
    return kind_of(run.plan.target) == DIMENSIONS


def predicts_classes(run: RunView) -> bool:
    """True where emotions, or votes for them, are predicted."""
    return not predicts_ratings(run)
