"""The end of a run: its test set read once, and all that is written of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import torch

from search.finals.finalists import FinalChoice, FinalsError, check_refits
from search.finals.group_scores import named_columns
from search.finals.insight import write_insight
from search.finals.result import make_result
from search.finals.test_set import ledger_readings, read_test_set
from search.finals.tuning import tuning_numbers
from search.run_folder.architectures import configuration_of
from search.run_folder.paths import FINAL_FOLDER, RESULT_FILE, model_folder
from search.run_folder.plan import SearchPlan
from search.run_folder.records import RunRecords
from ser_core.architectures import default_config
from ser_core.clips import Manifest
from ser_core.config import FeatureConfig
from ser_core.ensemble import ENSEMBLE_FILE, ensemble_document
from ser_core.features.store import FeatureStore
from ser_core.splits import Split
from ser_core.trained_clips import TRAINED_FILE, trained_clips, write_trained_clips
from ser_core.whole_file import write_json


def conclude(
    folder: Path,
    plan: SearchPlan,
    records: RunRecords,
    choice: FinalChoice,
    manifest: Manifest,
    split: Split,
    features: Callable[[FeatureConfig], FeatureStore],
    *,
    allow_second: bool,
    log: Callable[[str], None],
) -> dict[str, Any]:
    """Read the test set with the refitted winner -> `result.json`, which is written with all that goes with it.

    Args:
        folder: of the run.
        choice: what the finals chose.
        features: settings -> the features of the whole corpus.
        allow_second: read the test set again although other models have read it.
        log: gets a line on what could not be drawn.

    Raises:
        FinalsError: a refit failed, other models have read the test set, or the model to begin with is gone.
        OSError: a folder that cannot be written.
    """
    check_refits(records, choice.winner, plan.seeds)
    earlier = _trained_before(plan)
    models = [model_folder(choice.winner, seed) for seed in range(1, plan.seeds + 1)]
    config = default_config(*configuration_of(plan, records.trials[choice.winner].params))
    store = features(config.features)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    groups = named_columns(plan.groups, manifest, plan.split)
    test = read_test_set(
        folder, models, manifest, split, store, groups=groups, start=plan.start, allow_second=allow_second,
        device=device,
    )  # fmt: skip
    readings = len(ledger_readings(folder))
    tuning = tuning_numbers(plan, records, choice)
    result = make_result(plan, records, choice, test, tuning=tuning, readings=readings, models=models)
    write_json(folder / RESULT_FILE, result)
    weights = {Path(name).name: 1 / len(models) for name in models}
    write_json((folder / models[0]).parent / ENSEMBLE_FILE, ensemble_document(weights))
    from search.finals.model_card import write_model_cards  # its libraries take two seconds to import

    write_model_cards(folder, result)
    for name in models:
        write_trained_clips(folder / name, manifest, split.development, earlier)
    write_insight(folder, models[0], manifest, split, store, log=log)
    discard_others(folder, models)
    return result


def discard_others(folder: Path, models: Collection[str]) -> None:
    """Remove refits that were begun while the finalists were repeated, and lost: they are no result of the run.

    Args:
        folder: of the run. models: folders of the winner's, relative to it.
    """
    kept = {folder / name for name in models}
    for other in (folder / FINAL_FOLDER).glob("trial-*"):
        if other not in kept:
            shutil.rmtree(other)


def _trained_before(plan: SearchPlan) -> frozenset[str]:
    """Digests of the clips that the model was trained on with which the run began; none without one.

    Raises:
        FinalsError: it is gone, and what it was trained on with it.
    """
    if plan.start is None:
        return frozenset()
    known = trained_clips(Path(plan.start.source))
    if known is None and plan.start.clips_known:
        raise FinalsError(
            f"{plan.start.source}, with which the run began, is gone or has lost {TRAINED_FILE}: put it back, so that "
            f"the new models say what they were trained on, and resume"
        )
    return known or frozenset()
