"""The one place where test clips are predicted, and the ledger of every reading."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from search.finals.finalists import FinalsError
from search.finals.group_scores import groups_of
from search.run_folder.append_file import AppendFile
from search.run_folder.earlier_runs import Start
from search.run_folder.paths import LEDGER_FILE, PREDICTIONS_FILE
from search.run_folder.predictions import GROUP, Predictions, prediction_table, write_table
from ser_core.artifact import load_model
from ser_core.clips import Manifest
from ser_core.features.store import FeatureStore
from ser_core.json_document import DocumentError, parse_object, typed
from ser_core.model_document import weights_sha256
from ser_core.splits import Split


def read_test_set(
    run_folder: Path,
    folders: Sequence[str],
    manifest: Manifest,
    split: Split,
    store: FeatureStore,
    *,
    groups: Sequence[str],
    start: Start | None = None,
    allow_second: bool,
    device: str,
) -> Predictions:
    """Predict the test clips with the refitted models: the only place where test rows are used.

    Every reading is written to the run's ledger, with the models, their weights and a hash of what they predicted.
    Reading again with the same weights, as after a crash or when a finished run is resumed, is the same reading; on
    another device the last bits of what they predict may differ.

    Args:
        folders: model folders relative to `run_folder`, one per seed.
        store: features of the whole manifest, made with the models' own settings.
        groups: columns of the manifest that are kept with the predictions.
        start: the model with which the run began; the ledger keeps what it had seen.
        allow_second: read again although the ledger holds another reading.

    Raises:
        FinalsError: the ledger holds a reading by other models.
    """
    said = [load_model(run_folder / folder, device=device).predict_store(store, split.test) for folder in folders]
    told = np.stack(said)
    digest = hashlib.sha256(np.ascontiguousarray(told, dtype="<f4").tobytes()).hexdigest()
    weights = [weights_sha256(run_folder / f) for f in folders]
    readings = ledger_readings(run_folder)
    if not any(weights == each.get("weights_sha256") or digest == each["predictions_sha256"] for each in readings):
        if readings and not allow_second:
            raise FinalsError(
                f"the test set of this run was read {len(readings)} time(s) before, for {readings[-1]['models']}; "
                f"choosing again after a look at it flatters the result. Start a new run, or give "
                f"--allow-second-test-read, which every output will then state"
            )
        ledger = AppendFile(run_folder / LEDGER_FILE)
        entry = {
            "time": time.time(),
            "models": list(folders),
            "weights_sha256": weights,
            "clips": len(split.test),
            "predictions_sha256": digest,
            **({} if start is None else {"start": asdict(start)}),
        }
        ledger.append([json.dumps(entry)])
        ledger.close()
    result = Predictions(
        target=manifest.target,
        truth=store.truth[split.test],
        speakers=manifest.speakers[split.test],
        genders=np.array([manifest.clips[row].gender or "" for row in split.test]),
        clip_ids=tuple(store.clip_ids[row] for row in split.test),
        told=told,
        groups=groups_of(manifest, split.test, groups),
    )
    _write_predictions(run_folder / PREDICTIONS_FILE, result)
    return result


def ledger_readings(run_folder: Path) -> list[dict[str, object]]:
    """The ledger: every reading of the test set, in order; a last line that a power cut tore is no reading.

    Raises:
        FinalsError: a line that is no reading.
    """
    path = run_folder / LEDGER_FILE
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    readings = []
    for number, line in enumerate(lines, 1):
        try:
            reading = parse_object(line)
            typed(_Reading, reading)
        except DocumentError as error:
            raise FinalsError(
                f"{path} line {number} is no reading of the test set ({error}): restore the file from a copy, since it "
                f"says how often the test set was read"
            ) from error
        readings.append(reading)
    return readings


@dataclass(frozen=True, kw_only=True)
class _Reading:
    """A line of the ledger, as far as every version wrote it."""

    models: Sequence[str]
    predictions_sha256: str


def _write_predictions(path: Path, result: Predictions) -> None:
    write_table(path, pd.concat(prediction_tables(result)))


def prediction_tables(result: Predictions) -> list[pd.DataFrame]:
    """One line per clip and seed: what it is, what was predicted, and all that the model says."""
    return [
        prediction_table(
            target=result.target,
            clip_ids=result.clip_ids,
            truth=result.truth,
            told=told,
            facts={
                "speaker": result.speakers,
                "gender": result.genders,
                **{f"{GROUP}{name}": values for name, values in result.groups.items()},
                "seed": seed,
            },
        )
        for seed, told in enumerate(result.told, 1)
    ]
