"""From the search's best trials to one number: finalists over seeds, winner, refit, one reading of the test set."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd

from search.appendfile import AppendFile
from search.jobs import Chunk, Job, Outcome, Wait, chunk_event, derived_seed
from search.predictions import PREDICTIONS_FILE, Predictions, prediction_table, validation_file, write_table
from search.records import FinalRun, Phase, RecordWriter, RunRecords, TrialRecord
from search.score_numbers import Spread
from ser_core.artifact import load_model, weights_sha256
from ser_core.clips import Manifest
from ser_core.feature_store import FeatureStore
from ser_core.splits import Split
from spaces.knobs import Value

LEDGER_FILE = "test_ledger.jsonl"


class FinalsError(RuntimeError):
    """The finals cannot end with a number; the message says why and what to do."""


def choose_finalists(records: RunRecords, count: int) -> list[TrialRecord]:
    """The best trials by search score: complete ones first, then those that ASHA ended, the further ones first.

    Raises:
        FinalsError: no trial has a score.
    """
    ranked = records.ranked()
    if not ranked:
        reasons = sorted({t.reason for t in records.trials.values() if t.reason})
        raise FinalsError(
            f"none of {len(records.trials)} trials has a validation score, so there is nothing to repeat; their "
            f"reasons: {'; '.join(reasons) or 'none given'}. Mend the cause and resume with more --trials"
        )
    return ranked[:count]


def finalist_scores(records: RunRecords, trials: Sequence[int]) -> dict[int, Spread]:
    """Trial number -> validation UAR over its finished seeds; a trial none of whose seeds finished is left out."""
    scores = {}
    for trial in trials:
        runs = [f for f in records.finals if f.phase is Phase.FINALIST and f.trial == trial and _finished(f)]
        values = [run.value for run in sorted(runs, key=lambda run: run.seed) if math.isfinite(run.value)]
        if values:
            scores[trial] = Spread.of(values)
    return scores


def choose_winner(scores: dict[int, Spread]) -> int:
    """The finalist with the best mean validation UAR over seeds; of equals the earliest trial.

    Raises:
        FinalsError: no finalist finished a run.
    """
    if not scores:
        raise FinalsError("every run of every finalist failed; see errors/ in the run folder, then resume")
    return min(scores, key=lambda trial: (-scores[trial].mean, trial))


def refit_epochs(records: RunRecords, winner: int) -> int:
    """Epochs for the refit: the median of the best epochs of the winner's final runs, rounded up."""
    runs = [f for f in records.finals if f.phase is Phase.FINALIST and f.trial == winner and _finished(f)]
    return math.ceil(median(run.best_epoch for run in runs if run.best_epoch))


def model_folder(trial: int, seed: int) -> str:
    """Where the refit of `trial` with `seed` lies, relative to the run folder."""
    return f"final/trial-{trial:05d}-seed-{seed}"


class FinalJobs:
    """Hands out the runs of one phase of the finals (a `JobSource`); runs that a session has finished are not repeated.

    Args:
        phase: finalists train on the train part with validation, refits on both together without.
        trials: whose configurations to train.
        seeds: of each trial; with `seed`, the run's own, they give what the training draws from.
        fixed: settings that every run shares, by dotted name.
        last_epoch: where a run ends; finalists use the full budget.
        interrupted: True as soon as all is to stop.
    """

    def __init__(
        self,
        *,
        phase: Phase,
        trials: Sequence[TrialRecord],
        seeds: int,
        seed: int,
        fixed: Mapping[str, Value],
        writer: RecordWriter,
        last_epoch: int,
        interrupted: Callable[[], bool] = lambda: False,
    ) -> None:
        self._phase, self._seed, self._fixed, self._writer = phase, seed, fixed, writer
        self._last_epoch, self._interrupted = last_epoch, interrupted
        self._open = [
            (trial, seed)
            for trial in trials
            for seed in range(1, seeds + 1)
            if not _finished(writer.records.final(phase, trial.number, seed))
        ]
        self._running: dict[str, tuple[int, int]] = {}

    def next_job(self) -> Job | Wait | None:
        if not self._open:
            return None
        trial, seed = self._open.pop(0)
        name = f"{self._phase}-{trial.number:05d}-seed-{seed}"
        self._running[name] = (trial.number, seed)
        self._writer.write("final_start", phase=self._phase, trial=trial.number, seed=seed)
        own_seed = derived_seed(self._seed, 1, seed)
        refit = self._phase is Phase.REFIT
        return Job(
            name=name,
            params={**self._fixed, **trial.params, "seed": own_seed},
            folds="refit" if refit else "search",
            last_epoch=self._last_epoch,
            model_folder=model_folder(trial.number, seed) if refit else "",
            predictions_file="" if refit else validation_file(trial.number, seed),
        )

    def report(self, chunk: Chunk) -> bool:
        trial, seed = self._running[chunk.job]
        final = self._writer.records.final(self._phase, trial, seed)
        event = chunk_event(chunk, known=len(final.epochs) if final is not None else 0)
        if event is not None:
            self._writer.write("final_epochs", phase=self._phase, trial=trial, seed=seed, **event)
        if chunk.outcome is not Outcome.GOING:
            self._end(chunk.job, chunk.reason)
        return chunk.outcome is Outcome.GOING

    def lost(self, job: str, reason: str) -> None:
        self._end(job, reason)

    def tick(self) -> bool:
        return self._interrupted()

    def _end(self, job: str, reason: str) -> None:
        trial, seed = self._running.pop(job)
        self._writer.write("final_end", phase=self._phase, trial=trial, seed=seed, reason=reason)


def check_refits(records: RunRecords, winner: int, seeds: int) -> None:
    """Every refit must have finished before the test set may be read.

    Raises:
        FinalsError: one that failed, with its reason.
    """
    for seed in range(1, seeds + 1):
        run = records.final(Phase.REFIT, winner, seed)
        if not _finished(run):
            reason = run.reason if run else "it never started"
            raise FinalsError(
                f"the refit of trial {winner} with seed {seed} failed: {reason}. The test set was not read; mend the "
                f"cause and resume"
            )


def read_test_set(
    run_folder: Path,
    folders: Sequence[str],
    manifest: Manifest,
    split: Split,
    store: FeatureStore,
    *,
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
        allow_second: read again although the ledger holds another reading.

    Raises:
        FinalsError: the ledger holds a reading by other models.
    """
    test = store.select(split.test)
    probabilities = np.stack([load_model(run_folder / f, device=device).predict_store(test) for f in folders])
    digest = hashlib.sha256(np.ascontiguousarray(probabilities, dtype="<f4").tobytes()).hexdigest()
    weights = [weights_sha256(run_folder / f) for f in folders]
    readings = test_readings(run_folder)
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
        }
        ledger.append([json.dumps(entry)])
        ledger.close()
    result = Predictions(
        classes=manifest.classes,
        labels=test.labels,
        speakers=manifest.speakers[split.test],
        genders=np.array([manifest.clips[row].gender or "" for row in split.test]),
        clip_ids=test.clip_ids,
        probabilities=probabilities,
    )
    _write_predictions(run_folder / PREDICTIONS_FILE, result)
    return result


def test_readings(run_folder: Path) -> list[dict[str, object]]:
    """The ledger: every reading of the test set, in order; a last line that a power cut tore is no reading."""
    path = run_folder / LEDGER_FILE
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]


def _write_predictions(path: Path, result: Predictions) -> None:
    """One line per clip and seed: what it is, what was predicted, and the probability of every class."""
    tables = [
        prediction_table(
            clip_ids=result.clip_ids,
            labels=result.labels,
            probabilities=probabilities,
            classes=result.classes,
            facts={"speaker": result.speakers, "gender": result.genders, "seed": seed},
        )
        for seed, probabilities in enumerate(result.probabilities, 1)
    ]
    write_table(path, pd.concat(tables))


def _finished(run: FinalRun | None) -> bool:
    return run is not None and run.ended is not None and not run.reason
