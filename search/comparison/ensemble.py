"""Several runs as one predictor: what they say averaged, with weights that the validation clips alone decide."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize

from search.comparison.folds import predictions_of, read_result
from search.finals.spreads import leading_scores
from search.finals.test_scores import ensemble_numbers
from search.run_folder.paths import validation_files
from search.run_folder.predictions import Predictions, cross_validated, of_default_model, pooled
from ser_core.config import ConfigError
from ser_core.targets import Emotions

LEAST_PROBABILITY = 1e-7
"""Against the logarithm of zero, which one overconfident model would make of a clip."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Ensemble:
    """A weighted mean of models.

    Attributes:
        weights: member -> share, together 1.
        test: its predictions for the test clips; a single run, since every member's seeds are averaged first.
    """

    weights: Mapping[str, float]
    test: Predictions

    def numbers(self) -> dict[str, Any]:
        """As in `ensemble.json`: the shares, and the scores on the test clips with their intervals, the leading ones by
        name."""
        facts = {"clips": len(self.test.clip_ids), "speakers": len(set(self.test.speakers.tolist()))}
        scores = ensemble_numbers(self.test, self.test.told[0])
        return {
            "weights": dict(self.weights),
            "leading": list(leading_scores(self.test)[:2]),
            "test": {**facts, **scores},
        }


def ensemble_weights(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The shares (models,), none below 0 and together 1, whose mean has the least cross entropy on these clips.

    The cross entropy is convex in the shares, so there is one minimum (stacking: Wolpert 1992; with shares on the
    simplex: Breiman 1996, "Stacked regressions").

    Args:
        probabilities: (models, clips, classes) of validation clips.
        labels: (clips,) class indices.
    """
    models = len(probabilities)
    of_truth = probabilities[:, np.arange(len(labels)), labels].clip(LEAST_PROBABILITY)  # (models, clips)

    def cross_entropy(shares: np.ndarray) -> tuple[float, np.ndarray]:
        mixed = shares @ of_truth  # (clips,)
        return float(-np.log(mixed).mean()), -(of_truth / mixed).mean(axis=1)

    return _least(cross_entropy, models)


def rating_weights(ratings: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The shares (models,), none below 0 and together 1, whose mean has the least squared error on these clips.

    Dimensions count by their own spread. The error is convex in the shares, too (Breiman 1996).

    Args:
        ratings: (models, clips, dimensions) of validation clips. truth: (clips, dimensions).
    """
    scale = np.maximum(truth.std(axis=0), LEAST_PROBABILITY)
    told, wanted = ratings / scale, truth / scale

    def squared_error(shares: np.ndarray) -> tuple[float, np.ndarray]:
        missed = np.tensordot(shares, told, axes=1) - wanted  # (clips, dimensions)
        return float(np.square(missed).mean()), 2 * (told * missed).mean(axis=(1, 2))

    return _least(squared_error, len(ratings))


def _least(loss: Callable[[np.ndarray], tuple[float, np.ndarray]], models: int) -> np.ndarray:
    """The shares (models,) of least loss, which is given with its gradient."""
    found = minimize(
        loss,
        np.full(models, 1 / models),
        jac=True,
        method="SLSQP",
        bounds=[(0, 1)] * models,
        constraints={"type": "eq", "fun": lambda shares: shares.sum() - 1, "jac": np.ones_like},
    )
    if not found.success:
        raise RuntimeError(f"the weights of the ensemble were not found: {found.message}")
    shares = found.x.clip(0)
    return shares / shares.sum()


def ensemble_of(runs: Mapping[str, Path]) -> Ensemble:
    """The ensemble of the winners of several runs: seeds averaged, members weighted by their validation clips.

    The validation predictions are those of the winner's finalists, which never trained on these clips; the test
    predictions are those of the refits.

    Args:
        runs: name -> run folder; all of one corpus and split.

    Raises:
        ConfigError: fewer than two runs, one that has not ended, or runs of other clips or classes.
    """
    if len(runs) < 2:
        raise ConfigError(f"an ensemble takes two or more runs; got {', '.join(runs) or 'none'}")
    validation = {name: _validation(folder) for name, folder in runs.items()}
    test = {name: predictions_of(folder) for name, folder in runs.items()}
    for part, own in (("validation", validation), ("test", test)):
        _check_same(part, own)
    shares = _shares(next(iter(validation.values())), _default_models(validation))
    first = next(iter(test.values()))
    mixed = np.tensordot(shares, _default_models(test), axes=1)  # (clips, names)
    return Ensemble(weights=dict(zip(runs, shares.tolist(), strict=True)), test=replace(first, told=mixed[None]))


def _shares(first: Predictions, told: np.ndarray) -> np.ndarray:
    """The shares (models,) that fit validation clips best, of what models say of them (models, clips, names)."""
    if isinstance(first.target, Emotions):
        return ensemble_weights(told, first.target.labels(first.truth))
    return rating_weights(told, first.truth)


def pooled_ensemble(folds: Sequence[Mapping[str, Path]]) -> Ensemble:
    """The ensembles of every fold of a protocol together; every fold has weights of its own, of which this is the mean.

    Raises:
        ConfigError: see `ensemble_of` and `search.run_folder.predictions.pooled`.
    """
    each = [ensemble_of(runs) for runs in folds]
    weights = {name: float(np.mean([own.weights[name] for own in each])) for name in each[0].weights}
    splits = [read_result(next(iter(runs.values())))["split"]["kind"] for runs in folds]
    return Ensemble(weights=weights, test=pooled([own.test for own in each], splits))


def ensemble_across(groups: Mapping[str, Sequence[Path]]) -> Ensemble:
    """The ensemble of runs, or of protocols: name -> a run folder, or those of the folds, in the same order in all.

    Raises:
        ConfigError: see `ensemble_of`, and names with more folds than others.
    """
    if len({len(folders) for folders in groups.values()}) > 1:
        counts = ", ".join(f"{name} has {len(folders)}" for name, folders in groups.items())
        raise ConfigError(f"an ensemble takes runs with the same folds; {counts}")
    folds = [dict(zip(groups, folders, strict=True)) for folders in zip(*groups.values(), strict=True)]
    return ensemble_of(folds[0]) if len(folds) == 1 else pooled_ensemble(folds)


def _validation(folder: Path) -> Predictions:
    """What the winner's finalists predicted for the validation clips of all folds that their seeds were on."""
    files = validation_files(folder, read_result(folder)["winner"]["trial"])
    if not files:
        raise ConfigError(
            f"{folder} holds no validation predictions of its winner, as runs of older versions do; run it again"
        )
    return cross_validated(files)


def _default_models(runs: Mapping[str, Predictions]) -> np.ndarray:
    """(models, clips, names)."""
    return np.stack([of_default_model(own) for own in runs.values()])


def _check_same(part: str, runs: Mapping[str, Predictions]) -> None:
    (first_name, first), *others = runs.items()
    for name, own in others:
        if own.target != first.target:
            mine, its = (", ".join(each.target.names) for each in (first, own))
            raise ConfigError(f"{name} predicts {its}, {first_name} {mine}")
        if own.clip_ids != first.clip_ids:
            raise ConfigError(
                f"{name} and {first_name} have different {part} clips; an ensemble takes runs with the same corpus, "
                f"--split, --seed and --seeds"
            )
