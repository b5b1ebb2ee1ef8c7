"""Run folders for the tests of figures and pages, written with the real RecordWriter."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from search.finals.test_scores import score_test
from search.run_folder.paths import INSIGHT_FILE, PREDICTIONS_FILE
from search.run_folder.predictions import Predictions, prediction_table, write_table
from search.run_folder.records import Phase, TrialState
from search.run_folder.records_writer import RecordWriter
from search.run_folder.scoring import Scoring
from search.study.asha import Asha
from ser_core.metrics.scores import seed_interval
from ser_core.targets import Emotions
from ser_core.training.report import EpochReport
from ser_core.whole_file import defined
from tests.search.made_results import insight_of, ratings_of_six_speakers, scores_of_six_speakers

CLASSES = ["neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"]
SPACE: dict[str, dict[str, Any]] = {
    "optim.learning_rate": {"type": "float", "low": 1e-5, "high": 1e-2, "log": True, "when": None},
    "optim.batch_size": {"type": "choice", "values": [16, 32, 64], "when": None},
    "optim.weight_decay": {"type": "float", "low": 1e-6, "high": 1e-1, "log": True, "when": None},
    "model.dropout": {"type": "float", "low": 0.0, "high": 0.6, "log": False, "when": None},
    "model.width": {"type": "int", "low": 16, "high": 64, "step": 8, "log": False, "when": None},
    "augment.kind": {"type": "choice", "values": ["none", "specaugment"], "when": None},
    "augment.time_masks": {
        "type": "int",
        "low": 1,
        "high": 4,
        "step": 1,
        "log": False,
        "when": {"name": "augment.kind", "values": ["specaugment"]},
    },
}
PUBLISHED = {"optim.learning_rate": 5e-5, "optim.batch_size": 32, "model.dropout": 0.1}


class RunMaker:
    """Writes a run as the search would have: plan, records, and result when `finish` is called."""

    def __init__(self, folder: Path, *, max_epochs: int = 30, trials: int = 40, **plan: Any) -> None:
        self.folder, self.max_epochs, self.trials = folder, max_epochs, trials
        self.rng = random.Random(7)
        self.asha = Asha(max_epochs=max_epochs, grace_epochs=max(1, max_epochs // 5), reduction=3)
        folder.mkdir(parents=True, exist_ok=True)
        self.plan: dict[str, Any] = {
            "model": "ast",
            "data": "corpus",
            "split": "speaker",
            "corpus": {
                "name": "ravdess",
                "clips": 1440,
                "speakers": 24,
                "classes": CLASSES,
                "skipped": [],
                "synthetic": False,
                "licence": "CC BY-NC-SA 4.0",
                "citation": "Livingstone & Russo 2018",
            },
            "speaker_independent": True,
            "synthetic": False,
            "max_epochs": max_epochs,
            "grace_epochs": self.asha.grace_epochs,
            "reduction": 3,
            "finalists": 3,
            "seeds": 3,
            "space": SPACE,
            "first": [PUBLISHED],
            "fixed": {"optim.epochs": max_epochs},
            "limits": {"trials": trials, "concurrency": 2},
            "command": "python search/run.py --model ast --data corpus",
            "versions": {"python": "3.11", "torch": "2.11.0"},
            **plan,
        }
        (folder / "plan.json").write_text(json.dumps(self.plan))
        self.now = 1_700_000_000.0
        self.objective = self.plan.get("objective", "uar")
        scoring = Scoring("best", max_epochs if self.plan.get("folds") == "auto" else 0, self.objective)
        self.writer = RecordWriter(folder / "records.jsonl", clock=lambda: self.now, scoring=scoring)
        self.writer.session()
        self.free = [self.now + 2.0, self.now + 2.5]

    def params(self, number: int) -> dict[str, Any]:
        r = self.rng
        params: dict[str, Any] = {
            "optim.learning_rate": 10 ** r.uniform(-5, -2),
            "optim.batch_size": r.choice([16, 32, 64]),
            "optim.weight_decay": 10 ** r.uniform(-6, -1),
            "model.dropout": r.uniform(0, 0.6),
            "model.width": r.randrange(16, 65, 8),
            "augment.kind": r.choice(["none", "specaugment"]),
        }
        if number == 0:
            params |= PUBLISHED
        if params["augment.kind"] == "specaugment":
            params["augment.time_masks"] = r.randint(1, 4)
        return params

    def start(self, number: int, params: dict[str, Any] | None = None) -> dict[str, Any]:
        params = params or self.params(number)
        self.writer.trial_started(number, params, "sampler" if number else "first")
        return params

    def epochs(self, number: int, uars: list[float], *, worker: str = "node-a/101", seconds: float = 2.0) -> None:
        done = len(self.writer.records.trials[number].epochs)
        reports = [report(done + i, uar, seconds, self.objective) for i, uar in enumerate(uars, start=1)]
        self.writer.epochs(number, reports, worker=worker, setup_seconds=0.1 if not done else 0.0)

    def end(self, number: int, state: str, reason: str = "") -> None:
        self.writer.trial_ended(number, TrialState(state), reason)

    def search(self, trials: int | None = None, *, fail_every: int = 17) -> RunMaker:
        """Trials with learning curves that depend on the parameters, stopped by real ASHA."""
        for number in range(self.trials if trials is None else trials):
            slot = min(range(len(self.free)), key=self.free.__getitem__)
            self.now = self.free[slot]
            params = self.start(number)
            worker = f"node-a/{101 + slot}"
            uars, state, reason = self._train(number, params, fail_every)
            seconds = 1.6 + params["model.width"] / 40
            self.now += 0.2 + len(uars) * seconds
            if uars:
                self.epochs(number, uars, worker=worker, seconds=seconds)
            self.end(number, state, reason)
            self.free[slot] = self.now + 0.3
        self.now = max(self.free)
        return self

    def _train(self, number: int, params: dict[str, Any], fail_every: int) -> tuple[list[float], str, str]:
        if fail_every and number % fail_every == fail_every - 1:
            broken = ["diverged: training loss is nan", "out of memory: 512 MiB wanted on cuda:0"][
                number // fail_every % 2
            ]
            return [0.2] * (number % 3), "FAIL", f"{broken}, trial {number}"
        top = (
            0.72
            - 0.12 * abs(math.log10(params["optim.learning_rate"]) + 3.3)
            - 0.25 * abs(params["model.dropout"] - 0.25)
        )
        top += 0.04 * (params["augment.kind"] == "specaugment") + self.rng.gauss(0, 0.02)
        uars: list[float] = []
        for epoch in range(1, self.max_epochs + 1):
            grown = 0.125 + (max(top, 0.2) - 0.125) * (1 - math.exp(-5 * epoch / self.max_epochs))
            uars.append(min(1.0, max(0.0, grown + self.rng.gauss(0, 0.015))))
            if self.asha.stops(number, epoch, max(uars)):
                return uars, "PRUNED", f"rung {epoch}"
        return uars, "COMPLETE", ""

    def finals(self) -> list[dict[str, Any]]:
        """Finalists over seeds in the records; what result.json says on them."""
        complete = [t for t in self.writer.records.trials.values() if t.state == "COMPLETE"]
        finalists = []
        for trial in sorted(complete, key=lambda t: -t.value)[:3]:
            scores = []
            for seed in (11, 12, 13):
                self.writer.final_started(Phase.FINALIST, trial.number, seed)
                scores.append(trial.value - 0.03 + self.rng.gauss(0, 0.018))
                self._train_final(Phase.FINALIST, trial.number, seed, scores[-1])
            interval = seed_interval(scores)
            value = {**spread(scores), "interval": [interval.low, interval.high]}
            own = {"trial": trial.number, "params": dict(trial.params), f"val_{self.objective}": value}
            finalists.append(own)
        return finalists

    def _train_final(self, phase: Phase, trial: int, seed: int, best: float) -> None:
        """The epochs of one run of the finals, of which the last but one has the `best` score; NaN in a refit."""
        self.now += 30
        reports = []
        for epoch in range(1, self.max_epochs + 1):
            grown = 1 - math.exp(-5 * epoch / max(1, self.max_epochs - 1))
            uar = best if epoch == max(1, self.max_epochs - 1) else 0.125 + (best - 0.125) * grown - 0.02
            losses = {"train_loss": 2.0 - 1.2 * grown, "val_loss": math.nan if math.isnan(best) else 2.1 - 0.8 * grown}
            reports.append(replace(report(epoch, uar, 30.0 / self.max_epochs, self.objective), **losses))
        self.writer.final_epochs(phase, trial, seed, reports, worker="node-a/101", setup_seconds=0.1)
        self.writer.final_ended(phase, trial, seed)

    def finish(self, **test: Any) -> RunMaker:
        """Finals, result.json and insight.json; `test` replaces what the result says on the test."""
        finalists = self.finals()
        winner = max(finalists, key=lambda finalist: finalist[f"val_{self.objective}"]["mean"])
        for seed in (11, 12, 13):
            self.writer.final_started(Phase.REFIT, winner["trial"], seed)
            self._train_final(Phase.REFIT, winner["trial"], seed, math.nan)
        trials = list(self.writer.records.trials.values())
        best = max((t for t in trials if t.state != "FAIL"), key=lambda t: t.value)
        result = {
            "model": self.plan["model"],
            "corpus": self.plan["corpus"],
            "split": {
                "kind": self.plan["split"],
                "speaker_independent": self.plan["speaker_independent"],
                "test_speakers": self.plan.get("speakers", {}).get("test", []),
                "inner_folds": [],
            },
            "transductive": False,
            "warm_start": self.plan.get("warm_start"),
            "search": {
                "trials": {s: sum(t.state == w for t in trials) for s, w in STATES.items()},
                "wall_seconds": self.now - 1_700_000_000.0,
                "overhead_seconds_per_trial": 0.12,
                "best": {"trial": best.number, "params": dict(best.params), f"val_{self.objective}": best.value},
            },
            "finalists": finalists,
            "winner": {
                "trial": winner["trial"],
                "params": winner["params"],
                "fixed": {},
                "models": [f"final/trial-{winner['trial']:05d}-seed-{seed}" for seed in (1, 2, 3)],
            },
            **({"target": target_of(self.plan)} if "target" in self.plan else {}),
            "test": {**self._scores(), **test},
            "test_reads": 1,
            "versions": self.plan["versions"],
            "command": self.plan["command"],
        }
        (self.folder / "result.json").write_text(json.dumps(result))
        (self.folder / INSIGHT_FILE).write_text(insight_of(tuple(self.plan["corpus"]["classes"])))
        return self

    def _scores(self) -> dict[str, Any]:
        names = tuple(self.plan["corpus"]["classes"])
        found: dict[str, Any] = json.loads(
            ratings_of_six_speakers(names) if "target" in self.plan else scores_of_six_speakers(names)
        )
        return found

    def predict(self, skill: float, *, seed: int = 0, speakers: int = 6, seeds: int = 3) -> RunMaker:
        """Predictions of test clips that are right with a chance of `skill`, and what result.json says of them.

        Speakers are recognised better or worse, by all models alike; `seed` decides what the model has right.
        """
        classes, rng = tuple(self.plan["corpus"]["classes"]), np.random.default_rng(seed)
        labels = np.tile(np.arange(len(classes)), 5 * speakers)
        names = np.repeat([f"{number:02d}" for number in range(1, speakers + 1)], 5 * len(classes))
        chance = skill + np.random.default_rng(0).uniform(-0.1, 0.1, speakers)[names.astype(int) - 1]
        right = rng.random((seeds, len(labels))) < chance
        told = np.where(right, labels, (labels + rng.integers(1, len(classes), right.shape)) % len(classes))
        test = Predictions(
            target=Emotions(classes),
            clip_ids=tuple(f"clip-{row:03d}" for row in range(len(labels))),
            truth=labels,
            told=0.1 / len(classes) + 0.9 * np.eye(len(classes))[told],
            speakers=names,
            genders=np.where(names.astype(int) % 2, "male", "female"),
        )
        tables = [
            prediction_table(
                clip_ids=test.clip_ids,
                truth=labels,
                told=own,
                target=Emotions(classes),
                facts={"speaker": names, "gender": test.genders, "seed": number},
            )
            for number, own in enumerate(test.told, 1)
        ]
        write_table(self.folder / PREDICTIONS_FILE, pd.concat(tables))
        result = json.loads((self.folder / "result.json").read_text())
        (self.folder / "result.json").write_text(json.dumps({**result, "test": defined(score_test(test))}))
        return self


def target_of(plan: dict[str, Any]) -> dict[str, Any]:
    """Of a plan of dimensions."""
    return {"kind": "dimensions", "names": plan["corpus"]["classes"], "objective": plan["objective"]}


STATES = {"complete": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL"}


def report(epoch: int, value: float, seconds: float, objective: str = "uar") -> EpochReport:
    return EpochReport(
        epoch=epoch,
        train_loss=1.0,
        val_loss=1.2,
        scores={objective: value},
        learning_rate=1e-3,
        seconds=seconds,
    )


def spread(values: list[float]) -> dict[str, Any]:
    mean = sum(values) / len(values)
    std = math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1)) if len(values) > 1 else 0.0
    return {"mean": mean, "std": std, "seeds": values}
